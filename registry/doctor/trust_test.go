package doctor_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/tuf/tuftest"
	"github.com/patchfit/patchfit/registry/doctor"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A trusting server hands out a trust policy and a TUF repository.
type trusting struct {
	*tuftest.Repository
	authority *verifytest.Authority
	policy    []byte // in effect
	t         *testing.T
}

func newTrusting(t *testing.T) *trusting {
	s := &trusting{Repository: tuftest.New(t, time.Now()), authority: verifytest.New(t), t: t}
	s.policy = s.signed(2, s.Pin(), time.Now().AddDate(1, 0, 0))
	s.Release(s.policy)
	return s
}

func (s *trusting) signed(version int64, pin attest.TUFRoot, expires time.Time) []byte {
	s.t.Helper()
	root := s.authority.Signer("policy root")
	p := s.authority.TrustPolicy(s.authority.Product("lib/greet"))
	p.Version, p.TUF, p.Expires = version, pin, expires.UTC().Truncate(time.Second)
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{root.Key.Base64()}}
	b, err := strictjson.Canonical(p)
	if err != nil {
		s.t.Fatal(err)
	}
	if b, err = attest.SignEnvelope(attest.PolicyPayload, b, root); err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *trusting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/trust-policy" && s.policy != nil {
		w.Write(s.policy)
		return
	}
	if b, ok := s.Served()[strings.TrimPrefix(r.URL.Path, "/tuf/")]; ok {
		w.Write(b)
		return
	}
	sound(w, r)
}

// TestTrust: each way in which hosts would come to be without trust is told
// before, by name.
func TestTrust(t *testing.T) {
	soon := time.Now().AddDate(0, 0, 10)
	for name, tt := range map[string]struct {
		spoil func(s *trusting)
		want  string // what fails
	}{
		"sound": {func(*trusting) {}, ""},
		"not named yet": {func(s *trusting) {
			s.policy = s.signed(3, attest.TUFRoot{}, time.Now().AddDate(1, 0, 0))
			s.Release(s.policy)
		}, ""},
		"policy ends soon":        {func(s *trusting) { s.policy = s.signed(3, s.Pin(), soon); s.Release(s.policy) }, "trust policy"},
		"no policy":               {func(s *trusting) { s.policy = []byte("{}") }, "trust policy, trust repository: trust policy"},
		"targets end soon":        {func(s *trusting) { s.ReleaseAs(2, s.Files(s.policy), soon) }, "trust repository: targets, trust repository: snapshot"},
		"a policy left behind":    {func(s *trusting) { s.policy = s.signed(3, s.Pin(), time.Now().AddDate(1, 0, 0)) }, "trust repository: trust policy"},
		"no timestamp":            {func(s *trusting) { s.Serve("timestamp.json", nil) }, "trust repository"},
		"a timestamp of long ago": {func(s *trusting) { s.Stamp(9, time.Now().Add(-time.Hour)) }, "trust repository"},
		"another root": {func(s *trusting) {
			s.policy = s.signed(3, attest.TUFRoot{Version: 1, Root: attest.DigestOf(nil)}, time.Now().AddDate(1, 0, 0))
		}, "trust repository"},
		"named, and not there": {func(s *trusting) { s.Restore(nil) }, "trust repository"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTrusting(t)
			tt.spoil(s)
			failed, _ := examine(t, s.ServeHTTP, &doctor.Options{})
			if got := strings.Join(failed, ", "); got != tt.want {
				t.Errorf("failed: %q, want %q", got, tt.want)
			}
		})
	}
}
