package registry

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	v2 "github.com/distribution/distribution/v3/registry/api/v2"

	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/state"
)

// conditions are the headers that make a read more than a plain one.
var conditions = []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}

// quick answers a plain read of what is there and may be had, as distribution
// would, byte for byte, without the way through it. It asks the same exchange
// the same questions. All else, every refusal too, is left to distribution:
// there is one who says no.
//
// It is what a server does most, so it makes little garbage: what was found out
// on the way is not asked again, and values of headers are shared.
func (x *exchange) quick(r *http.Request) bool {
	if x.action != read || x.digest == "" || r.URL.RawQuery != "" || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
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
	m, err := x.readable(r.Context(), x.digest)
	if err != nil {
		return x.leave()
	}
	mediaType, ok := manifestTypes[m.MediaType]
	if accept := r.Header["Accept"]; !ok || !acceptsAll(accept) && !accepts(accept, m.MediaType) {
		return x.leave()
	}
	b, err := x.registry.bodies.get(r.Context(), x.digest)
	if err != nil {
		return x.leave()
	}
	h := x.answer.Header()
	h["Docker-Content-Digest"], h["Etag"] = b.digest, b.etag
	x.head(mediaType)
	if len(b.bytes) >= short {
		h["Content-Length"] = b.length
	}
	x.body(b.bytes)
	return true
}

// short is how many bytes net/http counts by itself. What a short body goes out
// with is eight headers then, as many as a map holds before it grows: they are
// put into one, and copied to another.
const short = 2 << 10

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
	if x.mayReadBlob(r.Context(), x.digest) != nil {
		return x.leave()
	}
	if _, ok := x.registry.State.Blob(x.repository, x.digest); !ok {
		return x.leave()
	}
	if b, ok := x.registry.Content.Small(r.Context(), x.digest); ok {
		x.smallBlob(b)
		return true
	}
	return x.storedBlob(r)
}

// storedBlob answers with a blob that is not in memory yet, or never will be.
func (x *exchange) storedBlob(r *http.Request) bool {
	b, err := x.registry.Content.Open(r.Context(), x.digest)
	if err != nil {
		return x.leave()
	}
	defer b.Close()
	switch {
	case b.Bytes != nil:
		x.smallBlob(b.Bytes)
	case r.Method == http.MethodHead:
		x.blobHead(b.Size)
		x.answer.WriteHeader(http.StatusOK)
	default:
		x.largeBlob(r, b)
	}
	return true
}

func (x *exchange) smallBlob(b []byte) {
	x.blobHead(int64(len(b)))
	x.body(b)
}

// largeBlob leaves ranges and lengths to net/http; a kernel sends the file.
func (x *exchange) largeBlob(r *http.Request, b content.Blob) {
	h := x.answer.Header()
	h["Docker-Distribution-Api-Version"] = apiVersion
	blobHeader(h, x.reference)
	http.ServeContent(x.answer, r, "", time.Time{}, b.ReadSeekCloser)
}

// Values of headers that answers share: nothing changes them.
var (
	apiVersion    = []string{"registry/2.0"} // what distribution says it is
	octets        = []string{mediaOctets}
	attached      = []string{"attachment"}
	inBytes       = []string{"bytes"}
	manifestTypes = map[string][]string{state.MediaManifest: {state.MediaManifest}, state.MediaIndex: {state.MediaIndex}}
)

// blobHead sets the head of an answer with a whole blob.
func (x *exchange) blobHead(size int64) {
	named := []string{x.reference, `"` + x.reference + `"`, strconv.FormatInt(size, 10)}
	h := x.answer.Header()
	h["Docker-Content-Digest"], h["Etag"] = named[:1:1], named[1:2:2]
	h["Content-Disposition"], h["Accept-Ranges"] = attached, inBytes
	h["Content-Length"] = named[2:]
	x.head(octets)
}

// head sets what every answer of distribution has.
func (x *exchange) head(mediaType []string) {
	h := x.answer.Header()
	h["Docker-Distribution-Api-Version"], h["Content-Type"] = apiVersion, mediaType
}

// body answers with b. Of what answers a HEAD, net/http counts the body and
// sends none of it.
func (x *exchange) body(b []byte) {
	x.answer.WriteHeader(http.StatusOK)
	_, _ = x.answer.Write(b) // the client is gone: there is nobody to tell
}

var _ io.ReaderFrom = (*answer)(nil) // or no kernel sends anything
