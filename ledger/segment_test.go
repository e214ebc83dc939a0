package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/patchfit/patchfit/attest"
)

var testTime = time.Date(2026, 9, 18, 14, 2, 3, 123456000, time.UTC)

func testRecord(t testing.TB, sequence int64, kind Kind, body any) Record {
	t.Helper()
	b, err := EncodeBody(kind, body)
	if err != nil {
		t.Fatal(err)
	}
	salt := sha256.Sum256([]byte{byte(sequence)})
	return Record{Sequence: sequence, Time: testTime.Add(time.Duration(sequence) * time.Second), Kind: kind, Salt: salt[:SaltSize], Body: b}
}

func testRecords(t testing.TB, n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = testRecord(t, int64(i)+1, KindTag, TagMoved{"lib/demo", "v1", attest.DigestOf([]byte{byte(i)}), "", "ci"})
	}
	return records
}

func TestRecordReadsBack(t *testing.T) {
	digest := attest.DigestOf([]byte("x"))
	bodies := map[Kind]any{
		KindTrustPolicy: TrustPolicyAccepted{1, digest, "root"},
		KindProduct:     &ProductAdded{"p", "lib/demo", "root"},
		KindPrincipal:   PrincipalAdded{Principal: "id", Name: "ci", TokenMAC: "00", By: "root", Expires: testTime, ReadOnly: true},
		KindEnded:       PrincipalEnded{"id", "root"},
		KindGrant:       Granted{"id", "p", "publisher", true, "root"},
		KindToken:       TokenMade{"t", "00", nil, testTime, "root"},
		KindChannel:     ChannelTaken{"p", "stable", 3, digest, "root"},
		KindLint:        Linted{"lib/demo", digest, digest, "patchfit-lint/1", "ci"},
		KindEmbargo:     Embargoed{"p", digest, testTime, []string{"h"}, false, "root"},
		KindHost:        HostEnrolled{Host: "h", Name: "web-17", Key: "key", Products: []string{"p"}, State: "active"},
		KindHostRecord:  HostRecorded{"h", 7, digest},
		KindBlob:        BlobPut{Repository: "lib/demo", Digest: digest, Size: 7, By: "ci"},
		KindBlobRemoved: BlobRemoved{"lib/demo", digest, "gc"},
		KindManifest:    ManifestPut{Repository: "lib/demo", Digest: digest, MediaType: "m", By: "ci"},
		KindTag:         TagMoved{"lib/demo", "v1", digest, "", "ci"},
		KindDelete:      Deleted{Repository: "lib/demo", Tag: "v1", By: "ci"},
		KindStatement:   StatementAdmitted{"lib/demo", digest, "", digest, "type", "ci"},
		KindDecision:    Decided{Decision: "d-1", Artifact: digest, Policy: digest, Site: digest, Reasons: []Finding{{Reason: "REVOKED"}}},
		KindUses:        DecisionUses{"d-1", 9},
	}
	for kind, body := range bodies {
		want := testRecord(t, 1, kind, body)
		b, err := want.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRecord(b)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", kind, diff)
		}
	}
	got, err := Decode[DecisionUses](testRecord(t, 1, KindUses, bodies[KindUses]))
	if err != nil || *got != bodies[KindUses] {
		t.Errorf("Decode = %v, %v", got, err)
	}
	if _, err := Decode[DecisionUses](testRecord(t, 1, KindTag, bodies[KindTag])); err == nil {
		t.Error("a tag decodes as uses")
	}
}

func TestEncodeBodyRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		kind Kind
		body any
	}{
		"unknown kind":          {"gossip", DecisionUses{}},
		"another kind's body":   {KindTag, DecisionUses{}},
		"no body":               {KindTag, nil},
		"an integer JSON loses": {KindUses, DecisionUses{"d", 1<<53 + 1}},
		"a required digest":     {KindManifest, ManifestPut{}},
	} {
		if b, err := EncodeBody(c.kind, c.body); err == nil {
			t.Errorf("%s: encoded as %s", name, b)
		}
	}
}

// TestParseRecordRefuses changes one thing in a good record.
func TestParseRecordRefuses(t *testing.T) {
	good, err := testRecord(t, 7, KindUses, DecisionUses{"d-1", 9}).Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRecord(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"unknown kind":       {`"decision-uses"`, `"gossip"`, "/kind"},
		"unknown member":     {`"kind"`, `"extra":1,"kind"`, "/extra"},
		"duplicate member":   {`"kind"`, `"kind":"tag","kind"`, "kind"},
		"missing member":     {`"sequence":7,`, ``, "/sequence"},
		"sequence zero":      {`"sequence":7`, `"sequence":0`, "/sequence"},
		"sequence too big":   {`"sequence":7`, `"sequence":9007199254740993`, ""},
		"body of another":    {`"uses":9`, `"tag":"v1"`, "/tag"},
		"body not exact":     {`"uses":9`, `"uses":9.0`, ""},
		"spaces":             {`"kind":`, `"kind": `, "canonical"},
		"order":              {`{"body"`, `{"time":"2026-09-18T14:02:10.123456Z","body"`, "time"},
		"zone":               {`10.123456Z`, `10.123456+02:00`, "/time"},
		"zero offset":        {`10.123456Z`, `10.123456+00:00`, ""},
		"nanoseconds":        {`10.123456Z`, `10.123456789Z`, "/time"},
		"short salt":         {`"salt":"`, `"salt":"","x":"`, ""},
		"trailing data":      {`.123456Z"}`, `.123456Z"}{}`, "trailing"},
		"null":               {`"uses":9`, `"uses":null`, "null"},
		"name in wrong case": {`"uses":9`, `"Uses":9`, ""},
	} {
		bad := strings.Replace(string(good), c.from, c.to, 1)
		if bad == string(good) {
			t.Errorf("%s: %q is not in %s", name, c.from, good)
			continue
		}
		if r, err := ParseRecord([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: read %v, error %v", name, r, err)
		}
	}
}

func TestSegmentStatement(t *testing.T) {
	records := testRecords(t, 5)
	first, err := NewSegmentStatement(nil, records[:2])
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewSegmentStatement(first, records[2:])
	if err != nil {
		t.Fatal(err)
	}
	want := &SegmentStatement{Number: 2, Root: second.Root, Count: 3, First: 3, Last: 5, Previous: first.Root, Ends: records[4].Time}
	if diff := cmp.Diff(want, second); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, s := range []*SegmentStatement{first, second} {
		b, err := s.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseSegmentStatement(b)
		if err != nil || cmp.Diff(s, got) != "" {
			t.Errorf("%s reads back as %v, %v", b, got, err)
		}
	}
	if err := second.Covers(first, records[2:]); err != nil {
		t.Error(err)
	}
}

// TestRootByHand computes a root as RFC 6962 writes it, without a library.
func TestRootByHand(t *testing.T) {
	hash := func(parts ...[]byte) []byte {
		sum := sha256.Sum256(bytes.Join(parts, nil))
		return sum[:]
	}
	var leaves [][]byte
	for _, r := range testRecords(t, 3) {
		b, err := r.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, hash([]byte{0}, b))
		if !bytes.Equal(LeafHash(b), leaves[len(leaves)-1]) {
			t.Error("LeafHash is not the hash of 0x00 and the record")
		}
	}
	want := attest.DigestFromSum(hash([]byte{1}, hash([]byte{1}, leaves[0], leaves[1]), leaves[2]))
	if got, err := SegmentRoot(leaves); got != want || err != nil {
		t.Errorf("SegmentRoot = %s, %v, want %s", got, err, want)
	}
	if _, err := SegmentRoot(nil); err == nil {
		t.Error("nothing has a root")
	}
}

func TestCoversNoticesEveryChange(t *testing.T) {
	records := testRecords(t, 4)
	first, err := NewSegmentStatement(nil, records[:1])
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSegmentStatement(first, records[1:])
	if err != nil {
		t.Fatal(err)
	}
	change := func(i int, f func(*Record)) []Record {
		out := append([]Record(nil), records[1:]...)
		f(&out[i])
		return out
	}
	other := testRecord(t, 9, KindTag, TagMoved{"lib/demo", "v2", attest.DigestOf(nil), "", "ci"})
	for name, changed := range map[string][]Record{
		"body":    change(1, func(r *Record) { r.Body = other.Body }),
		"salt":    change(1, func(r *Record) { r.Salt = other.Salt }),
		"kind":    change(1, func(r *Record) { r.Kind = KindUses }),
		"time":    change(1, func(r *Record) { r.Time = r.Time.Add(time.Microsecond) }),
		"missing": records[1:3],
		"gap":     {records[1], records[3]},
		"order":   {records[2], records[1], records[3]},
		"back":    change(2, func(r *Record) { r.Time = testTime }),
		"none":    {},
	} {
		if err := s.Covers(first, changed); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	if err := s.Covers(nil, records[1:]); err == nil {
		t.Error("the chain is not noticed")
	}
}

func TestParseSegmentStatementRefuses(t *testing.T) {
	s, err := NewSegmentStatement(nil, testRecords(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*SegmentStatement){
		"number":   func(s *SegmentStatement) { s.Number = 0 },
		"previous": func(s *SegmentStatement) { s.Previous = s.Root },
		"chain":    func(s *SegmentStatement) { s.Number = 2 },
		"count":    func(s *SegmentStatement) { s.Count = 3 },
		"empty":    func(s *SegmentStatement) { s.Count, s.Last = 0, 0 },
		"first":    func(s *SegmentStatement) { s.First = 0 },
		"ends":     func(s *SegmentStatement) { s.Ends = s.Ends.Add(time.Nanosecond) },
	} {
		bad := *s
		change(&bad)
		b, err := bad.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseSegmentStatement(b); err == nil {
			t.Errorf("%s: read as %v", name, got)
		}
	}
}

func segmentBytes(t testing.TB, records []Record) []byte {
	t.Helper()
	var b []byte
	for _, r := range records {
		var err error
		if b, err = AppendRecord(b, r); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestEveryByteOfASegmentCounts flips every bit and cuts at every byte.
func TestEveryByteOfASegmentCounts(t *testing.T) {
	records := testRecords(t, 2)
	good := segmentBytes(t, records)
	if got, err := ParseSegment(good); err != nil || cmp.Diff(records, got) != "" {
		t.Fatalf("ParseSegment = %v, %v", got, err)
	}
	boundary := len(segmentBytes(t, records[:1]))
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := ParseSegment(bad); err == nil {
				t.Errorf("bit %d of byte %d does not count", bit, i)
			}
		}
		if got, err := ParseSegment(good[:i]); err == nil && i != 0 && i != boundary {
			t.Errorf("cut at byte %d: %d records", i, len(got))
		}
	}
}

func TestNextFrameRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":  {},
		"zeros":    make([]byte, 64),
		"ones":     bytes.Repeat([]byte{0xff}, 64),
		"too long": {0, 0x10, 0, 1, 0, 0, 0, 0, 0},
	} {
		if _, _, err := NextFrame(b); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzFrames: no input makes the reader panic, and what it accepts is exactly
// what the writer would write.
func FuzzFrames(f *testing.F) {
	good := segmentBytes(f, testRecords(f, 3))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(AppendFrame(nil, []byte("{}")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; len(rest) > 0; {
			payload, next, err := NextFrame(rest)
			if err != nil {
				break
			}
			if again := AppendFrame(nil, payload); !bytes.Equal(again, rest[:len(rest)-len(next)]) {
				t.Fatalf("frame %x reads as %x", again, rest)
			}
			rest = next
		}
		records, err := ParseSegment(b)
		if err != nil {
			return
		}
		if again := segmentBytes(t, records); !bytes.Equal(again, b) {
			t.Fatalf("segment %x reads as %x", b, again)
		}
	})
}

// FuzzRecord: what is accepted round-trips.
func FuzzRecord(f *testing.F) {
	for _, r := range testRecords(f, 2) {
		b, err := r.Canonical()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		again, err := r.Canonical()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%s reads back as %s, %v", b, again, err)
		}
	})
}

// Members of a map have no order: none makes a record unreadable.
func TestEncodeBodyOfAMap(t *testing.T) {
	files := make(map[string]attest.Digest)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		files[name] = attest.DigestOf([]byte(name))
	}
	for range 50 {
		if _, err := EncodeBody(KindTUF, TUFAccepted{Version: 1, Roots: []attest.Digest{}, Targets: files["a"], Snapshot: files["b"], Files: files}); err != nil {
			t.Fatal(err)
		}
	}
}
