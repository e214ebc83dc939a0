package registry_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/machinetest"
	"github.com/patchfit/patchfit/ledger"
)

// leave fills a disk until so many bytes are free.
func leave(t *testing.T, dir string, free int64) {
	t.Helper()
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filler, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := int64(s.Bavail)*s.Bsize - free; n > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil {
			t.Fatal(err)
		}
	}
}

// onSmallDisk returns a server whose bytes are on a small disk, with a patch a
// host may have.
func onSmallDisk(t *testing.T, options string) (*server, *world) {
	t.Helper()
	dir := machinetest.SmallDisk(t, options)
	s := newServer(t)
	s.root = dir
	s.start()
	w := s.publish("one")
	s.runs(s.host, s.hostKey, w)
	return s, w
}

// goesOn has what was acknowledged still there, for who may have it.
func (s *server) goesOn(when string, w *world) {
	s.t.Helper()
	if r := s.get(s.host, blobPath(w.PatchFile.Digest)); r.status != http.StatusOK || string(r.body) != string(w.patchFile) {
		s.t.Errorf("%s: a host that pulls gets %d %s", when, r.status, r.body)
	}
	if r := s.get(s.publisher, manifestPath(string(w.BaseManifest))); r.status != http.StatusOK || string(r.body) != string(w.base) {
		s.t.Errorf("%s: a publisher that pulls gets %d %s", when, r.status, r.body)
	}
	if left, err := os.ReadDir(filepath.Join(s.root, "uploads")); err != nil || len(left) != 0 {
		s.t.Errorf("%s: %d uploads hold room, %v", when, len(left), err)
	}
}

// TestFullDisk ends the room of a disk at every page that an upload writes, in
// one request and in several: 507, nothing kept, nothing acknowledged lost, and
// with room again the same upload works.
func TestFullDisk(t *testing.T) {
	const page, pages = 4096, 70
	s, w := onSmallDisk(t, "")
	blob := make([]byte, page*pages)
	blob[0] = 1
	d := attest.DigestOf(blob)
	records := s.count(ledger.KindBlob)
	for n := range pages {
		leave(t, s.root, int64(n*page))
		for _, chunks := range []int{1, 7} {
			when := fmt.Sprintf("%d pages left, %d requests", n, chunks)
			if r := s.upload(blob, chunks); r.status != http.StatusInsufficientStorage || r.code() != "INSUFFICIENT_STORAGE" {
				t.Fatalf("%s: %d %s", when, r.status, r.body)
			}
			s.goesOn(when, w)
		}
		if r := s.get(s.publisher, blobPath(d)); r.status != http.StatusNotFound || s.count(ledger.KindBlob) != records {
			t.Fatalf("%d pages left: the blob is %d", n, r.status)
		}
	}
	leave(t, s.root, pages*page)
	if r := s.upload(blob, 7); r.status != http.StatusCreated {
		t.Errorf("with room: %d %s", r.status, r.body)
	}
	s.goesOn("with room", w)
	if r := s.get(s.publisher, blobPath(d)); r.status != http.StatusOK || string(r.body) != string(blob) {
		t.Errorf("with room: the blob is %d, %d bytes", r.status, len(r.body))
	}
}

// TestNoFilesLeft: a disk that has bytes left and no files is full too.
func TestNoFilesLeft(t *testing.T) {
	s, w := onSmallDisk(t, ",nr_inodes=400")
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(s.root, fmt.Sprint(i)))
		if err != nil {
			break
		}
		f.Close()
	}
	if r := s.upload([]byte("small"), 1); r.status != http.StatusInsufficientStorage {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.goesOn("without files", w)
}

// upload pushes a blob in so many requests, and returns the answer to the first
// that fails, or to the last.
func (s *server) upload(b []byte, requests int) reply {
	s.t.Helper()
	d := attest.DigestOf(b)
	r := s.send(request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"})
	bytes := http.Header{"Content-Type": {octets}}
	for size := len(b) / requests; requests > 1 && r.status == http.StatusAccepted; requests-- {
		r = s.send(request{who: s.publisher, method: http.MethodPatch, path: r.header.Get("Location"), body: b[:size], header: bytes})
		if r.status == http.StatusAccepted {
			b = b[size:]
		}
	}
	if r.status != http.StatusAccepted {
		return r
	}
	return s.send(request{
		who: s.publisher, method: http.MethodPut, path: r.header.Get("Location") + "&digest=" + string(d), body: b, header: bytes,
	})
}
