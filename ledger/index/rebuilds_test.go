package index

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

var environment = attest.DigestOf([]byte("environment"))

// someRebuild is the n-th of many.
func someRebuild(n int) *attest.Rebuild {
	result := []string{attest.Reproduced, attest.Differs, attest.BuildFailed, attest.Equivalent}[n%4]
	return rebuildOf(result, fmt.Sprint("run ", n))
}

func rebuildOf(result, run string) *attest.Rebuild {
	file := attest.DigestOf([]byte("file"))
	r := &attest.Rebuild{
		Product: productA, Environment: environment, Result: result, Log: attest.DigestOf([]byte("log")),
		Run: attest.Run{ID: run, Builder: "https://rebuilder.example"}, Compared: &attest.Compared{File: attest.Pair{Wanted: file, Got: file}},
	}
	switch result {
	case attest.Differs, attest.Equivalent:
		r.Category, r.Explanation, r.Output = "build-path", "at another path", attest.DigestOf([]byte("output"))
		r.Compared.File.Got = attest.DigestOf([]byte("otherwise"))
		r.Compared.Code = &attest.Pair{Wanted: file, Got: file}
	case attest.BuildFailed:
		r.Category, r.Compared = "timeout", nil
	}
	if result == attest.Equivalent {
		r.Normaliser = &attest.Normaliser{Name: "strip", Digest: attest.DigestOf([]byte("strip"))}
	}
	return r
}

func askRebuilds(t *testing.T, x *Index, within Products, asOf time.Time, say sayer) {
	for _, q := range []RebuildQuery{{}, {Product: productA}, {Repository: repoB}} {
		q.Within, q.AsOf, q.Limit = within, asOf, 2
		for {
			p, err := x.Rebuilds(t.Context(), q)
			say(fmt.Sprint("rebuilds ", q.Within, q.Product, q.Repository, q.Range), p, err)
			if err != nil || p.Cursor == "" {
				break
			}
			q.Cursor, q.AsOf = p.Cursor, time.Time{}
		}
	}
}

// A lab is a product with what rebuilders say: keys 0 and 1 publish, 2 and 3
// rebuild.
type lab struct {
	*ledgerSource
	t *testing.T
}

func newLab(t *testing.T) *lab {
	s := newSource(t)
	s.policy(1, "ci", "other-ci", "north", "south")
	s.add(ledger.KindProduct, ledger.ProductAdded{Product: productA, Repository: repoA, By: "root"})
	return &lab{s, t}
}

// patch publishes a patch, and key says what it is.
func (l *lab) patch(name string, base attest.Digest, key int) attest.Digest {
	d := l.manifest(repoA, attest.ArtifactPatch, attest.DigestOf([]byte(name)), base)
	l.statement(repoA, attest.TypeLivePatch, d, key)
	return d
}

// says has a rebuilder say r, later than all before.
func (l *lab) says(key int, about attest.Digest, r *attest.Rebuild) Statement {
	n, st := l.statement(repoA, attest.TypeRebuild, about, key)
	st.Rebuild, st.Time = r, epoch.Add(time.Duration(n)*time.Minute)
	l.statements[st.Bundle] = st
	return st
}

func (l *lab) finds(key int, about attest.Digest, result string) Statement {
	return l.says(key, about, rebuildOf(result, fmt.Sprint("run ", len(l.records))))
}

func (l *lab) matrix(q RebuildQuery) *RebuildPage {
	l.t.Helper()
	x := openIndex(l.t)
	catchUp(l.t, x, l)
	p, err := x.Rebuilds(l.t.Context(), q)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// summary is an artifact in a line.
func summary(r Rebuilt) string {
	s := r.Role
	for _, b := range r.Results {
		s += fmt.Sprintf(" %s:%s(%d/%d)", b.Rebuilder, b.Result, b.Agreeing, b.Runs)
		if !b.SameEnvironment {
			s += "elsewhere"
		}
		if b.Revoked {
			s += "revoked"
		}
	}
	if r.Regression != nil {
		s += " regression"
	}
	return s
}

// TestMatrix: one row a rebuilder, its newest result that says something.
func TestMatrix(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(l *lab, p attest.Digest)
		want string
	}{
		"nobody":              {func(*lab, attest.Digest) {}, "live-patch"},
		"two":                 {func(l *lab, p attest.Digest) { l.finds(2, p, attest.Reproduced); l.finds(3, p, attest.Differs) }, "live-patch north:reproduced(1/1) south:differs(1/1)"},
		"the newest":          {func(l *lab, p attest.Digest) { l.finds(2, p, attest.Differs); l.finds(2, p, attest.Reproduced) }, "live-patch north:reproduced(1/2)"},
		"two runs that agree": {func(l *lab, p attest.Digest) { l.finds(2, p, attest.Differs); l.finds(2, p, attest.Differs) }, "live-patch north:differs(2/2)"},
		"failed since":        {func(l *lab, p attest.Digest) { l.finds(2, p, attest.Reproduced); l.finds(2, p, attest.BuildFailed) }, "live-patch north:reproduced(1/2)"},
		"failed":              {func(l *lab, p attest.Digest) { l.finds(2, p, attest.BuildFailed) }, "live-patch north:build-failed(1/1)"},
		"elsewhere":           {func(l *lab, p attest.Digest) { r := rebuildOf(attest.Differs, "1"); r.Environment = p; l.says(2, p, r) }, "live-patch north:differs(1/1)elsewhere"},
		"revoked": {func(l *lab, p attest.Digest) {
			st := l.finds(2, p, attest.Differs)
			l.statement(repoA, attest.TypeRevocation, st.Payload, 0)
		}, "live-patch north:differs(1/1)revoked"},
		"key revoked": {func(l *lab, p attest.Digest) {
			st := l.finds(2, p, attest.Differs)
			l.statement(repoA, attest.TypeRevocation, st.Signer, 0)
		}, "live-patch north:differs(1/1)revoked"},
		"a regression": {func(l *lab, p attest.Digest) {
			l.finds(2, p, attest.Reproduced)
			l.finds(2, l.patch("two", "", 0), attest.Differs)
		}, "live-patch north:differs(1/1) regression"},
		"of another publisher": {func(l *lab, p attest.Digest) {
			l.finds(2, p, attest.Reproduced)
			l.finds(2, l.patch("two", "", 1), attest.Differs)
		}, "live-patch north:differs(1/1)"},
		"never reproduced": {func(l *lab, p attest.Digest) {
			l.finds(2, p, attest.Differs)
			l.finds(2, l.patch("two", "", 0), attest.Differs)
		}, "live-patch north:differs(1/1)"},
		"reproduced by one": {func(l *lab, p attest.Digest) {
			l.finds(2, p, attest.Reproduced)
			two := l.patch("two", "", 0)
			l.finds(2, two, attest.Differs)
			l.finds(3, two, attest.Reproduced)
		}, "live-patch north:differs(1/1) south:reproduced(1/1)"},
		"the one between was not rebuilt": {func(l *lab, p attest.Digest) {
			l.finds(2, p, attest.Reproduced)
			l.patch("two", "", 0)
			l.finds(2, l.patch("three", "", 0), attest.Differs)
		}, "live-patch north:differs(1/1) regression"},
		"a failure is no regression": {func(l *lab, p attest.Digest) {
			l.finds(2, p, attest.Reproduced)
			l.finds(2, l.patch("two", "", 0), attest.BuildFailed)
		}, "live-patch north:build-failed(1/1)"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			c.say(l, l.patch("one", "", 0))
			if got := summary(l.matrix(RebuildQuery{}).Artifacts[0]); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A row tells all that was said, and of what came out otherwise who has it.
func TestMatrixRow(t *testing.T) {
	l := newLab(t)
	base := l.manifest(repoA, attest.ArtifactBase, attest.DigestOf([]byte("base")), "")
	l.statement(repoA, attest.TypeBase, base, 0)
	patch := l.patch("one", base, 0)
	l.host(1, "web-1", "active", productA)
	_, decision := l.decide(1, repoA, patch, true)
	l.decide(2, repoA, patch, false)
	said := l.finds(2, base, attest.Differs)
	n, verdict := l.statement(repoA, attest.TypeAdjudication, base, 1)

	p := l.matrix(RebuildQuery{Within: Products{productA}, Artifact: base})
	if len(p.Artifacts) != 1 {
		t.Fatalf("%d artifacts", len(p.Artifacts))
	}
	got := p.Artifacts[0]
	yes := true
	if d := cmp.Diff([]RebuildRow{{
		SchemaVersion: 1, Admitted: By{Event{n - 1, at(n - 1)}, "ci"}, Rebuilder: "north", Signer: said.Signer, Result: attest.Differs, Category: "build-path",
		Explanation: "at another path", Environment: environment, SameEnvironment: true, Got: attest.DigestOf([]byte("otherwise")), CodeAlike: &yes,
		Output: attest.DigestOf([]byte("output")), Log: attest.DigestOf([]byte("log")), Run: said.Rebuild.Run.ID, Runs: 1, Agreeing: 1,
		Signed: said.Time, LogIndex: said.LogIndex, Payload: said.Payload, Bundle: said.Bundle,
	}}, got.Results); d != "" {
		t.Errorf("results (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]AdjudicationRow{{
		SchemaVersion: 1, Admitted: By{Event{n, at(n)}, "ci"}, Adjudicator: "other-ci", Signer: verdict.Signer, Verdict: attest.DissentDismissed, Reason: "looked at",
		Outputs: []attest.Digest{attest.DigestOf([]byte("otherwise"))}, Signed: verdict.Time, Payload: verdict.Payload, Bundle: verdict.Bundle,
	}}, got.Adjudications); d != "" {
		t.Errorf("adjudications (-want +got):\n%s", d)
	}
	if len(got.Pulled) != 1 || got.Pulled[0].HostName != "web-1" || got.Pulled[0].Artifact != patch || got.Pulled[0].Decision != decision {
		t.Errorf("pulled by %+v", got.Pulled)
	}
	if got.Publisher != "ci" || got.Environment != environment || got.Product != productA || got.Role != "base" {
		t.Errorf("%+v", got)
	}
	if p := l.matrix(RebuildQuery{Within: Products{productB}}); len(p.Artifacts) != 0 {
		t.Errorf("another product's auditor sees %+v", p.Artifacts)
	}
	if p := l.matrix(RebuildQuery{Range: Range{AsOf: at(1)}}); len(p.Artifacts) != 0 {
		t.Errorf("as of before: %+v", p.Artifacts)
	}
}
