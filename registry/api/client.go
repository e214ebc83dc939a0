package api

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// maxAnswer is the longest answer a Client reads, in bytes.
const maxAnswer = 64 << 20

// Options say who a [Client] is and how it knows its server. The zero Options
// are nobody, who may use the public routes, and a server the system's
// authorities vouch for.
type Options struct {
	// Principal and Signer prove who is asking, with a fresh assertion
	// whenever an access token runs out.
	Principal string
	Signer    crypto.Signer
	// Token is a bearer token to use instead, an admin's or a robot's.
	Token string
	// TLSKey is the hex sha256 of the server key's SPKI DER. Where it is given
	// it is what the server is known by, and no authority is asked.
	TLSKey string
	// Transport carries the requests; nil: one of the client's own. It is
	// given no TLSKey to check.
	Transport http.RoundTripper
	// UserAgent is sent along; nothing depends on it.
	UserAgent string
}

// A Client talks to one server. Where that says that it is asked too often, the
// client waits and asks again. It is safe for concurrent use.
type Client struct {
	server *url.URL
	hc     *http.Client
	bearer *bearer
}

// New returns a client of the server with this base URL: https, or plain http
// on loopback. It sends nothing yet.
func New(server string, o *Options) (*Client, error) {
	if o == nil {
		o = &Options{}
	}
	u, err := ParseServer(server)
	if err != nil {
		return nil, err
	}
	if o.Signer != nil && o.Principal == "" {
		return nil, errors.New("a key to sign with, but no principal it belongs to")
	}
	base := o.Transport
	if base == nil {
		if base, err = newTransport(u, o.TLSKey); err != nil {
			return nil, err
		}
	}
	b := &bearer{base: patient{base}, server: u, principal: o.Principal, signer: o.Signer, fixed: o.Token, agent: o.UserAgent}
	hc := &http.Client{Transport: b, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Client{server: u, hc: hc, bearer: b}, nil
}

// Server returns the server's base URL.
func (c *Client) Server() string { return c.server.String() }

// HTTP returns the client's HTTP client, for what is not /v1: it knows the
// server by the same key, adds the access token to requests to this server
// only, renews it, and follows no redirect.
func (c *Client) HTTP() *http.Client { return c.hc }

// Token returns an access token that is good for now, "" for nobody.
func (c *Client) Token(ctx context.Context) (string, error) { return c.bearer.token(ctx) }

// Get asks for path, as "/v1/audit/decisions", and reads the answer into v.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	return c.call(ctx, request{method: http.MethodGet, path: path, query: query}, v)
}

// post sends a request of this package.
func (c *Client) post(ctx context.Context, path string, body, v any) error {
	b, err := strictjson.Canonical(body)
	if err != nil {
		return err
	}
	return c.call(ctx, request{method: http.MethodPost, path: path, body: b, media: MediaJSON}, v)
}

// send sends signed bytes as they are.
func (c *Client) send(ctx context.Context, path, media string, body []byte, v any) error {
	return c.call(ctx, request{method: http.MethodPost, path: path, body: body, media: media}, v)
}

type request struct {
	method, path string
	query        url.Values
	body         []byte
	media        string
}

func (c *Client) call(ctx context.Context, r request, v any) error {
	b, err := c.bytes(ctx, r)
	if err != nil {
		return err
	}
	if err := strictjson.UnmarshalForeign(b, maxAnswer, v); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", r.path, err)
	}
	return nil
}

// bytes returns the body of a good answer, and the [*Error] of any other.
func (c *Client) bytes(ctx context.Context, r request) ([]byte, error) {
	u := *c.server
	u.Path, u.RawQuery = r.path, r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if r.media != "" {
		req.Header.Set("Content-Type", r.media)
	}
	resp, err := c.hc.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", r.path, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, ReadError(resp, b)
	}
	return b, nil
}

// ReadError returns the error a server's answer carries, in the form of /v1
// or in that of an OCI registry. An answer in neither has [CodeUnknown].
func ReadError(resp *http.Response, body []byte) *Error {
	e := decodeError(body)
	if e == nil {
		e = Errorf(0, CodeUnknown, "the server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	e.Status = resp.StatusCode
	e.RetryAfter = retryAfter(resp)
	return e
}

func decodeError(body []byte) *Error {
	var ours struct {
		Error Error `json:"error"`
	}
	if err := strictjson.UnmarshalForeign(body, maxAnswer, &ours); err == nil && ours.Error.Code != "" {
		return &ours.Error
	}
	var oci ociErrors
	if err := strictjson.UnmarshalForeign(body, maxAnswer, &oci); err == nil && len(oci.Errors) > 0 {
		return &Error{Code: oci.Errors[0].Code, Message: oci.Errors[0].Message}
	}
	return nil
}
