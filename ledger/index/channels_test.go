package index

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// channel has the server take a version of a channel, signed by key.
func (s *ledgerSource) channel(product, name string, version int64, key int, revocations []attest.Digest, bases ...attest.ChannelBase) (int64, Statement) {
	s.t.Helper()
	n := len(s.records) + 1
	c := &attest.Channel{Product: product, Name: name, Version: version, Expires: epoch.AddDate(0, int(version), 0), Bases: bases, Revocations: revocations}
	st := Statement{
		Bundle: attest.DigestOf(fmt.Appendf(nil, "bundle %d", n)), Payload: attest.DigestOf(fmt.Appendf(nil, "payload %d", n)),
		Subject: attest.ChannelID(product, name), Signer: keys()[key].public.ID(), Type: attest.TypeChannel, Product: product,
		Time: epoch.Add(0), LogIndex: int64(3 * n), Channel: c,
	}
	s.statements[st.Bundle] = st
	return s.add(ledger.KindChannel, ledger.ChannelTaken{Product: product, Name: name, Version: version, Bundle: st.Bundle, By: "ci"}), st
}

func digestsOf(words ...string) []attest.Digest {
	all := []attest.Digest{}
	for _, w := range words {
		all = append(all, attest.DigestOf([]byte(w)))
	}
	return all
}

// newChannels is a history of two channels of one product and one of another.
func newChannels(t *testing.T) *ledgerSource {
	s := newSource(t)
	s.policy(1, "releases", "revokers")
	s.add(ledger.KindProduct, ledger.ProductAdded{Product: productA, Repository: repoA, By: "root"})
	s.add(ledger.KindProduct, ledger.ProductAdded{Product: productB, Repository: repoB, By: "root"})
	base := attest.DigestOf([]byte("base"))
	s.channel(productA, "stable", 1, 0, digestsOf(), attest.ChannelBase{Base: base, Patches: digestsOf("fix 1"), Superseded: digestsOf()})            // 4
	s.channel(productA, "beta", 1, 0, digestsOf(), attest.ChannelBase{Base: base, Patches: digestsOf("fix 2"), Superseded: digestsOf()})              // 5
	s.channel(productB, "stable", 1, 0, digestsOf())                                                                                                  // 6
	s.channel(productA, "stable", 3, 0, digestsOf("r"), attest.ChannelBase{Base: base, Patches: digestsOf("fix 2"), Superseded: digestsOf("fix 1")})  // 7
	s.channel(productA, "stable", 4, 1, digestsOf("r2"), attest.ChannelBase{Base: base, Patches: digestsOf("fix 3"), Superseded: digestsOf("fix 1")}) // 8
	return s
}

func channels(t *testing.T, x *Index, q ChannelQuery) *ChannelPage {
	t.Helper()
	p, err := x.Channels(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asked lists which versions an answer has, by their records.
func recordsOf(p *ChannelPage) (all []int64) {
	for _, v := range p.Versions {
		all = append(all, v.Statement.Admitted.Sequence)
	}
	return all
}

func TestChannelHistory(t *testing.T) {
	s := newChannels(t)
	x := openIndex(t)
	catchUp(t, x, s)
	base := attest.DigestOf([]byte("base"))
	p := channels(t, x, ChannelQuery{Repository: repoA, Name: "stable"})
	if got := recordsOf(p); !slices.Equal(got, []int64{8, 7, 4}) || p.Cursor != "" {
		t.Fatalf("records %v, cursor %q", got, p.Cursor)
	}
	fix := func(name string, superseded bool) ChannelPatch {
		return ChannelPatch{Base: base, Patch: attest.DigestOf([]byte(name)), Superseded: superseded}
	}
	for i, want := range []ChannelVersion{
		{Version: 4, Before: 3, Added: []ChannelPatch{fix("fix 3", false)}, Withdrawn: []ChannelPatch{fix("fix 2", false)}, Revocations: 1, Revoked: digestsOf("r2"), Forgotten: digestsOf("r"),
			Bases: []ChannelBase{{base, digestsOf("fix 3"), digestsOf("fix 1")}}},
		{Version: 3, Before: 1, Added: []ChannelPatch{fix("fix 2", false)}, Withdrawn: []ChannelPatch{fix("fix 1", true)}, Revocations: 1, Revoked: digestsOf("r"), Forgotten: digestsOf(),
			Bases: []ChannelBase{{base, digestsOf("fix 2"), digestsOf("fix 1")}}},
		{Version: 1, Added: []ChannelPatch{fix("fix 1", false)}, Withdrawn: []ChannelPatch{}, Revoked: digestsOf(), Forgotten: digestsOf(),
			Bases: []ChannelBase{{base, digestsOf("fix 1"), digestsOf()}}},
	} {
		n := []int64{8, 7, 4}[i]
		st := s.statements[attest.DigestOf(fmt.Appendf(nil, "bundle %d", n))]
		want.SchemaVersion, want.Name, want.Repository, want.Voids = 1, "stable", repoA, []StatementRow{}
		want.Expires = epoch.AddDate(0, int(want.Version), 0)
		want.Statement = StatementRow{
			SchemaVersion: 1, Admitted: By{Event{n, at(n)}, "ci"}, Type: st.Type, Product: productA, Subject: st.Subject, Payload: st.Payload,
			Bundle: st.Bundle, Signer: st.Signer, SignerName: []string{"revokers", "releases", "releases"}[i], Signed: st.Time, LogIndex: st.LogIndex,
		}
		if diff := cmp.Diff(want, p.Versions[i]); diff != "" {
			t.Errorf("version %d (-want +got)\n%s", want.Version, diff)
		}
	}
}

func TestChannelQuestions(t *testing.T) {
	s := newChannels(t)
	x := openIndex(t)
	catchUp(t, x, s)
	for _, tt := range []struct {
		name string
		q    ChannelQuery
		want []int64
	}{
		{"all", ChannelQuery{}, []int64{8, 7, 6, 5, 4}},
		{"a product", ChannelQuery{Product: productA}, []int64{8, 7, 5, 4}},
		{"a repository", ChannelQuery{Repository: repoB}, []int64{6}},
		{"a name", ChannelQuery{Name: "beta"}, []int64{5}},
		{"within a product", ChannelQuery{Within: Products{productB}}, []int64{6}},
		{"within none", ChannelQuery{Within: Products{}, Product: productA}, nil},
		{"another's, within a product", ChannelQuery{Within: Products{productB}, Repository: repoA}, nil},
		{"as of then", ChannelQuery{Product: productA, Range: Range{AsOf: at(5)}}, []int64{5, 4}},
		{"as of before", ChannelQuery{Range: Range{AsOf: at(2)}}, nil},
	} {
		if got := recordsOf(channels(t, x, tt.q)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: records %v, want %v", tt.name, got, tt.want)
		}
	}
	// Pages are one answer, whatever is recorded meanwhile.
	p := channels(t, x, ChannelQuery{Product: productA, Range: Range{Limit: 3}})
	s.channel(productA, "beta", 2, 0, digestsOf())
	catchUp(t, x, s)
	next := channels(t, x, ChannelQuery{Product: productA, Range: Range{Limit: 3, Cursor: p.Cursor}})
	if got := slices.Concat(recordsOf(p), recordsOf(next)); !slices.Equal(got, []int64{8, 7, 5, 4}) || next.Cursor != "" || next.AsOf != p.AsOf {
		t.Errorf("pages of %v, as of %v and %v", got, p.AsOf, next.AsOf)
	}
	if _, err := x.Channels(t.Context(), ChannelQuery{Product: productB, Range: Range{Cursor: p.Cursor}}); err == nil {
		t.Error("a cursor of another question is taken")
	}
}

// A version whose signer, statement or channel is revoked says so from then on.
func TestChannelVoided(t *testing.T) {
	s := newChannels(t)
	before := at(int64(len(s.records)))
	s.statement(repoA, attest.TypeRevocation, keys()[0].public.ID(), 1)
	_, other := s.statement(repoB, attest.TypeRevocation, keys()[0].public.ID(), 1)
	x := openIndex(t)
	catchUp(t, x, s)
	for _, v := range channels(t, x, ChannelQuery{Product: productA}).Versions {
		want := 1
		if v.Version == 4 { // by another
			want = 0
		}
		if len(v.Voids) != want || want == 1 && v.Voids[0].Payload == other.Payload {
			t.Errorf("channel %s version %d: %+v", v.Name, v.Version, v.Voids)
		}
	}
	for _, v := range channels(t, x, ChannelQuery{Product: productA, Range: Range{AsOf: before.Add(-1)}}).Versions {
		if len(v.Voids) != 0 {
			t.Errorf("before the revocation: %+v", v.Voids)
		}
	}
}

// A page of large channels ends before its limit, and the next goes on.
func TestChannelPagesAreBounded(t *testing.T) {
	s := newSource(t)
	s.policy(1, "releases")
	s.add(ledger.KindProduct, ledger.ProductAdded{Product: productA, Repository: repoA, By: "root"})
	var many []string
	for i := range 6000 {
		many = append(many, fmt.Sprint(i))
	}
	for version := range int64(15) {
		s.channel(productA, "stable", version+1, 0, digestsOf(), attest.ChannelBase{Base: attest.DigestOf(nil), Patches: digestsOf(many...), Superseded: digestsOf()})
	}
	x := openIndex(t)
	catchUp(t, x, s)
	var got []int64
	q, pages := ChannelQuery{}, 0
	for {
		p := channels(t, x, q)
		got, pages = append(got, recordsOf(p)...), pages+1
		if q.Cursor = p.Cursor; p.Cursor == "" {
			break
		}
	}
	if len(got) != 15 || pages < 2 || !slices.IsSortedFunc(got, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("%d pages of %v", pages, got)
	}
}
