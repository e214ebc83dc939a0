package mirror_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// at answers requests whose path ends so.
func at(suffix string, answer http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		answer(w, r)
		return true
	}
}

// titled returns a manifest whose layer wants to be a file of some name.
func titled(o *origin, title string) []byte {
	raw := statetest.Manifest("application/vnd.other", o.world.PatchFile, o.world.BaseManifest)
	name, err := json.Marshal(title)
	must(o.t, err)
	return bytes.Replace(raw, []byte(`"layers":[{`), fmt.Appendf(nil, `"layers":[{"annotations":{"org.opencontainers.image.title":%s},`, name), 1)
}

// A source that lies is refused by the name of its lie, and makes no mirror.
func TestHostileSource(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		lie  func(o *origin)
		code mirror.Code
		says string
	}{
		"another blob": {func(o *origin) {
			o.tamper = at("/blobs/"+string(o.world.PatchFile.Digest), func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("evil!\n"), 5000)) })
		}, mirror.Corrupt, "the source sent"},
		"a shorter blob": {func(o *origin) {
			o.tamper = at("/blobs/"+string(o.world.PatchFile.Digest), func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("short")) })
		}, mirror.Corrupt, "of 5"},
		"a blob without end": {func(o *origin) {
			o.tamper = at("/blobs/"+string(o.world.PatchFile.Digest), endless)
		}, mirror.Corrupt, "more than the 30000 bytes it said"},
		"another manifest": {func(o *origin) {
			o.tamper = at("/manifests/"+string(o.world.PatchManifest), func(w http.ResponseWriter, r *http.Request) {
				serve(w, r, o.world.PatchManifest, o.manifests[o.world.BaseManifest], mediaManifest)
			})
		}, mirror.Corrupt, "asked for manifest"},
		"a manifest without end": {func(o *origin) {
			o.tamper = at("/manifests/"+string(o.world.PatchManifest), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", mediaManifest)
				w.Header().Set("Docker-Content-Digest", string(o.world.PatchManifest))
				if r.Method == http.MethodGet {
					endless(w, r)
				}
			})
		}, mirror.Corrupt, "longer than"},
		"a manifest of no type": {func(o *origin) {
			o.tamper = at("/manifests/"+string(o.world.PatchManifest), func(w http.ResponseWriter, r *http.Request) {
				serve(w, r, o.world.PatchManifest, o.manifests[o.world.PatchManifest], "text/html")
			})
		}, mirror.Corrupt, "was sent as"},
		"a tag that is a path": {func(o *origin) {
			o.tags["../../../etc/cron.d/evil"] = o.world.PatchManifest
		}, mirror.Unsafe, "is no tag"},
		"a tag that hides": {func(o *origin) {
			o.tags["\x1b[2Jfix"] = o.world.PatchManifest
		}, mirror.Unsafe, "is no tag"},
		"a title that is a path": {func(o *origin) {
			o.manifest(titled(o, "../../etc/passwd"))
		}, mirror.Unsafe, "title"},
		"a title that is absolute": {func(o *origin) {
			o.manifest(titled(o, "/etc/passwd"))
		}, mirror.Unsafe, "title"},
		"a title with a command": {func(o *origin) {
			o.manifest(titled(o, "a\x1b]0;evil\x07"))
		}, mirror.Unsafe, "control characters"},
		"a referrer that is a path": {func(o *origin) {
			o.tamper = at("/referrers/"+string(o.world.PatchManifest), func(w http.ResponseWriter, _ *http.Request) {
				writeJSON(w, "application/vnd.oci.image.index.v1+json", map[string]any{"schemaVersion": 2, "manifests": []map[string]any{
					{"mediaType": mediaManifest, "digest": "sha256:../../../x", "size": 1},
				}})
			})
		}, mirror.Corrupt, "referrer"},
		"a layer elsewhere": {func(o *origin) {
			raw := statetest.Manifest("application/vnd.other", o.world.PatchFile, o.world.BaseManifest)
			o.manifest(bytes.Replace(raw, []byte(`"layers":[{`), []byte(`"layers":[{"urls":["http://127.0.0.1/admin"],`), 1))
		}, mirror.Corrupt, "follows nothing elsewhere"},
		"a layer of negative size": {func(o *origin) {
			f := o.world.PatchFile
			f.Size = -1
			o.manifest(statetest.Manifest("application/vnd.other", f, o.world.BaseManifest))
		}, mirror.Corrupt, "size"},
		"fewer revocations than it counts": {func(o *origin) {
			o.tamper = at("/v1/revocations", func(w http.ResponseWriter, _ *http.Request) {
				api.WriteJSON(w, 200, api.Revocations{SchemaVersion: 1, Product: o.product.ID, Count: 2, Bundles: [][]byte{}})
			})
		}, mirror.RolledBack, "says it has 2 revocations"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			c.lie(o)
			dir := filepath.Join(t.TempDir(), "mirror")
			_, err := o.pull(t.Context(), dir)
			refused(t, c.code, c.says, func() error { return err })
			refused(t, mirror.Unfinished, "", func() error { return only(mirror.Open(dir)) })
		})
	}
}

// A log that does not hold what its checkpoint says makes no mirror.
func TestHostileLog(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.tamper = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, ledger.ReadPath+"tile/0/") {
			return false
		}
		w.Write(make([]byte, 256*32))
		return true
	}
	if _, err := o.pull(t.Context(), filepath.Join(t.TempDir(), "mirror")); err == nil {
		t.Error("hashes of nothing make proofs")
	}
	o.tamper = at("/checkpoint", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("origin.example\n9\n")) })
	refused(t, mirror.NotLogged, "not signed by a trusted log", func() error {
		_, err := o.pull(t.Context(), filepath.Join(t.TempDir(), "mirror"))
		return err
	})
}

// An archive of somebody else holds what it likes: only files of a layout,
// each once, are taken.
func TestHostileArchive(t *testing.T) {
	t.Parallel()
	blob := "blobs/sha256/" + attest.DigestOf([]byte("{}")).Hex()
	layout := tar.Header{Name: "oci-layout", Typeflag: tar.TypeReg, Size: 2}
	for name, c := range map[string]struct {
		headers []tar.Header
		code    mirror.Code
		says    string
	}{
		"a link to a file":      {[]tar.Header{{Name: blob, Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}}, mirror.Unsafe, "/etc/shadow"},
		"a link to an index":    {[]tar.Header{{Name: "index.json", Typeflag: tar.TypeSymlink, Linkname: "../index.json"}}, mirror.Unsafe, "no regular file"},
		"a hard link":           {[]tar.Header{{Name: blob, Typeflag: tar.TypeLink, Linkname: "oci-layout"}}, mirror.Unsafe, "no regular file"},
		"a device":              {[]tar.Header{{Name: blob, Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}}, mirror.Unsafe, "no regular file"},
		"a pipe":                {[]tar.Header{{Name: blob, Typeflag: tar.TypeFifo}}, mirror.Unsafe, "no regular file"},
		"a way up":              {[]tar.Header{{Name: "blobs/sha256/../../../evil", Typeflag: tar.TypeReg}}, mirror.Unsafe, "no file of a layout"},
		"a way up from blobs":   {[]tar.Header{{Name: "blobs/sha256/../" + blob, Typeflag: tar.TypeReg}}, mirror.Unsafe, "no file of a layout"},
		"an absolute name":      {[]tar.Header{{Name: "/oci-layout", Typeflag: tar.TypeReg}}, mirror.Unsafe, "no file of a layout"},
		"a name with a dot":     {[]tar.Header{{Name: "./oci-layout", Typeflag: tar.TypeReg}}, mirror.Unsafe, "no file of a layout"},
		"a directory elsewhere": {[]tar.Header{{Name: "../", Typeflag: tar.TypeDir}}, mirror.Unsafe, "no regular file"},
		"a file twice":          {[]tar.Header{layout, layout}, mirror.Corrupt, "twice"},
		"nothing":               {nil, mirror.Unfinished, "this is no mirror"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.tar")
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, h := range c.headers {
				must(t, w.WriteHeader(&h))
				if h.Size > 0 {
					_, err := w.Write([]byte("{}"))
					must(t, err)
				}
			}
			must(t, w.Close())
			must(t, os.WriteFile(path, b.Bytes(), 0o644))
			refused(t, c.code, c.says, func() error { return only(mirror.Open(path)) })
		})
	}
	path := filepath.Join(t.TempDir(), "m.tar")
	must(t, os.WriteFile(path, []byte("no archive at all, but long enough to look like the header of one"), 0o644))
	refused(t, mirror.Corrupt, "does not read", func() error { return only(mirror.Open(path)) })
}

// A directory may hold links: none is followed.
func TestLinksInADirectoryAreNotFollowed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	o.mustPull(dir)
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.Rename(filepath.Join(dir, "index.json"), outside))
	must(t, os.Symlink(outside, filepath.Join(dir, "index.json")))
	refused(t, mirror.Unsafe, "index.json is no regular file", func() error { return only(mirror.Open(dir)) })
}
