package doctor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/patchfit/patchfit/registry/spelling"
)

// maxAnswer is how much of an answer is read, in bytes: enough to tell a
// refusal from what was asked for.
const maxAnswer = 1 << 20

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	tls    *tls.ConnectionState
}

// ask sends a request as it is written: nothing is cleaned or followed.
func (d *Doctor) ask(ctx context.Context, c *http.Client, w spelling.Way) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, w.Method, d.server.String(), strings.NewReader(w.Body))
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(w.Target, "?")
	if strings.HasPrefix(path, "//") { // would be read as a host
		path = "//" + d.server.Host + path
	}
	r.URL = &url.URL{Scheme: d.server.Scheme, Host: d.server.Host, Opaque: path, RawQuery: query}
	for k, v := range w.Header {
		r.Header[k] = v
	}
	resp, err := c.Do(r)
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("half an answer: %w", err)
	}
	return &answer{resp.StatusCode, resp.Header, body, resp.TLS}, nil
}

func (a *answer) told() string { return fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)) }

const gateOpen = "stop the server, or whatever stands before it and answers: this is a way around the gate; SECURITY.md says whom to tell"

// judge says whether a is a refusal, and only that.
func (a *answer) judge(what string, s spelling.Subject) Finding {
	fact := a.told()
	for _, name := range []string{"Docker-Content-Digest", "Etag", "Content-Range"} {
		if a.status != http.StatusOK && a.header.Get(name) != "" {
			return Finding{Fail, what, fact + " with the header " + name, gateOpen}
		}
	}
	if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(a.body)); sum == s.Manifest || sum == s.File {
		return Finding{Fail, what, fact + " with the bytes of " + sum, gateOpen}
	}
	switch {
	case a.status/100 == 2:
		return Finding{Fail, what, fmt.Sprintf("%s and %d bytes", fact, len(a.body)), gateOpen}
	case a.status == http.StatusNotModified, a.status == http.StatusRequestedRangeNotSatisfiable:
		return Finding{Fail, what, fact + ": it was answered before it was decided", gateOpen}
	case a.status/100 == 3:
		return Finding{Fail, what, fmt.Sprintf("%s to %.200q", fact, a.header.Get("Location")), "a server sends nobody elsewhere: see what stands before it"}
	case a.status == http.StatusTooManyRequests:
		return Finding{Skip, what, fact, "ask again later"}
	case a.status/100 == 4:
		return Finding{OK, what, fact, ""}
	}
	return Finding{Fail, what, fact, "this is no decision: see the server's log, and ask again"}
}

// wanted is what every answer below /v2/ has.
var wanted = []struct{ header, value string }{
	{"Cache-Control", "private, no-store"},
	{"X-Content-Type-Options", "nosniff"},
}

// look notes which of the headers an answer lacks.
func (d *Doctor) look(what, target string, a *answer) {
	if !strings.HasPrefix(target, "/v2/") {
		return
	}
	d.asked++
	for _, w := range wanted {
		if a.header.Get(w.header) != w.value {
			d.seen[w.header] = append(d.seen[w.header], fmt.Sprintf("%s has %q", what, a.header.Get(w.header)))
		}
	}
}

// headers reports what look noted.
func (d *Doctor) headers() {
	for _, w := range wanted {
		what := "header " + w.header
		if lacking := d.seen[w.header]; len(lacking) > 0 {
			d.note(Fail, what, fmt.Sprintf("%d of %d answers have not %q; %.200s", len(lacking), d.asked, w.value, lacking[0]),
				"see what stands before the server: it must not change headers")
			continue
		}
		d.note(OK, what, fmt.Sprintf("%q on %d answers", w.value, d.asked), "")
	}
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return fmt.Sprintf("%.200s", line)
}
