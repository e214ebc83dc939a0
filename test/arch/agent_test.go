package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// onHosts are the programs that run on hosts as root. They carry no server.
var onHosts = []string{"cmd/patchfit-agent", "cmd/docker-credential-patchfit", "host"}

// heavy are parts of import paths of what only a server needs: an OCI
// registry, a log writer, database engines; and our use of Rekor v1, of which
// nothing counts as evidence on a host. (sigstore-go links parts of it too.)
var heavy = []string{
	"database/sql", "distribution/distribution", "transparency-dev/tessera", "modernc.org/sqlite", "mattn/go-sqlite3",
	"go.etcd.io/bbolt", "dgraph-io/badger", "cockroachdb/pebble", "jackc/pgx", "lib/pq", "go-sql-driver/mysql", "cloud.google.com/go/spanner",
	"sigstore/rekor/",
}

// burdens follows our own packages from start and complains of each one it
// reaches that imports something heavy, with the way there.
func burdens(h *tree, start string) []string {
	var bad []string
	from := map[string]string{start: ""}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		dir := queue[0]
		for _, path := range roomImports(h, dir) {
			if target, ok := own(path); ok {
				if _, seen := from[target]; !seen {
					from[target] = dir
					queue = append(queue, target)
				}
			} else if slices.ContainsFunc(heavy, func(w string) bool { return strings.Contains(path, w) }) {
				bad = append(bad, fmt.Sprintf("%s links %s, by way of %s", start, path, way(from, dir)))
			}
		}
	}
	return bad
}

func roomImports(h *tree, dir string) []string {
	var all []string
	if r := h.rooms[dir]; r != nil {
		for _, f := range r.code() {
			all = append(all, f.imports()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func way(from map[string]string, dir string) string {
	if from[dir] == "" {
		return dir
	}
	return way(from, from[dir]) + " -> " + dir
}

func TestHostProgramsCarryNoServer(t *testing.T) {
	h := house(t)
	for _, start := range onHosts {
		if h.rooms[start] == nil {
			t.Errorf("%s is gone", start)
		}
		none(t, burdens(h, start))
	}
	if len(burdens(h, "cmd/patchfitd")) == 0 {
		t.Error("the server links no registry, log or database by name any more: this test looks for the wrong names")
	}
}

func TestBurdensSees(t *testing.T) {
	h := crooked(t, map[string]string{
		"host/a.go":     "package host\nimport _ \"" + module + "/ledger/x\"\n",
		"ledger/x/a.go": "package x\nimport _ \"github.com/transparency-dev/tessera/storage/posix\"\n",
	})
	complains(t, burdens(h, "host"), "tessera/storage/posix", "host -> ledger/x")
	h = crooked(t, map[string]string{
		"host/a.go":           "package host\nimport _ \"" + module + "/ledger/rekorv1\"\n",
		"ledger/rekorv1/a.go": "package rekorv1\nimport _ \"github.com/sigstore/rekor/pkg/verify\"\nimport _ \"github.com/sigstore/rekor-tiles/v2/pkg/verify\"\n",
	})
	if bad := burdens(h, "host"); len(bad) != 1 || !strings.Contains(bad[0], "sigstore/rekor/pkg/verify") {
		t.Errorf("%q, want one complaint about Rekor v1", bad)
	}
}
