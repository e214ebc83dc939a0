package auth

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/assertion"
	"github.com/patchfit/patchfit/registry/state"
)

// maxForm is the longest body of a POST to /token, in bytes.
const maxForm = 16 << 10

// identityToken is the user name stock clients send with a secret that is a
// token of its own.
const identityToken = "<token>"

// credentials are what someone sends to /token.
type credentials struct {
	name   string // "": only the secret says who
	secret string
}

// TokenHandler answers /token: GET with basic authorization, and POST with an
// OAuth 2 form (grant types refresh_token and password).
func (a *Authority) TokenHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := readCredentials(w, r)
		if err != nil {
			a.refuseExchange(w, r, err)
			return
		}
		answer, err := a.exchange(r, c)
		if err != nil {
			a.refuseExchange(w, r, err)
			return
		}
		api.WriteJSON(w, http.StatusOK, answer)
	})
}

// refuseExchange answers with an error. Here a 401 asks for basic
// authorization: the bearer challenge would lead back to this place.
func (a *Authority) refuseExchange(w http.ResponseWriter, r *http.Request, e *api.Error) {
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+a.service+`"`)
	}
	if r.Header.Get("Authorization") != "" || r.Method == http.MethodPost {
		a.logger.Info("access token refused", "remote", remote(r), "code", e.Code, "why", e.Message)
	}
	api.WriteOCIError(w, e)
}

func readCredentials(w http.ResponseWriter, r *http.Request) (credentials, *api.Error) {
	switch r.Method {
	case http.MethodGet:
		return readBasic(r)
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		return readForm(r)
	}
	w.Header().Set("Allow", "GET, POST")
	return credentials{}, api.Errorf(http.StatusMethodNotAllowed, api.CodeMethod, "/token answers GET and POST")
}

func readBasic(r *http.Request) (credentials, *api.Error) {
	name, secret, ok := r.BasicAuth()
	if !ok || len(r.Header.Values("Authorization")) > 1 || secret == "" {
		return credentials{}, unauthorized("authentication required").Hint("log in first, or enrol this host")
	}
	return credentials{name, secret}, nil
}

// readForm reads the body alone: what stands in a URL ends up in logs.
func readForm(r *http.Request) (credentials, *api.Error) {
	if err := r.ParseForm(); err != nil {
		return credentials{}, api.Errorf(http.StatusBadRequest, api.CodeInvalid, "not a form of at most %d bytes", maxForm)
	}
	grant, err := one(r.PostForm, "grant_type")
	if err != nil {
		return credentials{}, err
	}
	switch grant {
	case "refresh_token":
		secret, err := one(r.PostForm, "refresh_token")
		return credentials{secret: secret}, err
	case "password":
		name, err := one(r.PostForm, "username")
		if err != nil {
			return credentials{}, err
		}
		secret, err := one(r.PostForm, "password")
		return credentials{name, secret}, err
	}
	return credentials{}, api.Errorf(http.StatusBadRequest, api.CodeInvalid, "grant_type %.40q is neither refresh_token nor password", grant)
}

// one returns the value of a member that has to be there, once.
func one(form url.Values, name string) (string, *api.Error) {
	if v := form[name]; len(v) == 1 && v[0] != "" {
		return v[0], nil
	}
	return "", api.Errorf(http.StatusBadRequest, api.CodeInvalid, "%s has to be given, once", name)
}

func (a *Authority) exchange(r *http.Request, c credentials) (*api.TokenAnswer, *api.Error) {
	p, life, err := a.identify(r, c)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	token, signErr := a.newAccessToken(p.ID, now, life)
	if signErr != nil {
		a.logger.Error("signing an access token", "err", signErr)
		return nil, api.Errorf(http.StatusInternalServerError, api.CodeInternal, "no access token can be made now")
	}
	return &api.TokenAnswer{Token: token, AccessToken: token, ExpiresIn: int64(life / time.Second), IssuedAt: now.UTC().Truncate(time.Second)}, nil
}

// identify returns who proved themselves, and for how long that is good.
func (a *Authority) identify(r *http.Request, c credentials) (state.Principal, time.Duration, *api.Error) {
	if isBearer(c.secret) {
		p, err := a.byName(r, c)
		return p, clientLifetime, err
	}
	parsed, err := assertion.Parse(c.secret)
	if err != nil {
		return state.Principal{}, 0, a.failed(r, "", badCredentials())
	}
	claimed := parsed.UnverifiedClaims.Subject
	if c.name != "" && c.name != identityToken && c.name != claimed {
		return state.Principal{}, 0, a.failed(r, claimed, badCredentials())
	}
	return a.byAssertion(r, parsed)
}

// byName checks a bearer token that came as a password.
func (a *Authority) byName(r *http.Request, c credentials) (state.Principal, *api.Error) {
	mac := TokenMAC(a.Pepper, c.secret)
	p, ok := a.Directory.TokenPrincipal(mac)
	if !ok || !names(p, c.name) || !hmac.Equal([]byte(p.MAC), []byte(mac)) {
		return state.Principal{}, a.failed(r, c.name, badCredentials())
	}
	return active(p, time.Now())
}

// byAssertion checks an assertion with the key of who it says it is. Until the
// signature is found good the answer does not tell what was wrong.
func (a *Authority) byAssertion(r *http.Request, parsed *assertion.Parsed) (state.Principal, time.Duration, *api.Error) {
	claimed := parsed.UnverifiedClaims.Subject
	p, ok := a.Directory.Principal(claimed)
	key := p.Key
	if !ok || key == nil {
		key = a.key // takes as long; access tokens have another typ, so that it signed no assertion
	}
	var claims assertion.Claims
	var err error
	if e := a.Check(r.Context(), func() { claims, err = parsed.Verify(key, a.URL, time.Now()) }); e != nil {
		return state.Principal{}, 0, e
	}
	if !ok || p.Key == nil || errors.Is(err, assertion.ErrSignature) {
		return state.Principal{}, 0, a.failed(r, claimed, badCredentials())
	}
	if err != nil {
		return state.Principal{}, 0, a.failed(r, claimed, unauthorized("%v", err).Hint("make a new assertion; check the clock of this machine"))
	}
	if claims.IssuedAt.Time().Before(a.started) {
		return state.Principal{}, 0, unauthorized("assertion of %s was made before this server started", claims.IssuedAt).Hint("make a new one")
	}
	if p, refused := active(p, time.Now()); refused != nil {
		return p, 0, refused
	}
	if claims.Use == assertion.UseClient {
		return p, clientLifetime, nil
	}
	return p, onceLifetime, a.use(r, claims)
}

// use uses up an assertion that is good for one exchange.
func (a *Authority) use(r *http.Request, c assertion.Claims) *api.Error {
	if e := await(r.Context(), c.IssuedAt); e != nil {
		return e
	}
	switch a.seen.use(c.Subject, c.ID, time.Now()) {
	case replayed:
		return a.failed(r, c.Subject, unauthorized("assertion %s was exchanged before", c.ID).Hint("make a new one for each exchange"))
	case full:
		return tooMany(assertion.Lifetime)
	}
	return nil
}

func badCredentials() *api.Error {
	return unauthorized("the credentials are not valid").Hint("log in again; a host that lost its key has to be enrolled again")
}
