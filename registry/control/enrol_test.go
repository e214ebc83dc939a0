package control

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// enrol goes through the door.
func (s *scene) enrol(t *testing.T, name string) (string, statetest.Key) {
	t.Helper()
	made, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key := statetest.NewKey(t)
	got, err := s.client(&api.Options{}).Enrol(ctx(), request(t, made.Token, name, key))
	if err != nil {
		t.Fatal(err)
	}
	return got.Host, key
}

func request(t *testing.T, text, name string, key statetest.Key) api.Enrol {
	t.Helper()
	token, err := api.ParseEnrolmentToken(text)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := api.EnrolmentProof(key.Signer, token)
	if err != nil {
		t.Fatal(err)
	}
	return api.Enrol{Token: text, Name: name, Key: key.Public.Base64(), Proof: proof}
}

// TestEnrolmentToken: it pins this server and its trust policy, its secret is
// nowhere else, and it is good for a day at most.
func TestEnrolmentToken(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		made, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		token, err := api.ParseEnrolmentToken(made.Token)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := s.State.TrustPolicy()
		roots, _ := p.Roots.Digest()
		if token.Server != base || token.TLSKey != tlsKey || token.Roots != roots || token.ID != made.ID {
			t.Errorf("token %+v does not pin this server and its trust policy", token)
		}
		for _, r := range s.Journal.Records() {
			if bytes.Contains(r.Body, []byte(token.Secret)) {
				t.Errorf("the secret is in the journal, record %d", r.Sequence)
			}
		}
		for _, ttl := range []time.Duration{0, 25 * time.Hour} {
			_, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, ttl)
			wantError(t, fmt.Sprint("ttl ", ttl), err, 400, api.CodeInvalid)
		}
	})
}

func TestEnrolmentRefused(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		made, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		token := mustParse(t, made.Token)
		nobody := s.client(&api.Options{})
		key, other := statetest.NewKey(t), statetest.NewKey(t)
		good := request(t, made.Token, "a", key)
		alter := func(change func(*api.EnrolmentToken)) string {
			c := *token
			change(&c)
			return c.String()
		}
		for name, tt := range map[string]struct {
			e      api.Enrol
			status int
			code   string
		}{
			"another's proof": {api.Enrol{Token: good.Token, Name: "a", Key: good.Key, Proof: request(t, made.Token, "a", other).Proof}, 400, api.CodeInvalid},
			"another's key":   {api.Enrol{Token: good.Token, Name: "a", Key: other.Public.Base64(), Proof: good.Proof}, 400, api.CodeInvalid},
			"no proof":        {api.Enrol{Token: good.Token, Name: "a", Key: good.Key}, 400, api.CodeInvalid},
			"not a key":       {api.Enrol{Token: good.Token, Name: "a", Key: "x", Proof: good.Proof}, 400, api.CodeInvalid},
			"no name":         {api.Enrol{Token: good.Token, Key: good.Key, Proof: good.Proof}, 400, api.CodeInvalid},
			"not a token":     {api.Enrol{Token: "pfe1.x", Name: "a", Key: good.Key, Proof: good.Proof}, 400, api.CodeInvalid},
			"another secret":  {request(t, alter(func(c *api.EnrolmentToken) { c.Secret = api.NewEnrolmentToken(base, "", token.Roots).Secret }), "a", key), 403, api.CodeNoToken},
			"unknown token":   {request(t, api.NewEnrolmentToken(base, "", token.Roots).String(), "a", key), 403, api.CodeNoToken},
			"key of a signer": {signed(t, s, made.Token), 400, api.CodeInvalid},
		} {
			_, err := nobody.Enrol(ctx(), tt.e)
			wantError(t, name, err, tt.status, tt.code)
		}
		if _, err := nobody.Enrol(ctx(), good); err != nil {
			t.Errorf("the one without a difference, after all that: %v", err)
		}
	})
}

// TestEnrolmentLockOut: a thousand failures behind an address keep nobody
// behind it from enrolling, even where they bear the name of its token.
func TestEnrolmentLockOut(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		made, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		token := mustParse(t, made.Token)
		nobody, key := s.client(&api.Options{}), statetest.NewKey(t)
		good := request(t, made.Token, "a", key)
		guess := *token
		guess.Secret = api.NewEnrolmentToken(base, "", token.Roots).Secret
		bad := []api.Enrol{
			request(t, guess.String(), "a", key),
			request(t, api.NewEnrolmentToken(base, "", token.Roots).String(), "a", key),
			{Token: good.Token, Name: "a", Key: good.Key, Proof: request(t, made.Token, "a", statetest.NewKey(t)).Proof},
		}
		for i := range 1000 {
			_, err = nobody.Enrol(ctx(), bad[i%len(bad)])
		}
		wantError(t, "the thousandth failure", err, 429, api.CodeTooMany)
		if _, err := nobody.Enrol(ctx(), good); err != nil {
			t.Errorf("a good token and proof from the same place: %v", err)
		}
		_, err = nobody.Enrol(ctx(), bad[0])
		wantError(t, "one failure more", err, 429, api.CodeTooMany)
		var e *api.Error
		if !errors.As(err, &e) || e.RetryAfter <= 0 {
			t.Errorf("one failure more: %v, without a time to wait", err)
		}
	})
}

// TestEnrolmentOnce: a token is one host's, and a key is one host's.
func TestEnrolmentOnce(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		made, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		nobody := s.client(&api.Options{})
		key, other := statetest.NewKey(t), statetest.NewKey(t)
		good := request(t, made.Token, "a", key)
		got, err := nobody.Enrol(ctx(), good)
		if err != nil || !slices.Equal(got.Products, []string{s.Product.ID}) {
			t.Fatalf("enrolled %+v, error %v", got, err)
		}
		_, err = nobody.Enrol(ctx(), good)
		wantError(t, "the same again", err, 403, api.CodeNoToken)
		_, err = nobody.Enrol(ctx(), request(t, made.Token, "b", other))
		wantError(t, "another host with the token", err, 403, api.CodeNoToken)

		again, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		_, err = nobody.Enrol(ctx(), request(t, again.Token, "a2", key))
		wantError(t, "a second host with the same key", err, 409, api.CodeConflict)
		time.Sleep(time.Hour)
		_, err = nobody.Enrol(ctx(), request(t, again.Token, "b", other))
		wantError(t, "a token that is over", err, 403, api.CodeNoToken)
	})
}

// signed is an enrolment with the public key of a signer of statements, whose
// private key this host does not have.
func signed(t *testing.T, s *scene, token string) api.Enrol {
	e := request(t, token, "a", statetest.NewKey(t))
	e.Key = s.Signer(string(attest.RolePatch)).Key.Base64()
	return e
}

// TestEnrolRace: of fifty who try one token at once, one gets a host.
func TestEnrolRace(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		made, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		const tries = 50
		var mu sync.Mutex
		var hosts []string
		var wg sync.WaitGroup
		for range tries {
			e := request(t, made.Token, "a", statetest.NewKey(t))
			wg.Go(func() {
				got, err := s.client(&api.Options{}).Enrol(ctx(), e)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					hosts = append(hosts, got.Host)
				}
			})
		}
		wg.Wait()
		if len(hosts) != 1 || len(s.State.Hosts(s.Product.ID)) != 1 {
			t.Errorf("%d tries made hosts %v, the state has %d", tries, hosts, len(s.State.Hosts(s.Product.ID)))
		}
	})
}

// TestProofIsOfThisToken: a proof for one token is none for another.
func TestProofIsOfThisToken(t *testing.T) {
	key := statetest.NewKey(t)
	one, two := api.NewEnrolmentToken(base, "", attest.DigestOf(nil)), api.NewEnrolmentToken(base, "", attest.DigestOf(nil))
	var proof, otherForm string
	for proof == otherForm { // of some signatures the two forms are one
		var err error
		proof, err = api.EnrolmentProof(key.Signer, &one)
		if err != nil || !api.VerifyEnrolmentProof(key.Public, one.ID, proof) {
			t.Fatalf("proof of the token: error %v", err)
		}
		raw, _ := base64.StdEncoding.DecodeString(proof)
		otherForm = base64.RawURLEncoding.EncodeToString(raw)
	}
	for name, ok := range map[string]bool{
		"another token": api.VerifyEnrolmentProof(key.Public, two.ID, proof),
		"another key":   api.VerifyEnrolmentProof(statetest.NewKey(t).Public, one.ID, proof),
		"another form":  api.VerifyEnrolmentProof(key.Public, one.ID, otherForm),
		"line breaks":   api.VerifyEnrolmentProof(key.Public, one.ID, proof[:8]+"\r\n"+proof[8:]),
		"a line after":  api.VerifyEnrolmentProof(key.Public, one.ID, proof+"\n"),
		"nothing":       api.VerifyEnrolmentProof(key.Public, one.ID, ""),
	} {
		if ok {
			t.Errorf("a proof for %s was taken", name)
		}
	}
}
