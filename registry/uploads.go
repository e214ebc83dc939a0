package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/content"
)

// uploads are the sessions that are open, in memory: none outlives the
// process, and each belongs to whoever began it.
type uploads struct {
	limits   Limits
	mu       sync.Mutex
	sessions map[string]*session
	pending  map[string]int64 // bytes of sessions, by principal
	all      int64            // of all of them
}

type session struct {
	id, repository, principal string
	started                   time.Time
	upload                    *content.Upload
	busy                      bool      // a request writes to it
	used                      time.Time // when the last request let go of it
	bytes                     int64     // of pending
}

func newUploads(l Limits) *uploads {
	return &uploads{limits: l, sessions: make(map[string]*session), pending: make(map[string]int64)}
}

// begin notes a new session, busy until it is released. Clients that break off
// cancel nothing, so whoever has as many as they may have loses the one that
// was idle longest; dropped is for the caller to discard.
func (u *uploads) begin(s *session) (dropped *session, e *api.Error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	dropped, own := u.idle(s.principal)
	if own < u.limits.OwnUploads {
		dropped = nil
	}
	if dropped == nil && (own >= u.limits.OwnUploads || len(u.sessions) >= u.limits.Uploads) {
		e := api.Errorf(http.StatusTooManyRequests, api.CodeTooMany, "%d uploads of yours and %d in all are open", own, len(u.sessions)).
			Hint("wait until one is finished")
		e.RetryAfter = time.Minute
		return nil, e
	}
	if dropped != nil {
		u.remove(dropped)
	}
	s.busy = true
	u.sessions[s.id] = s
	return dropped, nil
}

// idle returns the session of a principal that nobody has written to for the
// longest, nil where all are written to, and how many there are. u.mu is held.
func (u *uploads) idle(principal string) (longest *session, own int) {
	for _, s := range u.sessions {
		if s.principal != principal {
			continue
		}
		own++
		if !s.busy && (longest == nil || s.used.Before(longest.used)) {
			longest = s
		}
	}
	return longest, own
}

// remove takes a session out, if it is there. u.mu is held.
func (u *uploads) remove(s *session) {
	if u.sessions[s.id] != s {
		return
	}
	delete(u.sessions, s.id)
	u.all -= s.bytes
	if u.pending[s.principal] -= s.bytes; u.pending[s.principal] == 0 {
		delete(u.pending, s.principal)
	}
}

// take returns the session with this id for the principal who began it there,
// busy until it is released. To anybody else it does not exist.
func (u *uploads) take(id, repository, principal string) (*session, *api.Error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.sessions[id]
	switch {
	case s == nil || s.repository != repository || s.principal != principal || time.Since(s.started) >= u.limits.UploadTTL:
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
	s.busy, s.used = false, time.Now()
}

func (u *uploads) end(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.remove(s)
}

// begin opens an upload session.
func (s *blobs) begin(ctx context.Context, x *exchange) (distribution.BlobWriter, error) {
	s.registry.endOldUploads(ctx)
	upload, err := s.registry.Content.Begin(ctx)
	if err != nil {
		return nil, x.refuseFor(err)
	}
	up := &session{id: uuid.NewString(), repository: s.name, principal: x.principal.ID, started: time.Now(), upload: upload}
	dropped, e := s.registry.uploads.begin(up)
	if e != nil {
		s.registry.discard(ctx, up)
		return nil, x.refuse(e)
	}
	if dropped != nil {
		s.registry.discard(ctx, dropped)
	}
	return s.writer(x, up), nil
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
	return s.writer(x, up), nil
}

func (s *blobs) writer(x *exchange, up *session) *writer {
	x.cleanup = append(x.cleanup, func() { s.registry.rest(up) })
	return &writer{blobs: s, exchange: x, session: up}
}

// rest lets another request write to a session.
func (g *Registry) rest(up *session) {
	if err := up.upload.Rest(); err != nil {
		g.Logger.Error("closing the file of an upload", "repository", up.repository, "upload", up.id, "error", err)
	}
	g.uploads.release(up)
}

// writer is one upload during one request.
type writer struct {
	blobs    *blobs
	exchange *exchange
	session  *session
}

var _ distribution.BlobWriter = (*writer)(nil)

func (w *writer) ID() string           { return w.session.id }
func (w *writer) Size() int64          { return w.session.upload.Size() }
func (w *writer) StartedAt() time.Time { return w.session.started }

// Close ends the request's part of an upload; the exchange does the work.
func (w *writer) Close() error { return nil }

func (w *writer) Write([]byte) (int, error) { return 0, errClosed } // io.Copy uses ReadFrom

// ReadFrom takes bytes until there are more than a blob may have.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	room := w.exchange.maxBlob() - w.Size()
	n, err := w.session.upload.ReadFrom(io.LimitReader(w.counted(r), room+1))
	switch {
	case errors.Is(err, errPending):
		_ = w.Cancel(context.Background()) // its bytes are what there are too many of
		err = w.exchange.refuse(tooMuchPending(w.exchange.registry.uploads.limits.OwnPending))
	case errors.Is(err, errAllPending):
		_ = w.Cancel(context.Background())
		err = w.exchange.refuse(allPending(w.exchange.registry.uploads.limits.Pending))
	case err == nil && n > room:
		_ = w.Cancel(context.Background()) // it never becomes a blob, and holds as much room as the largest
		err = w.exchange.refuse(tooLarge(w.exchange.maxBlob()))
	case errors.Is(err, content.ErrFull):
		_ = w.Cancel(context.Background()) // its bytes are room that others need
		err = w.exchange.refuseFor(err)
	}
	return n, err
}

// Commit ends an upload. Bytes that are there for the digest already are
// replaced: where they were damaged, this is their repair. When Commit returns
// nil the blob is in the repository and survives a power cut. A crash before
// the record leaves bytes that are in no repository.
func (w *writer) Commit(ctx context.Context, desc v1.Descriptor) (v1.Descriptor, error) {
	x, g, up := w.exchange, w.exchange.registry, w.session.upload
	d, err := w.digest(ctx, desc.Digest)
	if err != nil {
		_ = w.Cancel(ctx) // whoever guesses pays with the bytes, each time
		return v1.Descriptor{}, err
	}
	g.linking.RLock()
	defer g.linking.RUnlock()
	release, e := g.claim(x, d, w.Size())
	if e != nil {
		_ = w.Cancel(ctx) // a quota is about room, too
		return v1.Descriptor{}, x.refuse(e)
	}
	defer release()
	if err := up.Commit(ctx, d); err != nil {
		_ = w.Cancel(ctx) // it cannot go on
		return v1.Descriptor{}, x.refuseFor(err)
	}
	g.uploads.end(w.session)
	if err := w.blobs.link(ctx, x, d, w.Size(), alias(desc.Digest)); err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: mediaOctets, Digest: desc.Digest, Size: w.Size()}, nil
}

// digest compares what came in with what it should be by either algorithm.
func (w *writer) digest(ctx context.Context, named digest.Digest) (attest.Digest, error) {
	got, want := w.session.upload.Digest(), string(named)
	claimed := string(got)
	if alias(named) != "" {
		var err error
		if claimed, err = w.session.upload.SHA512(ctx); err != nil {
			return "", w.exchange.refuseFor(err)
		}
	}
	if claimed != want {
		return "", w.exchange.refuse(invalid(codeDigest, "%s came in, want %s", claimed, want).Hint("begin again, with these bytes or with the digest that they have"))
	}
	return got, nil
}

// Cancel ends an upload and removes what came in.
func (w *writer) Cancel(ctx context.Context) error {
	w.exchange.registry.uploads.end(w.session)
	w.exchange.registry.discard(ctx, w.session)
	return nil
}

// discard removes the bytes of an upload.
func (g *Registry) discard(ctx context.Context, s *session) {
	if err := s.upload.Cancel(context.WithoutCancel(ctx)); err != nil {
		g.Logger.Error("bytes of an upload are left over", "repository", s.repository, "upload", s.id, "error", err)
	}
}

// full is for bytes there is no room for. Nothing else is refused then.
func full() *api.Error {
	return api.Errorf(http.StatusInsufficientStorage, codeFull, "the server has no room for more bytes").
		Hint("the server's admin has to make room; downloads and revocations go on")
}
