package auth

import (
	"crypto/rand"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/registry/state"
)

// robot adds one with an end, and returns its token.
func (s *scene) robot(end time.Duration, readOnly bool) string {
	token := RobotPrefix + rand.Text()
	s.people.byID["robot-1"] = state.Principal{
		ID: "robot-1", Name: "ci", Kind: state.KindToken, MAC: TokenMAC(s.Pepper, token), State: state.Active,
		Expires: time.Now().Add(end), ReadOnly: readOnly,
	}
	return token
}

func TestRobotProvesItself(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.robot(time.Hour, false)
		for _, name := range []string{"robot$ci", "ci", "robot-1", identityToken} {
			a := s.good(s.get(name, token))
			if w := s.use("/v2/", a.Token); w.Body.String() != "robot-1 true" {
				t.Errorf("as %s: %d %s", name, w.Code, w.Body)
			}
		}
		if w := s.use("/v1/x", token); w.Body.String() != "robot-1 true" {
			t.Errorf("as a bearer token: %d %s", w.Code, w.Body)
		}
		for _, name := range []string{"robot$admin", "robot$", "admin", "robot$robot-1"} {
			if w := s.get(name, token); w.Code != 401 {
				t.Errorf("under the name %s: %d %s", name, w.Code, w.Body)
			}
		}
	})
}

// TestRobotEnds: an expired or revoked robot is out at its next request, with
// its token and with an access token it got before.
func TestRobotEnds(t *testing.T) {
	for _, how := range []string{"expired", "revoked"} {
		stage(t, func(t *testing.T, s *scene) {
			token := s.robot(time.Minute, false)
			held := s.good(s.get("robot$ci", token)).Token
			time.Sleep(time.Minute - time.Second)
			if w := s.use("/v2/", held); w.Code != 200 {
				t.Fatalf("before it is %s: %d %s", how, w.Code, w.Body)
			}
			if how == "revoked" {
				s.people.set("robot-1", state.Revoked)
			} else {
				time.Sleep(time.Second)
			}
			for what, w := range map[string]*httptest.ResponseRecorder{
				"access token from before": s.use("/v2/", held),
				"bearer token":             s.use("/v2/", token),
				"another access token":     s.get("robot$ci", token),
			} {
				if code, message := ociCode(t, w); w.Code != 401 || code != "UNAUTHORIZED" || !strings.Contains(message, how) {
					t.Errorf("%s, %s: %d %s %s", how, what, w.Code, code, message)
				}
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.robot(time.Hour, true)
		held := s.good(s.get("robot$ci", token)).Token
		for method, want := range map[string]int{"GET": 200, "HEAD": 200, "PUT": 403, "POST": 403, "PATCH": 403, "DELETE": 403, "OPTIONS": 403} {
			for _, secret := range []string{token, held} {
				r := httptest.NewRequest(method, server+"/v2/x/manifests/v1", nil)
				r.Header.Set("Authorization", "Bearer "+secret)
				if w := s.serve(s.echo(), r); w.Code != want {
					t.Errorf("%s: %d %s, want %d", method, w.Code, w.Body, want)
				}
			}
		}
	})
}
