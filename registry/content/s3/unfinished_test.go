package s3

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestRemnant(t *testing.T) {
	for _, r := range []remnant{
		{nonce: "N", tail: []byte("line\nand line")},
		{nonce: "N", upload: "id", parts: 3, tail: []byte{}},
		{nonce: "N", upload: "2~-_.=", parts: maxParts, tail: []byte("\n")},
	} {
		back, err := parseRemnant(r.encode())
		if err != nil || back.nonce != r.nonce || back.upload != r.upload || back.parts != r.parts || !bytes.Equal(back.tail, r.tail) {
			t.Errorf("%+v came back as %+v, %v", r, back, err)
		}
	}
	for _, bad := range []string{
		"", "x", "\n", "patchfit-unfinished/1 N 0 \r", "patchfit-unfinished/2 N 0 \n", "patchfit-unfinished/1  0 \n",
		"patchfit-unfinished/1 N 0\n", "patchfit-unfinished/1 N -1 id\n", "patchfit-unfinished/1 N 01 id\n",
		"patchfit-unfinished/1 N 10001 id\n", "patchfit-unfinished/1 N 1 \n", "patchfit-unfinished/1 N 1 a b\n",
		"patchfit-unfinished/1 N 1 " + strings.Repeat("a", maxRemnantHdr) + "\n",
	} {
		if r, err := parseRemnant([]byte(bad)); err == nil {
			t.Errorf("%q is %+v", bad, r)
		}
	}
}

func FuzzRemnant(f *testing.F) {
	f.Add([]byte("patchfit-unfinished/1 N 1 id\ntail"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRemnant(b)
		if err == nil && !bytes.Equal(r.encode(), b) {
			t.Errorf("%q is written as %q", b, r.encode())
		}
	})
}

// TestAdopt decides which of the parts S3 lists are the upload's.
func TestAdopt(t *testing.T) {
	const part = 8 << 20
	parts := func(sizes ...int64) []types.Part {
		var all []types.Part
		for i, size := range sizes {
			n, etag := int32(i+1), "e"
			all = append(all, types.Part{PartNumber: &n, Size: &size, ETag: &etag})
		}
		return all
	}
	hole := parts(part, part, part)
	hole = append(hole[:1], hole[2])
	for name, tc := range map[string]struct {
		listed []types.Part
		known  int // parts, with a tail of 7 bytes
		size   int64
		bad    bool
	}{
		"all known":              {parts(part, part), 2, 2*part + 7, false},
		"nothing yet":            {nil, 0, 7, false},
		"more arrived":           {parts(part, part, part), 1, 3 * part, false},
		"short end of a commit":  {parts(part, 99), 1, part + 7, false},
		"short end, more before": {parts(part, part, part, 99), 1, 3 * part, false},
		"only a short end":       {parts(99), 0, 7, false},
		"known, of other size":   {parts(minPart, minPart), 2, 2*minPart + 7, false},
		"lost":                   {parts(part), 2, 0, true},
		"all lost":               {nil, 1, 0, true},
		"hole":                   {hole, 1, 0, true},
		"no number":              {[]types.Part{{}}, 1, 0, true},
	} {
		w := &writer{d: &Driver{o: Options{PartSize: part}}, buf: []byte("7 bytes")}
		err := w.adopt(tc.listed, remnant{parts: tc.known, upload: "id"})
		if (err != nil) != tc.bad || err == nil && w.size != tc.size {
			t.Errorf("%s: goes on at %d, %v; want %d", name, w.size, err, tc.size)
		}
	}
}

// TestBufferGrowsWithNeed keeps small blobs small and large ones at one part.
func TestBufferGrowsWithNeed(t *testing.T) {
	const part = 8 << 20
	w := &writer{d: &Driver{o: Options{PartSize: part}}}
	w.fill([]byte("x"))
	if cap(w.buf) > 128<<10 {
		t.Errorf("one byte takes %d", cap(w.buf))
	}
	for chunk := make([]byte, 32<<10); len(w.buf) < part; {
		w.fill(chunk)
		if cap(w.buf) > part {
			t.Fatalf("a part of %d takes %d", part, cap(w.buf))
		}
	}
	if n := w.fill([]byte("x")); n != 0 {
		t.Errorf("took %d bytes more than a part", n)
	}
}
