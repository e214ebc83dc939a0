package account

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// A history is sealed segments of a journal, and their leaves.
type history struct {
	t          testing.TB
	key        *ecdsa.PrivateKey
	statements []*ledger.SegmentStatement
	segments   []Segment
	leaves     [][]byte
	records    [][][]byte
}

func newHistory(t testing.TB, segments int) *history {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &history{t: t, key: key}
	var previous *ledger.SegmentStatement
	for n := range segments {
		previous = h.seal(previous, n)
	}
	return h
}

func (h *history) seal(previous *ledger.SegmentStatement, n int) *ledger.SegmentStatement {
	h.t.Helper()
	body, err := ledger.EncodeBody(ledger.KindTag, ledger.TagMoved{Repository: "lib/demo", Tag: "fix", Digest: attest.DigestOf([]byte("m"))})
	if err != nil {
		h.t.Fatal(err)
	}
	r := ledger.Record{Sequence: int64(n) + 1, Time: time.Unix(int64(n), 0).UTC(), Kind: ledger.KindTag, Salt: make([]byte, ledger.SaltSize), Body: body}
	s, err := ledger.NewSegmentStatement(previous, []ledger.Record{r})
	if err != nil {
		h.t.Fatal(err)
	}
	canonical, err := r.Canonical()
	if err != nil {
		h.t.Fatal(err)
	}
	envelope, leaf := h.sign(s)
	h.statements, h.records = append(h.statements, s), append(h.records, [][]byte{canonical})
	h.leaves = append(h.leaves, leaf)
	h.segments = append(h.segments, Segment{SchemaVersion: 1, Index: int64(n), Body: envelope})
	return s
}

func (h *history) sign(s *ledger.SegmentStatement) (envelope, leaf []byte) {
	h.t.Helper()
	payload, err := s.Canonical()
	if err != nil {
		h.t.Fatal(err)
	}
	signer, err := signature.LoadSigner(h.key, crypto.SHA256)
	if err != nil {
		h.t.Fatal(err)
	}
	if envelope, err = attest.SignEnvelope(attest.SegmentPayload, payload, signer); err != nil {
		h.t.Fatal(err)
	}
	e, err := attest.ParseEnvelope(envelope, attest.SegmentPayload)
	if err != nil {
		h.t.Fatal(err)
	}
	public, err := attest.NewPublicKey(h.key.Public())
	if err != nil {
		h.t.Fatal(err)
	}
	if leaf, err = ledger.EntryBody(e, public); err != nil {
		h.t.Fatal(err)
	}
	return envelope, leaf
}

// walk checks the leaves in some order, with the account of each.
func (h *history) walk(order ...int) *Result {
	c := NewCheck(Log{"log.example", []byte("id")})
	for index, n := range order {
		if s := c.Leaf(uint64(index), h.leaves[n], nil, []Segment{h.segments[n]}); s != nil {
			c.Segment(s, h.records[n])
		}
	}
	return c.End()
}

func kinds(r *Result) (list []Kind) {
	for _, f := range r.Findings {
		list = append(list, f.Kind)
	}
	return list
}

// Segments that are left out, repeated, swapped, or another's.
func TestSegments(t *testing.T) {
	for name, tt := range map[string]struct {
		order  []int
		change func(h *history)
		want   []Kind
	}{
		"all":               {order: []int{0, 1, 2, 3}},
		"none":              {},
		"the first missing": {order: []int{1, 2}, want: []Kind{SegmentMissing}},
		"one missing":       {order: []int{0, 2, 3}, want: []Kind{SegmentMissing}},
		"one twice":         {order: []int{0, 1, 1, 2}, want: []Kind{SegmentChanged}},
		"two swapped":       {order: []int{0, 2, 1, 3}, want: []Kind{SegmentMissing, SegmentChanged}},
		"another's leaf":    {order: []int{0, 1}, change: func(h *history) { h.leaves[1] = h.leaves[0] }, want: []Kind{SegmentChanged}},
		"no envelope":       {order: []int{0, 1}, change: func(h *history) { h.segments[1].Body = []byte("{}") }, want: []Kind{SegmentChanged}},
		"another key": {order: []int{0, 1}, change: func(h *history) {
			o := newHistory(h.t, 0)
			h.segments[1].Body, h.leaves[1] = o.sign(h.statements[1])
		}, want: []Kind{SegmentChanged}},
		"another root before": {order: []int{0, 1}, change: func(h *history) {
			s := *h.statements[1]
			s.Previous = attest.DigestOf([]byte("another"))
			h.segments[1].Body, h.leaves[1] = h.sign(&s)
		}, want: []Kind{SegmentChanged}},
		"a record missing": {order: []int{0, 1}, change: func(h *history) { h.records[1] = nil }, want: []Kind{RecordChanged}},
		"another's record": {order: []int{0, 1}, change: func(h *history) { h.records[1] = h.records[0] }, want: []Kind{RecordChanged}},
		"another record in its place": {order: []int{0, 1}, change: func(h *history) {
			other := newHistory(h.t, 2)
			h.records[1] = [][]byte{bytes.Replace(other.records[1][0], []byte("lib/demo"), []byte("lib/evil"), 1)}
		}, want: []Kind{RecordChanged}},
		"no record": {order: []int{0, 1}, change: func(h *history) { h.records[1] = [][]byte{[]byte("x")} }, want: []Kind{RecordChanged}},
	} {
		h := newHistory(t, 4)
		if tt.change != nil {
			tt.change(h)
		}
		r := h.walk(tt.order...)
		if got := kinds(r); !slices.Equal(got, tt.want) || r.Wrong != int64(len(tt.want)) {
			t.Errorf("%s: found %+v, want %v", name, r.Findings, tt.want)
		}
		if len(tt.want) == 0 && (r.Segments != int64(len(tt.order)) || r.Records != r.Segments || len(r.Strangers) > 0) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Leaves nothing explains are counted by key, and are no findings.
func TestStrangers(t *testing.T) {
	h, o := newHistory(t, 3), newHistory(t, 1)
	c := NewCheck(Log{"log.example", []byte("id")})
	for i, leaf := range [][]byte{h.leaves[0], o.leaves[0], []byte("not a leaf"), h.leaves[1]} {
		c.Leaf(uint64(i), leaf, nil, nil)
	}
	r := c.End()
	if r.Wrong != 0 || r.Size != 4 || len(r.Strangers) != 3 {
		t.Fatalf("%+v", r)
	}
	if s := r.Strangers[0]; s.Leaves != 2 || s.First != 0 || s.Last != 3 {
		t.Errorf("%+v", s)
	}
	if s := r.Strangers[2]; s.Key != "" || s.Leaves != 1 || s.First != 2 {
		t.Errorf("%+v", s)
	}
}

// Whatever a server says, it is found wrong and nothing breaks.
func TestNonsense(t *testing.T) {
	h := newHistory(t, 1)
	c := NewCheck(Log{"log.example", []byte("id")})
	rows := []Row{{Record: 1}, {Record: 1}, {Record: -5, Index: -1, Body: []byte("{")}, {Record: 1 << 60, Bundle: "x"}}
	c.Leaf(0, h.leaves[0], rows, []Segment{h.segments[0], h.segments[0], {}})
	c.Late(&Row{Record: 7})
	c.Unsealed([][]byte{nil, []byte("{}"), h.records[0][0]})
	if r := c.End(); r.Wrong < 10 {
		t.Errorf("found %+v", r.Findings)
	}
	many := NewCheck(Log{"log.example", []byte("id")})
	for i := range uint64(2 * maxFindings) {
		many.Leaf(i, []byte("x"), []Row{{Record: int64(i)}}, nil)
	}
	if r := many.End(); len(r.Findings) != maxFindings || r.Wrong != 4*maxFindings {
		t.Errorf("%d findings of %d", len(r.Findings), r.Wrong)
	}
}
