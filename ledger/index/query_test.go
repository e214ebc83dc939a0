package index

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// A lineage is a patch, its base, its environment and its builder image, all
// with their statements.
type lineage struct {
	*ledgerSource
	builder, environment, base, patch attest.Digest
	statements                        map[string]Statement
	admitted                          map[string]int64
}

func newLineage(t *testing.T) *lineage {
	l := &lineage{ledgerSource: newSource(t), statements: make(map[string]Statement), admitted: make(map[string]int64)}
	l.policy(1, "ci", "base-authority", "builders")
	l.add(ledger.KindProduct, ledger.ProductAdded{Product: productA, Repository: repoA, By: "root"})
	l.builder = l.manifest(repoA, imageConfigs[0], attest.DigestOf([]byte("layer")), "")
	l.environment = l.manifest(repoA, attest.ArtifactEnv, attest.DigestOf([]byte("environment")), l.builder)
	l.base = l.manifest(repoA, attest.ArtifactBase, attest.DigestOf([]byte("base")), l.environment)
	l.patch = l.manifest(repoA, attest.ArtifactPatch, attest.DigestOf([]byte("patch")), l.base)
	l.say("builder", attest.TypeProvenance, l.builder, 2)
	l.say("environment", attest.TypeEnvironment, l.environment, 1)
	l.say("base", attest.TypeBase, l.base, 1)
	l.say("patch", attest.TypeLivePatch, l.patch, 0)
	l.say("patch provenance", attest.TypeProvenance, l.patch, 0)
	return l
}

func (l *lineage) say(name, typ string, subject attest.Digest, key int) {
	l.admitted[name], l.statements[name] = l.statement(repoA, typ, subject, key)
}

// row is how a statement is answered.
func (l *lineage) row(name, signer string) StatementRow {
	s, n := l.statements[name], l.admitted[name]
	var referrer attest.Digest
	if s.Type != attest.TypeRevocation {
		referrer = attest.DigestOf(fmt.Appendf(nil, "referrer %d", n))
	}
	return StatementRow{
		SchemaVersion: 1, Admitted: By{Event{n, at(n)}, "ci"}, Type: s.Type, Product: s.Product, Subject: s.Subject, Payload: s.Payload,
		Bundle: s.Bundle, Referrer: referrer, Signer: s.Signer, SignerName: signer, BuilderID: s.BuilderID, Signed: s.Time, LogIndex: s.LogIndex,
	}
}

func (l *lineage) link(role, artifactType, file string, n int64, subject attest.Digest, rows ...StatementRow) Link {
	return Link{
		SchemaVersion: 1, Role: role, Manifest: attest.DigestOf(nil), MediaType: "application/vnd.oci.image.manifest.v1+json",
		ArtifactType: artifactType, File: attest.DigestOf([]byte(file)), Subject: subject, Published: &By{Event{n, at(n)}, "ci"},
		Statements: rows, Revocations: []StatementRow{},
	}
}

func whoBuilt(t *testing.T, x *Index, q LineageQuery) *Lineage {
	t.Helper()
	l, err := x.WhoBuilt(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWhoBuilt(t *testing.T) {
	l := newLineage(t)
	x := openIndex(t)
	catchUp(t, x, l)
	want := &Lineage{SchemaVersion: 1, AsOf: AsOf{11, at(11)}, Repository: repoA, Product: productA, Digest: l.patch, Chain: []Link{
		l.link("live-patch", attest.ArtifactPatch, "patch", 6, l.base, l.row("patch", "ci"), l.row("patch provenance", "ci")),
		l.link("base", attest.ArtifactBase, "base", 5, l.environment, l.row("base", "base-authority")),
		l.link("environment", attest.ArtifactEnv, "environment", 4, l.builder, l.row("environment", "base-authority")),
		l.link("builder-image", imageConfigs[0], "layer", 3, "", l.row("builder", "builders")),
	}}
	for i, d := range []attest.Digest{l.patch, l.base, l.environment, l.builder} {
		want.Chain[i].Manifest = d
	}
	got := whoBuilt(t, x, LineageQuery{Repository: repoA, Digest: l.patch})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestWhoBuiltLater: deletions, revocations and renamed signers count from
// their records on, and take nothing away.
func TestWhoBuiltLater(t *testing.T) {
	l := newLineage(t)
	before := at(int64(len(l.records)))
	l.policy(2, "ci, renamed", "base-authority")
	l.say("revoked key", attest.TypeRevocation, keys()[0].public.ID(), 1)
	l.say("revoked environment", attest.TypeRevocation, attest.DigestOf([]byte("environment")), 1)
	deleted := l.add(ledger.KindDelete, ledger.Deleted{Repository: repoA, Digest: l.base, By: "ci"})
	x := openIndex(t)
	catchUp(t, x, l)

	now := whoBuilt(t, x, LineageQuery{Repository: repoA, Digest: l.patch})
	if diff := cmp.Diff([]StatementRow{l.row("revoked key", "base-authority")}, now.Chain[0].Revocations); diff != "" {
		t.Errorf("revocations of the patch: (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]StatementRow{l.row("revoked environment", "base-authority")}, now.Chain[2].Revocations); diff != "" {
		t.Errorf("revocations of the environment: (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(&By{Event{deleted, at(deleted)}, "ci"}, now.Chain[1].Deleted); diff != "" {
		t.Errorf("deletion of the base: (-want +got)\n%s", diff)
	}
	if got := now.Chain[0].Statements[0].SignerName + now.Chain[3].Statements[0].SignerName; got != "ci, renamed" {
		t.Errorf("signers are called %q", got)
	}
	then := whoBuilt(t, x, LineageQuery{Repository: repoA, Digest: l.patch, AsOf: before})
	if then.Chain[0].Statements[0].SignerName != "ci" || then.Chain[1].Deleted != nil || len(then.Chain[0].Revocations) != 0 {
		t.Errorf("as of before: %+v", then)
	}
	l.add(ledger.KindManifest, ledger.ManifestPut{Repository: repoA, Digest: l.base, MediaType: "m", By: "someone else"})
	catchUp(t, x, l)
	again := whoBuilt(t, x, LineageQuery{Repository: repoA, Digest: l.base})
	if again.Chain[0].Deleted != nil || again.Chain[0].Published.By != "ci" {
		t.Errorf("published again: %+v", again.Chain[0])
	}
}

func TestWhoBuiltNotFound(t *testing.T) {
	l := newLineage(t)
	missing := l.manifest(repoA, attest.ArtifactPatch, attest.DigestOf([]byte("orphan")), attest.DigestOf([]byte("nowhere")))
	x := openIndex(t)
	catchUp(t, x, l)
	for name, q := range map[string]LineageQuery{
		"another repository": {Repository: repoB, Digest: l.patch},
		"another digest":     {Repository: repoA, Digest: attest.DigestOf([]byte("x"))},
		"before its time":    {Repository: repoA, Digest: l.patch, AsOf: at(3)},
		"before all time":    {Repository: repoA, Digest: l.patch, AsOf: epoch.Add(-time.Hour)},
		"not to be seen":     {Repository: repoA, Digest: l.patch, Within: Products{productB}},
	} {
		if got, err := x.WhoBuilt(t.Context(), q); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := x.WhoBuilt(t.Context(), LineageQuery{Repository: repoA, Digest: "latest"}); !errors.Is(err, ErrQuestion) {
		t.Errorf("no digest: %v", err)
	}
	got := whoBuilt(t, x, LineageQuery{Repository: repoA, Digest: missing})
	if len(got.Chain) != 2 || got.Chain[1].Role != "missing" || got.Chain[1].Published != nil {
		t.Errorf("a subject that never came: %+v", got.Chain)
	}
}

// decided is a history with decisions for two hosts in two products.
func decided(t *testing.T) (*ledgerSource, []int64) {
	s := newSource(t)
	s.add(ledger.KindProduct, ledger.ProductAdded{Product: productA, Repository: repoA, By: "root"})
	s.add(ledger.KindProduct, ledger.ProductAdded{Product: productB, Repository: repoB, By: "root"})
	s.host(1, "web-1", "active", productA)
	patch := attest.DigestOf([]byte("patch"))
	var sequences []int64
	for i := range 8 {
		n, d := s.decide(1+i%2, []string{repoA, repoB}[i/4], patch, i%3 == 0)
		sequences = append(sequences, n)
		s.add(ledger.KindUses, ledger.DecisionUses{Decision: d, Uses: int64(i)})
	}
	s.host(1, "web-1 renamed", "suspended", productA)
	return s, sequences
}

func decisions(t *testing.T, x *Index, q DecisionQuery) *DecisionPage {
	t.Helper()
	p, err := x.Decisions(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecision(t *testing.T) {
	s, sequences := decided(t)
	x := openIndex(t)
	catchUp(t, x, s)
	n := sequences[4]
	body, err := ledger.Decode[ledger.Decided](s.records[n-1])
	if err != nil {
		t.Fatal(err)
	}
	want := Decision{SchemaVersion: 1, Sequence: n, Time: at(n), Product: productB, HostName: "web-1 renamed", LaterUses: 4, Decided: *body}
	got := decisions(t, x, DecisionQuery{Host: uuid(1), Product: productB})
	if diff := cmp.Diff(want, got.Decisions[1]); diff != "" || len(got.Decisions) != 2 {
		t.Errorf("(-want +got)\n%s", diff)
	}
	then := decisions(t, x, DecisionQuery{Host: uuid(1), Product: productB, Range: Range{AsOf: at(n)}})
	if d := then.Decisions[0]; d.Sequence != n || d.HostName != "web-1" {
		t.Errorf("as of then: %+v", d)
	}
}

func TestDecisionFilters(t *testing.T) {
	s, sequences := decided(t)
	x := openIndex(t)
	catchUp(t, x, s)
	yes, no := true, false
	for name, c := range map[string]struct {
		q    DecisionQuery
		want []int // places in sequences, newest first
	}{
		"all":             {DecisionQuery{}, []int{7, 6, 5, 4, 3, 2, 1, 0}},
		"product":         {DecisionQuery{Product: productA}, []int{3, 2, 1, 0}},
		"repository":      {DecisionQuery{Repository: repoB}, []int{7, 6, 5, 4}},
		"host":            {DecisionQuery{Host: uuid(2)}, []int{7, 5, 3, 1}},
		"allowed":         {DecisionQuery{Allow: &yes}, []int{6, 3, 0}},
		"denied":          {DecisionQuery{Allow: &no, Host: uuid(1)}, []int{4, 2}},
		"artifact":        {DecisionQuery{Artifact: attest.DigestOf([]byte("patch")), Host: uuid(1)}, []int{6, 4, 2, 0}},
		"no artifact":     {DecisionQuery{Artifact: attest.DigestOf([]byte("other"))}, nil},
		"within":          {DecisionQuery{Within: Products{productB}}, []int{7, 6, 5, 4}},
		"within another":  {DecisionQuery{Within: Products{productB}, Product: productA}, nil},
		"within nothing":  {DecisionQuery{Within: Products{}}, nil},
		"as of":           {DecisionQuery{Range: Range{AsOf: at(sequences[2])}}, []int{2, 1, 0}},
		"before all time": {DecisionQuery{Range: Range{AsOf: epoch.Add(-1)}}, nil},
	} {
		var want, got []int64
		for _, i := range c.want {
			want = append(want, sequences[i])
		}
		for _, d := range decisions(t, x, c.q).Decisions {
			got = append(got, d.Sequence)
		}
		if !slices.Equal(want, got) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestPagesAreOneAnswer: pages of any size make up the same list, as of the
// first page, whatever is recorded in between.
func TestPagesAreOneAnswer(t *testing.T) {
	s, sequences := decided(t)
	x := openIndex(t)
	catchUp(t, x, s)
	whole := decisions(t, x, DecisionQuery{})
	for limit := 1; limit <= len(sequences)+1; limit++ {
		q := DecisionQuery{Range: Range{Limit: limit}}
		var got []Decision
		for pages := 0; ; pages++ {
			p := decisions(t, x, q)
			if p.AsOf != whole.AsOf || len(p.Decisions) > limit {
				t.Errorf("limit %d: page %+v", limit, p)
			}
			if got = append(got, p.Decisions...); p.Cursor == "" {
				break
			}
			if q.Cursor = p.Cursor; limit == 1 && pages == 0 {
				s.decide(1, repoA, attest.DigestOf(nil), true)
				s.host(1, "renamed again", "active", productA)
				catchUp(t, x, s)
			}
		}
		if diff := cmp.Diff(whole.Decisions, got); diff != "" {
			t.Errorf("limit %d: (-whole +pages)\n%s", limit, diff)
		}
		if limit == 1 {
			whole = decisions(t, x, DecisionQuery{})
		}
	}
}

func TestQuestionsThatAreNone(t *testing.T) {
	s, _ := decided(t)
	x := openIndex(t)
	catchUp(t, x, s)
	page := decisions(t, x, DecisionQuery{Range: Range{Limit: 2}})
	for name, q := range map[string]DecisionQuery{
		"limit too large":       {Range: Range{Limit: MaxLimit + 1}},
		"limit negative":        {Range: Range{Limit: -1}},
		"cursor of another":     {Host: uuid(1), Range: Range{Cursor: page.Cursor}},
		"cursor within another": {Within: Products{productA}, Range: Range{Cursor: page.Cursor}},
		"cursor with as-of":     {Range: Range{Cursor: page.Cursor, AsOf: epoch}},
		"cursor cut":            {Range: Range{Cursor: page.Cursor[:len(page.Cursor)-2]}},
		"cursor invented":       {Range: Range{Cursor: "e30"}},
		"cursor too long":       {Range: Range{Cursor: strings.Repeat("A", 1<<20)}},
	} {
		if got, err := x.Decisions(t.Context(), q); !errors.Is(err, ErrQuestion) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := x.Records(t.Context(), RecordQuery{From: -1}); !errors.Is(err, ErrQuestion) {
		t.Errorf("from -1: %v", err)
	}
}

func TestHosts(t *testing.T) {
	s := newSource(t)
	enrolled := s.host(1, "web-1", "active", productB, productA)
	s.host(2, "web-2", "active", productB)
	first := s.hostRecord(1, 5, running(productA, "old"))
	second := s.hostRecord(1, 6, running(productA, "new"), running(productB, "x"))
	changed := s.add(ledger.KindHost, ledger.HostEnrolled{Host: uuid(1), Name: "web-1", Key: keys()[1].public.Base64(), Products: []string{productA, productB}, State: "suspended", By: "admin"})
	x := openIndex(t)
	catchUp(t, x, s)
	envelope := func(n int64) attest.Digest {
		b, err := ledger.Decode[ledger.HostRecorded](s.records[n-1])
		if err != nil {
			t.Fatal(err)
		}
		return b.Envelope
	}
	one := Host{
		SchemaVersion: 1, Host: uuid(1), Name: "web-1", Key: keys()[1].public.ID(), State: "suspended", Products: []string{productA, productB},
		Enrolled: Event{enrolled, at(enrolled)}, Changed: By{Event{changed, at(changed)}, "admin"},
		Record: &HostRecord{Event: Event{second, at(second)}, Number: 6, Envelope: envelope(second), Running: []Running{
			Running(running(productA, "new")), Running(running(productB, "x"))}},
	}
	two := Host{SchemaVersion: 1, Host: uuid(2), Name: "web-2", Key: keys()[2].public.ID(), State: "active", Products: []string{productB},
		Enrolled: Event{2, at(2)}, Changed: By{Event{2, at(2)}, ""}}
	check := func(name string, q HostQuery, want ...Host) {
		t.Helper()
		got, err := x.Hosts(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]Host{}, want...), got.Hosts); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	check("all", HostQuery{}, one, two)
	check("one", HostQuery{Host: uuid(2)}, two)
	check("product", HostQuery{Product: productA}, one)
	check("none", HostQuery{Product: "none"})
	check("nothing to be seen", HostQuery{Within: Products{}})
	seen := one
	seen.Products = []string{productA}
	seen.Record = &HostRecord{Event: one.Record.Event, Number: 6, Envelope: one.Record.Envelope, Running: one.Record.Running[:1]}
	check("within", HostQuery{Within: Products{productA}}, seen)
	then := one
	then.State, then.Changed = "active", By{one.Enrolled, ""}
	then.Record = &HostRecord{Event: Event{first, at(first)}, Number: 5, Envelope: envelope(first), Running: []Running{Running(running(productA, "old"))}}
	check("as of", HostQuery{Range: Range{AsOf: at(first)}}, then, two)
}

// TestRecords: what an auditor gets is what was sealed, byte for byte.
func TestRecords(t *testing.T) {
	s := randomHistory(t, 1, 30)
	x := openIndex(t)
	catchUp(t, x, s)
	var got []ledger.Record
	for q := (RecordQuery{Limit: 4}); ; {
		p, err := x.Records(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			parsed, err := ledger.ParseRecord(r.Record)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, parsed); attest.DigestFromSum(ledger.LeafHash(r.Record)) != r.Leaf {
				t.Errorf("record %d: leaf %s", parsed.Sequence, r.Leaf)
			}
		}
		if q.From = p.Next; p.Next == 0 {
			break
		}
	}
	if diff := cmp.Diff(s.records, got); diff != "" {
		t.Errorf("(-journal +answer)\n%s", diff)
	}
}
