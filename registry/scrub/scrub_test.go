package scrub_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/content/contenttest"
	"github.com/patchfit/patchfit/registry/damage"
	"github.com/patchfit/patchfit/registry/scrub"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

const repo = statetest.Repository

// A shelf is a House with content.
type shelf struct {
	*statetest.House
	t       *testing.T
	root    string
	content *content.Store
	log     bytes.Buffer
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{House: statetest.New(t), t: t, root: t.TempDir()}
	disk, err := content.OpenDisk(s.root)
	if err != nil {
		t.Fatal(err)
	}
	s.content = content.New(disk, nil)
	return s
}

func (s *shelf) scrubber(rate int64) *scrub.Scrubber {
	return scrub.New(scrub.Config{State: s.State, Content: s.content, Store: s.Blobs},
		&scrub.Options{Rate: rate, Logger: slog.New(slog.NewTextHandler(&s.log, nil))})
}

// push puts a blob into repositories.
func (s *shelf) push(b []byte, repositories ...string) attest.Digest {
	s.t.Helper()
	d := contenttest.Put(s.t, s.content, b)
	for _, name := range repositories {
		s.Must(ledger.KindBlob, ledger.BlobPut{Repository: name, Digest: d, Size: int64(len(b)), By: s.Admin})
	}
	return d
}

func (s *shelf) file(d attest.Digest) string {
	return contenttest.File(s.root, d)
}

func (s *shelf) write(d attest.Digest, b string) {
	s.t.Helper()
	if err := os.WriteFile(s.file(d), []byte(b), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// TestDamage: what changed or is gone is found, wherever it is, by its digest;
// bytes that are in no repository are nobody's.
func TestDamage(t *testing.T) {
	s := newShelf(t)
	s.Must(ledger.KindProduct, ledger.ProductAdded{Product: "other", Repository: "other", By: s.Admin})
	whole, changed, gone := s.push([]byte("{}"), repo), s.push([]byte("changed"), repo, "other"), s.push([]byte("gone"), repo)
	unserved, nobody := s.push([]byte("unserved"), "other"), s.push([]byte("nobody's"))
	file := s.push([]byte("file"), repo)
	manifest := s.PutManifest(statetest.Manifest("application/vnd.example", attest.File{Digest: file, Size: 4}, ""))

	k := s.scrubber(0)
	r, err := k.Scrub(t.Context())
	if err != nil || r.Damaged != 0 || r.Objects != 6 || r.Bytes < 25 || r.Ended.IsZero() {
		t.Errorf("of whole bytes: %+v, %v", r, err)
	}
	s.write(changed, "Changed")
	s.write(unserved, "")
	s.write(nobody, "NOBODY'S")
	if err := os.Remove(s.file(gone)); err != nil {
		t.Fatal(err)
	}
	s.Blobs.Damage(manifest, []byte("{}"))
	r, err = k.Scrub(t.Context())
	if err != nil || r.Damaged != 4 {
		t.Errorf("of damaged bytes: %+v, %v", r, err)
	}
	for _, d := range []attest.Digest{changed, gone, unserved, manifest} {
		if n := strings.Count(s.log.String(), "level=ERROR msg=\"stored bytes are damaged\""); n != 4 || !strings.Contains(s.log.String(), "digest="+string(d)) {
			t.Errorf("%s is not in the log once:\n%s", d, s.log.String())
		}
	}
	if strings.Contains(s.log.String(), string(whole)) || strings.Contains(s.log.String(), string(nobody)) {
		t.Errorf("the log accuses the wrong ones:\n%s", s.log.String())
	}
	if last, found := k.Last(); last != r || found != 4 {
		t.Errorf("the last result is %+v of %d, want %+v", last, found, r)
	}
}

// TestEvidenceIsScrubbed: bundles in the ledger store are read too.
func TestEvidenceIsScrubbed(t *testing.T) {
	s := newShelf(t)
	w := s.Publish("one")
	var bundle attest.Digest
	for _, m := range s.State.Referrers(repo, string(w.PatchManifest)) {
		bundle = m.Bundle
	}
	before, err := s.scrubber(0).Scrub(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Blobs.Damage(bundle, []byte("{}"))
	if r, err := s.scrubber(0).Scrub(t.Context()); err != nil || r.Damaged != before.Damaged+1 {
		t.Errorf("%+v and then %+v, %v", before, r, err)
	}
}

// TestUnreadIsNotDamaged: what cannot be read for a while raises no alarm, and is
// not told as whole either.
func TestUnreadIsNotDamaged(t *testing.T) {
	s := newShelf(t)
	d := s.push([]byte("file"), repo)
	s.PutManifest(statetest.Manifest("application/vnd.example", attest.File{Digest: d, Size: 4}, ""))
	s.push([]byte("{}"), repo)
	if err := os.Remove(s.file(d)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.file(d), s.file(d)); err != nil { // ELOOP
		t.Fatal(err)
	}
	s.Blobs.FailReads(unix.EMFILE)
	r, err := s.scrubber(0).Scrub(t.Context())
	if err != nil || r.Damaged != 0 || r.Unread != 2 || r.Objects != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if l := s.log.String(); strings.Contains(l, "damaged") || !strings.Contains(l, "digest="+string(d)) {
		t.Errorf("the log:\n%s", l)
	}
}

// TestPace: so many bytes a second are read and no more, and a stop stops it.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t)
		d := s.push(make([]byte, 1<<20), repo)
		began := time.Now()
		if _, err := s.scrubber(128 << 10).Scrub(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 7*time.Second || took > 10*time.Second {
			t.Errorf("1 MiB at 128 KiB a second took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.write(d, strings.Repeat("x", 1<<20))
		r, err := s.scrubber(1).Scrub(ctx)
		if err == nil || !strings.Contains(err.Error(), "deadline") {
			t.Errorf("stopped: %v", err)
		}
		if !r.Ended.IsZero() || r.Damaged != 0 {
			t.Errorf("stopped: %+v", r)
		}
	})
}

func (s *shelf) book(dir string) *damage.Book {
	s.t.Helper()
	b, err := damage.OpenBook(dir, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// TestFindingsAreKept: what a scrubbing found is in the book, and out of it as
// soon as it was looked at again and is whole, or nothing needs it any more.
func TestFindingsAreKept(t *testing.T) {
	s, dir := newShelf(t), t.TempDir()
	s.push([]byte("{}"), repo)
	repaired, unneeded, left := s.push([]byte("repaired"), repo), s.push([]byte("unneeded"), repo), s.push([]byte("left"), repo)
	manifest := s.PutManifest(statetest.Manifest("application/vnd.example", attest.File{Digest: left, Size: 4}, ""))
	s.Blobs.Damage(manifest, []byte("{}"))
	for _, d := range []attest.Digest{repaired, unneeded, left} {
		s.write(d, "?")
	}
	b := s.book(dir)
	k := scrub.New(scrub.Config{State: s.State, Content: s.content, Store: s.Blobs}, &scrub.Options{Book: b})
	if _, err := k.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, running := k.Now(); running {
		t.Error("it runs on")
	}
	r := s.book(dir).Report() // a new server's
	if len(r.Open()) != 4 || r.Pass.Objects != 5 || r.Pass.Damaged != 4 || r.Pass.Ended.IsZero() || r.Found[damage.Blob] != 3 || r.Found[damage.Manifest] != 1 {
		t.Errorf("found: %+v", r)
	}
	s.write(repaired, "repaired")
	s.Must(ledger.KindBlobRemoved, ledger.BlobRemoved{Repository: repo, Digest: unneeded, By: s.Admin})
	if err := k.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = s.book(dir).Report()
	if open := r.Open(); len(open) != 2 || open[0].Digest != left || open[1].Digest != manifest {
		t.Errorf("looked at again: %+v", open)
	}
	s.write(left, "left")
	s.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: manifest, By: s.Admin})
	if _, err := k.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if open := s.book(dir).Report().Findings; len(open) != 1 || open[0].Digest != manifest {
		t.Errorf("a scrubbing that found it whole leaves %+v", open)
	}
	if err := k.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := b.Report(); len(r.Findings) != 0 || r.Pass.Damaged != 0 || r.Found[damage.Blob] != 3 {
		t.Errorf("in the end: %+v", r)
	}
}

// TestOutageIsNoDamage: bytes that were not given out accuse nobody, and a
// finding stays one.
func TestOutageIsNoDamage(t *testing.T) {
	s, dir := newShelf(t), t.TempDir()
	d := s.push([]byte("away"), repo)
	file := s.PutManifest(statetest.Manifest("application/vnd.example", attest.File{Digest: d, Size: 4}, ""))
	b := s.book(dir)
	k := scrub.New(scrub.Config{State: s.State, Content: content.New(outage{}, nil), Store: outage{}}, &scrub.Options{Book: b})
	r, err := k.Scrub(t.Context())
	if err != nil || r.Unread != 3 || r.Damaged != 0 || r.Objects != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if got := b.Report(); len(got.Findings) != 0 || got.Pass.Unread != 3 {
		t.Errorf("the book says %+v", got)
	}
	b.Found(damage.Object{Kind: damage.Blob, Repository: repo, Digest: d})
	b.Found(damage.Object{Kind: damage.Manifest, Repository: repo, Digest: file})
	if err := k.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.Report(); len(got.Open()) != 2 {
		t.Errorf("an outage ended an alarm: %+v", got)
	}
}

// outage is a disk that gives nothing out.
type outage struct{ content.Backend }

var errOutage = &fs.PathError{Op: "read", Path: "somewhere", Err: errors.New("input/output error")}

func (outage) Open(context.Context, attest.Digest) (io.ReadSeekCloser, content.Version, error) {
	return nil, content.Version{}, errOutage
}
func (outage) Get(attest.Digest) ([]byte, error) { return nil, errOutage }
func (outage) List(context.Context) iter.Seq2[content.Listed, error] {
	return func(func(content.Listed, error) bool) {}
}
