package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxManifest   = 4 << 20
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	emptyDigest   = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}
)

// A descriptor is the part of an OCI descriptor that is needed here.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// A manifest is the part of an OCI manifest or index that is needed here.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitzero"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitzero"`
	Manifests     []descriptor      `json:"manifests,omitempty"`
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// fill writes bytes that do not compress, the same for the same seed.
func fill(b []byte, seed string) {
	h := fnv.New64a()
	h.Write([]byte(seed))
	random := rand.New(rand.NewPCG(h.Sum64(), 0))
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], random.Uint64())
	}
}

// elfHeader is that of a 64-bit shared library for x86-64 without sections
// (System V ABI, ELF Header).
func elfHeader() []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01") // 64 bits, little-endian, version 1
	put := binary.LittleEndian.PutUint16
	put(b[16:], 3)  // ET_DYN
	put(b[18:], 62) // EM_X86_64
	b[20] = 1       // EV_CURRENT
	put(b[52:], 64) // size of this header
	put(b[54:], 56) // of a program header
	put(b[58:], 64) // of a section header
	return b
}

// An endpoint is one repository of a server, as someone sees it.
type endpoint struct {
	server *server
	role   string
	repo   string
}

// do sends a request and returns an answer of the wanted status.
func (e endpoint) do(ctx context.Context, method, path string, want int, body io.Reader, size int64, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.server.address+path, body)
	if err != nil {
		return nil, err
	}
	if req.Header, err = e.server.headers(ctx, e.role); err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if req.ContentLength = size; size == 0 {
		req.Body = http.NoBody
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		said, err := io.ReadAll(io.LimitReader(resp.Body, maxSaid))
		return nil, errors.Join(fmt.Errorf("%s: %s %s: status %d, want %d: %s", e.server.name, method, path, resp.StatusCode, want, said), err, resp.Body.Close())
	}
	return resp, nil
}

func accepted() http.Header {
	return http.Header{"Accept": {mediaManifest + ", " + mediaIndex + ", */*"}}
}

// get returns the body of a page of the repository.
func (e endpoint) get(ctx context.Context, page string) ([]byte, error) {
	resp, err := e.do(ctx, http.MethodGet, e.path(page), http.StatusOK, nil, 0, accepted())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func (e endpoint) path(page string) string { return "/v2/" + e.repo + "/" + page }

// putBlob pushes a blob in two requests.
func (e endpoint) putBlob(ctx context.Context, digest string, body io.Reader, size int64) error {
	resp, err := e.do(ctx, http.MethodPost, e.path("blobs/uploads/"), http.StatusAccepted, nil, 0, nil)
	if err != nil {
		return err
	}
	path, err := uploadPath(resp.Header.Get("Location"), digest)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	resp, err = e.do(ctx, http.MethodPut, path, http.StatusCreated, body, size, http.Header{"Content-Type": {"application/octet-stream"}})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// uploadPath is where a blob goes that an upload was begun for.
func uploadPath(location, digest string) (string, error) {
	u, err := url.Parse(location)
	if err != nil || u.Path == "" {
		return "", fmt.Errorf("an upload has no place: %q: %w", location, err)
	}
	q := u.Query()
	q.Set("digest", digest)
	u.RawQuery = q.Encode()
	return u.RequestURI(), nil
}

func (e endpoint) putManifest(ctx context.Context, reference, mediaType string, raw []byte) error {
	resp, err := e.do(ctx, http.MethodPut, e.path("manifests/"+reference), http.StatusCreated, bytes.NewReader(raw), int64(len(raw)), http.Header{"Content-Type": {mediaType}})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// A stock is the content of a repository, kept in files.
type stock struct {
	dir       string
	manifests []stocked
	seen      map[string]bool
}

type stocked struct {
	descriptor
	reference string // a tag where it has one
}

// collect takes a repository's tagged manifests, whatever refers to them, and
// all their blobs.
func collect(ctx context.Context, from endpoint, dir string, tags []string) (*stock, error) {
	s := &stock{dir: dir, seen: map[string]bool{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, tag := range tags {
		if err := s.manifest(ctx, from, tag); err != nil {
			return nil, err
		}
	}
	for i := 0; i < len(s.manifests); i++ { // it grows
		b, err := from.get(ctx, "referrers/"+s.manifests[i].Digest)
		if err != nil {
			return nil, err
		}
		var list manifest
		if err := json.Unmarshal(b, &list); err != nil {
			return nil, err
		}
		for _, d := range list.Manifests {
			if err := s.manifest(ctx, from, d.Digest); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *stock) file(digest string) string {
	return filepath.Join(s.dir, strings.TrimPrefix(digest, "sha256:"))
}

func (s *stock) manifest(ctx context.Context, from endpoint, reference string) error {
	b, err := from.get(ctx, "manifests/"+reference)
	if err != nil {
		return err
	}
	d := digestOf(b)
	if s.seen[d] {
		return nil
	}
	s.seen[d] = true
	var m manifest
	if err := errors.Join(json.Unmarshal(b, &m), os.WriteFile(s.file(d), b, 0o644)); err != nil {
		return err
	}
	s.manifests = append(s.manifests, stocked{descriptor{m.MediaType, d, int64(len(b))}, reference})
	for _, blob := range append(m.Layers, m.Config) {
		if blob.Digest == "" || s.seen[blob.Digest] { // an index has neither
			continue
		}
		s.seen[blob.Digest] = true
		b, err := from.get(ctx, "blobs/"+blob.Digest)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.file(blob.Digest), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// tagged returns the digest of the manifest that was taken by a tag, and of
// its first layer.
func (s *stock) tagged(tag string) (digest, layer string, err error) {
	for _, m := range s.manifests {
		if m.reference != tag {
			continue
		}
		b, err := os.ReadFile(s.file(m.Digest))
		if err != nil {
			return "", "", err
		}
		var parsed manifest
		if err := json.Unmarshal(b, &parsed); err != nil || len(parsed.Layers) == 0 {
			return "", "", fmt.Errorf("manifest %s has no layer: %w", tag, err)
		}
		return m.Digest, parsed.Layers[0].Digest, nil
	}
	return "", "", fmt.Errorf("nothing is tagged %s", tag)
}

// push puts the stock into another repository.
func (s *stock) push(ctx context.Context, to endpoint) error {
	isManifest := map[string]bool{}
	for _, m := range s.manifests {
		isManifest[m.Digest] = true
	}
	for d := range s.seen {
		if isManifest[d] {
			continue
		}
		if err := s.pushBlob(ctx, to, d); err != nil {
			return err
		}
	}
	for _, m := range s.manifests {
		b, err := os.ReadFile(s.file(m.Digest))
		if err != nil {
			return err
		}
		if err := to.putManifest(ctx, m.reference, m.MediaType, b); err != nil {
			return err
		}
	}
	return nil
}

func (s *stock) pushBlob(ctx context.Context, to endpoint, d string) error {
	f, err := os.Open(s.file(d))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return to.putBlob(ctx, d, f, info.Size())
}
