package arch

import (
	"fmt"
	"go/token"
	"slices"
	"testing"
)

// pure are the rooms that take keys, rules and the time as arguments, so that
// the same function answers in the server, the agent and the CLI.
var pure = []string{"attest", "build/compare", "build/lint", "build/object", "ledger", "ledger/quorum", "ledger/rekorv1", "ledger/tuf", "policy", "verify"}

// spared are imports a pure room cannot do without, by room. Rekor's functions
// ask for a context and wait for nothing.
var spared = map[string]string{"ledger/rekorv1": "context"}

// outside are the packages through which the world gets in.
var outside = []string{
	"context", "database/sql", "io/fs", "io/ioutil", "log", "log/slog", "math/rand", "math/rand/v2",
	"net", "net/http", "os", "os/exec", "os/signal", "path/filepath", "runtime/debug", "syscall", "testing", "unsafe",
	"golang.org/x/sys/unix",
}

// clocks are the names in package time that read or wait for the clock.
var clocks = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// impurities complains of pure rooms that touch disk, network, clock or log.
func impurities(h *tree) []string {
	var bad []string
	for _, dir := range pure {
		if h.rooms[dir] == nil {
			continue
		}
		for _, f := range h.rooms[dir].code() {
			for _, path := range f.imports() {
				if slices.Contains(outside, path) && spared[dir] != path {
					bad = append(bad, fmt.Sprintf("%s imports %s; %s is pure", f.path, path, dir))
				}
			}
			f.uses(func(pkg, name string, pos token.Pos) {
				if pkg == "time" && slices.Contains(clocks, name) {
					bad = append(bad, fmt.Sprintf("%s: time.%s; %s is pure and takes the time as an argument", h.fset.Position(pos), name, dir))
				}
			})
		}
	}
	return bad
}

func TestPureRoomsStayPure(t *testing.T) {
	h := house(t)
	for _, dir := range pure {
		if h.rooms[dir] == nil {
			t.Errorf("the pure room %s is gone", dir)
		}
	}
	none(t, impurities(h))
}

func TestImpuritiesSees(t *testing.T) {
	h := crooked(t, map[string]string{
		"attest/a.go":      "package attest\nimport \"os\"\nvar _ = os.Args\n",
		"verify/a.go":      "package verify\nimport clock \"time\"\nvar _ = clock.Now\n",
		"verify/b.go":      "package verify\nimport \"time\"\nvar _ time.Time\n",
		"verify/a_test.go": "package verify\nimport \"os\"\nvar _ = os.Args\n",
		"policy/a.go":      "package policy\nimport \"log/slog\"\nvar _ = slog.Info\n",
		"ledger/a.go":      "package ledger\nimport \"context\"\nvar _ context.Context\n",
		"ledger/tlog/a.go": "package tlog\nimport \"os\"\nvar _ = os.Args\n",

		"ledger/rekorv1/a.go": "package rekorv1\nimport (\"context\"; \"os\")\nvar _ context.Context\nvar _ = os.Args\n",
	})
	bad := impurities(h)
	complains(t, bad, "attest/a.go", "imports os")
	complains(t, bad, "verify/a.go:3", "time.Now")
	complains(t, bad, "policy/a.go", "log/slog")
	complains(t, bad, "ledger/a.go", "context")
	complains(t, bad, "ledger/rekorv1/a.go", "imports os")
	if len(bad) != 5 {
		t.Errorf("%d complaints, want 5: %q", len(bad), bad)
	}
}
