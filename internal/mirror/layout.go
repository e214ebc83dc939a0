package mirror

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Names in an OCI image layout (OCI image spec v1.1, Image Layout).
const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	blobsDir   = "blobs/sha256"
)

const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`

// files are a layout's files, by path: a directory or a tar file. A name that
// does not exist is fs.ErrNotExist; only regular files are opened.
type files interface {
	open(name string) (io.ReadCloser, int64, error)
	// held returns the sizes of the blobs there are, by the digest they are
	// called by.
	held() (map[attest.Digest]int64, error)
	Close() error
}

func blobName(d attest.Digest) string { return blobsDir + "/" + d.Hex() }

// A Layout is a finished mirror. It is not safe for concurrent use.
type Layout struct {
	files
	Record  *Record
	Entries *Entries // nil where the record names no log
	raw     []byte   // of the record
}

// Open opens the mirror at path: a directory, or a tar file. Only what says
// what the mirror holds is read; blobs are hashed when they are used.
func Open(path string) (*Layout, error) {
	f, err := openFiles(path)
	if err != nil {
		return nil, err
	}
	l, err := open(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

func openFiles(path string) (files, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem(Unfinished, "there is no %s", path).hint("make one: patchfit mirror pull REPOSITORY -o %s", path)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openDir(path)
	}
	return openArchive(path)
}

func open(f files) (*Layout, error) {
	if err := isLayout(f); err != nil {
		return nil, err
	}
	index, err := readFile(f, indexFile, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem(Unfinished, "there is no %s: the copy was not finished", indexFile).hint("run the same patchfit mirror pull again: what is done is not done twice")
	}
	if err != nil {
		return nil, err
	}
	l := &Layout{files: f}
	if err := l.readRecord(index); err != nil {
		return nil, err
	}
	want, err := l.Record.index(l.raw)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(index, want) {
		return nil, problem(Corrupt, "%s does not list what the mirror's record says", indexFile).hint("pull again: it is written anew")
	}
	return l, nil
}

func isLayout(f files) error {
	b, err := readFile(f, layoutFile, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return problem(Unfinished, "there is no %s: this is no mirror", layoutFile)
	}
	if err != nil {
		return err
	}
	var v struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := strictjson.UnmarshalForeign(b, maxManifest, &v); err != nil || v.Version != "1.0.0" {
		return problem(Corrupt, "%s is not that of an OCI image layout 1.0.0", layoutFile)
	}
	return nil
}

// readRecord finds the one mirror record an index lists, and reads it and the
// log entries it names.
func (l *Layout) readRecord(index []byte) error {
	var list indexDoc
	if err := strictjson.UnmarshalForeign(index, maxIndex, &list); err != nil {
		return problem(Corrupt, "%s: %v", indexFile, err)
	}
	i := slices.IndexFunc(list.Manifests, func(e indexEntry) bool { return e.ArtifactType == ArtifactMirror })
	if i < 0 {
		return problem(Unfinished, "%s lists no mirror record: this is another OCI layout", indexFile).hint("name a directory or file of its own for the mirror")
	}
	raw, err := l.read(list.Manifests[i].Descriptor, maxIndex)
	if err != nil {
		return err
	}
	var m manifest
	if err := strictjson.UnmarshalForeign(raw, maxIndex, &m); err != nil || m.Config == nil || m.Config.MediaType != MediaRecord {
		return problem(Corrupt, "the mirror record %s is not one", list.Manifests[i].Digest)
	}
	if l.raw, err = l.read(m.Config.Descriptor, maxRecord); err != nil {
		return err
	}
	if l.Record, err = ParseRecord(l.raw); err != nil {
		return problem(Corrupt, "the mirror record: %v", err)
	}
	return l.readEntries()
}

func (l *Layout) readEntries() error {
	if l.Record.Log == nil {
		return nil
	}
	raw, err := l.read(l.Record.Log.Entries, maxEntries)
	if err != nil {
		return err
	}
	if l.Entries, err = parseEntries(raw); err != nil {
		return problem(Corrupt, "the log entries: %v", err)
	}
	return nil
}

// TrustPolicy returns the envelope of the trust policy the mirror was made
// under. Nothing of it is verified here.
func (l *Layout) TrustPolicy() ([]byte, error) {
	return l.read(l.Record.TrustPolicy, attest.MaxEnvelope)
}

func (l *Layout) manifest(d Descriptor) (*manifest, error) {
	raw, err := l.read(d, maxManifest)
	if err != nil {
		return nil, err
	}
	return parseManifest(raw, d.MediaType)
}

// read returns the bytes of a blob, hashed.
func (l *Layout) read(d Descriptor, limit int64) ([]byte, error) {
	if err := d.check("", "", limit); err != nil {
		return nil, problem(Corrupt, "blob %s: %v", d.Digest, err)
	}
	b, err := readFile(l.files, blobName(d.Digest), d.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(d.Digest)
	}
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != d.Size || attest.DigestOf(b) != d.Digest {
		return nil, damaged(d.Digest)
	}
	return b, nil
}

// check hashes a blob and returns its size.
func check(f files, d attest.Digest, size int64) error {
	r, n, err := f.open(blobName(d))
	if errors.Is(err, fs.ErrNotExist) {
		return missing(d)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if n != size {
		return problem(Corrupt, "blob %s has %d bytes, want %d", d, n, size).hint("pull again: what is damaged is fetched again")
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return fmt.Errorf("reading blob %s: %w", d, err)
	}
	if attest.DigestFromSum(sum.Sum(nil)) != d {
		return damaged(d)
	}
	return nil
}

// readFile reads a file of at most limit bytes.
func readFile(f files, name string, limit int64) ([]byte, error) {
	r, size, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, problem(Corrupt, "%s has %d bytes, want at most %d", name, size, limit)
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return b, nil
}

// A dir is a layout in a directory. Nothing outside it is reached, whatever
// links it holds.
type dir struct{ root *os.Root }

func openDir(path string) (files, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return dir{root}, nil
}

func (d dir) Close() error { return d.root.Close() }

func (d dir) held() (map[attest.Digest]int64, error) {
	all := map[attest.Digest]int64{}
	list, err := fs.ReadDir(d.root.FS(), blobsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	for _, e := range list {
		if name, err := attest.ParseDigest("sha256:" + e.Name()); err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				all[name] = info.Size()
			}
		}
	}
	return all, err
}

func (d dir) open(name string) (io.ReadCloser, int64, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, problem(Unsafe, "%s is no regular file", name)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}
