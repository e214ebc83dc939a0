package registry

import (
	"io"
	"net/http"
	"strings"

	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
)

// An answer is the response to one request. What was refused stays refused:
// where a wrapper has said why, that goes out and not what distribution makes
// of it. What fails inside goes out without its details.
type answer struct {
	http.ResponseWriter
	exchange *exchange // nil: the request was not let in yet
	refusal  *api.Error
	wrote    bool
	muted    bool             // the body distribution writes is not the one that goes out
	warnings []policy.Finding // that ride on the gate's allow
}

// protect sets what holds for everything of a product: it is for the one who
// asked, it is what it says it is, and no page of a browser.
func (a *answer) protect() {
	h := a.Header()
	h["X-Content-Type-Options"], h["Content-Security-Policy"] = noSniffing, noPage
	h["Cache-Control"] = ownOnly // the new one last: a map that is full grows even for what is in it
}

// Values of headers that all answers share: nothing changes them, and adding
// makes another list.
var (
	ownOnly    = []string{"private, no-store"}
	noSniffing = []string{"nosniff"}
	noPage     = []string{"default-src 'none'; sandbox"}
)

// WriteHeader sends the status, or the refusal in its place.
func (a *answer) WriteHeader(status int) {
	switch {
	case a.wrote:
		return
	case a.refusal != nil:
		a.refuse(a.refusal)
		return
	case status >= http.StatusInternalServerError:
		a.refuse(internal())
		return
	}
	a.wrote = true
	a.protect()
	a.warn()
	a.renamed()
	a.ResponseWriter.WriteHeader(status)
}

// warn sends the warnings of an allow.
func (a *answer) warn() {
	for _, w := range a.warnings {
		a.Header().Add("Warning", `299 - "`+inside(w.String())+`"`)
	}
}

// renamed names what was put under a sha512 by that.
func (a *answer) renamed() {
	if a.exchange == nil || a.exchange.sha512 == "" {
		return
	}
	a.Header().Set("Docker-Content-Digest", a.exchange.sha512)
	a.Header().Set("Location", "/v2/"+a.exchange.repository+"/manifests/"+a.exchange.sha512)
}

func (a *answer) Write(p []byte) (int, error) {
	if !a.wrote {
		a.WriteHeader(http.StatusOK)
	}
	if a.muted {
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}

// ReadFrom lets the kernel copy a file to the connection.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	if !a.wrote {
		a.WriteHeader(http.StatusOK)
	}
	if a.muted {
		return io.Copy(io.Discard, r)
	}
	return io.Copy(a.ResponseWriter, r)
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// refuse sends e, if nothing was sent yet. A warning repeats what is no everyday
// answer for clients that asked for the head alone.
func (a *answer) refuse(e *api.Error) {
	if a.wrote {
		return
	}
	a.wrote, a.muted = true, true
	h := a.Header()
	for _, name := range []string{"Etag", "Docker-Content-Digest", "Content-Length", "Content-Range", "Accept-Ranges", "Location", "Range", "OCI-Subject", "OCI-Tag"} {
		h.Del(name)
	}
	a.protect()
	if e.Status == http.StatusForbidden || e.Status >= http.StatusInternalServerError {
		h.Set("Warning", `299 - "`+quoted(e)+`"`)
	}
	api.WriteOCIError(a.ResponseWriter, e)
}

// finish answers where nobody else did.
func (a *answer) finish() {
	if a.wrote {
		return
	}
	if a.refusal == nil {
		a.refusal = internal()
	}
	a.refuse(a.refusal)
}

// quoted returns the text of e as the inside of a quoted string of a header.
func quoted(e *api.Error) string {
	text := e.Message
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return inside(text)
}

func inside(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
}

// internal tells nobody what failed: the log does.
func internal() *api.Error {
	return api.Errorf(http.StatusInternalServerError, api.CodeInternal, "the server could not answer").
		Hint("try again; if it stays so, tell the server's admin")
}
