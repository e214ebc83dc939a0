package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	mediaEvent = "application/cloudevents+json; charset=utf-8"
	maxAnswer  = 64 << 10 // that is read of an answer, in bytes; nothing in it counts
)

// A sender posts events to one endpoint.
type sender struct {
	endpoint Endpoint
	client   *http.Client
}

func newSender(e Endpoint, rt http.RoundTripper) *sender {
	if rt == nil {
		rt = newTransport(e)
	}
	return &sender{e, &http.Client{
		Transport: rt,
		// An answer decides nothing about where events go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// newTransport goes to the endpoint itself, by no proxy of the environment.
func newTransport(e Endpoint) *http.Transport {
	dialer := &net.Dialer{Timeout: e.Timeout, Control: permitted(strings.HasPrefix(e.URL, "http://"))}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: e.Roots},
		TLSHandshakeTimeout:    e.Timeout,
		MaxConnsPerHost:        1,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

// permitted refuses addresses that no endpoint has, whatever its name resolves
// to: the neighbours' (cloud metadata lives there), and, without TLS, any that
// is not this machine.
func permitted(plain bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		ip := a.Addr().Unmap()
		if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || plain && !ip.IsLoopback() {
			return fmt.Errorf("%s is no address to send notifications to", ip)
		}
		return nil
	}
}

// A refusal is an answer that is not 2xx.
type refusal struct {
	status     int
	retryAfter time.Duration
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the endpoint answered %d %s", r.status, http.StatusText(r.status))
}

// final reports whether the endpoint read the request and does not want it, so
// that only a change over there helps.
func (r *refusal) final() bool {
	switch r.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return r.status/100 == 4
}

// send makes one attempt. Nil: the endpoint has taken the event.
func (s *sender) send(ctx context.Context, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.endpoint.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint.URL, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", mediaEvent)
	req.Header.Set("User-Agent", "patchfit")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", now)
	req.Header.Set("Webhook-Signature", s.signatures(id, now, body))
	resp, err := s.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection can be used again
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return &refusal{resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), time.Now())}
}

// signatures signs as Standard Webhooks does: id, time and body, with each
// secret there is.
func (s *sender) signatures(id, timestamp string, body []byte) string {
	var out []string
	for _, secret := range s.endpoint.Secrets {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(id + "." + timestamp + "."))
		m.Write(body)
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	}
	return strings.Join(out, " ")
}

// withoutURL returns an error without the endpoint's URL, which may be all the
// secret its owner has.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3); 0: neither.
func retryAfter(text string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
