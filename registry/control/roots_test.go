package control

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// TestTrustPolicyAfter: who missed changes of roots gets them one by one, in
// order, from a server that keeps them all.
func TestTrustPolicyAfter(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		_, first := s.State.TrustPolicy()
		push := func(version int64, own statetest.Key, by ...statetest.Key) []byte {
			p := s.TrustPolicy(s.Product)
			p.Version, p.Expires = version, verifytest.Epoch.AddDate(1, 0, 0)
			p.Roots = attest.Roots{Threshold: 1, Keys: []string{own.Public.Base64()}}
			envelope := s.SignPolicy(p, append(by, own)...)
			if _, err := s.admin.PushTrustPolicy(ctx(), envelope); err != nil {
				t.Fatal(err)
			}
			return envelope
		}
		second, third := statetest.NewKey(t), statetest.NewKey(t)
		push(2, s.Root)
		four := push(4, second, s.Root)
		push(5, second)
		six := push(6, third, second)
		seven := push(7, third)
		for after, want := range map[int64][]byte{0: first, 1: four, 2: four, 3: four, 4: six, 5: six, 6: seven} {
			if got, err := s.client(&api.Options{}).TrustPolicyAfter(ctx(), after); err != nil || !bytes.Equal(got, want) {
				t.Errorf("after version %d: %.60q, error %v", after, got, err)
			}
		}
		_, err := s.client(&api.Options{}).TrustPolicyAfter(ctx(), 7)
		wantError(t, "after the newest", err, 404, api.CodeNotFound)
		for _, query := range []string{"after=", "after=-1", "after=x", "after=9223372036854775807", "after=1&after=2", "before=1", "after=1&x=1"} {
			r := httptest.NewRequest(http.MethodGet, base+"/v1/trust-policy?"+query, nil)
			w := httptest.NewRecorder()
			s.mux.ServeHTTP(w, r)
			if w.Code != http.StatusBadRequest {
				t.Errorf("?%s: status %d, want 400", query, w.Code)
			}
		}
	})
}
