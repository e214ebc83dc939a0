package policy_test

import (
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A scene is a product with its trust policy, and what was admitted to it.
type scene struct {
	*verifytest.Authority
	product  attest.Product
	trust    *policy.Trust
	verifier *verify.Verifier
	pool     *policy.Pool
	revoked  []*verify.Evidence
	channels []*verify.Evidence
}

func newScene(t testing.TB) *scene {
	t.Helper()
	a := verifytest.New(t)
	s := &scene{Authority: a, product: a.Product("libs/demo"), pool: new(policy.Pool)}
	s.reload(t)
	return s
}

// reload takes the trust policy as the signers now are.
func (s *scene) reload(t testing.TB) {
	t.Helper()
	p := s.TrustPolicy(s.product)
	v, err := verify.New(p)
	if err != nil {
		t.Fatal(err)
	}
	s.verifier, s.trust = v, policy.NewTrust(p, attest.DigestOf([]byte("trust policy")))
}

// admit verifies a bundle and keeps it, as admission does.
func (s *scene) admit(t testing.TB, raw []byte, about verify.Artifact) *verify.Evidence {
	t.Helper()
	ev, err := s.verifier.Bundle(raw, about)
	if err != nil {
		t.Fatal(err)
	}
	s.pool.Add(ev)
	return ev
}

// publish has everything said and admitted, but what skip names.
func (s *scene) publish(t testing.TB, w *verifytest.World, skip ...string) {
	t.Helper()
	for _, said := range w.Said() {
		if !contains(skip, said.Name) {
			s.admit(t, s.Say(said), said.About)
		}
	}
}

func contains(list []string, v string) bool {
	for _, e := range list {
		if e == v {
			return true
		}
	}
	return false
}

// revoke admits a revocation.
func (s *scene) revoke(t testing.TB, kind string, d attest.Digest) {
	t.Helper()
	ev, err := s.verifier.Revocation(s.Revoke(s.product.ID, kind, d))
	if err != nil {
		t.Fatal(err)
	}
	s.revoked = append(s.revoked, ev)
}

func baseArtifact(w *verifytest.World) policy.Artifact {
	return policy.Artifact{
		Repository: w.Repository, Manifest: w.BaseManifest, Type: attest.ArtifactBase,
		Subject: w.EnvManifest, File: w.BaseFile.Digest, FileSize: w.BaseFile.Size,
	}
}

func patchArtifact(w *verifytest.World) policy.Artifact {
	return policy.Artifact{
		Repository: w.Repository, Manifest: w.PatchManifest, Type: attest.ArtifactPatch,
		Subject: w.BaseManifest, File: w.PatchFile.Digest, FileSize: w.PatchFile.Size,
	}
}

// facts gathers what there is to decide whether the host that runs running's
// base, as its record says, may have patch's patch, as the server does:
// the record's measurements are looked up among the bases of both.
func (s *scene) facts(t testing.TB, patch, running *verifytest.World) *policy.Facts {
	t.Helper()
	record, err := verify.HostRecord(s.RecordEnvelope(running), running.HostKey.Key, verify.Host{
		ID: running.Record.Host, After: running.Record.Sequence - 1, Nonce: verifytest.Nonce, Now: s.Now, Boot: running.Record.BootID,
	})
	if err != nil {
		t.Fatal(err)
	}
	revoked := policy.NewRevocations(s.trust, s.revoked)
	s.pool.Revoked = revoked
	bases := []*policy.Base{policy.GatherBase(s.trust, s.product.ID, baseArtifact(patch), s.pool)}
	if running != patch {
		bases = append(bases, policy.GatherBase(s.trust, s.product.ID, baseArtifact(running), s.pool))
	}
	return &policy.Facts{
		Now: s.Now.Add(time.Hour), Trust: s.trust, Product: s.product.ID,
		Host: &policy.Host{
			ID: running.Record.Host, State: policy.HostActive, Products: []string{s.product.ID},
			Record: record, Received: s.Now, Sequence: running.Record.Sequence, Bases: resolve(record, bases),
		},
		Patch:   policy.GatherPatch(s.trust, s.product.ID, patchArtifact(patch), bases[0], s.pool),
		Site:    policy.DefaultSite(),
		Revoked: revoked, Channels: policy.NewChannels(s.trust, revoked, s.channels), Embargoes: policy.NewEmbargoes(nil, nil),
	}
}

// resolve returns the bases that a record's measurements are of.
func resolve(record *attest.HostRecord, bases []*policy.Base) (all []*policy.Base) {
	for _, b := range bases {
		for _, r := range record.Running {
			if b.Matches(r) {
				all = append(all, b)
				break
			}
		}
	}
	return all
}

// good returns the facts of a patch that fits.
func good(t testing.TB) (*scene, *verifytest.World, *policy.Facts) {
	t.Helper()
	s := newScene(t)
	w := s.World(s.product, "one")
	s.publish(t, w)
	f := s.facts(t, w, w)
	if d := policy.Decide(f); !d.Allow {
		t.Fatalf("the good case is denied: %v", d.Reasons)
	}
	return s, w, f
}
