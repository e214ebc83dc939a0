package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/content"
)

// faultyDisk fails to read for a while.
type faultyDisk struct {
	content.Backend
	mu  sync.Mutex
	err error // nil: it reads
}

func (k *faultyDisk) failReads(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *faultyDisk) fault() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

func (k *faultyDisk) Open(ctx context.Context, d attest.Digest) (io.ReadSeekCloser, content.Version, error) {
	if err := k.fault(); err != nil {
		return nil, content.Version{}, fmt.Errorf("open: %w", err)
	}
	return k.Backend.Open(ctx, d)
}

func (k *faultyDisk) Version(ctx context.Context, d attest.Digest) (content.Version, error) {
	if err := k.fault(); err != nil {
		return content.Version{}, fmt.Errorf("stat: %w", err)
	}
	return k.Backend.Version(ctx, d)
}

// TestPassingErrorsAreNoDamage: a server that has no files or no memory left, or
// whose disk does not answer, says so, and raises no alarm about bytes that are
// what they were; afterwards they are answered.
func TestPassingErrorsAreNoDamage(t *testing.T) {
	s, one, _, _ := scene(t)
	reads := map[string][]byte{
		manifestPath("patch"): one.patch, manifestPath(string(one.PatchManifest)): one.patch,
		blobPath(one.PatchFile.Digest): one.patchFile, blobPath(attest.DigestOf(empty)): empty,
	}
	bundles, about := s.bundles(one)
	s.attachBundle(bundles[0], about[0])
	carried := carrier(t, bundles[0], about[0])
	for _, fault := range []error{unix.EMFILE, unix.ENFILE, unix.EIO, unix.ENOMEM, unix.EACCES, errors.New("something else")} {
		s.Blobs.FailReads(fault)
		s.disk.failReads(fault)
		for path := range reads {
			for _, q := range []request{way(http.MethodGet, path), way(http.MethodHead, path), way(http.MethodGet, path, "Range", "bytes=0-1")} {
				if q.method == http.MethodHead && strings.Contains(path, "/blobs/") {
					continue // may be answered from the record
				}
				q.who = s.host
				r := s.send(q)
				if r.status != http.StatusServiceUnavailable || !strings.Contains(r.header.Get("Warning"), "cannot be read now") {
					t.Errorf("%v: %s %s: %d %s %v, want 503", fault, q.method, path, r.status, r.body, r.header)
				}
				if strings.Contains(string(r.body), fault.Error()) {
					t.Errorf("%v: %s %s tells it: %s", fault, q.method, path, r.body)
				}
			}
		}
		if r := s.putManifest(s.publisher, repo, sum(carried), carried); r.status != http.StatusServiceUnavailable {
			t.Errorf("%v: putting a manifest whose bundle cannot be read: %d %s", fault, r.status, r.body)
		}
		s.Blobs.FailReads(nil)
		s.disk.failReads(nil)
		for path, want := range reads {
			if r := s.get(s.host, path); r.status != http.StatusOK || string(r.body) != string(want) {
				t.Errorf("after %v: GET %s: %d %s", fault, path, r.status, r.body)
			}
		}
	}
	if l := s.logs.String(); strings.Contains(l, "damaged") || !strings.Contains(l, "stored bytes cannot be read") || !strings.Contains(l, unix.EMFILE.Error()) {
		t.Errorf("the log:\n%s", l)
	}
}

// TestDamageAtAdmission: a bundle whose stored bytes changed is the server's
// damage, not the publisher's mistake.
func TestDamageAtAdmission(t *testing.T) {
	s, one, _, _ := scene(t)
	bundles, about := s.bundles(one)
	s.attachBundle(bundles[0], about[0])
	raw := carrier(t, bundles[0], about[0])
	s.flip(attest.DigestOf(bundles[0]))
	if r := s.putManifest(s.publisher, repo, sum(raw), raw); r.status != http.StatusInternalServerError || r.code() != "CORRUPT" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if !strings.Contains(s.logs.String(), "stored bytes are damaged") {
		t.Errorf("no alarm:\n%s", s.logs)
	}
}
