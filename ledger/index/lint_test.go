package index

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// TestLintOfALink: the newest report as of then, of that artifact alone; an
// index of before there were reports gets them.
func TestLintOfALink(t *testing.T) {
	l := newLineage(t)
	x := openIndex(t)
	if _, err := x.write.Exec("DROP TABLE lint"); err != nil {
		t.Fatal(err)
	}
	if err := x.prepare(); err != nil {
		t.Fatal(err)
	}
	report := []byte(`{"findings":[]}`)
	said := func(linter string) int64 {
		return l.add(ledger.KindLint, ledger.Linted{Repository: repoA, Digest: l.patch, Report: l.put(report), Linter: linter, By: "ci"})
	}
	first := said("one")
	second := said("two")
	catchUp(t, x, l)
	row := func(n int64, linter string) *LintRow {
		return &LintRow{SchemaVersion: 1, Found: By{Event{n, at(n)}, "ci"}, Linter: linter, Digest: attest.DigestOf(report), Report: report}
	}
	now := whoBuilt(t, x, LineageQuery{Repository: repoA, Digest: l.patch})
	if diff := cmp.Diff(row(second, "two"), now.Chain[0].Lint); diff != "" || now.Chain[1].Lint != nil {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if at(first) != at(second) {
		then := whoBuilt(t, x, LineageQuery{Repository: repoA, Digest: l.patch, AsOf: at(first)})
		if diff := cmp.Diff(row(first, "one"), then.Chain[0].Lint); diff != "" {
			t.Errorf("as of before (-want +got)\n%s", diff)
		}
	}
}
