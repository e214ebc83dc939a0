package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// What is known of something that was pushed.
const (
	maybe = iota // a request about it was not answered, or with a 5xx
	there        // acknowledged
	gone         // its removal was acknowledged
)

// An image is a manifest of one config and one layer in a repository.
type image struct {
	repository    string
	config, layer []byte
	raw           []byte
	state         int
}

func newImage(repository, name string, layer []byte) *image {
	describe := func(mediaType string, b []byte) map[string]any {
		return map[string]any{"mediaType": mediaType, "digest": digestOf(b), "size": len(b)}
	}
	i := &image{repository: repository, config: fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","author":%q}`, name), layer: layer}
	i.raw, _ = json.Marshal(map[string]any{ // maps of strings and numbers
		"schemaVersion": 2, "mediaType": mediaManifest, "config": describe(mediaConfig, i.config), "layers": []any{describe(mediaLayer, i.layer)},
	})
	return i
}

func (i *image) digest() string { return digestOf(i.raw) }

// kept is what a depot acknowledged. Each image and tag is one worker's.
type kept struct {
	*depot
	mu     sync.Mutex
	images map[string]*image          // by repository and digest
	tags   map[string]map[string]bool // repository:tag -> digests it may name; "": none
	fresh  map[string]bool            // images that something happened to since the last audit
	loose  map[string][]byte          // by repository and digest: blobs that were pushed or mounted since then
	acked  int                        // requests that changed something
}

func newKept(d *depot) *kept {
	return &kept{depot: d, images: map[string]*image{}, tags: map[string]map[string]bool{}, fresh: map[string]bool{}, loose: map[string][]byte{}}
}

// pushBlob notes that a blob may be there, and pushes it.
func (k *kept) pushBlob(as, name string, b []byte, requests int) reply {
	k.brought(name, b)
	return k.depot.pushBlob(as, name, b, requests)
}

func (k *kept) brought(name string, b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loose[name+"@"+digestOf(b)] = b
}

// note says what is known of an image from now on.
func (k *kept) note(i *image, state int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := i.repository + "@" + i.digest()
	i.state, k.images[key], k.fresh[key] = state, i, true
	if state != maybe {
		k.acked++
	}
}

// answered notes what an answer to a request that would bring about a state says.
func (k *kept) answered(i *image, r reply, success, state int) bool {
	switch {
	case r.status == success:
		k.note(i, state)
	case r.status >= 400 && r.status < 500:
		k.t.Errorf("%s@%s: %v", i.repository, i.digest(), r)
	}
	return r.status == success
}

// mayName says what a tag may name from now on.
func (k *kept) mayName(repository, tag string, digests ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := map[string]bool{}
	for _, d := range digests {
		all[d] = true
	}
	k.tags[repository+":"+tag] = all
}

// named returns what a tag may name.
func (k *kept) named(repository, tag string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := []string{}
	for d := range k.tags[repository+":"+tag] {
		all = append(all, d)
	}
	if len(all) == 0 {
		all = append(all, "")
	}
	return all
}

// audit asks the server for what was acknowledged: what changed since the last
// audit, and some of the rest; all of it where some is below zero.
func (k *kept) audit(when string, some int) {
	k.t.Helper()
	k.renew()
	k.mu.Lock()
	var ask []*image
	for key, i := range k.images {
		if k.fresh[key] || some != 0 {
			ask = append(ask, i)
			if !k.fresh[key] {
				some--
			}
		}
	}
	clear(k.fresh)
	tags, loose := maps.Clone(k.tags), maps.Clone(k.loose)
	clear(k.loose)
	k.mu.Unlock()
	for _, i := range ask {
		k.look(when, i)
	}
	for at, b := range loose { // acknowledged or not, collected or not: whole, or not there
		repository, digest, _ := strings.Cut(at, "@")
		r := k.get(robotA, repository, "blobs", digest)
		if r.status != http.StatusNotFound && (r.status != http.StatusOK || !bytes.Equal(r.body, b)) {
			k.t.Errorf("%s: blob %s, pushed at some time: %v", when, at, r)
		}
	}
	for at, may := range tags {
		repository, tag, _ := strings.Cut(at, ":")
		r := k.get(robotA, repository, "manifests", tag)
		got := ""
		if r.status == http.StatusOK {
			got = digestOf(r.body)
		}
		if !may[got] || r.status != http.StatusOK && r.status != http.StatusNotFound {
			k.t.Errorf("%s: tag %s names %q, want one of %v: %v", when, at, got, may, r)
		}
		k.mayName(repository, tag, got)
	}
}

// noUploads looks for the bytes of uploads that nobody goes on with.
func (k *kept) noUploads(when string) {
	k.t.Helper()
	if left, err := os.ReadDir(filepath.Join(k.data, "registry", "uploads")); err != nil || len(left) != 0 {
		k.t.Errorf("%s: %d unfinished uploads are left, %v", when, len(left), err)
	}
}

// look asks for one image: whole, or not there, as it has to be.
func (k *kept) look(when string, i *image) {
	k.t.Helper()
	r := k.get(robotA, i.repository, "manifests", i.digest())
	switch {
	case r.status == http.StatusNotFound && i.state != there:
		i.state = gone
		return
	case r.status != http.StatusOK || i.state == gone || !bytes.Equal(r.body, i.raw):
		k.t.Errorf("%s: manifest %s@%s in state %d: %v", when, i.repository, i.digest(), i.state, r)
		return
	}
	i.state = there
	for _, part := range [][]byte{i.config, i.layer} {
		if b := k.get(robotA, i.repository, "blobs", digestOf(part)); b.status != http.StatusOK || !bytes.Equal(b.body, part) {
			k.t.Errorf("%s: blob %s of manifest %s@%s: %d, %d bytes, %v", when, digestOf(part), i.repository, i.digest(), b.status, len(b.body), b.err)
		}
	}
}

// auditDisk hashes every file that has a digest for a name, and looks for what a
// server tells only its log.
func (k *kept) auditDisk(when string) {
	k.t.Helper()
	for _, dir := range []string{"registry/blobs/sha256", "store/sha256"} {
		err := filepath.WalkDir(filepath.Join(k.data, dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if err == nil && "sha256:"+e.Name() != digestOf(b) {
				k.t.Errorf("%s: %s has other bytes: %d of them", when, path, len(b))
			}
			return err
		})
		if err != nil {
			k.t.Errorf("%s: %v", when, err)
		}
	}
	for line := range strings.Lines(k.log()) {
		if strings.Contains(line, "damaged") && !strings.Contains(line, `"damaged":0`) || strings.Contains(line, "panic") {
			k.t.Errorf("%s: the log says: %s", when, line)
		}
	}
}

// auditLedger has log and journal verified, and the registry asked in every way
// around its gate.
func (k *kept) auditLedger() {
	k.t.Helper()
	k.must("patchfit", "audit", "verify", "--trusted-root", filepath.Join(k.data, "trusted_root.json"))
	for _, i := range k.images {
		if i.state == there {
			k.must("patchfitd", "doctor", k.url, "--probe", i.repository+"@"+i.digest(), "--file", digestOf(i.layer))
			return
		}
	}
}

// some returns one of the images that are there in a repository; nil: none.
func (k *kept) some(random *rand.Rand, repository, mark string) *image {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*image
	for _, i := range k.images {
		if i.state == there && i.repository == repository && bytes.Contains(i.config, []byte(mark)) {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[random.IntN(len(all))]
}
