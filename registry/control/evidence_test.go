package control

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

func TestEvidence(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		s.Publish("two")
		unknown := s.Bundle(s.Statement("https://example.com/unknown/v1", w.PatchManifest, w.Patch.File.Digest, attest.Unknown(`{"x":1}`)), s.Signer(string(attest.RolePatch)))
		s.Admit(unknown, w.PatchManifest, "https://example.com/unknown/v1")
		id, key := s.enrol(t, "a")
		pub, pubKey := s.Principal("pub", state.RolePublisher)

		forHost, err := s.as(id, key).Evidence(ctx(), s.Product.Repository, w.PatchManifest)
		if err != nil {
			t.Fatal(err)
		}
		types := map[string]int{}
		for _, raw := range forHost.Bundles {
			b, err := attest.ParseBundle(raw)
			if err != nil {
				t.Fatal(err)
			}
			types[b.Statement.Type]++
		}
		if forHost.Manifest != nil {
			t.Error("a host got a manifest past the gate")
		}
		if len(forHost.Bundles) != 6 || types[attest.TypeProvenance] != 3 || types[attest.TypeBase] != 1 || types[attest.TypeEnvironment] != 1 || types[attest.TypeLivePatch] != 1 {
			t.Errorf("bundles for the host: %v, want the six the decision stands on", types)
		}
		forPublisher, err := s.as(pub, pubKey).Evidence(ctx(), s.Product.Repository, w.PatchManifest)
		if err != nil || attest.DigestOf(forPublisher.Manifest) != w.PatchManifest || len(forPublisher.Bundles) != 7 {
			t.Errorf("for the publisher: %d bundles, manifest %s, error %v", len(forPublisher.Bundles), attest.DigestOf(forPublisher.Manifest), err)
		}
		_, err = s.as(id, key).Evidence(ctx(), s.Product.Repository, attest.DigestOf([]byte("x")))
		wantError(t, "of an unknown manifest", err, 404, api.CodeNotFound)
	})
}

func TestRevocations(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		id, key := s.enrol(t, "a")
		host := s.as(id, key)
		s.record(t, host, id, key, w)
		pub, pubKey := s.Principal("pub", state.RolePublisher)
		publisher := s.as(pub, pubKey)
		allowed := func() bool {
			why, err := host.Why(ctx(), id, s.Product.Repository, string(w.PatchManifest))
			if err != nil {
				t.Fatal(err)
			}
			return why.Allow
		}
		if !allowed() {
			t.Fatal("denied before the revocation")
		}
		r := &attest.Revocation{Product: s.Product.ID, Kind: attest.RevokeSubject, Digest: w.PatchManifest, Reason: "x"}
		statement := s.Statement(attest.TypeRevocation, w.PatchManifest, "", r)
		for name, tt := range map[string]struct {
			bundle []byte
			code   string
		}{
			"by a stranger":               {s.Bundle(statement, s.Stranger()), "UNTRUSTED_SIGNER"},
			"by someone without the role": {s.Bundle(statement, s.Signer(string(attest.RolePatch))), "UNTRUSTED_SIGNER"},
			"no revocation":               {s.Say(w.Said()[0]), "CORRUPT"},
			"no bundle":                   {[]byte("{}"), "CORRUPT"},
		} {
			_, err := publisher.Revoke(ctx(), tt.bundle)
			wantError(t, name, err, 422, tt.code)
		}
		_, err := publisher.Revoke(ctx(), s.Revoke(uuid.NewString(), attest.RevokeSubject, w.PatchManifest))
		wantError(t, "of another product", err, 404, api.CodeNotFound)
		if !allowed() {
			t.Error("a refused revocation took effect")
		}
		bundle := s.Revoke(s.Product.ID, attest.RevokeSubject, w.PatchManifest)
		first, err := publisher.Revoke(ctx(), bundle)
		if err != nil {
			t.Fatal(err)
		}
		if allowed() {
			t.Error("allowed after the revocation was acknowledged")
		}
		again, err := publisher.Revoke(ctx(), bundle)
		if err != nil || *again != *first {
			t.Errorf("the same again: %+v, error %v, want %+v", again, err, first)
		}
		list, err := host.Revocations(ctx(), s.Product.ID)
		if err != nil || list.Count != 1 || len(list.Bundles) != 1 || !bytes.Equal(list.Bundles[0], bundle) {
			t.Errorf("revocations: %d, error %v", list.Count, err)
		}
	})
}

// TestWhyNotWhatIsRevokedAndNotHere: a server that only heard of the revocation
// says so.
func TestWhyNotWhatIsRevokedAndNotHere(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		id, key := s.enrol(t, "a")
		elsewhere := attest.DigestOf([]byte("a patch this server never had"))
		ask := func() error {
			_, err := s.as(id, key).Why(ctx(), id, s.Product.Repository, string(elsewhere))
			return err
		}
		wantError(t, "before", ask(), 404, api.CodeNotFound)
		s.RevokeIt(attest.RevokeSubject, elsewhere)
		wantError(t, "after", ask(), 403, "REVOKED")
		if err := ask(); !strings.Contains(err.Error(), "the test says so") {
			t.Errorf("the reason is not told: %v", err)
		}
	})
}
