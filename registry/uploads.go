package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/distribution/distribution/v3"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

// Limits of uploads.
const (
	MaxBlob       = 10 << 30 // bytes of one blob
	MaxUploads    = 256      // open at once
	MaxOwnUploads = 16       // of one principal
	UploadTTL     = time.Hour
)

// uploads are the sessions that are open, in memory: none outlives the
// process, and each belongs to whoever began it.
type uploads struct {
	mu       sync.Mutex
	sessions map[string]*session
}

type session struct {
	id, repository, principal string
	started                   time.Time
	busy                      bool // a request writes to it
}

func newUploads() *uploads { return &uploads{sessions: make(map[string]*session)} }

// begin notes a new session, busy until it is released.
func (u *uploads) begin(s *session) *api.Error {
	u.mu.Lock()
	defer u.mu.Unlock()
	own := 0
	for _, other := range u.sessions {
		if other.principal == s.principal {
			own++
		}
	}
	if own >= MaxOwnUploads || len(u.sessions) >= MaxUploads {
		e := api.Errorf(http.StatusTooManyRequests, api.CodeTooMany, "too many uploads are open").Hint("finish or cancel one")
		e.RetryAfter = time.Minute
		return e
	}
	s.busy = true
	u.sessions[s.id] = s
	return nil
}

// take returns the session with this id for the principal who began it there,
// busy until it is released. To anybody else it does not exist.
func (u *uploads) take(id, repository, principal string) (*session, *api.Error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.sessions[id]
	switch {
	case s == nil || s.repository != repository || s.principal != principal || time.Since(s.started) >= UploadTTL:
		return nil, api.Errorf(http.StatusNotFound, codeNoUpload, "there is no such upload").Hint("begin a new one")
	case s.busy:
		return nil, api.Errorf(http.StatusConflict, codeUpload, "another request is writing to this upload").Hint("wait for it")
	}
	s.busy = true
	return s, nil
}

func (u *uploads) release(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.busy = false
}

func (u *uploads) end(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.sessions, s.id)
}

// over takes the sessions out that are too old and that nobody writes to.
func (u *uploads) over(now time.Time) []*session {
	u.mu.Lock()
	defer u.mu.Unlock()
	var old []*session
	for id, s := range u.sessions {
		if !s.busy && now.Sub(s.started) >= UploadTTL {
			old = append(old, s)
			delete(u.sessions, id)
		}
	}
	return old
}

// Create begins an upload. Whatever should be mounted is not: every repository
// is gated, and a plain upload is an answer that the specification allows.
func (s *blobs) Create(ctx context.Context, _ ...distribution.BlobCreateOption) (distribution.BlobWriter, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := x.must(push, s.name); err != nil {
		return nil, err
	}
	for _, old := range s.registry.uploads.over(time.Now()) {
		s.registry.discard(ctx, old)
	}
	inner, err := s.stored.Create(ctx)
	if err != nil {
		return nil, x.refuseFor(fmt.Errorf("beginning an upload: %w", err))
	}
	up := &session{id: inner.ID(), repository: s.name, principal: x.principal.ID, started: time.Now()}
	if e := s.registry.uploads.begin(up); e != nil {
		err := x.refuse(e)
		s.registry.discard(ctx, up)
		return nil, errors.Join(err, inner.Close())
	}
	return s.writer(x, up, inner), nil
}

// Resume goes on with an upload of the same principal.
func (s *blobs) Resume(ctx context.Context, id string) (distribution.BlobWriter, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := x.must(push, s.name); err != nil {
		return nil, err
	}
	up, e := s.registry.uploads.take(id, s.name, x.principal.ID)
	if e != nil {
		return nil, x.refuse(e)
	}
	inner, err := s.stored.Resume(ctx, id)
	if err != nil {
		s.registry.uploads.release(up)
		return nil, x.refuseFor(fmt.Errorf("going on with an upload: %w", err))
	}
	return s.writer(x, up, inner), nil
}

func (s *blobs) writer(x *exchange, up *session, inner distribution.BlobWriter) *writer {
	x.cleanup = append(x.cleanup, func() { s.registry.uploads.release(up) })
	return &writer{exchange: x, session: up, inner: inner}
}

// writer is one upload during one request.
type writer struct {
	exchange *exchange
	session  *session
	inner    distribution.BlobWriter
	over     bool // committed or cancelled: closing again would write its files anew
}

var _ distribution.BlobWriter = (*writer)(nil)

func (w *writer) ID() string           { return w.inner.ID() }
func (w *writer) Size() int64          { return w.inner.Size() }
func (w *writer) StartedAt() time.Time { return w.inner.StartedAt() }

// Close ends the request's part of an upload.
func (w *writer) Close() error {
	if w.over {
		return nil
	}
	return w.inner.Close()
}

func (w *writer) Write(p []byte) (int, error) {
	if w.Size()+int64(len(p)) > MaxBlob {
		return 0, w.tooLarge()
	}
	return w.inner.Write(p)
}

// ReadFrom takes bytes until there are more than a blob may have.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	room := MaxBlob - w.Size()
	n, err := w.inner.ReadFrom(io.LimitReader(r, room+1))
	if err == nil && n > room {
		err = w.tooLarge()
	}
	return n, err
}

func (w *writer) tooLarge() error {
	return w.exchange.refuse(api.Errorf(http.StatusRequestEntityTooLarge, codeSize, "a blob has at most %d bytes", int64(MaxBlob)))
}

// Commit ends an upload. A blob that is there already is kept, unless it is
// damaged: then this is its repair. When Commit returns nil the blob survives a
// power cut.
func (w *writer) Commit(ctx context.Context, desc v1.Descriptor) (v1.Descriptor, error) {
	g, d := w.exchange.registry, attest.Digest(desc.Digest)
	if w.Size() > MaxBlob {
		return v1.Descriptor{}, w.tooLarge()
	}
	if err := g.makeRoom(d); err != nil {
		return v1.Descriptor{}, w.exchange.refuseFor(err)
	}
	committed, err := w.inner.Commit(ctx, desc)
	if err != nil {
		return v1.Descriptor{}, err // distribution knows what to make of its own
	}
	w.over = true
	g.uploads.end(w.session)
	if err := g.files.persist(d); err != nil {
		return v1.Descriptor{}, w.exchange.refuseFor(err)
	}
	return committed, nil
}

// Cancel ends an upload and removes what came in.
func (w *writer) Cancel(ctx context.Context) error {
	g := w.exchange.registry
	w.over = true
	g.uploads.end(w.session)
	if err := w.inner.Cancel(ctx); err != nil {
		g.discard(ctx, w.session) // after a failed Commit the inner writer is closed and can remove nothing
	}
	return nil
}

// discard removes the files of an upload.
func (g *Registry) discard(ctx context.Context, s *session) {
	err := g.driver.Delete(ctx, path.Join(uploadsPath(s.repository), s.id))
	if err != nil && !errors.As(err, new(storagedriver.PathNotFoundError)) {
		g.Logger.Error("files of an upload are left over", "repository", s.repository, "upload", s.id, "error", err)
	}
}

// removeUploads removes what an earlier process left of its uploads.
func (g *Registry) removeUploads() error {
	for _, repository := range g.State.Repositories() {
		err := g.driver.Delete(context.Background(), uploadsPath(repository))
		if err != nil && !errors.As(err, new(storagedriver.PathNotFoundError)) {
			return fmt.Errorf("removing unfinished uploads: %w", err)
		}
	}
	return nil
}

func uploadsPath(repository string) string {
	return path.Join("/docker/registry/v2/repositories", repository, "_uploads")
}
