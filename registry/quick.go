package registry

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	v2 "github.com/distribution/distribution/v3/registry/api/v2"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/state"
)

// conditions are the headers that make a read more than a plain one.
var conditions = []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}

// quick answers a plain read of what is there and may be had, as distribution
// would, byte for byte, without the way through it. It asks the same exchange
// the same questions. All else, every refusal too, is left to distribution:
// there is one who says no.
func (x *exchange) quick(r *http.Request) bool {
	if x.action != read || r.URL.RawQuery != "" || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		return false
	}
	for _, name := range conditions {
		if r.Header[name] != nil {
			return false
		}
	}
	switch x.route {
	case v2.RouteNameManifest:
		return x.quickManifest(r)
	case v2.RouteNameBlob:
		return x.quickBlob(r)
	}
	return false
}

// leave leaves a request to distribution, with the decision it was told.
func (x *exchange) leave() bool {
	x.answer.refusal = nil
	return false
}

func (x *exchange) quickManifest(r *http.Request) bool {
	d, err := attest.ParseDigest(x.reference)
	if err != nil {
		var ok bool
		if d, ok = x.registry.State.Tag(x.repository, x.reference); !ok || x.registry.State.Named(x.repository, x.reference) != "" {
			return false
		}
	}
	if x.mayRead(r.Context(), d) != nil {
		return x.leave()
	}
	m, ok := x.registry.State.Manifest(x.repository, d)
	if !ok || (m.MediaType != state.MediaManifest && m.MediaType != state.MediaIndex) || !acceptsAll(r.Header["Accept"]) && !accepts(r.Header["Accept"], m.MediaType) {
		return x.leave()
	}
	raw, err := x.registry.bodies.get(d)
	if err != nil {
		return x.leave()
	}
	h := x.answer.Header()
	h["Docker-Content-Digest"] = []string{string(d)}
	h["Etag"] = []string{`"` + string(d) + `"`}
	x.sendBytes(r, m.MediaType, raw)
	return true
}

// accepts reports whether one of the media ranges is just this type.
func accepts(headers []string, mediaType string) bool {
	for _, header := range headers {
		for header != "" {
			var one string
			one, header, _ = strings.Cut(header, ",")
			one, _, _ = strings.Cut(one, ";")
			if strings.TrimSpace(one) == mediaType {
				return true
			}
		}
	}
	return false
}

func (x *exchange) quickBlob(r *http.Request) bool {
	d, err := attest.ParseDigest(x.reference)
	if err != nil {
		return false
	}
	if x.mayReadBlob(r.Context(), d) != nil {
		return x.leave()
	}
	if _, ok := x.registry.State.Blob(x.repository, d); !ok {
		return x.leave()
	}
	b, err := x.registry.Content.Open(r.Context(), d)
	if err != nil {
		return x.leave()
	}
	defer b.Close()
	blobHeader(x.answer.Header(), string(d))
	x.answer.Header()["Accept-Ranges"] = []string{"bytes"}
	if b.Bytes != nil {
		x.sendBytes(r, mediaOctets, b.Bytes)
		return true
	}
	x.sendBlob(r, b)
	return true
}

const apiVersion = "registry/2.0" // what distribution says it is

// head sets what every answer of distribution has.
func (x *exchange) head(mediaType string, size int64) {
	h := x.answer.Header()
	h["Docker-Distribution-Api-Version"] = []string{apiVersion}
	h["Content-Type"] = []string{mediaType}
	h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
}

func (x *exchange) sendBytes(r *http.Request, mediaType string, b []byte) {
	x.head(mediaType, int64(len(b)))
	x.answer.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = x.answer.Write(b) // the client is gone: there is nobody to tell
	}
}

func (x *exchange) sendBlob(r *http.Request, b content.Blob) {
	if r.Method == http.MethodGet {
		// Ranges and lengths as in any other answer; a kernel sends the file.
		x.answer.Header()["Docker-Distribution-Api-Version"] = []string{apiVersion}
		http.ServeContent(x.answer, r, "", time.Time{}, b.ReadSeekCloser)
		return
	}
	x.head(mediaOctets, b.Size)
	x.answer.WriteHeader(http.StatusOK)
}

var _ io.ReaderFrom = (*answer)(nil) // or no kernel sends anything
