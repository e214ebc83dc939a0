package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
)

// ingestDir holds what is being fetched: half blobs, by digest, and the lock.
// It goes when the copy is finished.
const ingestDir = "ingest"

// An ingest writes a layout into a directory. A blob is in its place only whole
// and with its digest; index.json is written last.
type ingest struct {
	dir
	path string
	lock *os.File
	seed files                  // an older mirror to take blobs from; may be nil
	sure map[attest.Digest]bool // blobs hashed in this run
}

// newIngest opens path for writing and makes what is not there. Two copies
// into one place at once are refused.
func newIngest(path string) (*ingest, error) {
	if err := os.MkdirAll(filepath.Join(path, ingestDir), 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	in := &ingest{dir: dir{root}, path: path, sure: map[attest.Digest]bool{}}
	if err := in.prepare(); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

func (in *ingest) prepare() error {
	lock, err := in.root.OpenFile(ingestDir+"/lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	in.lock = lock
	if err := alone(lock, in.path); err != nil {
		return err
	}
	if err := in.root.MkdirAll(blobsDir, 0o755); err != nil {
		return err
	}
	if _, err := in.root.Lstat(layoutFile); errors.Is(err, fs.ErrNotExist) {
		return in.write(layoutFile, []byte(layoutVersion))
	}
	return isLayout(in)
}

// alone refuses a second copy into one place at once. It holds until the lock
// is closed.
func alone(lock *os.File, place string) error {
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another copy into %s is running", place)
	}
	return nil
}

func (in *ingest) Close() error {
	err := in.dir.Close()
	if in.lock != nil {
		err = errors.Join(err, in.lock.Close())
	}
	if in.seed != nil {
		err = errors.Join(err, in.seed.Close())
	}
	return err
}

// write makes a file, whole and durable.
func (in *ingest) write(name string, b []byte) error {
	const temporary = ingestDir + "/file"
	f, err := in.root.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := in.root.Rename(temporary, name); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Join(in.path, filepath.Dir(name)))
}

// has reports whether a blob is in its place. What is there is hashed, once in
// a run; what does not have its digest is removed.
func (in *ingest) has(d Descriptor) (bool, error) {
	if in.sure[d.Digest] {
		return true, nil
	}
	err := check(in, d.Digest, d.Size)
	var p *Problem
	switch {
	case err == nil:
		in.sure[d.Digest] = true
		return true, nil
	case errors.As(err, &p) && p.Code == Missing:
		return false, nil
	case errors.As(err, &p):
		return false, in.root.RemoveAll(blobName(d.Digest))
	}
	return false, err
}

// put writes a small blob.
func (in *ingest) put(d Descriptor, b []byte) error {
	if there, err := in.has(d); there || err != nil {
		return err
	}
	if err := in.write(blobName(d.Digest), b); err != nil {
		return err
	}
	in.sure[d.Digest] = true
	return nil
}

// A fetcher opens a blob from an offset on. It may begin earlier, and says
// where it does.
type fetcher func(ctx context.Context, offset int64) (body io.ReadCloser, from int64, err error)

// fetch brings a blob into its place and reports how many bytes came. Half a
// blob of an earlier run is hashed and continued; where that does not end in
// the blob, it is fetched once more from its start.
func (in *ingest) fetch(ctx context.Context, d Descriptor, open fetcher, progress func(done int64)) (int64, error) {
	partial := ingestDir + "/" + d.Digest.Hex()
	var total int64
	for {
		continued, came, err := in.fetchOnce(ctx, partial, d, open, progress)
		total += came
		if err == nil {
			break
		}
		var p *Problem
		if !errors.As(err, &p) {
			return total, fmt.Errorf("blob %s: %w", d.Digest, err)
		}
		gone := in.root.RemoveAll(partial)
		if !continued || gone != nil { // what stays would be the same again
			return total, errors.Join(err, gone)
		}
	}
	if err := in.root.Rename(partial, blobName(d.Digest)); err != nil {
		return total, err
	}
	in.sure[d.Digest] = true
	return total, durable.SyncDir(filepath.Join(in.path, blobsDir))
}

func (in *ingest) fetchOnce(ctx context.Context, partial string, d Descriptor, open fetcher, progress func(int64)) (continued bool, came int64, err error) {
	if info, err := in.root.Lstat(partial); err == nil && !info.Mode().IsRegular() {
		return true, 0, problem(Unsafe, "%s is no regular file", partial) // it goes: a pipe would never end
	}
	f, err := in.root.OpenFile(partial, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	h := &half{file: f, sum: sha256.New(), digest: d.Digest, limit: d.Size, progress: progress}
	continued, came, err = h.fill(ctx, open)
	if err != nil {
		return continued, came, err
	}
	if got := attest.DigestFromSum(h.sum.Sum(nil)); got != d.Digest || h.n != d.Size {
		return continued, came, problem(Corrupt, "asked for blob %s of %d bytes, the source sent %s of %d", d.Digest, d.Size, got, h.n).
			hint("run it again; if it is the same, the source is damaged or lies")
	}
	return continued, came, f.Sync()
}

// A half is a blob that is being written.
type half struct {
	file     *os.File
	sum      hash.Hash
	digest   attest.Digest
	n, limit int64
	progress func(int64)
}

// fill hashes what is there already and adds the rest.
func (h *half) fill(ctx context.Context, open fetcher) (continued bool, came int64, err error) {
	have, err := io.Copy(h.sum, io.LimitReader(h.file, h.limit))
	if err != nil {
		return false, 0, err
	}
	if h.n = have; have == h.limit && have > 0 {
		return true, 0, h.file.Truncate(have)
	}
	body, from, err := open(ctx, have)
	if err != nil {
		return false, 0, err
	}
	defer body.Close()
	if from != have {
		if err := h.restart(from); err != nil {
			return true, 0, err
		}
	}
	came, err = io.Copy(h, io.LimitReader(&patient{ctx, body}, h.limit-h.n+1))
	return from > 0, came, err
}

// restart begins anew where the source did not go on.
func (h *half) restart(from int64) error {
	if from != 0 {
		return problem(Corrupt, "blob %s: asked for bytes from %d on, the source sends from %d on", h.digest, h.n, from)
	}
	h.sum.Reset()
	h.n = 0
	_, err := h.file.Seek(0, io.SeekStart)
	return errors.Join(err, h.file.Truncate(0))
}

func (h *half) Write(b []byte) (int, error) {
	if h.n+int64(len(b)) > h.limit {
		return 0, problem(Corrupt, "blob %s: the source sends more than the %d bytes it said", h.digest, h.limit).hint("the source is damaged or lies")
	}
	n, err := h.file.Write(b)
	h.sum.Write(b[:n])
	h.n += int64(n)
	if h.progress != nil {
		h.progress(h.n)
	}
	return n, err
}

// A patient reader ends when its context does.
type patient struct {
	ctx context.Context
	r   io.Reader
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// finish makes the layout one: index.json, then nothing of the way here, nor
// blobs that no record names any more.
func (in *ingest) finish(index []byte, keep map[attest.Digest]bool) error {
	if err := in.write(indexFile, index); err != nil {
		return err
	}
	if err := in.root.RemoveAll(ingestDir); err != nil {
		return err
	}
	list, err := fs.ReadDir(in.root.FS(), blobsDir)
	if err != nil {
		return err
	}
	for _, e := range list {
		d, err := attest.ParseDigest("sha256:" + e.Name())
		if err == nil && keep[d] {
			continue
		}
		if err := in.root.RemoveAll(blobsDir + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}
