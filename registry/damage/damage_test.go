package damage_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/damage"
)

var (
	blob     = damage.Object{Kind: damage.Blob, Repository: "lib/greet", Digest: attest.DigestOf([]byte("blob"))}
	manifest = damage.Object{Kind: damage.Manifest, Repository: "lib/greet", Digest: attest.DigestOf([]byte("manifest"))}
)

func openBook(t *testing.T, dir string) *damage.Book {
	t.Helper()
	b, err := damage.OpenBook(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read returns the book as it is on the disk.
func read(t *testing.T, dir string) damage.Report {
	t.Helper()
	r, err := damage.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAlarmsOutliveTheServer: what was found is there after a kill, as is the
// last pass; only being whole ends it.
func TestAlarmsOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	b := openBook(t, dir)
	b.Found(blob)
	b.Found(manifest)
	pass := damage.Pass{Started: time.Unix(1, 0).UTC(), Ended: time.Unix(2, 0).UTC(), Objects: 7, Bytes: 70, Damaged: 2}
	b.Passed(pass)

	b = openBook(t, dir) // nobody closed the first
	r := b.Report()
	if len(r.Open()) != 2 || r.Pass != pass || r.Found[damage.Blob] != 1 || r.Last.IsZero() {
		t.Errorf("after a restart: %+v", r)
	}
	b.Whole(damage.Blob, blob.Digest)
	b.Whole(damage.Blob, manifest.Digest) // not of this kind
	r = read(t, dir)
	if open := r.Open(); len(open) != 1 || open[0].Object != manifest || r.Found[damage.Blob] != 1 {
		t.Errorf("after one was repaired: %+v", r)
	}
}

// TestSeenAgain: the same damage is one finding, and is written down once a
// minute at most.
func TestSeenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := openBook(t, dir)
		b.Found(blob)
		first := read(t, dir).Findings[0]
		time.Sleep(30 * time.Second)
		b.Found(blob)
		if got := read(t, dir).Findings[0]; got != first {
			t.Errorf("written down after 30 s: %+v", got)
		}
		if got := b.Report().Findings[0]; got.Last != first.Last.Add(30*time.Second) {
			t.Errorf("in memory: %+v", got)
		}
		time.Sleep(31 * time.Second)
		b.Found(blob)
		r := read(t, dir)
		if got := r.Findings[0]; got.Last != first.Last.Add(61*time.Second) || got.First != first.First || r.Found[damage.Blob] != 1 {
			t.Errorf("after a minute: %+v", r)
		}
		time.Sleep(time.Second)
		b.Found(blob)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir).Findings[0]; got.Last != first.Last.Add(62*time.Second) {
			t.Errorf("after the end: %+v", got)
		}
	})
}

// TestAcknowledged: what is known is no alarm, until it is repaired and then
// damaged again.
func TestAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := openBook(t, dir)
		b.Found(blob)
		if err := damage.Acknowledge(dir, manifest.Digest, "?"); !errors.Is(err, damage.ErrNoFinding) {
			t.Errorf("of nothing: %v", err)
		}
		for _, why := range []string{"two\nlines", strings.Repeat("x", 501), "\x1b[31m"} {
			if err := damage.Acknowledge(dir, blob.Digest, why); err == nil {
				t.Errorf("%.20q was taken", why)
			}
		}
		if err := damage.Acknowledge(dir, blob.Digest, "the disk is on its way"); err != nil {
			t.Fatal(err)
		}
		for _, r := range []damage.Report{b.Report(), read(t, dir)} {
			if len(r.Open()) != 0 || len(r.Findings) != 1 || r.Findings[0].Acknowledged.Why != "the disk is on its way" {
				t.Errorf("acknowledged: %+v", r)
			}
		}
		b.Found(blob)
		if r := b.Report(); len(r.Open()) != 0 {
			t.Errorf("seen again: %+v", r)
		}
		time.Sleep(time.Minute)
		b.Whole(damage.Blob, blob.Digest)
		b.Found(blob)
		if r := b.Report(); len(r.Open()) != 1 {
			t.Errorf("damaged again: %+v", r)
		}
	})
}

// TestOldAcknowledgement: a file left over from before does not hide news.
func TestOldAcknowledgement(t *testing.T) {
	dir := t.TempDir()
	b := openBook(t, dir)
	left := filepath.Join(dir, "acknowledged", blob.Digest.Hex())
	for _, text := range []string{`{"time":"2001-01-01T00:00:00Z","why":"old"}`, `{"time":"2999-01-01T00:00:00Z","why":"new","more":1}`, ""} {
		if err := os.WriteFile(left, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.Found(blob)
		if r := b.Report(); len(r.Open()) != 1 {
			t.Errorf("%q acknowledges %+v", text, r)
		}
	}
}

// TestUnreadableBook: a book that is damaged itself is an alarm, and keeps no
// server from starting.
func TestUnreadableBook(t *testing.T) {
	for _, text := range []string{
		"", "{", `{"version":2,"findings":[]}`, `{"version":1,"findings":[],"more":1}`,
		`{"version":1,"findings":[{"kind":"blob","repository":"","digest":"sha256:../../x","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z"}]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "damage.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b := openBook(t, dir)
		open := openBook(t, dir).Report()
		if f := open.Open(); len(f) != 1 || f[0].Kind != damage.Notes || f[0].Digest != attest.DigestOf([]byte(text)) {
			t.Errorf("%q: %+v", text, f)
		}
		if kept, err := os.ReadFile(filepath.Join(dir, "unreadable-"+attest.DigestOf([]byte(text)).Hex())); err != nil || string(kept) != text {
			t.Errorf("%q was kept as %q, %v", text, kept, err)
		}
		if err := damage.Acknowledge(dir, attest.DigestOf([]byte(text)), "seen"); err != nil {
			t.Error(err)
		}
		if r := b.Report(); len(r.Open()) != 0 {
			t.Errorf("%q, acknowledged: %+v", text, r)
		}
	}
}

// TestBookOnAFullDisk: an alarm that cannot be written down is one in memory.
func TestBookOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	b := openBook(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	b.Found(blob)
	if r := b.Report(); len(r.Open()) != 1 {
		t.Errorf("got %+v", r)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.Found(blob)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if r := read(t, dir); len(r.Findings) != 1 {
		t.Errorf("after there is room again: %+v", r)
	}
}
