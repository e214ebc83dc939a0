package meter

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A route is the class of what is asked for.
type route int

const (
	routeOther route = iota
	routePing
	routeManifest
	routeBlob
	routeUpload
	routeTags
	routeReferrers
	routeCatalog
	routeToken
	routeAPI
	routeAudit
	routeLog
	routeTimestamp
	routeMaterial
	routeReady
	numRoutes
)

var routeNames = [numRoutes]string{
	"other", "ping", "manifest", "blob", "upload", "tags", "referrers", "catalog",
	"token", "api", "audit", "log", "timestamp", "material", "ready",
}

// routeOf finds the class of a path. It is for counting: what a request may is
// decided elsewhere.
func routeOf(path string) route {
	if rest, ok := strings.CutPrefix(path, "/v2/"); ok {
		return routeBelow(rest)
	}
	switch {
	case path == "/v2":
		return routePing
	case path == "/token":
		return routeToken
	case strings.HasPrefix(path, "/v1/audit/"):
		return routeAudit
	case strings.HasPrefix(path, "/v1/"):
		return routeAPI
	case path == "/api/v1/timestamp":
		return routeTimestamp
	case strings.HasPrefix(path, "/api/v2/"):
		return routeLog
	case path == "/trusted_root.json" || path == "/signing_config.json":
		return routeMaterial
	case path == "/readyz":
		return routeReady
	}
	return routeOther
}

// routeBelow finds the class of what is below /v2/ by the end of the path: a
// repository may be called anything.
func routeBelow(rest string) route {
	switch {
	case rest == "":
		return routePing
	case rest == "_catalog":
		return routeCatalog
	case strings.HasSuffix(rest, "/tags/list"):
		return routeTags
	case strings.HasSuffix(rest, "/blobs/uploads/"):
		return routeUpload
	}
	rest, _ = cutLast(rest)
	before, kind := cutLast(rest)
	switch kind {
	case "manifests":
		return routeManifest
	case "referrers":
		return routeReferrers
	case "blobs":
		return routeBlob
	case "uploads":
		if strings.HasSuffix(before, "/blobs") {
			return routeUpload
		}
	}
	return routeOther
}

func cutLast(path string) (before, last string) {
	at := strings.LastIndexByte(path, '/')
	return path[:max(at, 0)], path[at+1:]
}

const (
	leastCode = 100
	mostCode  = 599
)

// codes count answers by their status.
type codes struct {
	byCode  [mostCode - leastCode + 1]atomic.Uint64
	aborted atomic.Uint64 // the connection was broken off
}

// Requests counts what next answers, and times it.
func (m *Meter) Requests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answers.Get().(*answer)
		a.ResponseWriter, a.code, a.whole = w, 0, false
		defer m.answered(a, routeOf(r.URL.Path), time.Now())
		next.ServeHTTP(a, r)
		a.whole = true
	})
}

func (m *Meter) answered(a *answer, r route, began time.Time) {
	m.durations[r].Observe(time.Since(began).Seconds())
	if a.code == 0 {
		a.code = http.StatusOK // as the server has it
	}
	if c := &m.requests[r]; !a.whole || a.code < leastCode || a.code > mostCode {
		c.aborted.Add(1)
	} else {
		c.byCode[a.code-leastCode].Add(1)
	}
	a.ResponseWriter = nil
	answers.Put(a)
}

// answers are used again: none outlives its request.
var answers = sync.Pool{New: func() any { return new(answer) }}

// An answer remembers its status.
type answer struct {
	http.ResponseWriter
	code  int
	whole bool // the handler came to its end
}

// WriteHeader sends the status. Those below 200 are not the answer yet.
func (a *answer) WriteHeader(code int) {
	if a.code == 0 && code >= http.StatusOK {
		a.code = code
	}
	a.ResponseWriter.WriteHeader(code)
}

// ReadFrom lets the kernel copy a file to the connection.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := a.ResponseWriter.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(writerOnly{a.ResponseWriter}, r)
}

// Flush sends what is buffered.
func (a *answer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// writerOnly hides ReadFrom.
type writerOnly struct{ io.Writer }
