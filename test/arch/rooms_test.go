package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// may says which packages of this module each package may import. Imports
// point to where the data came from: bytes, statement, proof, evidence,
// decision, door. A package that is not here has no place in the house yet:
// give it one first.
var may = map[string][]string{
	"internal/strictjson":        {},
	"internal/durable":           {},
	"internal/keyfile":           {"internal/durable"},
	"internal/signing":           {"internal/keyfile", "attest"},
	"internal/fileid":            {},
	"internal/kept":              {},
	"internal/term":              {},
	"internal/schematest":        {},
	"internal/daemontest":        {},
	"internal/machinetest":       {},
	"internal/manual":            {},
	"internal/manual/manualtest": {"internal/manual"},
	"internal/meter":             {},
	"internal/pace":              {},
	"internal/exit":              {"internal/manual", "internal/term", "ledger", "registry/api", "verify"},
	"internal/serverconfig":      {"internal/strictjson"},
	"internal/config":            {"internal/durable", "internal/keyfile", "internal/strictjson", "attest", "registry/assertion", "registry/api"},
	"internal/publish":           {"internal/durable", "internal/keyfile", "internal/strictjson", "internal/term", "attest", "ledger", "ledger/client", "registry/api", "build", "build/builder", "build/inventory", "build/lint"},
	"internal/succession":        {"attest", "verify"},
	"internal/mirror":            {"internal/durable", "internal/strictjson", "internal/term", "attest", "ledger", "ledger/client", "verify", "policy", "registry/api"},

	"internal/signing/signingtest": {},

	"attest": {"internal/strictjson"},

	"ledger":                        {"internal/strictjson", "attest"},
	"ledger/backend":                {"attest", "ledger"},
	"ledger/tlog":                   {"internal/strictjson", "attest", "ledger", "ledger/backend", "ledger/quorum"},
	"ledger/tlog/s3mysql":           {"ledger", "ledger/tlog"},
	"ledger/tlog/tlogtest":          {"attest", "ledger", "ledger/backend"},
	"ledger/rekorv2":                {"internal/durable", "internal/strictjson", "attest", "ledger", "ledger/backend", "ledger/client"},
	"ledger/shards":                 {"ledger/internal/disk", "internal/keyfile", "internal/strictjson", "ledger"},
	"ledger/tsa":                    {"attest", "ledger"},
	"ledger/client":                 {"internal/strictjson", "attest", "ledger"},
	"ledger/internal/disk":          {"internal/durable"},
	"ledger/internal/disk/disktest": {"ledger/internal/disk"},
	"ledger/store":                  {"internal/fileid", "ledger/internal/disk", "attest", "ledger"},
	"ledger/journal":                {"ledger/internal/disk", "internal/strictjson", "attest", "ledger", "ledger/store"},
	"ledger/notify":                 {"ledger/internal/disk", "internal/strictjson", "attest", "ledger"},
	"ledger/index":                  {"ledger/internal/disk", "internal/strictjson", "attest", "ledger", "ledger/account"},
	"ledger/quorum":                 {"ledger"},
	"ledger/witness":                {"ledger/internal/disk", "ledger", "ledger/quorum"},
	"ledger/account":                {"attest", "ledger", "ledger/client"},
	"ledger/monitor":                {"ledger/internal/disk", "internal/strictjson", "attest", "ledger", "ledger/client", "ledger/quorum"},
	"ledger/rekorv1":                {"internal/strictjson", "attest"},
	"ledger/tuf":                    {"internal/strictjson", "attest", "ledger"},
	"ledger/tuf/tuftest":            {"internal/strictjson", "attest", "ledger", "ledger/tuf"},
	"ledger/tuf/repository":         {"ledger/internal/disk", "attest", "ledger/tuf"},
	"ledger/tuf/update":             {"internal/strictjson", "attest", "ledger/tuf"},

	"verify":            {"internal/strictjson", "attest", "ledger", "ledger/quorum"},
	"verify/verifytest": {"internal/strictjson", "attest", "ledger", "ledger/tlog", "ledger/tsa", "ledger/client", "verify"},
	"policy":            {"internal/strictjson", "attest", "build/lint", "ledger", "verify"},
	"policy/inquiry":    {"attest", "verify", "policy"},
	"policy/policytest": {"attest", "ledger", "verify", "verify/verifytest", "policy"},

	"registry/content/s3":      {"internal/keyfile"},
	"registry/assertion":       {"internal/strictjson", "attest"},
	"registry/api":             {"internal/strictjson", "attest", "ledger", "policy", "verify", "registry/assertion"},
	"registry/state":           {"internal/strictjson", "attest", "build/lint", "ledger", "ledger/index", "ledger/tuf", "verify", "policy"},
	"registry/state/statetest": {"internal/fileid", "internal/strictjson", "attest", "ledger", "ledger/store", "verify", "verify/verifytest", "policy", "registry/state"},
	"registry/auth":            {"internal/strictjson", "attest", "ledger", "verify", "policy", "registry/assertion", "registry/api", "registry/state"},
	"registry/control":         {"internal/strictjson", "attest", "ledger", "ledger/tuf", "verify", "policy", "registry/assertion", "registry/api", "registry/auth", "registry/state", "registry/admit", "registry/gate"},
	"registry/content":         {"internal/durable", "internal/fileid", "internal/kept", "attest"},
	"registry/content/object":  {"attest", "registry/content"},
	"registry/collect":         {"attest", "ledger", "registry/content", "registry/state"},
	"registry/damage":          {"internal/durable", "internal/strictjson", "attest"},
	"registry/scrub":           {"attest", "ledger/store", "registry/content", "registry/damage", "registry/state"},
	"registry/spelling":        {},
	"registry/doctor":          {"attest", "ledger/tuf", "ledger/tuf/update", "registry/spelling"},
	"registry/gate":            {"internal/strictjson", "attest", "ledger", "ledger/journal", "verify", "policy", "registry/state"},
	"registry/admit":           {"internal/strictjson", "attest", "build/lint", "ledger", "ledger/store", "ledger/journal", "verify", "policy", "registry/state"},
	"registry":                 {"internal/fileid", "internal/kept", "internal/strictjson", "attest", "ledger", "ledger/store", "ledger/journal", "verify", "policy", "registry/admit", "registry/api", "registry/auth", "registry/content", "registry/damage", "registry/gate", "registry/state"},

	"registry/content/contenttest": {"attest", "registry/content"},

	"build":                   {"internal/strictjson", "attest", "build/object", "build/archive", "build/sandbox", "build/source"},
	"build/archive":           {},
	"build/source":            {"attest", "build/archive"},
	"build/compare":           {"attest", "build/object"},
	"build/object":            {"attest"},
	"build/lint":              {"internal/strictjson", "attest", "build/object"},
	"build/object/objecttest": {"build/object"},
	"build/deb822":            {},
	"build/inventory":         {"internal/strictjson", "attest", "build/deb822"},
	"build/builder":           {"internal/strictjson", "internal/term", "attest", "build", "build/deb822", "build/inventory"},
	"build/rebuild":           {"internal/machinetest", "attest", "build", "build/compare", "build/object", "build/sandbox", "build/source"},
	"build/rebuild/queue":     {"internal/durable", "internal/strictjson", "attest"},
	"build/rootfs":            {"internal/durable", "internal/strictjson", "attest"},
	"build/sandbox":           {},
	"build/sandbox/runc":      {"build/sandbox"},

	"host":                      {"internal/durable", "internal/keyfile", "internal/strictjson", "attest", "ledger", "ledger/client", "ledger/tuf", "ledger/tuf/update", "verify", "policy", "policy/inquiry", "registry/api", "registry/assertion", "internal/succession"},
	"web":                       {"internal/strictjson", "attest", "ledger", "ledger/index", "ledger/account"},
	"build/sandbox/sandboxtest": {"internal/machinetest", "build/sandbox"},
	"build/modsign":             {},
	"build/vendors":             {"attest", "build", "build/object", "build/modsign", "build/vendors/debian", "build/vendors/kernel", "build/vendors/openpgp", "build/vendors/rpm", "build/vendors/unpack"},
	"build/vendors/debian":      {"attest", "build/vendors/openpgp", "build/vendors/unpack"},
	"build/vendors/kernel":      {"attest", "build/vendors/unpack"},
	"build/vendors/openpgp":     {},
	"build/vendors/rpm":         {"attest", "build/vendors/openpgp", "build/vendors/unpack"},
	"build/vendors/unpack":      {},
	"build/vendors/vendorstest": {"attest", "build/vendors/debian"},

	"cmd/patchfit/internal/shell":      {"internal/durable", "internal/config", "internal/exit", "internal/keyfile", "internal/strictjson", "internal/succession", "internal/term", "attest", "verify", "ledger/tuf", "ledger/tuf/update", "registry/api", "internal/signing"},
	"cmd/patchfit/internal/identity":   {"internal/config", "internal/exit", "internal/keyfile", "attest", "cmd/patchfit/internal/shell"},
	"cmd/patchfit/internal/trust":      {"internal/exit", "internal/strictjson", "internal/term", "attest", "ledger", "ledger/quorum", "ledger/tuf", "registry/api", "cmd/patchfit/internal/shell"},
	"cmd/patchfit/internal/admin":      {"attest", "internal/config", "internal/exit", "internal/keyfile", "registry/api", "cmd/patchfit/internal/shell"},
	"cmd/patchfit/internal/env":        {"internal/exit", "internal/publish", "attest", "build", "cmd/patchfit/internal/shell"},
	"cmd/patchfit/internal/builder":    {"internal/exit", "internal/publish", "internal/strictjson", "internal/term", "attest", "build", "build/builder", "build/inventory", "cmd/patchfit/internal/shell"},
	"cmd/patchfit/internal/building":   {"internal/config", "internal/durable", "internal/exit", "internal/publish", "internal/strictjson", "internal/term", "attest", "verify", "registry/api", "build", "build/rebuild", "build/rebuild/queue", "build/rootfs", "build/sandbox", "build/sandbox/runc", "build/source", "cmd/patchfit/internal/env", "cmd/patchfit/internal/shell", "cmd/patchfit/internal/verifying"},
	"cmd/patchfit/internal/examining":  {"internal/exit", "internal/publish", "internal/term", "build/compare", "build/lint", "build/object", "cmd/patchfit/internal/shell"},
	"cmd/patchfit/internal/importing":  {"internal/exit", "internal/publish", "internal/strictjson", "attest", "build/modsign", "build/vendors", "build/vendors/debian", "build/vendors/openpgp", "build/vendors/rpm", "build/vendors/unpack", "cmd/patchfit/internal/publishing", "cmd/patchfit/internal/shell"},
	"cmd/patchfit/internal/publishing": {"internal/exit", "internal/publish", "internal/strictjson", "internal/term", "attest", "registry/api", "build", "cmd/patchfit/internal/shell", "verify", "policy"},
	"cmd/patchfit/internal/verifying":  {"internal/exit", "internal/publish", "internal/signing", "internal/term", "attest", "ledger", "ledger/quorum", "ledger/rekorv1", "verify", "policy", "cmd/patchfit/internal/shell", "internal/config", "internal/mirror", "internal/strictjson", "ledger/client", "policy/inquiry", "registry/api"},
	"cmd/patchfit/internal/witnessing": {"internal/durable", "internal/exit", "internal/keyfile", "internal/pace", "ledger", "ledger/quorum", "ledger/witness", "cmd/patchfit/internal/shell"},
	"cmd/patchfit/internal/accounting": {"attest", "internal/strictjson", "internal/term", "ledger", "ledger/account", "ledger/client", "registry/api"},
	"cmd/patchfit/internal/monitoring": {"ledger/account", "internal/exit", "internal/strictjson", "internal/term", "attest", "ledger", "verify", "ledger/client", "ledger/monitor", "ledger/quorum", "cmd/patchfit/internal/shell", "cmd/patchfit/internal/accounting"},
	"cmd/patchfit/internal/browse":     {"internal/exit", "internal/publish", "internal/strictjson", "internal/term", "attest", "verify", "registry/api", "cmd/patchfit/internal/shell", "cmd/patchfit/internal/verifying"},
	"cmd/patchfit/internal/mirroring":  {"internal/config", "internal/exit", "internal/mirror", "internal/succession", "internal/term", "attest", "cmd/patchfit/internal/shell", "cmd/patchfit/internal/trust"},
	"cmd/patchfit/internal/audit":      {"internal/config", "internal/exit", "internal/publish", "internal/strictjson", "internal/term", "attest", "ledger", "ledger/client", "verify", "registry/api", "cmd/patchfit/internal/shell", "cmd/patchfit/internal/accounting", "ledger/account"},

	"deploy":      {},
	"test/arch":   {},
	"test/report": {},
}

// wires are the packages that know all rooms: programs and what drives them.
// The rooms a program has of its own are in the table, as others are.
var wires = []string{"cmd/", "test/bench", "test/demo", "test/fill"}

func wiring(dir string) bool {
	_, room := may[dir]
	return !room && slices.ContainsFunc(wires, func(w string) bool { return strings.HasPrefix(dir, w) })
}

// misplaced complains of packages without a place and imports that are not
// allowed. Tests may import any room, but no program and no driver.
func misplaced(h *tree) []string {
	var bad []string
	for dir, r := range h.rooms {
		allowed, known := may[dir]
		if !known && !wiring(dir) {
			bad = append(bad, fmt.Sprintf("%s has no place in the house: say in test/arch what it may import", dir))
			continue
		}
		for _, f := range r.files {
			bad = append(bad, trespasses(f, dir, allowed)...)
		}
	}
	return bad
}

// helper reports whether a package is for tests alone, as verify/verifytest is.
func helper(dir string) bool {
	return strings.HasSuffix(dir, "test") && dir != "attest"
}

func trespasses(f *file, dir string, allowed []string) []string {
	var bad []string
	for _, path := range f.imports() {
		target, ok := own(path)
		switch {
		case !ok || target == dir:
		case wiring(target):
			bad = append(bad, fmt.Sprintf("%s imports the program %s", f.path, target))
		case !f.test && helper(target) && !helper(dir):
			bad = append(bad, fmt.Sprintf("%s is no test and imports the test helper %s", f.path, target))
		case !f.test && !wiring(dir) && !slices.Contains(allowed, target):
			bad = append(bad, fmt.Sprintf("%s imports %s; %s may import only %v", f.path, target, dir, allowed))
		}
	}
	return bad
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	none(t, misplaced(house(t)))
}

func TestTableOfRooms(t *testing.T) {
	for dir, allowed := range may {
		for _, target := range allowed {
			if _, ok := may[target]; !ok {
				t.Errorf("%s may import %s, which is not in the table", dir, target)
			}
			if slices.Contains(may[target], dir) {
				t.Errorf("%s and %s may import each other", dir, target)
			}
		}
	}
}

func TestMisplacedSees(t *testing.T) {
	h := crooked(t, map[string]string{
		"attest/a.go":       "package attest\nimport _ \"" + module + "/ledger\"\n",
		"verify/a.go":       "package verify\nimport _ \"" + module + "/verify/verifytest\"\n",
		"policy/a_test.go":  "package policy\nimport _ \"" + module + "/cmd/patchfit\"\n",
		"policy/b_test.go":  "package policy\nimport _ \"" + module + "/verify/verifytest\"\n",
		"util/a.go":         "package util\n",
		"host/a.go":         "package host\nimport _ \"" + module + "/registry\"\n",
		"cmd/patchfit/a.go": "package main\nimport _ \"" + module + "/registry\"\n",
	})
	bad := misplaced(h)
	complains(t, bad, "attest/a.go", "imports ledger")
	complains(t, bad, "verify/a.go", "test helper verify/verifytest")
	complains(t, bad, "policy/a_test.go", "the program cmd/patchfit")
	complains(t, bad, "util has no place")
	complains(t, bad, "host/a.go", "imports registry")
	if len(bad) != 5 {
		t.Errorf("%d complaints, want 5: %q", len(bad), bad)
	}
}
