package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

func only(r ...verify.Reason) []verify.Reason { return r }

// denials is the golden list: at least one for every reason the gate gives.
func denials() []denial {
	return slices.Concat(hostDenials(), evidenceDenials(), revocationDenials(), contestDenials(), baseDenials(), channelDenials(), environmentDenials(), siteDenials(), rebuildDenials())
}

func hostDenials() []denial {
	return []denial{
		{"host suspended", fitting(func(f *policy.Facts) { f.Host.State = "suspended" }), only(verify.HostNotActive), []string{"active", "suspended"}},
		{"host unknown", fitting(func(f *policy.Facts) { f.Host = nil }), only(verify.HostNotActive), []string{"enrolled"}},
		{"key cloned", fitting(func(f *policy.Facts) { f.Host.Cloned = true }), only(verify.ClonedKey), nil},
		{"product of others", fitting(func(f *policy.Facts) { f.Host.Products = []string{"another"} }), only(verify.ForbiddenRole), []string{"another"}},
		{"product embargoed", fitting(func(f *policy.Facts) { f.Embargoes = policy.NewEmbargoes(&policy.Embargo{}, nil) }),
			only(verify.Embargoed), []string{"the product", "until that is lifted"}},
		{"patch embargoed", fitting(func(f *policy.Facts) {
			f.Embargoes = policy.NewEmbargoes(nil, &policy.Embargo{Until: f.Now.Add(time.Nanosecond), Hosts: []string{"another"}})
		}), only(verify.Embargoed), []string{"the patch", "until 2026-03-01T13:00:00Z"}},
		{"embargoes not known", fitting(func(f *policy.Facts) { f.Embargoes = nil }), only(verify.Embargoed), []string{"embargoes"}},
		{"trust policy expired", fitting(func(f *policy.Facts) {
			f.Now = verifytest.Epoch.AddDate(1, 0, 0)
			f.Host.Received = f.Now
			f.Host.Record.Time = f.Now
		}),
			only(verify.Expired), []string{"2027-03-01"}},
		{"no record", fitting(func(f *policy.Facts) { f.Host.Record, f.Host.Bases = nil, nil }), only(verify.StaleHostRecord), nil},
		{"record too old", fitting(func(f *policy.Facts) { f.Now = f.Now.Add(24 * time.Hour) }), only(verify.StaleHostRecord), []string{"at most 24h0m0s", "25h0m0s"}},
		{"record from the future", fitting(func(f *policy.Facts) { f.Now = f.Host.Received.Add(-time.Hour) }), only(verify.StaleHostRecord), nil},
		{"record of another hour", fitting(func(f *policy.Facts) { f.Host.Record.Time = f.Host.Record.Time.Add(-time.Hour) }), only(verify.StaleHostRecord), nil},
		{"record not the newest", fitting(func(f *policy.Facts) { f.Host.Sequence = 8 }), only(verify.Rollback), []string{"8", "7"}},
		{"record of another host", fitting(func(f *policy.Facts) { f.Host.ID = "another" }), only(verify.SubjectMismatch), []string{"another"}},
		{"record never counted", fitting(func(f *policy.Facts) { f.Host.Sequence = 0 }), only(verify.Rollback), nil},
	}
}

func evidenceDenials() []denial {
	return []denial{
		{"patch without its statement", without("livepatch"), only(verify.NoAttestation), []string{"livepatch/v1"}},
		{"base without its statement", without("base"), only(verify.NoAttestation, verify.UnknownBase), []string{"base/v1"}},
		{"environment without its statement", without("environment"), only(verify.NoAttestation), []string{"environment/v1"}},
		{"patch without provenance", without("patch provenance"), only(verify.NoProvenance), []string{"provenance of the patch"}},
		{"base without provenance", without("base provenance"), only(verify.NoProvenance, verify.LowAssurance), []string{"provenance of the base"}},
		{"builder image without provenance", without("builder provenance"), only(verify.NoProvenance), []string{"builder image"}},
		{"nothing at all", without("livepatch", "patch provenance", "base", "base provenance", "environment", "builder provenance"),
			only(verify.NoAttestation, verify.NoProvenance, verify.UnknownBase, verify.LowAssurance), nil},
		{"not a patch", fitting(func(f *policy.Facts) { f.Patch = nil }), only(verify.NoAttestation), []string{"live patch"}},
		{"evidence not verified", fitting(func(f *policy.Facts) { f.Patch.Statement = new(verify.Evidence) }), only(verify.NotLogged), []string{"livepatch/v1"}},
		{"provenance not verified", fitting(func(f *policy.Facts) { f.Patch.Base.Builder = new(verify.Evidence) }), only(verify.NotLogged), []string{"builder image"}},
		{"a statement of another type", fitting(func(f *policy.Facts) { f.Patch.Statement = f.Patch.Provenance }), only(verify.NoAttestation), []string{attest.TypeProvenance}},
		{"patch by the base's signer", saidBy("livepatch", attest.RoleBase), only(verify.UntrustedSigner), []string{"role patch", "livepatch/v1"}},
		{"patch provenance by another", saidBy("patch provenance", attest.RoleBuilder), only(verify.UntrustedSigner), []string{"provenance of the patch"}},
		{"base by another than its authority", saidBy("base", attest.RolePatch), only(verify.UntrustedSigner, verify.UnknownBase), []string{"role base", "base/v1"}},
		{"base provenance by another", saidBy("base provenance", attest.RolePatch), only(verify.UntrustedSigner, verify.LowAssurance), nil},
		{"environment by another", saidBy("environment", attest.RoleBuilder), only(verify.UntrustedSigner), []string{"environment/v1"}},
		{"builder image by another", saidBy("builder provenance", attest.RoleRevocation), only(verify.UntrustedSigner), []string{"role builder"}},
		{"key outside its window since", func(t *testing.T, s *scene) *policy.Facts {
			w := s.World(s.product, "one")
			s.publish(t, w)
			s.Signer("patch").Until = verifytest.Epoch // admitted before; the new trust policy ends the key earlier
			s.reload(t)
			return s.facts(t, w, w)
		}, only(verify.UntrustedSigner), []string{"2026-03-01T12:00:00Z"}},
		{"key not yet in its window", func(t *testing.T, s *scene) *policy.Facts {
			w := s.World(s.product, "one")
			s.publish(t, w)
			s.Signer("builder").From = verifytest.Epoch.Add(time.Second)
			s.reload(t)
			return s.facts(t, w, w)
		}, only(verify.UntrustedSigner), []string{"role builder"}},
		{"statements of another product", changed(func(t *testing.T, w *verifytest.World) {
			w.PatchBuild.BuildDefinition.ExternalParameters.Product = "3b241101-e2bb-4255-8caf-4136c566a962"
		}), only(verify.SubjectMismatch), []string{"product of provenance of the patch", "3b241101"}},
		{"provenance of the manifest alone", func(t *testing.T, s *scene) *policy.Facts {
			w := s.World(s.product, "one")
			s.publish(t, w, "patch provenance")
			said := w.Said()[1]
			s.admit(t, s.Bundle(s.Statement(said.Type, said.About.Manifest, "", said.Predicate), s.Signer("patch")), said.About)
			return s.facts(t, w, w)
		}, only(verify.SubjectMismatch), []string{"file of provenance of the patch", "(none)"}},
		{"environment of another base", fitting(func(f *policy.Facts) { f.Patch.Base.Environment = f.Patch.Base.Statement }),
			only(verify.NoAttestation, verify.SubjectMismatch), nil},
		{"another manifest", fitting(func(f *policy.Facts) { f.Patch.Artifact.Manifest = attest.DigestOf(nil) }), only(verify.SubjectMismatch), nil},
		{"another file", fitting(func(f *policy.Facts) { f.Patch.Artifact.File = attest.DigestOf(nil) }), only(verify.SubjectMismatch), nil},
		{"file of another size", fitting(func(f *policy.Facts) { f.Patch.Base.Artifact.FileSize++ }), only(verify.SubjectMismatch), []string{"70002", "70001"}},
		{"another repository", fitting(func(f *policy.Facts) { f.Patch.Artifact.Repository = "libs/other" }), only(verify.SubjectMismatch), []string{"libs/demo", "libs/other"}},
		{"attached to another base", fitting(func(f *policy.Facts) { f.Patch.Artifact.Subject = attest.DigestOf(nil) }), only(verify.SubjectMismatch), nil},
		{"base attached to another environment", fitting(func(f *policy.Facts) { f.Patch.Base.Artifact.Subject = attest.DigestOf(nil) }), only(verify.SubjectMismatch), nil},
		{"artifact of another type", fitting(func(f *policy.Facts) { f.Patch.Artifact.Type = attest.ArtifactBase }), only(verify.SubjectMismatch), nil},
	}
}

func revocationDenials() []denial {
	return []denial{
		{"revocations unknown", fitting(func(f *policy.Facts) { f.Revoked = nil }), only(verify.Revoked), []string{"knowledge"}},
		{"payload revoked", revoking(attest.RevokePayload, func(_ *verifytest.World, f *policy.Facts) attest.Digest { return f.Patch.Statement.Payload() }),
			only(verify.Revoked), []string{"livepatch/v1", "the test says so"}},
		{"patch revoked", revoking(attest.RevokeSubject, func(w *verifytest.World, _ *policy.Facts) attest.Digest { return w.PatchManifest }), only(verify.Revoked), []string{"subject"}},
		{"patch revoked, and nothing said of it", unsaid("livepatch", "patch provenance"), only(verify.Revoked), []string{"livepatch/v1", "the test says so"}},
		{"patch revoked, and its statement not here", unsaid("livepatch"), only(verify.Revoked), []string{"livepatch/v1", "the test says so"}},
		{"patch revoked, and its provenance not here", unsaid("patch provenance"), only(verify.Revoked), nil},
		{"base revoked", revoking(attest.RevokeSubject, func(w *verifytest.World, _ *policy.Facts) attest.Digest { return w.BaseManifest }), only(verify.Revoked), nil},
		{"environment artifact revoked", revoking(attest.RevokeSubject, func(w *verifytest.World, _ *policy.Facts) attest.Digest { return w.EnvManifest }), only(verify.Revoked), nil},
		{"key revoked", revoking(attest.RevokeKey, func(_ *verifytest.World, f *policy.Facts) attest.Digest { return f.Patch.Base.Builder.Signer() }), only(verify.Revoked), []string{"key"}},
		{"environment revoked", revoking(attest.RevokeEnvironment, func(w *verifytest.World, _ *policy.Facts) attest.Digest { return w.EnvFile }), only(verify.Revoked), nil},
		{"builder image revoked", revoking(attest.RevokeBuilder, func(w *verifytest.World, _ *policy.Facts) attest.Digest { return w.Builder }), only(verify.Revoked), nil},
	}
}

// unsaid revokes a patch of which this was never said here.
func unsaid(names ...string) func(*testing.T, *scene) *policy.Facts {
	return func(t *testing.T, s *scene) *policy.Facts {
		w := s.World(s.product, "one")
		s.publish(t, w, names...)
		s.revoke(t, attest.RevokeSubject, w.PatchManifest)
		return s.facts(t, w, w)
	}
}

// TestRevokedIsNotAttested: a patch that is revoked needs no statement to be
// denied for that, and is not shown as if it had one.
func TestRevokedIsNotAttested(t *testing.T) {
	s := newScene(t)
	for _, check := range policy.Explain(unsaid("livepatch", "patch provenance")(t, s)) {
		if check.Passed && (check.Rule == "attested" || check.Rule == "provenance" || check.Rule == "not-revoked") {
			t.Errorf("%s is passed", check.Rule)
		}
	}
}

func contestDenials() []denial {
	return []denial{
		{"two mappings of one base", func(t *testing.T, s *scene) *policy.Facts {
			w := s.World(s.product, "one")
			s.publish(t, w)
			w.Environment.Flags[0] = "-O3"
			w.Link(t)
			for _, said := range w.Said()[2:4] { // the same base once more, in another environment
				s.admit(t, s.Say(said), said.About)
			}
			return s.facts(t, w, w)
		}, only(verify.Contested), []string{"base"}},
		{"two descriptions of one patch", func(t *testing.T, s *scene) *policy.Facts {
			w := s.World(s.product, "one")
			s.publish(t, w)
			w.Patch.Revertible = false
			s.admit(t, s.Say(w.Said()[0]), w.Said()[0].About)
			return s.facts(t, w, w)
		}, only(verify.Contested), []string{"patch"}},
		{"two builds of one patch", func(t *testing.T, s *scene) *policy.Facts {
			w := s.World(s.product, "one")
			s.publish(t, w)
			w.PatchBuild.BuildDefinition.ResolvedDependencies = w.PatchBuild.BuildDefinition.ResolvedDependencies[1:]
			s.admit(t, s.Say(w.Said()[1]), w.Said()[1].About)
			return s.facts(t, w, w)
		}, only(verify.Contested), []string{"patch"}},
		{"one file, two environments", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			other.BaseFile, other.Base.File, other.Base.Measurements = w.BaseFile, w.Base.File, w.Base.Measurements
			other.Record.Running = w.Record.Running
			s.publish(t, w)
			s.publish(t, other)
			return s.facts(t, w, other)
		}, only(verify.Contested, verify.EnvMismatch), []string{"environment"}},
	}
}

func baseDenials() []denial {
	return []denial{
		{"measured something unknown", fitting(func(f *policy.Facts) { f.Host.Record.Running[0].Measurement.BuildID = "00"; f.Host.Bases = nil }),
			only(verify.UnknownBase), []string{"build-id 00"}},
		{"measured nothing of the product", fitting(func(f *policy.Facts) { f.Host.Record.Running, f.Host.Bases = nil, nil }), only(verify.UnknownBase), nil},
		{"measured one more that is unknown", fitting(func(f *policy.Facts) {
			more := f.Host.Record.Running[0]
			more.Measurement.Digest = attest.DigestOf(nil)
			f.Host.Record.Running = append(f.Host.Record.Running, more)
		}), only(verify.UnknownBase), nil},
		{"one base more than was measured", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			s.publish(t, w)
			s.publish(t, other)
			f := s.facts(t, w, w)
			f.Host.Bases = append(f.Host.Bases, policy.GatherBase(s.trust, s.product.ID, baseArtifact(other), s.pool))
			return f
		}, only(verify.UnknownBase, verify.EnvMismatch, verify.BaseMismatch), []string{"each base"}},
		{"the host's base is contested", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			s.publish(t, w)
			s.publish(t, other)
			f := s.facts(t, w, other)
			f.Host.Bases[0].Contested = "two say otherwise"
			return f
		}, only(verify.Contested, verify.EnvMismatch, verify.BaseMismatch), []string{"host's base", "two say otherwise"}},
		{"a base nobody measured", fitting(func(f *policy.Facts) { f.Host.Record.Running[0].Measurement.BuildID = "00" }), only(verify.UnknownBase), nil},
		{"patch for an unknown base", fitting(func(f *policy.Facts) { f.Patch.Base = nil }), only(verify.UnknownBase), []string{"attached"}},
		{"another base of the same environment", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			other.Builder, other.EnvManifest, other.Environment = w.Builder, w.EnvManifest, w.Environment
			other.Link(t)
			s.publish(t, w)
			s.publish(t, other, "environment", "builder provenance")
			return s.facts(t, w, other)
		}, only(verify.BaseMismatch), []string{"file of the base the host runs"}},
		{"two bases at once", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			other.Builder, other.EnvManifest, other.Environment = w.Builder, w.EnvManifest, w.Environment
			other.Link(t)
			s.publish(t, w)
			s.publish(t, other, "environment", "builder provenance")
			w.Record.Running = sorted(w.Record.Running[0], other.Record.Running[0])
			f := s.facts(t, w, w)
			f.Host.Bases = append(f.Host.Bases, policy.GatherBase(s.trust, s.product.ID, baseArtifact(other), s.pool))
			return f
		}, only(verify.BaseMismatch), nil},
		{"attached to one base, made for another's file", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			other.Builder, other.EnvManifest, other.Environment = w.Builder, w.EnvManifest, w.Environment
			other.Link(t)
			w.Patch.BaseFile = other.BaseFile.Digest
			s.publish(t, w)
			s.publish(t, other, "environment", "builder provenance")
			return s.facts(t, w, other)
		}, only(verify.BaseMismatch), []string{"base file of livepatch/v1"}},
	}
}

func environmentDenials() []denial {
	return []denial{
		{"attached to a base of another environment", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			other.Builder, other.Environment.BuilderImage = w.Builder, w.Builder
			other.BaseFile, other.Base.File, other.Base.Measurements = w.BaseFile, w.Base.File, w.Base.Measurements
			other.Record.Running = w.Record.Running
			other.Link(t)
			w.Patch.Environment = other.EnvFile // its provenance says otherwise
			s.publish(t, w)
			s.publish(t, other, "builder provenance")
			f := s.facts(t, w, other)
			f.Host.Bases = f.Host.Bases[1:] // the host knows only the other
			return f
		}, only(verify.Contested, verify.EnvMismatch), nil},
		{"one flag apart", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			other.Builder, other.Environment.BuilderImage = w.Builder, w.Builder
			other.Environment.Flags = []string{"-O2", "-fno-plt", "-fPIC", "-DNAME=one"}
			other.Link(t)
			s.publish(t, w)
			s.publish(t, other, "builder provenance")
			return s.facts(t, w, other)
		}, only(verify.EnvMismatch, verify.BaseMismatch), []string{"flags/1 = -fno-plt", "(absent)"}},
		{"patch built in another environment", func(t *testing.T, s *scene) *policy.Facts {
			w, other := s.World(s.product, "one"), s.World(s.product, "two")
			w.Patch.Environment = other.EnvFile
			s.publish(t, w)
			s.publish(t, other)
			return s.facts(t, w, w)
		}, only(verify.EnvMismatch), []string{"builderImage"}},
		{"patch provenance names another environment", changed(func(t *testing.T, w *verifytest.World) {
			w.PatchBuild.BuildDefinition.ResolvedDependencies[0].Digest["sha256"] = attest.DigestOf(nil).Hex()
		}), only(verify.EnvMismatch), []string{"resolvedDependencies/environment"}},
		{"base provenance names no builder image", changed(func(t *testing.T, w *verifytest.World) {
			w.BaseBuild.BuildDefinition.ResolvedDependencies = w.BaseBuild.BuildDefinition.ResolvedDependencies[:1]
		}), only(verify.EnvMismatch), []string{"resolvedDependencies/builder-image", "(none)"}},
		{"host of another word size", changed(func(t *testing.T, w *verifytest.World) { w.Record.Target.WordSize = 32 }),
			only(verify.EnvMismatch), []string{"target/wordSize of the host record = 64", "32"}},
		{"base of another byte order", changed(func(t *testing.T, w *verifytest.World) { w.Base.Target.ByteOrder = "big" }),
			only(verify.EnvMismatch), []string{"target/byteOrder of base/v1"}},
	}
}

func siteDenials() []denial {
	return []denial{
		{"site asks for more of the host", fitting(func(f *policy.Facts) { f.Site.MinimumAssurance.Host = "quoted" }), only(verify.LowAssurance), []string{"quoted", "signed"}},
		{"site asks for more of the base", fitting(func(f *policy.Facts) { f.Site.MinimumAssurance.Base = "reproduced" }), only(verify.LowAssurance), []string{"reproduced", "built"}},
		{"basis of fit not accepted", func(t *testing.T, s *scene) *policy.Facts {
			w := s.World(s.product, "one")
			s.publish(t, w)
			p := s.TrustPolicy(s.product)
			p.Products[0].FitBases = []string{"equivalent"} // no parser takes it; the decision does not either
			s.trust = policy.NewTrust(p, "")
			return s.facts(t, w, w)
		}, only(verify.LowAssurance), []string{"equivalent", "environment"}},
	}
}

func sorted(a, b attest.Running) []attest.Running {
	if b.Measurement.Digest < a.Measurement.Digest {
		a, b = b, a
	}
	return []attest.Running{a, b}
}
