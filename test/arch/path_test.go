package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// decides are the packages between a host's question and its answer, besides
// the pure rooms: they hold locks and read the clock, and reach nothing else.
var decides = []string{"attest", "internal/strictjson", "ledger", "ledger/tuf", "policy", "registry/gate", "registry/state", "verify"}

// reaches complains of packages on the decision path that could call out.
func reaches(h *tree) []string {
	var bad []string
	for _, dir := range decides {
		if h.rooms[dir] == nil {
			continue
		}
		for _, f := range h.rooms[dir].code() {
			for _, path := range f.imports() {
				if calls(path) {
					bad = append(bad, fmt.Sprintf("%s imports %s; %s is on the decision path", f.path, path, dir))
				}
			}
		}
	}
	return bad
}

func calls(path string) bool {
	if path == "net/url" || path == "net/netip" {
		return false
	}
	return path == "net" || strings.HasPrefix(path, "net/") || strings.HasPrefix(path, "golang.org/x/net") || strings.HasPrefix(path, "google.golang.org/grpc") ||
		slices.Contains([]string{"crypto/tls", "database/sql", "os", "os/exec", "syscall"}, path)
}

func TestDecisionsCallNobody(t *testing.T) {
	h := house(t)
	for _, dir := range decides {
		if h.rooms[dir] == nil {
			t.Errorf("%s is gone from the decision path", dir)
		}
	}
	none(t, reaches(h))
}

func TestReachesSees(t *testing.T) {
	bad := reaches(crooked(t, map[string]string{
		"registry/gate/a.go":  "package gate\nimport _ \"net/http\"\n",
		"registry/state/a.go": "package state\nimport _ \"net/rpc\"\n",
		"policy/a.go":         "package policy\nimport _ \"crypto/tls\"\n",
		"verify/a.go":         "package verify\nimport _ \"net/url\"\n",
		"web/a.go":            "package web\nimport _ \"net/http\"\n",
	}))
	complains(t, bad, "registry/gate/a.go", "net/http")
	complains(t, bad, "registry/state/a.go", "net/rpc")
	complains(t, bad, "policy/a.go", "crypto/tls")
	if len(bad) != 3 {
		t.Errorf("%d complaints, want 3: %q", len(bad), bad)
	}
}
