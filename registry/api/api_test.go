package api

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/assertion"
)

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEnrolmentTokenRoundTrip(t *testing.T) {
	roots := attest.DigestOf([]byte("roots"))
	for _, tlsKey := range []string{"", strings.Repeat("0a", 32)} {
		token := NewEnrolmentToken("https://patches.example:8443", tlsKey, roots)
		got, err := ParseEnrolmentToken(token.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(token, *got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
	}
}

func TestEnrolmentTokenForms(t *testing.T) {
	good := NewEnrolmentToken("https://patches.example:8443", strings.Repeat("0a", 32), attest.DigestOf(nil))
	change := func(f func(*EnrolmentToken)) string {
		c := good
		f(&c)
		return c.String()
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(good.String(), tokenPrefix))
	if err != nil {
		t.Fatal(err)
	}
	encode := func(from, to string) string {
		if !bytes.Contains(raw, []byte(from)) {
			t.Fatalf("%s is not in %s", from, raw)
		}
		return tokenPrefix + base64.RawURLEncoding.EncodeToString(bytes.Replace(raw, []byte(from), []byte(to), 1))
	}
	for name, text := range map[string]string{
		"empty":            "",
		"no prefix":        strings.TrimPrefix(good.String(), tokenPrefix),
		"another prefix":   "pfe2." + strings.TrimPrefix(good.String(), tokenPrefix),
		"cut":              good.String()[:len(good.String())-4],
		"more":             good.String() + "AAAA",
		"padding":          good.String() + "=",
		"line break":       good.String()[:20] + "\n" + good.String()[20:],
		"space after":      good.String() + " ",
		"too long":         tokenPrefix + strings.Repeat("A", maxTokenText),
		"plain http":       change(func(c *EnrolmentToken) { c.Server = "http://patches.example" }),
		"a path":           change(func(c *EnrolmentToken) { c.Server = "https://patches.example/x" }),
		"a user":           change(func(c *EnrolmentToken) { c.Server = "https://u:p@patches.example" }),
		"short TLS key":    change(func(c *EnrolmentToken) { c.TLSKey = "0a" }),
		"upper-case key":   change(func(c *EnrolmentToken) { c.TLSKey = strings.ToUpper(c.TLSKey) }),
		"no roots":         change(func(c *EnrolmentToken) { c.Roots = "" }),
		"short id":         change(func(c *EnrolmentToken) { c.ID = "x" }),
		"a secret in two":  change(func(c *EnrolmentToken) { c.Secret = c.Secret[:10] + "\n" + c.Secret[10:] }),
		"short secret":     change(func(c *EnrolmentToken) { c.Secret = c.Secret[:10] }),
		"unknown member":   encode(`{"id"`, `{"admin":true,"id"`),
		"duplicate member": encode(`"server"`, `"id":"x","server"`),
		"another order":    encode(`{"id":"`+good.ID+`",`, `{`),
		"not canonical":    encode(`{"id"`, `{ "id"`),
	} {
		if got, err := ParseEnrolmentToken(text); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		} else if strings.Contains(err.Error(), good.Secret) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func FuzzParseEnrolmentToken(f *testing.F) {
	f.Add(NewEnrolmentToken("https://patches.example", "", attest.DigestOf(nil)).String())
	f.Add(NewEnrolmentToken("http://127.0.0.1:8080", strings.Repeat("0a", 32), attest.DigestOf(nil)).String())
	f.Add(tokenPrefix + "e30")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseEnrolmentToken(text)
		if err != nil {
			return
		}
		if token.String() != text {
			t.Errorf("accepted %q, which is %q", text, token.String())
		}
	})
}

func TestParseServer(t *testing.T) {
	for server, ok := range map[string]bool{
		"https://patches.example": true, "https://patches.example:8443": true, "https://192.0.2.1": true,
		"http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost:8080": true,
		"http://patches.example": false, "http://192.0.2.1": false, "http://127.0.0.1.evil.example": false,
		"https://patches.example/": false, "https://patches.example?x": false, "https://u@patches.example": false,
		"ftp://127.0.0.1": false, "patches.example": false, "https://": false, "": false,
	} {
		if _, err := ParseServer(server); (err == nil) != ok {
			t.Errorf("%q: error %v, want good %v", server, err, ok)
		}
	}
}

// A fake is a server that counts and can be told to take no token.
type fake struct {
	t      *testing.T
	server *httptest.Server
	mu     sync.Mutex
	gave   int             // access tokens given
	over   map[string]bool // access tokens no longer taken
	bodies []string
	answer func(w http.ResponseWriter, r *http.Request)
}

func newFake(t *testing.T, tls bool) *fake {
	t.Helper()
	f := &fake{t: t, over: make(map[string]bool)}
	f.answer = func(w http.ResponseWriter, _ *http.Request) { WriteJSON(w, 200, Done{SchemaVersion: 1, Sequence: 7}) }
	if tls {
		f.server = httptest.NewTLSServer(f)
	} else {
		f.server = httptest.NewServer(f)
	}
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path == "/token" {
		if err := r.ParseForm(); err != nil || r.Header.Get("Authorization") != "" {
			f.t.Errorf("token request: %v, authorization %q", err, r.Header.Get("Authorization"))
		}
		if _, err := assertion.Parse(r.PostForm.Get("refresh_token")); err != nil || r.URL.RawQuery != "" {
			f.t.Errorf("token request with query %q: %v", r.URL.RawQuery, err)
		}
		f.gave++
		token := fmt.Sprint("token-", f.gave)
		WriteJSON(w, 200, TokenAnswer{Token: token, AccessToken: token, ExpiresIn: 120, IssuedAt: time.Now().UTC().Truncate(time.Second)})
		return
	}
	b, _ := io.ReadAll(r.Body)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	f.bodies = append(f.bodies, token+" "+string(b))
	if f.over[token] {
		WriteError(w, Errorf(401, CodeUnauthorized, "the access token is over"))
		return
	}
	f.answer(w, r)
}

func (f *fake) client(o *Options) *Client {
	f.t.Helper()
	c, err := New(f.server.URL, o)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func TestClientRenews(t *testing.T) {
	f := newFake(t, false)
	c := f.client(&Options{Principal: "p", Signer: newKey(t)})
	g := Grant{Principal: "x", Product: "y", Role: RoleAuditor}
	for range 2 {
		if err := c.Grant(context.Background(), g); err != nil {
			t.Fatal(err)
		}
	}
	f.over["token-1"] = true
	if err := c.Grant(context.Background(), g); err != nil {
		t.Fatalf("with a token that is over: %v", err)
	}
	const body = ` {"principal":"x","product":"y","revoke":false,"role":"auditor"}`
	if diff := cmp.Diff([]string{"token-1" + body, "token-1" + body, "token-1" + body, "token-2" + body}, f.bodies); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	f.over["token-2"], f.over["token-3"] = true, true
	var e *Error
	if err := c.Grant(context.Background(), g); !errors.As(err, &e) || e.Status != 401 || f.gave != 3 {
		t.Errorf("a server that takes no token: error %v after %d tokens, want 401 after one more", err, f.gave)
	}
}

// TestClientRenewsInTime: a token is not used until its last second.
func TestClientRenewsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		f := &fake{t: t, over: make(map[string]bool)}
		f.answer = func(w http.ResponseWriter, _ *http.Request) { WriteJSON(w, 200, Done{SchemaVersion: 1}) }
		c, err := New("https://patches.example", &Options{Principal: "p", Signer: newKey(t), Transport: direct{f}})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			after time.Duration
			want  string
		}{{0, "token-1"}, {109 * time.Second, "token-1"}, {time.Second, "token-2"}} {
			time.Sleep(tt.after)
			if got, err := c.Token(context.Background()); err != nil || got != tt.want {
				t.Errorf("after %v more: %q, error %v, want %q", tt.after, got, err, tt.want)
			}
		}
	})
}

type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestClientPinsTheKey(t *testing.T) {
	f := newFake(t, true)
	right := attest.DigestOf(f.server.Certificate().RawSubjectPublicKeyInfo).Hex()
	wrong := attest.DigestOf([]byte("another key")).Hex()
	for name, tt := range map[string]struct {
		pin, want string
	}{
		"the right key":                    {right, ""},
		"another key":                      {wrong, "someone is in between"},
		"no pin, and no authority vouches": {"", "certificate"},
	} {
		err := f.client(&Options{Token: "t", TLSKey: tt.pin}).Grant(context.Background(), Grant{})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
	if len(f.bodies) != 1 {
		t.Errorf("%d requests came through, want the one with the right key", len(f.bodies))
	}
	if _, err := New(f.server.URL, &Options{TLSKey: "xyz"}); err == nil {
		t.Error("a pin that is no hash was taken")
	}
}

// TestClientKeepsTheToken: it goes to its server, and nowhere a redirect or a
// caller leads.
func TestClientKeepsTheToken(t *testing.T) {
	other := newFake(t, false)
	f := newFake(t, false)
	f.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.server.URL+"/stolen", http.StatusTemporaryRedirect)
	}
	c := f.client(&Options{Token: "secret"})
	var e *Error
	if err := c.Grant(context.Background(), Grant{}); !errors.As(err, &e) || e.Status != http.StatusTemporaryRedirect {
		t.Errorf("a redirect: error %v", err)
	}
	if len(other.bodies) != 0 {
		t.Errorf("the redirect was followed: %v", other.bodies)
	}
	resp, err := c.HTTP().Get(other.server.URL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(other.bodies) != 1 || strings.Contains(other.bodies[0], "secret") {
		t.Errorf("another server got %v", other.bodies)
	}
}

func TestErrorsCrossTheWire(t *testing.T) {
	f := newFake(t, false)
	c := f.client(&Options{Token: "t"})
	ours := &Error{Status: 429, Code: CodeTooMany, Message: "too many attempts", Remedy: "wait", Decision: "d-x", RetryAfter: 90 * time.Second}
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		want   Error
	}{
		"ours": {func(w http.ResponseWriter, _ *http.Request) { WriteError(w, ours) }, *ours},
		"OCI": {func(w http.ResponseWriter, _ *http.Request) { WriteOCIError(w, ours) },
			Error{Status: 429, Code: CodeTooMany, Message: "too many attempts; wait", RetryAfter: 90 * time.Second}},
		"neither": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
			Error{Status: 502, Code: CodeUnknown, Message: "the server answered 502 Bad Gateway"}},
	} {
		f.answer = tt.answer
		err := c.Grant(context.Background(), Grant{})
		var got *Error
		if !errors.As(err, &got) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAnswersAreRead: lists that are empty cross as lists, and an answer that
// two readers could take for different things is none.
func TestAnswersAreRead(t *testing.T) {
	f := newFake(t, false)
	c := f.client(nil)
	f.answer = func(w http.ResponseWriter, _ *http.Request) { WriteJSON(w, 200, Evidence{SchemaVersion: 1}) }
	if got, err := c.Evidence(context.Background(), "r", attest.DigestOf(nil)); err != nil || len(got.Bundles) != 0 {
		t.Errorf("evidence without bundles: %+v, error %v", got, err)
	}
	for name, body := range map[string]string{
		"duplicate": `{"schemaVersion":1,"count":1,"count":2}`, "trailing": `{"schemaVersion":1} {}`, "no JSON": `<html>`,
	} {
		f.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
		if got, err := c.Revocations(context.Background(), "p"); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New("http://patches.example", nil); err == nil {
		t.Error("plain http to somewhere else was taken")
	}
	if _, err := New("https://patches.example", &Options{Signer: newKey(t)}); err == nil {
		t.Error("a key of nobody was taken")
	}
}
