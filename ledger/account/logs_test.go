package account

import (
	"slices"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// along checks a history whose first n segments are in one log and the others in
// the next.
func (h *history) along(c *Check, n int) *Result {
	for i := range h.leaves {
		if i == n {
			c.Next()
		}
		index := uint64(i)
		if i >= n {
			index -= uint64(n)
		}
		if s := c.Leaf(index, h.leaves[i], nil, []Segment{h.segments[i]}); s != nil {
			c.Segment(s, h.records[i])
		}
	}
	return c.End()
}

// The journal goes on in the log that took over. A log that is left out shows.
func TestSegmentsOfTwoLogs(t *testing.T) {
	h := newHistory(t, 5)
	logs := []Log{{"one.example", []byte("1")}, {"two.example", []byte("2")}}
	r := h.along(NewCheck(logs...), 3)
	if r.Wrong != 0 || r.Segments != 5 || r.Origin != "two.example" || r.Size != 2 || !slices.Equal(r.Logs, []LogSize{{"one.example", 3}, {"two.example", 2}}) {
		t.Errorf("%+v", r)
	}
	if r := h.walk(3, 4); !slices.Equal(kinds(r), []Kind{SegmentMissing}) || r.Logs != nil {
		t.Errorf("the newer log alone: %+v", r)
	}
	h.leaves[4] = []byte("not a leaf")
	r = h.along(NewCheck(logs...), 3)
	if !slices.Equal(kinds(r), []Kind{SegmentChanged}) || r.Findings[0].Log != "two.example" || *r.Findings[0].Index != 1 {
		t.Errorf("%+v", r)
	}
	if len(r.Strangers) != 1 || r.Strangers[0].Log != "two.example" {
		t.Errorf("%+v", r.Strangers)
	}
}

// A row comes with the leaf of its index in every log, and is taken with its own.
func TestRowOfAnotherLog(t *testing.T) {
	row, leaf, id := certified(t)
	one, two := Log{"one.example", []byte("1")}, Log{"two.example", id}
	for name, tt := range map[string]struct {
		logs      []Log
		leaves    [2][]byte
		elsewhere int64
		strangers int
		want      []Kind // besides the record nobody shows
	}{
		"of the second":               {[]Log{one, two}, [2][]byte{[]byte("x"), leaf}, 0, 1, nil},
		"of the first":                {[]Log{two, one}, [2][]byte{leaf, []byte("x")}, 0, 1, nil},
		"of the second, another leaf": {[]Log{one, two}, [2][]byte{leaf, []byte("x")}, 0, 2, []Kind{RowChanged}},
		"of none of them":             {[]Log{one, {"three.example", []byte("3")}}, [2][]byte{[]byte("x"), []byte("x")}, 1, 2, nil},
	} {
		c := NewCheck(tt.logs...)
		for i, l := range tt.leaves {
			if i > 0 {
				c.Next()
			}
			c.Leaf(uint64(row.Index), l, []Row{row}, nil)
		}
		if !c.Open() {
			t.Errorf("%s: the row was not taken", name)
		}
		if got := kinds(&c.result); !slices.Equal(got, tt.want) || c.result.Elsewhere != tt.elsewhere || len(c.strangers) != tt.strangers {
			t.Errorf("%s: found %+v, %d elsewhere, %d strangers", name, c.result.Findings, c.result.Elsewhere, len(c.strangers))
		}
	}
	broken := row
	broken.Body = []byte("{}")
	c := NewCheck(one, two)
	c.Leaf(uint64(row.Index), []byte("x"), []Row{broken}, nil)
	c.Next()
	c.Leaf(uint64(row.Index), leaf, []Row{broken}, nil)
	if got := kinds(&c.result); !slices.Equal(got, []Kind{RowChanged}) {
		t.Errorf("a row that cannot be read: %+v", c.result.Findings)
	}
}

// Whoever named the keys of journals takes no others.
func TestJournalKeys(t *testing.T) {
	h := newHistory(t, 2)
	key, err := attest.NewPublicKey(h.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		named []attest.Digest
		want  []Kind
	}{
		{nil, nil},
		{[]attest.Digest{attest.DigestOf(nil), key.ID()}, nil},
		{[]attest.Digest{attest.DigestOf(nil)}, []Kind{SegmentChanged, SegmentChanged}},
	} {
		c := NewCheck(Log{"one.example", []byte("1")})
		c.journals = tt.named
		for i := range h.leaves {
			if s := c.Leaf(uint64(i), h.leaves[i], nil, []Segment{h.segments[i]}); s != nil {
				c.Segment(s, h.records[i])
			}
		}
		if r := c.End(); !slices.Equal(kinds(r), tt.want) {
			t.Errorf("named %v: %+v", tt.named, r.Findings)
		}
	}
}
