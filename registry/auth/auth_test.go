package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/assertion"
	"github.com/patchfit/patchfit/registry/state"
)

const server = "https://patches.example:8443"

// people is a Directory in memory.
type people struct {
	mu   sync.Mutex
	byID map[string]state.Principal
}

func (p *people) Principal(id string) (state.Principal, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := p.byID[id]
	return who, ok
}

func (p *people) TokenPrincipal(mac string) (state.Principal, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, who := range p.byID {
		if who.MAC == mac && mac != "" {
			return who, true
		}
	}
	return state.Principal{}, false
}

func (p *people) set(id, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who := p.byID[id]
	who.State = to
	p.byID[id] = who
}

// A scene is an Authority with a host "host-1", a robot "robot" and an admin,
// and a log.
type scene struct {
	*Authority
	t      testing.TB
	people *people
	keys   map[string]*ecdsa.PrivateKey
	admin  string // bearer token
	log    *bytes.Buffer
}

// stage runs do in a bubble whose clock begins at a time assertions know.
func stage(t *testing.T, do func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 700_000_000, time.UTC)))
		do(t, newScene(t))
	})
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{t: t, people: &people{byID: make(map[string]state.Principal)}, keys: make(map[string]*ecdsa.PrivateKey), log: &bytes.Buffer{}}
	pepper := bytes.Repeat([]byte("p"), 32)
	s.admin = TokenPrefix + rand.Text()
	for _, id := range []string{"host-1", "host-2", "robot"} {
		kind := state.KindHost
		if id == "robot" {
			kind = state.KindKey
		}
		s.keys[id] = newKey(t)
		pub, err := attest.NewPublicKey(s.keys[id].Public())
		if err != nil {
			t.Fatal(err)
		}
		s.people.byID[id] = state.Principal{ID: id, Name: "label of " + id, Kind: kind, Key: pub, State: state.Active}
	}
	s.people.byID["admin-id"] = state.Principal{ID: "admin-id", Name: "admin", Kind: state.KindToken, MAC: TokenMAC(pepper, s.admin), State: state.Active}
	s.keys["token"] = newKey(t)
	a, err := New(Config{URL: server, Signer: s.keys["token"], Pepper: pepper, Directory: s.people}, &Options{Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.Authority = a
	return s
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (s *scene) assert(id string, use assertion.Use) string {
	s.t.Helper()
	return s.assertBy(s.keys[id], id, server, use)
}

func (s *scene) assertBy(k crypto.Signer, id, audience string, use assertion.Use) string {
	s.t.Helper()
	text, err := assertion.New(k, id, audience, use, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// assertAt returns host-1's assertion for one exchange, of any time.
func (s *scene) assertAt(made time.Time) string {
	s.t.Helper()
	text, err := assertion.New(s.keys["host-1"], "host-1", server, assertion.UseOnce, made)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func (s *scene) get(name, secret string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", server+"/token?service=patches.example:8443&scope=repository:x:pull&scope=repository:y:pull", nil)
	if name != "" || secret != "" {
		r.SetBasicAuth(name, secret)
	}
	return s.serve(s.TokenHandler(), r)
}

func (s *scene) post(form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", server+"/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.serve(s.TokenHandler(), r)
}

func (s *scene) serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// use sends a request with an access token through Required.
func (s *scene) use(path, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", server+path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return s.serve(s.echo(), r)
}

// echo answers with the id of who is asking.
func (s *scene) echo() http.Handler {
	return s.Required(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := From(r.Context())
		fmt.Fprintf(w, "%s %v", p.ID, ok)
	}))
}

// good returns the answer of a good exchange.
func (s *scene) good(w *httptest.ResponseRecorder) api.TokenAnswer {
	s.t.Helper()
	var a api.TokenAnswer
	if w.Code != 200 {
		s.t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := strictjson.UnmarshalForeign(w.Body.Bytes(), 1<<16, &a); err != nil {
		s.t.Fatalf("%v: %s", err, w.Body)
	}
	return a
}

func ociCode(t *testing.T, w *httptest.ResponseRecorder) (code, message string) {
	t.Helper()
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Errors) != 1 {
		t.Fatalf("not one error in OCI form: %s", w.Body)
	}
	return body.Errors[0].Code, body.Errors[0].Message
}

// TestStateAtEachRequest: a suspended host is out at its next request, with
// whatever it holds.
func TestStateAtEachRequest(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.good(s.get("host-1", s.assert("host-1", assertion.UseClient))).Token
		if w := s.use("/v2/", token); w.Code != 200 {
			t.Fatalf("active: %d %s", w.Code, w.Body)
		}
		s.people.set("host-1", state.Suspended)
		for _, w := range []*httptest.ResponseRecorder{s.use("/v2/", token), s.get("host-1", s.assert("host-1", assertion.UseClient))} {
			if code, message := ociCode(t, w); w.Code != 403 || code != "DENIED" || !strings.Contains(message, "HOST_NOT_ACTIVE") {
				t.Errorf("suspended: %d %s %s", w.Code, code, message)
			}
		}
		s.people.set("host-1", state.Active)
		if w := s.use("/v2/", token); w.Code != 200 {
			t.Errorf("active again: %d %s", w.Code, w.Body)
		}
		delete(s.people.byID, "host-1")
		if w := s.use("/v2/", token); w.Code != 401 {
			t.Errorf("not known: %d %s", w.Code, w.Body)
		}
	})
}

func TestChallenge(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		const realm = `Bearer realm="https://patches.example:8443/token",service="patches.example:8443"`
		for path, want := range map[string]string{
			"/v2/":                        realm,
			"/v2/kernel/x/manifests/v1":   realm + `,scope="repository:kernel/x:pull"`,
			"/v2/kernel/x/blobs/sha256:0": realm + `,scope="repository:kernel/x:pull"`,
			"/v2/kernel/x/tags/list":      realm + `,scope="repository:kernel/x:pull"`,
			`/v2/a%22b/manifests/v1`:      realm,
			"/v1/products":                realm,
		} {
			w := s.use(path, "")
			if got := w.Header().Get("WWW-Authenticate"); w.Code != 401 || got != want {
				t.Errorf("%s: %d %q, want %q", path, w.Code, got, want)
			}
			if strings.HasPrefix(path, "/v1/") != strings.Contains(w.Body.String(), "schemaVersion") {
				t.Errorf("%s: body %s", path, w.Body)
			}
		}
		r := httptest.NewRequest("POST", server+"/v2/kernel/x/blobs/uploads/", nil)
		if got := s.serve(s.echo(), r).Header().Get("WWW-Authenticate"); got != realm+`,scope="repository:kernel/x:pull,push"` {
			t.Errorf("push: %q", got)
		}
		r.Header["Authorization"] = []string{"Bearer " + s.admin, "Bearer " + s.admin}
		if w := s.serve(s.echo(), r); w.Code != 401 {
			t.Errorf("two authorizations: %d", w.Code)
		}
		r.Header["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+s.admin))}
		if w := s.serve(s.echo(), r); w.Code != 401 {
			t.Errorf("basic authorization where a bearer is asked for: %d", w.Code)
		}
	})
}

func TestNobody(t *testing.T) {
	if p, ok := From(t.Context()); ok {
		t.Errorf("a context nobody filled has %+v", p)
	}
	if p, ok := From(With(t.Context(), state.Principal{})); ok {
		t.Errorf("the zero principal is %+v", p)
	}
}

func TestNewRefusesConfig(t *testing.T) {
	key, pepper := newKey(t), make([]byte, 32)
	for name, c := range map[string]Config{
		"plain http":   {URL: "http://patches.example", Signer: key, Pepper: pepper},
		"a path":       {URL: server + "/x", Signer: key, Pepper: pepper},
		"short pepper": {URL: server, Signer: key, Pepper: pepper[1:]},
	} {
		if _, err := New(c, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
