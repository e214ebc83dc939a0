package arch

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	namedTest   = regexp.MustCompile(`\b((?:[a-z0-9]+/)*[a-z0-9]+)\.(Test[A-Za-z0-9_]+)\b`)
	testHead    = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	adviceOwner = regexp.MustCompile(`^Test(?:CVE|GHSA)`)
)

// TestAdvisoriesAreTried holds docs/advisories.md and the tests together: what
// the page names is there, and what is named after an advisory is on the page.
func TestAdvisoriesAreTried(t *testing.T) {
	texts := readPapers(t, house(t).root)
	named := map[string]bool{}
	for _, m := range namedTest.FindAllStringSubmatch(string(texts["docs/advisories.md"]), -1) {
		named[m[1]+"."+m[2]] = true
	}
	written := testsByRoom(texts)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !written[name] {
			t.Errorf("docs/advisories.md names %s, and there is no such test", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		if _, test, _ := strings.Cut(name, "."); adviceOwner.MatchString(test) && !named[name] {
			t.Errorf("%s is named after an advisory that docs/advisories.md does not list", name)
		}
	}
}

// testsByRoom lists every test there is as path.TestName.
func testsByRoom(texts papers) map[string]bool {
	all := map[string]bool{}
	for name, text := range texts {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range testHead.FindAllSubmatch(text, -1) {
			all[path.Dir(name)+"."+string(m[1])] = true
		}
	}
	return all
}
