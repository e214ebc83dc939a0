// Package auth finds out who is asking: it exchanges what a principal proves
// itself with for a short-lived access token, at /token, and puts whoever
// holds one into the context of a request. docs/spec/auth.md.
//
// /token speaks the OCI token flow, so that stock clients work: GET with
// basic authorization, or a POST with an OAuth 2 form. The secret is either an
// assertion, signed with the principal's own key within the last minute
// (package assertion), or a bearer token an admin was given.
//
// An access token says who, and nothing about what they may do: the state of
// its principal is looked up on each request, so that a suspended host is out
// at the next one. Whoever is not in the context is nobody, and nobody is
// denied.
package auth

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// TokenPrefix begins the text of a bearer token that is no access token.
const TokenPrefix = "pfa_"

// minPepper is the shortest secret MACs are keyed with, in bytes.
const minPepper = 32

// A Directory knows who there is.
type Directory interface {
	Principal(id string) (state.Principal, bool)
	TokenPrincipal(mac string) (state.Principal, bool)
}

// Config is what an Authority needs.
type Config struct {
	URL       string        // the server's base URL: audience of assertions, issuer and audience of access tokens
	Signer    crypto.Signer // ECDSA P-256: signs access tokens, and nothing else
	Pepper    []byte        // keys the MACs of bearer tokens
	Directory Directory
}

// Options may be nil.
type Options struct {
	Logger *slog.Logger // of refused exchanges; nil: silent
}

// An Authority says who is asking. It is safe for concurrent use.
type Authority struct {
	Config
	service string
	key     *attest.PublicKey
	started time.Time
	seen    replays
	limits  limits
	checks  chan struct{} // places for signatures to be checked in
	known   remembered
	logger  *slog.Logger
}

// New returns an Authority that takes no assertion made before now: what was
// exchanged then is not remembered.
func New(c Config, o *Options) (*Authority, error) {
	u, err := api.ParseServer(c.URL)
	if err != nil {
		return nil, err
	}
	key, err := attest.NewPublicKey(c.Signer.Public())
	if err != nil {
		return nil, err
	}
	if len(c.Pepper) < minPepper {
		return nil, errors.New("the secret for bearer tokens is too short")
	}
	a := &Authority{Config: c, service: u.Host, key: key, started: time.Now(), checks: newChecks(), known: newRemembered(), logger: slog.New(slog.DiscardHandler)}
	if o != nil && o.Logger != nil {
		a.logger = o.Logger
	}
	return a, nil
}

// TokenMAC returns what is kept of a bearer token: the hex HMAC-SHA256 of its
// text, keyed with the server's pepper.
func TokenMAC(pepper []byte, token string) string {
	m := hmac.New(sha256.New, pepper)
	m.Write([]byte("patchfit bearer token v1\x00" + token))
	return hex.EncodeToString(m.Sum(nil))
}

type contextKey struct{}

// From returns who is asking; false: nobody.
func From(ctx context.Context) (state.Principal, bool) {
	if p := Asking(ctx); p != nil {
		return *p, true
	}
	return state.Principal{}, false
}

// Asking returns who is asking, not to be changed; nil: nobody.
func Asking(ctx context.Context) *state.Principal {
	p, ok := ctx.Value(contextKey{}).(*state.Principal)
	if !ok || p.ID == "" {
		return nil
	}
	return p
}

// With returns a context in which p is asking.
func With(ctx context.Context, p state.Principal) context.Context {
	return &asking{ctx, p}
}

// asking is a context with who is asking, in one piece: each request has one.
type asking struct {
	context.Context
	principal state.Principal
}

// Value implements [context.Context].
func (a *asking) Value(key any) any {
	if key == (contextKey{}) {
		return &a.principal
	}
	return a.Context.Value(key)
}

// Required lets a request through with its principal in the context, and
// answers 401 where there is none.
func (a *Authority) Required(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := a.who(r)
		if err == nil {
			err = may(p, r)
		}
		if err != nil {
			a.Refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(With(r.Context(), p)))
	})
}

// who returns the principal whose token the request carries.
func (a *Authority) who(r *http.Request) (state.Principal, *api.Error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return state.Principal{}, unauthorized("authentication required").Hint("log in first, or enrol this host")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return state.Principal{}, a.failed(r, "", unauthorized("one bearer token is asked for").Hint("get one at %s/token", a.URL))
	}
	if isBearer(token) {
		return a.byToken(r, token)
	}
	return a.byAccessToken(r, token)
}

// byToken looks up a bearer token by its MAC: no comparison depends on the
// secret.
func (a *Authority) byToken(r *http.Request, token string) (state.Principal, *api.Error) {
	mac := TokenMAC(a.Pepper, token)
	p, ok := a.Directory.TokenPrincipal(mac)
	if !ok || !hmac.Equal([]byte(p.MAC), []byte(mac)) {
		return state.Principal{}, a.failed(r, "", unauthorized("the bearer token is not valid"))
	}
	return active(p, time.Now())
}

func (a *Authority) byAccessToken(r *http.Request, token string) (state.Principal, *api.Error) {
	now := time.Now()
	subject, ok := a.known.subject(token, now)
	var err error
	if !ok {
		if e := a.Check(r.Context(), func() { now = time.Now(); subject, err = a.readAccessToken(token, now) }); e != nil {
			return state.Principal{}, e
		}
	}
	if errors.Is(err, errOver) {
		return state.Principal{}, unauthorized("the access token is over").Hint("get another at %s/token", a.URL)
	}
	if err != nil {
		return state.Principal{}, a.failed(r, "", unauthorized("the access token is not valid"))
	}
	p, ok := a.Directory.Principal(subject)
	if !ok {
		return state.Principal{}, a.failed(r, "", unauthorized("the access token is not valid"))
	}
	return active(p, now)
}

// active refuses a principal who is known for certain and may do nothing.
func active(p state.Principal, now time.Time) (state.Principal, *api.Error) {
	if e := good(p, now); e != nil {
		return state.Principal{}, e
	}
	if p.State != state.Active {
		e := api.Errorf(http.StatusForbidden, api.CodeDenied, "HOST_NOT_ACTIVE: host %s is %s", p.ID, p.State)
		return state.Principal{}, e.Hint("ask an admin of this server")
	}
	return p, nil
}

func unauthorized(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusUnauthorized, api.CodeUnauthorized, format, args...)
}

// failed counts a failure against where it came from; whoever fails too often
// is told to wait, and no longer why.
func (a *Authority) failed(r *http.Request, principal string, e *api.Error) *api.Error {
	if wait := a.limits.fail(remote(r), principal, time.Now()); wait > 0 {
		return tooMany(wait)
	}
	return e
}

// Refuse answers r with e, in the form its path asks for; a 401 tells where
// access tokens come from.
func (a *Authority) Refuse(w http.ResponseWriter, r *http.Request, e *api.Error) {
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", a.challenge(r))
	}
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		api.WriteError(w, e)
		return
	}
	api.WriteOCIError(w, e)
}

// challenge is the Bearer challenge of the OCI token flow.
func (a *Authority) challenge(r *http.Request) string {
	c := `Bearer realm="` + a.URL + `/token",service="` + a.service + `"`
	if scope := scopeOf(r); scope != "" {
		c += `,scope="` + scope + `"`
	}
	if r.Header.Get("Authorization") != "" {
		c += `,error="invalid_token"`
	}
	return c
}

// scopeOf names the repository and the actions that stock clients then ask
// for. Access tokens have no scope; it decides nothing.
func scopeOf(r *http.Request) string {
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		return ""
	}
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		name, _, found := strings.Cut(path, part)
		if !found || !plain(name) {
			continue
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return "repository:" + name + ":pull"
		}
		return "repository:" + name + ":pull,push"
	}
	return ""
}

// plain reports whether name can stand between quotes.
func plain(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789/._-") == ""
}
