package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/patchfit/patchfit/registry/api"
)

// Bytes of uploads that are open are in no quota yet: without a limit of their
// own, one principal could fill the disk with what never becomes a blob.

var errPending = errors.New("too many bytes of one principal's uploads are open")

func tooMuchPending(most int64) *api.Error {
	e := api.Errorf(http.StatusTooManyRequests, api.CodeTooMany, "your uploads that are open would have more than %d bytes", most).
		Hint("finish or cancel others, and begin this one again")
	e.RetryAfter = time.Minute
	return e
}

// grow counts bytes that came in for s, unless that were too many. Uploads of
// the same principal that nobody writes to make room, the one that was idle
// longest first; dropped are for the caller to discard.
func (u *uploads) grow(s *session, n int64) (dropped []*session, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sessions[s.id] != s {
		return nil, true // it is over, and takes nothing in
	}
	for u.pending[s.principal]+n > u.limits.OwnPending {
		longest, _ := u.idle(s.principal)
		if longest == nil {
			return dropped, false
		}
		u.remove(longest)
		dropped = append(dropped, longest)
	}
	s.bytes += n
	u.pending[s.principal] += n
	return dropped, true
}

// counted is what comes from r, counted before it is taken in: errPending.
func (w *writer) counted(r io.Reader) io.Reader { return &counted{from: r, writer: w} }

type counted struct {
	from   io.Reader
	writer *writer
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if n <= 0 {
		return n, err
	}
	g := c.writer.exchange.registry
	dropped, ok := g.uploads.grow(c.writer.session, int64(n))
	for _, s := range dropped {
		g.discard(context.Background(), s)
	}
	if !ok {
		return 0, errPending
	}
	return n, err
}
