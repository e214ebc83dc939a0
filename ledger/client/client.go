// Package client talks to a server's log and timestamp authority: it logs
// envelopes, has signatures timestamped, makes bundles of the answers, and
// reads a whole log to verify it.
//
// It believes nothing it is told. Entries are checked to be the ones asked for
// and to be in the tree they name, timestamps to be of the signature sent. Who
// signed tree and timestamp is for package verify, or [Client.VerifyLog], which
// have the trusted keys.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
)

// What a server may say to a request, for errors.Is. Every error of a request
// that was answered is an [*Error] besides.
var (
	// ErrStranger: the key may not write to the log.
	ErrStranger = errors.New("key is not known to the log")
	// ErrUnavailable: the server takes no requests just now.
	ErrUnavailable = errors.New("server is not available")
	// ErrNotFound: the server does not have what was asked for.
	ErrNotFound = errors.New("not found")
	// ErrBadAnswer: the server answered something else than was asked for.
	ErrBadAnswer = errors.New("answer does not fit the request")
	// ErrMissing: the log does not have a file its checkpoint says there is.
	// It comes with [ledger.ErrTampered].
	ErrMissing = errors.New("missing")
)

// Limits on answers, in bytes. A bundle of entries has at most 256 of at most
// 64 KiB each.
const (
	maxAnswer     = 1 << 20
	maxEntries    = 256 * (ledger.MaxEntry + 2)
	maxTile       = 256 * 32
	maxTimestamp  = 64 << 10
	maxCheckpoint = 64 << 10
)

const defaultTimeout = 30 * time.Second

// An Error is an answer that is not the one hoped for.
type Error struct {
	URL     string
	Status  int    // HTTP status
	Message string // the server's words
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s answers %d: %s", e.URL, e.Status, e.Message)
}

// Is makes statuses the errors of this package.
func (e *Error) Is(target error) bool {
	switch e.Status {
	case http.StatusForbidden:
		return target == ErrStranger
	case http.StatusNotFound:
		return target == ErrNotFound
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusTooManyRequests:
		return target == ErrUnavailable
	}
	return false
}

// A Client is for one server. Its methods can be called concurrently.
type Client struct {
	base string // without a slash at the end
	http *http.Client
}

// New returns a client for the server at baseURL, as
// "https://patches.example.org". hc holds the server to its pinned TLS key, if
// it has one; nil is a client with a timeout of 30 s.
func New(baseURL string, hc *http.Client) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("address of the server: %w", err)
	}
	if u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("address of the server %q is not https://host or https://host:port", baseURL)
	}
	if hc == nil {
		hc = &http.Client{Timeout: defaultTimeout}
	}
	for len(baseURL) > 0 && baseURL[len(baseURL)-1] == '/' {
		baseURL = baseURL[:len(baseURL)-1]
	}
	return &Client{base: baseURL, http: hc}, nil
}

// Bundle logs envelope, a DSSE envelope of a statement with one signature, by
// a key or certificate, has the signature timestamped, and returns the Sigstore bundle of it
// all. Calling it again with the same envelope does not log it again.
func (c *Client) Bundle(ctx context.Context, envelope []byte, by attest.Credential) ([]byte, error) {
	e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	entry, err := c.logEnvelope(ctx, e, by)
	if err != nil {
		return nil, err
	}
	ts, err := c.Timestamp(ctx, e.Signatures[0].Sig)
	if err != nil {
		return nil, err
	}
	return attest.NewBundle(envelope, by, entry, ts)
}

// A post is one request that changes something.
type post struct {
	path  string
	typ   string
	body  []byte
	limit int64 // of the answer
}

// Requests are tried again while the server is busy or starting.
const (
	tries     = 6
	firstWait = 200 * time.Millisecond
)

// post sends p and returns the answer. Everything that is posted here may be
// posted twice.
func (c *Client) post(ctx context.Context, p post) ([]byte, error) {
	var err error
	for try, wait := 0, firstWait; try < tries; try, wait = try+1, 2*wait {
		if try > 0 {
			if werr := pause(ctx, wait); werr != nil {
				return nil, errors.Join(werr, err)
			}
		}
		var answer []byte
		if answer, err = c.postOnce(ctx, p); !errors.Is(err, ErrUnavailable) {
			return answer, err
		}
	}
	return nil, err
}

// getPatiently is get, tried again while the server is busy.
func (c *Client) getPatiently(ctx context.Context, path string, limit int64) ([]byte, error) {
	for try, wait := 1, firstWait; ; try, wait = try+1, 2*wait {
		b, err := c.get(ctx, path, limit)
		if !errors.Is(err, ErrUnavailable) || try == tries {
			return b, err
		}
		if werr := pause(ctx, wait); werr != nil {
			return nil, errors.Join(werr, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) postOnce(ctx context.Context, p post) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+p.path, bytes.NewReader(p.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", p.typ)
	return c.do(req, p.limit, http.StatusCreated, http.StatusOK)
}

func (c *Client) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	return c.do(req, limit, http.StatusOK)
}

func (c *Client) do(req *http.Request, limit int64, want ...int) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", req.URL, err)
	}
	for _, status := range want {
		if resp.StatusCode != status {
			continue
		}
		if int64(len(body)) > limit {
			return nil, fmt.Errorf("%w: %s sends more than %d bytes", ErrBadAnswer, req.URL, limit)
		}
		return body, nil
	}
	return nil, &Error{URL: req.URL.String(), Status: resp.StatusCode, Message: message(body)}
}

// message is what a server says went wrong, in Rekor's form or as plain text.
func message(body []byte) string {
	var rekor struct {
		Message string `json:"message"`
	}
	if err := strictjson.UnmarshalForeign(body, maxAnswer, &rekor); err == nil && rekor.Message != "" {
		return fmt.Sprintf("%.500s", rekor.Message)
	}
	if len(body) > 200 {
		body = body[:200]
	}
	return fmt.Sprintf("%q", bytes.TrimSpace(body))
}
