package journal

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
	"github.com/sigstore/sigstore/pkg/signature"
)

// fill returns a world whose journal has n records, each its own commit, in a
// segment that is not sealed, and the bytes and name of its file.
func fill(t *testing.T, n int) (w *world, name string, file []byte) {
	w = newWorld()
	j := w.mustOpen(t)
	for i := range n {
		w.acked = append(w.acked, mustAppend(t, j, i))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	w.fs = w.fs.Kill()
	name = j.segmentName(1)
	file, err := w.fs.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return w, name, file
}

// TestKillAtEveryByte: whatever part of the file a kill left, the journal opens
// with exactly the records that are whole, and goes on.
func TestKillAtEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, name, file := fill(t, 3)
		for size := range len(file) + 1 {
			cut := w.after(w.fs.Kill())
			cut.fs.Corrupt(name, func(b []byte) []byte { return b[:size] })
			frames, _, _, err := scan(file[:size])
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			cut.acked = cut.acked[:len(frames)]
			cut.seen = make(map[int64]ledger.Record)
			cut.audit(t, fmt.Sprintf("%d of %d bytes", size, len(file)))
		}
	})
}

// TestAcknowledgedDamageIsLoud flips bits in every byte of a segment file. All
// of it was acknowledged, so all of it counts; only the last mark does not
// guard itself, and without it nothing is lost.
func TestAcknowledgedDamageIsLoud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, name, file := fill(t, 3)
		for i := range file {
			hurt := w.after(w.fs.Kill())
			hurt.fs.Corrupt(name, func(b []byte) []byte { b[i] ^= 1 << (i % 8); return b })
			if i >= len(file)-markSize {
				hurt.audit(t, fmt.Sprintf("byte %d, in the last mark", i))
				continue
			}
			j, err := hurt.open(nil)
			if err == nil {
				t.Errorf("byte %d flipped: opened with %d records", i, j.Last())
				_ = j.Close()
			} else if !strings.Contains(err.Error(), name) {
				t.Errorf("byte %d flipped: the error does not name %s: %v", i, name, err)
			}
		}
	})
}

// TestDamageIsLoud changes one thing at a time behind the journal's back, in a
// history with segments 1 and 2 sealed, 3 signed but not logged, and 4.
func TestDamageIsLoud(t *testing.T) {
	for name, c := range map[string]struct {
		hurt func(w *world)
		want string
	}{
		"a seal changed":       {func(w *world) { w.change("seals", func(b []byte) []byte { b[20] ^= 1; return b }) }, "seals"},
		"the last seal cut":    {func(w *world) { w.change("seals", func(b []byte) []byte { return b[:len(b)-markSize-1] }) }, "missing"},
		"all seals gone":       {func(w *world) { w.remove("seals") }, "missing"},
		"a segment gone":       {func(w *world) { w.remove(segment3) }, "missing"},
		"a segment empty":      {func(w *world) { w.change(segment3, func([]byte) []byte { return nil }) }, "gone"},
		"a segment of marks":   {func(w *world) { w.change(segment3, func([]byte) []byte { return appendMark(nil, 0) }) }, "gone"},
		"a record cut off":     {func(w *world) { w.remove(seal3); w.change(segment3, firstFrame) }, "record 7 stands where record 6"},
		"a signed one cut off": {func(w *world) { w.change(segment3, firstFrame) }, "signed is"},
		"records moved on": {func(w *world) {
			w.remove(seal3)
			w.change(segment4, func([]byte) []byte { return w.file(segment3) })
			w.change(segment3, func([]byte) []byte { return nil })
		}, "gone"},
		"another's records":     {func(w *world) { w.change(segment3, func([]byte) []byte { return w.file(segment4) }) }, "record 7 stands where record 5"},
		"the signed statement":  {func(w *world) { w.change(seal3, func(b []byte) []byte { b[len(b)-9] ^= 1; return b }) }, ".seal"},
		"not what was signed":   {func(w *world) { w.change(segment3, func([]byte) []byte { return w.reframe(5) }) }, "signed is"},
		"a sealed blob gone":    {func(w *world) { w.changeBlob(`"v1"`, nil) }, "segment 1"},
		"a sealed blob changed": {func(w *world) { w.changeBlob(`"v1"`, []byte("x")) }, "segment 1"},
		"records forged":        {func(w *world) { w.reseal(func(s []Seal) { s[0].Segment = w.forgeSegment(s[0].Segment) }) }, "segment 1: segment 1: its records make"},
		"statement forged":      {func(w *world) { w.reseal(func(s []Seal) { w.forgeStatement(&s[0], nil) }) }, "segment 1: signed is"},
		"signature forged":      {func(w *world) { w.reseal(func(s []Seal) { w.forgeStatement(&s[0], newSigner()) }) }, "segment 1: "},
		"seals swapped":         {func(w *world) { w.reseal(func(s []Seal) { s[0], s[1] = s[1], s[0] }) }, "seal 2 stands where seal 1"},
		"an envelope gone":      {func(w *world) { w.changeBlob(`payloadType`, nil) }, "segment 1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := history(t)
				c.hurt(w)
				j, err := w.open(nil)
				if err == nil {
					t.Errorf("opened with %d records", j.Last())
					_ = j.Close()
				} else if !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %q does not say %q", err, c.want)
				}
			})
		})
	}
}

const (
	segment3 = "0000000000000003.segment"
	segment4 = "0000000000000004.segment"
	seal3    = "0000000000000003.seal"
)

// history returns a world with segments 1 and 2 sealed, 3 signed but not
// logged, and 4.
func history(t *testing.T) *world {
	w := newWorld()
	j := w.mustOpen(t)
	for i := range 2 {
		mustAppend(t, j, 2*i)
		mustAppend(t, j, 2*i+1)
		if err := j.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	w.fs.Break(func(op string) disktest.Fault {
		if strings.HasPrefix(op, "log") {
			return disktest.Fails
		}
		return disktest.None
	})
	for i := range 2 {
		mustAppend(t, j, 4+2*i)
		mustAppend(t, j, 5+2*i)
		asked := make(chan struct{})
		j.closing <- asked
		<-asked
		synctest.Wait()
	}
	_ = j.Close()
	after := w.after(w.fs.Kill())
	want := []string{"/0000000000000003.seal", "/0000000000000003.segment", "/0000000000000004.segment", "/seals"}
	if got := after.fs.Files(testDir); !slices.EqualFunc(got, want, func(g, w string) bool { return g == testDir+w }) {
		t.Fatalf("files: %v", got)
	}
	return after
}

func (w *world) remove(name string) {
	if err := w.fs.Remove(testDir + "/" + name); err != nil {
		panic(err)
	}
}

func (w *world) file(name string) []byte {
	b, err := w.fs.ReadFile(testDir + "/" + name)
	if err != nil {
		panic(err)
	}
	return b
}

func (w *world) change(name string, change func([]byte) []byte) {
	b := change(w.file(name))
	w.fs.Corrupt(testDir+"/"+name, func([]byte) []byte { return b })
}

// changeBlob changes every blob that has text in it.
func (w *world) changeBlob(text string, to []byte) {
	for d, b := range w.blobs {
		if !strings.Contains(string(b), text) {
			continue
		}
		if w.blobs[d] = to; to == nil {
			delete(w.blobs, d)
		}
	}
}

func firstFrame(b []byte) []byte {
	_, rest, err := ledger.NextFrame(b)
	if err != nil {
		panic(err)
	}
	return b[:len(b)-len(rest)]
}

// reframe returns the records of segment 3 with another salt in one of them,
// everything else as it should be.
func (w *world) reframe(sequence int64) []byte {
	frames, _, _, err := scan(w.file(segment3))
	if err != nil {
		panic(err)
	}
	w.seen = make(map[int64]ledger.Record) // so that apply takes it
	var out []byte
	for _, f := range frames {
		r, err := ledger.ParseRecord(f)
		if err != nil {
			panic(err)
		}
		if r.Sequence == sequence {
			r.Salt[0] ^= 1
		}
		if out, err = ledger.AppendRecord(out, r); err != nil {
			panic(err)
		}
	}
	return appendMark(out, int64(len(out)))
}

// reseal rewrites the seals as someone would who can write to the disk.
func (w *world) reseal(change func([]Seal)) {
	frames, _, _, err := scan(w.file(sealsName))
	if err != nil {
		panic(err)
	}
	seals := make([]Seal, len(frames))
	for i, f := range frames {
		if err := strictjson.Unmarshal(f, ledger.MaxRecord, &seals[i]); err != nil {
			panic(err)
		}
	}
	change(seals)
	var out []byte
	for _, s := range seals {
		b, err := strictjson.Canonical(s)
		if err != nil {
			panic(err)
		}
		out = ledger.AppendFrame(out, b)
	}
	w.seen = make(map[int64]ledger.Record) // so that apply takes it
	w.change(sealsName, func([]byte) []byte { return appendMark(out, int64(len(out))) })
}

// forgeSegment stores a segment with one record changed.
func (w *world) forgeSegment(d attest.Digest) attest.Digest {
	records, err := ledger.ParseSegment(w.blobs[d])
	if err != nil {
		panic(err)
	}
	records[0].Salt[0] ^= 1
	var out []byte
	for _, r := range records {
		if out, err = ledger.AppendRecord(out, r); err != nil {
			panic(err)
		}
	}
	w.blobs[attest.DigestOf(out)] = out
	return attest.DigestOf(out)
}

// forgeStatement makes a seal cover a forged segment, signed by s if there is one.
func (w *world) forgeStatement(seal *Seal, s signature.Signer) {
	seal.Segment = w.forgeSegment(seal.Segment)
	records, err := ledger.ParseSegment(w.blobs[seal.Segment])
	if err != nil {
		panic(err)
	}
	statement, err := ledger.NewSegmentStatement(nil, records)
	if err != nil {
		panic(err)
	}
	if seal.Statement = *statement; s == nil {
		return
	}
	payload, err := statement.Canonical()
	if err != nil {
		panic(err)
	}
	envelope, err := attest.SignEnvelope(attest.SegmentPayload, payload, s)
	if err != nil {
		panic(err)
	}
	seal.Envelope = attest.DigestOf(envelope)
	w.blobs[seal.Envelope] = envelope
}
