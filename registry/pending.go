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
// own, one principal could fill the disk with what never becomes a blob, and
// without one of all of them, many could together.

var (
	errPending    = errors.New("too many bytes of one principal's uploads are open")
	errAllPending = errors.New("too many bytes of uploads are open")
)

// allPending is for bytes that the uploads of everybody leave no room for.
func allPending(most int64) *api.Error {
	e := api.Errorf(http.StatusInsufficientStorage, codeFull, "all uploads that are open would have more than %d bytes", most).
		Hint("begin again when others are finished; downloads and revocations go on")
	e.RetryAfter = time.Minute
	return e
}

func tooMuchPending(most int64) *api.Error {
	e := api.Errorf(http.StatusTooManyRequests, api.CodeTooMany, "your uploads that are open would have more than %d bytes", most).
		Hint("finish or cancel others, and begin this one again")
	e.RetryAfter = time.Minute
	return e
}

// grow counts bytes that came in for s, unless that were too many: for the
// principal (errPending) or for all together (errAllPending). Uploads of the
// same principal that nobody writes to make room, the one that was idle longest
// first; dropped are for the caller to discard. Nobody loses an upload to
// somebody else.
func (u *uploads) grow(s *session, n int64) (dropped []*session, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sessions[s.id] != s {
		return nil, nil // it is over, and takes nothing in
	}
	for {
		switch {
		case u.pending[s.principal]+n > u.limits.OwnPending:
			err = errPending
		case u.all+n > u.limits.Pending:
			err = errAllPending
		default:
			s.bytes += n
			u.pending[s.principal] += n
			u.all += n
			return dropped, nil
		}
		longest, _ := u.idle(s.principal)
		if longest == nil {
			return dropped, err
		}
		u.remove(longest)
		dropped = append(dropped, longest)
	}
}

// counted is what comes from r, counted before it is taken in: errPending,
// errAllPending.
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
	dropped, tooMuch := g.uploads.grow(c.writer.session, int64(n))
	for _, s := range dropped {
		g.discard(context.Background(), s)
	}
	if tooMuch != nil {
		return 0, tooMuch
	}
	return n, err
}
