package pace

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// ErrSlow reports a request whose body came too slowly.
var ErrSlow = errors.New("the body comes too slowly")

// Limits are how slow a client may be. All are above zero.
type Limits struct {
	BodyStall   time.Duration // without a byte of the body
	BodyRate    int64         // bytes a second of the body …
	BodyWindow  time.Duration // … over so much waiting for it
	AnswerStall time.Duration // without taking more of the answer
}

// Steady answers with next, for as long as bytes move: how long an upload or a
// download takes in all is nobody's business. Only waiting for the client
// counts, so that a slow disk of ours ends nothing.
func Steady(next http.Handler, l Limits) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, control: *http.NewResponseController(w), stall: l.AnswerStall, chunk: leastChunk}
		bodied := r.Body != nil && r.Body != http.NoBody
		if err := a.begin(r, bodied); err != nil {
			http.Error(w, "this connection cannot be timed", http.StatusInternalServerError)
			return
		}
		defer func() { _ = a.extend() }() // for what is still buffered
		if bodied {
			b := &body{ReadCloser: r.Body, limits: l, deadline: a.control.SetReadDeadline}
			defer b.leave()
			r = r.WithContext(r.Context()) // a copy: the body is ours alone
			r.Body = b
		}
		next.ServeHTTP(a, r)
	})
}

// A body is read for as long as it comes fast enough.
type body struct {
	io.ReadCloser
	limits   Limits
	deadline func(time.Time) error

	waited time.Duration // in this window
	got    int64         // bytes in it
	slow   bool
	ended  bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.slow {
		return 0, ErrSlow
	}
	began := time.Now()
	_ = b.deadline(began.Add(b.patience())) // Steady has set one before: it can be
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(began)
	b.got += int64(n)
	if errors.Is(err, io.EOF) {
		b.ended = true
		return n, err
	}
	if b.waited >= b.limits.BodyWindow {
		if b.got < b.enough() {
			b.slow = true
			_ = b.deadline(time.Now()) // nobody waits for the rest either
			return n, ErrSlow
		}
		b.waited, b.got = 0, 0
	}
	return n, err
}

// patience is how long the next byte may take.
func (b *body) patience() time.Duration {
	if b.got >= b.enough() {
		return b.limits.BodyStall
	}
	return min(b.limits.BodyStall, b.limits.BodyWindow-b.waited)
}

// enough is how many bytes a window needs.
func (b *body) enough() int64 {
	return int64(float64(b.limits.BodyRate) * b.limits.BodyWindow.Seconds())
}

// leave bounds what reading a rest may take, that the handler did not want and
// the server throws away.
func (b *body) leave() {
	if !b.ended && !b.slow {
		_ = b.deadline(time.Now().Add(b.limits.BodyStall))
	}
}

// How much is written under one deadline. A client that took what there was
// within a moment gets more at once, so that fast ones cost few system calls,
// and one that hardly moves is still seen to move.
const (
	leastChunk = 64 << 10
	mostChunk  = 1 << 20
	aMoment    = 100 * time.Millisecond
)

// An answer is written for as long as the client takes it.
type answer struct {
	http.ResponseWriter
	control http.ResponseController
	stall   time.Duration
	chunk   int64
	last    *deadline
}

// A deadline of writing is when the one in effect was set; the zero time: there
// is none, or it is not known.
type deadline struct{ set time.Time }

type deadlineKey struct{}

// Connection is for [http.Server.ConnContext]. It remembers for a connection of
// HTTP/1, whose requests come one after the other, which deadline it has.
func Connection(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, deadlineKey{}, new(deadline))
}

// Forget is for who sets a deadline of writing that is not Steady's, on the
// connection of the request with this context.
func Forget(ctx context.Context) {
	if d, ok := ctx.Value(deadlineKey{}).(*deadline); ok {
		d.set = time.Time{}
	}
}

// begin sees to the deadline that a request before this one may have left on
// the connection. There is none from here on where it may be long until there
// is an answer and something is written before it, and for a stream of HTTP/2,
// which a deadline that passes ends. Else the answer's own time begins.
func (a *answer) begin(r *http.Request, bodied bool) error {
	if r.ProtoMajor == 1 {
		a.last, _ = r.Context().Value(deadlineKey{}).(*deadline)
	}
	if a.last == nil {
		a.last = new(deadline)
	}
	if bodied || r.ProtoMajor != 1 {
		a.last.set = time.Time{}
		return a.control.SetWriteDeadline(time.Time{})
	}
	return a.extend()
}

// timely is the part of a stall in which a deadline is as good as a new one:
// most answers are out long before.
const timely = 64

// extend sees that the client has its time from now on. Once begin has set a
// deadline it does not fail.
func (a *answer) extend() error {
	if time.Since(a.last.set) < a.stall/timely {
		return nil
	}
	a.last.set = time.Now()
	return a.control.SetWriteDeadline(a.last.set.Add(a.stall + a.stall/timely))
}

// WriteHeader sends the status. A final one waits for the body, or for the end:
// only one that tells of others to come goes out now.
func (a *answer) WriteHeader(status int) {
	if status < http.StatusOK {
		_ = a.extend()
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (n int, err error) {
	for {
		part := p[n:min(len(p), n+leastChunk)]
		_ = a.extend()
		m, err := a.ResponseWriter.Write(part)
		if n += m; err != nil || n >= len(p) {
			return n, err
		}
	}
}

// ReadFrom copies src, piece by piece as the server's own writer does it: of a
// file, in the kernel.
func (a *answer) ReadFrom(src io.Reader) (n int64, err error) {
	to, ok := a.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(writerOnly{a}, src)
	}
	if limited, ok := src.(*io.LimitedReader); ok { // as http.ServeContent has it
		return a.limited(to, limited)
	}
	for {
		part := &io.LimitedReader{R: src, N: a.chunk}
		want := part.N
		began := time.Now()
		_ = a.extend()
		m, err := to.ReadFrom(part)
		if n += m; err != nil || m < want {
			return n, err
		}
		a.adapt(time.Since(began))
	}
}

// limited copies src by the way that costs least for so many bytes.
func (a *answer) limited(to io.ReaderFrom, src *io.LimitedReader) (n int64, err error) {
	file, ok := src.R.(*os.File)
	if !ok || src.N >= copyFrom {
		return a.copy(src)
	}
	_ = a.extend()
	n, err = to.ReadFrom(&delivery{file: io.LimitedReader{R: file, N: src.N}, extend: a.extend})
	src.N -= n
	return n, err
}

func (a *answer) adapt(took time.Duration) {
	if took < aMoment {
		a.chunk = min(2*a.chunk, mostChunk)
		return
	}
	a.chunk = leastChunk
}

// Flush sends what is buffered.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is for [http.ResponseController].
func (a *answer) FlushError() error {
	_ = a.extend()
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// writerOnly hides ReadFrom.
type writerOnly struct{ io.Writer }
