package api

import (
	"context"
	"crypto"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/assertion"
)

// renewBefore is how long before its end an access token is no longer used.
const renewBefore = 10 * time.Second

// maxTokenAnswer is the longest answer of /token that is read, in bytes.
const maxTokenAnswer = 64 << 10

// TokenAnswer is what /token answers (OCI token authentication, Token Response).
type TokenAnswer struct {
	Token       string    `json:"token"`
	AccessToken string    `json:"access_token"` // the same
	ExpiresIn   int64     `json:"expires_in"`   // seconds
	IssuedAt    time.Time `json:"issued_at"`
}

// A bearer adds an access token to the requests to its one server, and asks
// for another when the server no longer takes it.
type bearer struct {
	base      http.RoundTripper
	server    *url.URL
	principal string
	signer    crypto.Signer
	fixed     string
	agent     string

	mu      sync.Mutex
	held    string
	expires time.Time
}

// RoundTrip sends req, once more with a fresh token where the first was not
// taken and the request can be sent again.
func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.foreign(req) {
		return b.base.RoundTrip(req)
	}
	token, err := b.token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := b.base.RoundTrip(b.signed(req, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || b.signer == nil {
		return resp, err
	}
	b.drop(token)
	again := b.again(req)
	if again == nil {
		return resp, nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxTokenAnswer))
	resp.Body.Close()
	return b.base.RoundTrip(again)
}

// foreign reports whether req is none of this bearer's: to another server, or
// with an authorization of its own.
func (b *bearer) foreign(req *http.Request) bool {
	return req.URL.Scheme != b.server.Scheme || req.URL.Host != b.server.Host || req.Header.Get("Authorization") != ""
}

// signed returns a copy of req with the token.
func (b *bearer) signed(req *http.Request, token string) *http.Request {
	out := req.Clone(req.Context())
	if b.agent != "" {
		out.Header.Set("User-Agent", b.agent)
	}
	if token != "" {
		out.Header.Set("Authorization", "Bearer "+token)
	}
	return out
}

// again returns req as it is sent once more, with a fresh token and its body
// from the start; nil where there is neither.
func (b *bearer) again(req *http.Request) *http.Request {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return nil
	}
	fresh, err := b.token(req.Context())
	if err != nil {
		return nil // the server's first answer says more
	}
	out := b.signed(req, fresh)
	if req.GetBody != nil {
		if out.Body, err = req.GetBody(); err != nil {
			return nil
		}
	}
	return out
}

func (b *bearer) drop(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == token {
		b.held = ""
	}
}

func (b *bearer) token(ctx context.Context) (string, error) {
	if b.fixed != "" || b.signer == nil {
		return b.fixed, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.held != "" && now.Before(b.expires) {
		return b.held, nil
	}
	a, err := b.exchange(ctx, now)
	if err != nil {
		return "", err
	}
	b.held, b.expires = a.AccessToken, now.Add(time.Duration(a.ExpiresIn)*time.Second-renewBefore)
	return b.held, nil
}

// exchange trades a fresh assertion for an access token.
func (b *bearer) exchange(ctx context.Context, now time.Time) (*TokenAnswer, error) {
	text, err := assertion.New(b.signer, b.principal, b.server.String(), assertion.UseOnce, now)
	if err != nil {
		return nil, err
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}, "service": {b.server.Host}, "client_id": {"patchfit"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.server.String()+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.base.RoundTrip(b.signed(req, ""))
	if err != nil {
		return nil, fmt.Errorf("asking for an access token: %w", err)
	}
	defer resp.Body.Close()
	return readToken(resp)
}

func readToken(resp *http.Response) (*TokenAnswer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("asking for an access token: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, ReadError(resp, body)
	}
	a := &TokenAnswer{}
	if err := strictjson.UnmarshalForeign(body, maxTokenAnswer, a); err != nil {
		return nil, fmt.Errorf("reading the access token: %w", err)
	}
	if a.AccessToken == "" || a.ExpiresIn <= 0 {
		return nil, errors.New("reading the access token: the server gave none")
	}
	return a, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// newTransport returns a transport that knows the server by its key, where one
// is given.
func newTransport(server *url.URL, pin string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if loopback(server.Hostname()) {
		t.Proxy = nil
	}
	if pin == "" {
		return t, nil
	}
	sum, err := hex.DecodeString(pin)
	if err != nil || len(sum) != 32 {
		return nil, fmt.Errorf("TLS key hash %.80q is not 64 hex digits", pin)
	}
	t.TLSClientConfig.InsecureSkipVerify = true // the key itself is checked, which is stricter
	t.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error { return checkPin(s, sum) }
	return t, nil
}

// checkPin refuses any server key but the pinned one. It runs on every
// connection, resumed ones too.
func checkPin(s tls.ConnectionState, pin []byte) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server showed no key")
	}
	got := attest.DigestOf(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if subtle.ConstantTimeCompare(got.Sum(), pin) != 1 {
		return fmt.Errorf("the server's TLS key is %s, and the one it was introduced with is %s: someone is in between, or the server has a new key", got.Hex(), hex.EncodeToString(pin))
	}
	return nil
}

// loopback reports whether host, without port, is this machine for certain.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
