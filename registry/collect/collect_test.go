package collect_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/collect"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/content/contenttest"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

const repo = statetest.Repository

// A shelf is a House with content, and a collector that empties it.
type shelf struct {
	*statetest.House
	t       *testing.T
	root    string
	content *content.Store
	journal *journal
	backend *backend
}

// journal fails when it is told to, before it took a record or after.
type journal struct {
	*statetest.Journal
	before, after error
}

func (j *journal) Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error) {
	if j.before != nil {
		return ledger.Record{}, j.before
	}
	r, err := j.Journal.Append(ctx, kind, body)
	return r, errors.Join(err, j.after)
}

// backend fails to remove when it is told to.
type backend struct {
	*content.Disk
	err error
}

func (b *backend) Remove(ctx context.Context, d attest.Digest) error {
	if b.err != nil {
		return b.err
	}
	return b.Disk.Remove(ctx, d)
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{House: statetest.New(t), t: t, root: t.TempDir()}
	disk, err := content.OpenDisk(s.root)
	if err != nil {
		t.Fatal(err)
	}
	s.backend = &backend{Disk: disk}
	s.content = content.New(s.backend, nil)
	s.journal = &journal{Journal: s.House.Journal}
	return s
}

// keep keeps bytes, in no repository yet, as old as the age.
func (s *shelf) keep(b []byte, age time.Duration) attest.Digest {
	s.t.Helper()
	d := contenttest.Put(s.t, s.content, b)
	then := time.Now().Add(-age)
	if err := os.Chtimes(contenttest.File(s.root, d), then, then); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// push keeps bytes and puts them into the repository, all as old as the age.
func (s *shelf) push(text string, age time.Duration) attest.Digest {
	s.t.Helper()
	d := s.keep([]byte(text), age)
	s.House.Journal.Time = time.Now().Add(-age)
	s.Must(ledger.KindBlob, ledger.BlobPut{Repository: repo, Digest: d, Size: int64(len(text)), By: s.Admin})
	s.House.Journal.Time = time.Time{}
	return d
}

func (s *shelf) collect(how collect.Run) (collect.Report, error) {
	s.t.Helper()
	return collect.New(collect.Config{State: s.State, Content: s.content, Journal: s.journal}, nil).Collect(s.t.Context(), how)
}

// must collects, and has it succeed.
func (s *shelf) must(how collect.Run) collect.Report {
	s.t.Helper()
	r, err := s.collect(how)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// there says whether a blob is in the repository, and whether its bytes are.
func (s *shelf) there(d attest.Digest) (linked, stored bool) {
	s.t.Helper()
	_, linked = s.State.Blob(repo, d)
	err := s.content.Check(s.t.Context(), d, nil)
	if err != nil && !errors.Is(err, content.ErrNotFound) {
		s.t.Fatal(err)
	}
	return linked, err == nil
}

func (s *shelf) is(what string, d attest.Digest, linked, stored bool) {
	s.t.Helper()
	if l, b := s.there(d); l != linked || b != stored {
		s.t.Errorf("%s: in the repository %v and stored %v, want %v and %v", what, l, b, linked, stored)
	}
}

const long = 48 * time.Hour

// TestCollect: what is referenced or young stays; the rest goes, once.
func TestCollect(t *testing.T) {
	s := newShelf(t)
	empty, file := s.push("{}", long), s.push("file", long)
	raw := statetest.Manifest("application/vnd.example", attest.File{Digest: file, Size: 4}, "")
	manifest := s.PutManifest(raw)
	old, young := s.push("nobody's", long), s.push("somebody's soon", time.Hour)
	left, coming := s.keep([]byte("left by a crash"), long), s.keep([]byte("coming"), time.Hour)

	want := collect.Report{Blobs: 1, BlobBytes: 8, Objects: 2, ObjectBytes: 8 + 15}
	records := len(s.House.Journal.Records())
	if diff := cmp.Diff(want, s.must(collect.Run{DryRun: true})); diff != "" {
		t.Error("a dry run:", diff)
	}
	s.is("after a dry run", old, true, true)
	s.is("after a dry run", left, false, true)
	if n := len(s.House.Journal.Records()); n != records {
		t.Errorf("a dry run made %d records", n-records)
	}
	if diff := cmp.Diff(want, s.must(collect.Run{})); diff != "" {
		t.Error(diff)
	}
	s.is("referenced", file, true, true)
	s.is("referenced", empty, true, true)
	s.is("young", young, true, true)
	s.is("young and unrecorded", coming, false, true)
	s.is("unreferenced", old, false, false)
	s.is("unrecorded", left, false, false)
	if again := s.must(collect.Run{}); again != (collect.Report{}) {
		t.Errorf("the second time: %+v", again)
	}
	last := s.House.Journal.Records()[records]
	if removed, err := ledger.Decode[ledger.BlobRemoved](last); err != nil || *removed != (ledger.BlobRemoved{Repository: repo, Digest: old, By: "gc"}) {
		t.Errorf("recorded %+v, %v", removed, err)
	}

	s.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: manifest, By: s.Admin})
	s.must(collect.Run{})
	s.is("of a hidden manifest", file, false, false)
	if _, err := s.Blobs.Get(manifest); err != nil {
		t.Errorf("the manifest's bytes: %v", err)
	}
	if _, err := s.Rebuild(); err != nil {
		t.Errorf("the journal does not replay: %v", err)
	}
}

// TestAttestationsStay: nobody tags them. They, their bundles and the patch
// they are about are never collected; deleted, their evidence still counts.
func TestAttestationsStay(t *testing.T) {
	s := newShelf(t)
	s.House.Journal.Time = time.Now().Add(-long)
	w := s.Publish("one")
	s.House.Journal.Time = time.Time{}
	blobs := s.State.Blobs(repo)
	if r := s.must(collect.Run{}); r != (collect.Report{}) {
		t.Fatalf("collected %+v", r)
	}
	if now := s.State.Blobs(repo); len(now) != len(blobs) || len(now) < 5 {
		t.Errorf("%d blobs, want %d", len(now), len(blobs))
	}
	for _, m := range s.State.Referrers(repo, string(w.PatchManifest)) {
		s.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: m.Artifact.Manifest, By: s.Admin})
		s.must(collect.Run{})
		if _, err := s.State.Statement(m.Bundle); err != nil {
			t.Errorf("evidence that was admitted: %v", err)
		}
		if _, err := s.Blobs.Get(m.Bundle); err != nil {
			t.Errorf("the body of evidence: %v", err)
		}
	}
	if _, err := s.Rebuild(); err != nil {
		t.Errorf("the journal does not replay: %v", err)
	}
}

// TestOtherRepository: bytes stay while any repository has them, served or not.
func TestOtherRepository(t *testing.T) {
	s := newShelf(t)
	d := s.push("shared", long)
	s.Must(ledger.KindProduct, ledger.ProductAdded{Product: "other", Repository: "other", By: s.Admin})
	s.House.Journal.Time = time.Now().Add(-long)
	s.Must(ledger.KindBlob, ledger.BlobPut{Repository: "other", Digest: d, Size: 6, By: s.Admin})
	s.House.Journal.Time = time.Time{}
	want := collect.Report{Blobs: 1, BlobBytes: 6}
	for _, dry := range []bool{true, false} {
		if diff := cmp.Diff(want, s.must(collect.Run{DryRun: dry})); diff != "" {
			t.Errorf("dry run %v: %s", dry, diff)
		}
	}
	s.is("in a repository that is not served", d, false, true)
}

// TestForeignLayer: a manifest may name a layer by a sha512 that nobody has
// pushed yet. Once it is there, it is needed.
func TestForeignLayer(t *testing.T) {
	s := newShelf(t)
	s.push("{}", long)
	alias := "sha512:" + strings.Repeat("ab", 64)
	raw := []byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + string(attest.DigestOf([]byte("{}"))) +
		`","size":2},"layers":[{"mediaType":"application/octet-stream","digest":"` + alias + `","size":7,"urls":["https://example.org/"]}]}`)
	s.PutManifest(raw)
	d := s.keep([]byte("foreign"), long)
	s.House.Journal.Time = time.Now().Add(-long)
	s.Must(ledger.KindBlob, ledger.BlobPut{Repository: repo, Digest: d, SHA512: alias, Size: 7, By: s.Admin})
	s.Must(ledger.KindBlob, ledger.BlobPut{Repository: repo, Digest: d, Size: 7, By: s.Admin})
	s.House.Journal.Time = time.Time{}
	s.must(collect.Run{})
	s.is("a foreign layer", d, true, true)
}

// TestCrashes: wherever a collection breaks off, what is on record has its
// bytes, and the next one finishes.
func TestCrashes(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		breaks         func(*shelf)
		linked, stored bool // afterwards
	}{
		"before the record":         {func(s *shelf) { s.journal.before = broken }, true, true},
		"after the record":          {func(s *shelf) { s.journal.after = broken }, false, true},
		"when the bytes are to go":  {func(s *shelf) { s.backend.err = broken }, false, true},
		"with everything, and then": {func(s *shelf) { s.journal.before, s.backend.err = broken, broken }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			d := s.push("nobody's", long)
			tt.breaks(s)
			if _, err := s.collect(collect.Run{}); !errors.Is(err, broken) {
				t.Errorf("error %v, want %v", err, broken)
			}
			s.is("broken off", d, tt.linked, tt.stored)
			s.journal.before, s.journal.after, s.backend.err = nil, nil, nil
			s.must(collect.Run{})
			s.is("finished", d, false, false)
		})
	}
}

// TestStopped: a run that is to end takes nothing more away.
func TestStopped(t *testing.T) {
	s := newShelf(t)
	d := s.push("nobody's", long)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := collect.New(collect.Config{State: s.State, Content: s.content, Journal: s.journal}, nil).Collect(ctx, collect.Run{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	s.is("after a run that was stopped", d, true, true)
	if _, err := s.collect(collect.Run{Grace: -1}); err == nil {
		t.Error("a grace below zero is taken")
	}
}
