package mirror_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// unpacks writes a small answer that becomes a large one.
func unpacks(w http.ResponseWriter, typ string, size int) {
	w.Header().Set("Content-Type", typ)
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for n := 0; n < size; n += len(chunk) {
		if _, err := z.Write(chunk); err != nil {
			return
		}
	}
	z.Close()
}

// A source that never comes to an end, or lies about sizes, is refused by name,
// in bounded time and room, and makes no mirror.
func TestEndlessSource(t *testing.T) {
	t.Parallel()
	pages := func(typ, body string) func(w http.ResponseWriter, r *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", typ)
			w.Header().Set("Link", "<"+r.URL.Path+">; rel=\"next\"")
			w.Write([]byte(body))
		}
	}
	const index = "application/vnd.oci.image.index.v1+json"
	for name, c := range map[string]struct {
		lie  func(o *origin)
		says string
	}{
		"pages of tags, all empty":    {func(o *origin) { o.tamper = at("/tags/list", pages("application/json", `{"tags":[]}`)) }, "pages"},
		"pages of tags, all the same": {func(o *origin) { o.tamper = at("/tags/list", pages("application/json", `{"tags":["base"]}`)) }, "pages"},
		"pages of referrers, all empty": {func(o *origin) {
			o.tamper = at("/referrers/"+string(o.world.PatchManifest), pages(index, `{"manifests":[]}`))
		}, "pages"},
		"pages of referrers, all the same": {func(o *origin) {
			body := fmt.Sprintf(`{"manifests":[{"mediaType":%q,"digest":%q,"size":1}]}`, mediaManifest, o.world.BaseManifest)
			o.tamper = at("/referrers/"+string(o.world.PatchManifest), pages(index, body))
		}, "pages"},
		"a list that goes on elsewhere": {func(o *origin) {
			o.tamper = at("/tags/list", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", `<http://127.0.0.1:1/latest/meta-data>; rel="next"`)
				w.Write([]byte(`{"tags":["base"]}`))
			})
		}, "not the same origin"},
		"a manifest that unpacks without end": {func(o *origin) {
			o.tamper = at("/manifests/"+string(o.world.PatchManifest), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Docker-Content-Digest", string(o.world.PatchManifest))
				if r.Method == http.MethodHead {
					w.Header().Set("Content-Type", mediaManifest)
					return
				}
				unpacks(w, mediaManifest, 256<<20)
			})
		}, "longer than"},
		"revocations that unpack without end": {func(o *origin) {
			o.tamper = at("/v1/revocations", func(w http.ResponseWriter, _ *http.Request) { unpacks(w, "application/json", 256<<20) })
		}, "revocations"},
		"a list that unpacks without end": {func(o *origin) {
			o.tamper = at("/tags/list", func(w http.ResponseWriter, _ *http.Request) { unpacks(w, "application/json", 256<<20) })
		}, ""},
		"a blob that comes packed": {func(o *origin) {
			o.tamper = at("/blobs/"+string(o.world.PatchFile.Digest), func(w http.ResponseWriter, _ *http.Request) { unpacks(w, "application/octet-stream", 256<<20) })
		}, "more than the 30000 bytes"},
		"one blob of two sizes": {func(o *origin) {
			f := o.world.PatchFile
			f.Size++
			o.manifest(statetest.Manifest("application/vnd.other", f, o.world.PatchManifest))
		}, "bytes in one place and"},
		"a manifest that is a blob of another size": {func(o *origin) {
			f := attest.File{Digest: o.world.BaseManifest, Size: 1}
			o.manifest(statetest.Manifest("application/vnd.other", f, o.world.BaseManifest))
		}, "bytes in one place and"},
		"a manifest of too many parts": {func(o *origin) {
			raw := statetest.Manifest("application/vnd.other", o.world.PatchFile, o.world.BaseManifest)
			layer := fmt.Sprintf(`{"mediaType":"x","digest":%q,"size":%d},`, o.world.PatchFile.Digest, o.world.PatchFile.Size)
			o.manifest(bytes.Replace(raw, []byte(`"layers":[`), []byte(`"layers":[`+strings.Repeat(layer, 128)), 1))
		}, "want at most 128"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			c.lie(o)
			dir := filepath.Join(t.TempDir(), "mirror")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := o.pull(ctx, dir); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			refused(t, mirror.Unfinished, "", func() error { return only(mirror.Open(dir)) })
		})
	}
}

// Nobody is sent elsewhere: not for a blob, a manifest or a list, and nobody
// elsewhere learns who is asking.
func TestSourceSendsNobodyElsewhere(t *testing.T) {
	t.Parallel()
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer elsewhere.Close()
	for _, suffix := range []string{"/blobs/", "/manifests/", "/tags/list", "/referrers/", "/v1/revocations", "/v1/evidence", "/checkpoint"} {
		o := newOrigin(t)
		o.tamper = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, suffix) {
				return false
			}
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		if _, err := o.pull(t.Context(), filepath.Join(t.TempDir(), "mirror")); err == nil {
			t.Errorf("%s elsewhere makes a mirror", suffix)
		}
	}
	if asked > 0 {
		t.Errorf("the server elsewhere was asked %d times", asked)
	}
}

// A target that takes an upload and names another place for it gets nothing there.
func TestTargetSendsNobodyElsewhere(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	path := filepath.Join(t.TempDir(), "m.tar")
	o.mustPull(path)
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer elsewhere.Close()
	x := newTarget(t, o.envelope)
	x.away = elsewhere.URL
	if _, err := push(t.Context(), t, path, x); err == nil || asked > 0 {
		t.Errorf("%v, and the server elsewhere was asked %d times", err, asked)
	}
}

// Sizes in a tar file are no promise: not of holes, not of what was cut off.
func TestArchivesThatLieAboutSizes(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	path := filepath.Join(t.TempDir(), "m.tar")
	o.mustPull(path)
	whole := mustRead(t, path)
	header := func(h tar.Header) []byte {
		var b bytes.Buffer
		must(t, tar.NewWriter(&b).WriteHeader(&h))
		return b.Bytes()
	}
	blob := "blobs/sha256/" + attest.DigestOf([]byte("{}")).Hex()
	sparse := header(tar.Header{Name: blob, Typeflag: tar.TypeReg, Size: 512})
	sparse[156] = tar.TypeGNUSparse
	sum := 0
	copy(sparse[148:156], "        ")
	for _, c := range sparse[:512] {
		sum += int(c)
	}
	copy(sparse[148:156], fmt.Sprintf("%06o\x00 ", sum))
	for name, file := range map[string][]byte{
		"cut in the middle":        whole[:len(whole)/2],
		"cut in a header":          whole[:512+100],
		"a file larger than all":   header(tar.Header{Name: blob, Typeflag: tar.TypeReg, Size: 1 << 40}),
		"a hole of an older form":  append(sparse, make([]byte, 1024)...),
		"an index larger than may": append(header(tar.Header{Name: "oci-layout", Typeflag: tar.TypeReg, Size: 1 << 33}), make([]byte, 4096)...),
	} {
		p := filepath.Join(t.TempDir(), "m.tar")
		must(t, os.WriteFile(p, file, 0o644))
		if err := only(mirror.Open(p)); err == nil {
			t.Errorf("%s: it is a mirror", name)
		}
	}
	// A file with a hole of 1 TiB takes no room, and is refused before it is read.
	p := filepath.Join(t.TempDir(), "m.tar")
	f, err := os.Create(p)
	must(t, err)
	_, err = f.Write(header(tar.Header{Name: "oci-layout", Typeflag: tar.TypeReg, Size: 1 << 40}))
	must(t, err)
	must(t, f.Truncate(512+1<<40+1024))
	must(t, f.Close())
	refused(t, mirror.Corrupt, "want at most", func() error { return only(mirror.Open(p)) })
}

// What is no file in a directory is neither read nor written to: a pipe does
// not make anybody wait, and a link leads nowhere.
func TestNodesInADirectory(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	o.mustPull(dir)
	for name := range tree(t, dir) {
		if name == "index.json" {
			continue // a link there: TestLinksInADirectoryAreNotFollowed
		}
		path := filepath.Join(dir, name)
		content := mustRead(t, path)
		must(t, os.Remove(path))
		must(t, syscall.Mkfifo(path, 0o600))
		if r, err := o.look(dir, nil); err == nil && (r.Verified() || !slices.ContainsFunc(r.Problems, func(p mirror.Problem) bool { return p.Code == mirror.Unsafe })) {
			t.Errorf("%s is a pipe, and %v", name, r.Problems)
		}
		must(t, os.Remove(path))
		must(t, os.WriteFile(path, content, 0o644))
	}
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("as it was"), 0o600))
	for name, plant := range map[string]func(path string) error{
		"a link out":                       func(path string) error { return os.Symlink(outside, path) },
		"a link in":                        func(path string) error { return os.Symlink("../oci-layout", path) },
		"a pipe":                           func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":                      func(path string) error { return os.Mkdir(path, 0o700) },
		"a directory with something in it": func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
	} {
		dir := filepath.Join(t.TempDir(), "mirror")
		must(t, os.MkdirAll(filepath.Join(dir, "ingest"), 0o755))
		must(t, plant(filepath.Join(dir, "ingest", o.world.PatchFile.Digest.Hex())))
		o.mustPull(dir) // it goes, and the blob is fetched from its start
		o.mustLook(dir, nil, "", "")
		if string(mustRead(t, outside)) != "as it was" {
			t.Errorf("%s: something outside was written to", name)
		}
	}
}
