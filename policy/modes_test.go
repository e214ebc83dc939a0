package policy_test

import (
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/verify"
)

// The places where another environment can turn up, with everything else true
// to it.

const hostBuiltIn = "the host's base was built in it"

// environmentModes are the places another environment can turn up in.
func (s *stage) environmentModes() map[string]func(env doc) *play {
	return map[string]func(env doc) *play{
		hostBuiltIn: func(env doc) *play {
			return s.otherBase(env, "host's base", func(p *play, base doc) {
				p.record = with(p.record, []string{"running", "0", "measurement"}, get(base, []string{"measurements", "0"}))
			})
		},
		"the patch was built in it": func(env doc) *play {
			p := s.play(map[string]doc{
				"livepatch":        with(s.docs["livepatch"], []string{"environment"}, digestOf(s.t, env)),
				"patch provenance": rebuilt(s.t, s.docs["patch provenance"], env),
			})
			return s.publishEnvironment(p, env)
		},
		"the environment's artifact was replaced by it": func(env doc) *play {
			p := s.play(nil)
			s.setEnvironment(p, env, s.w.EnvManifest)
			return p
		},
		"the base was mapped to it": func(env doc) *play {
			p := s.play(map[string]doc{
				"base":            with(s.docs["base"], []string{"environment"}, digestOf(s.t, env)),
				"base provenance": rebuilt(s.t, s.docs["base provenance"], env),
			})
			p.bases[0].Subject = otherManifest
			return s.publishEnvironment(p, env)
		},
		"the same file was built in it too": func(env doc) *play {
			return s.otherBase(env, "", func(*play, doc) {})
		},
	}
}

var otherManifest = attest.DigestOf([]byte("manifest of the other environment"))

// mustAllowOnly asks that the mode allows when the environment is the same:
// what denies in it is the difference and nothing else.
func (s *stage) mustAllowOnly(mode string, stage func(doc) *play) {
	s.t.Helper()
	d := s.decide(stage(s.docs["environment"]))
	if mode == hostBuiltIn { // another file is another base, whatever its environment
		if d.Allow || d.Reasons[0].Reason != verify.BaseMismatch {
			s.t.Errorf("%s, unchanged: %v", mode, d.Reasons)
		}
		return
	}
	if !d.Allow {
		s.t.Errorf("%s, unchanged: %v", mode, d.Reasons)
	}
}

// otherBase publishes one more base, built in env, with a file of its own
// where file is not "".
func (s *stage) otherBase(env doc, file string, host func(p *play, base doc)) *play {
	p := s.play(nil)
	base := with(s.docs["base"], []string{"environment"}, digestOf(s.t, env))
	a := p.bases[0]
	a.Manifest, a.Subject = attest.DigestOf([]byte("manifest of the other base")), otherManifest
	if file != "" {
		a.File = attest.DigestOf([]byte(file))
		base = with(base, []string{"file", "digest"}, string(a.File))
		base = with(base, []string{"measurements", "0", "digest"}, string(a.File))
	}
	if isEnvironment(s.t, env) {
		base = with(base, []string{"target"}, get(env, []string{"target"}))
	}
	about := verify.Artifact{Manifest: a.Manifest, File: a.File}
	p.said = append(p.said, act{attest.RoleBase, attest.TypeBase, about, base},
		act{attest.RoleBase, attest.TypeProvenance, about, rebuilt(s.t, s.docs["base provenance"], env)})
	p.bases = append(p.bases, a)
	host(p, base)
	return s.publishEnvironment(p, env)
}

// publishEnvironment adds the artifact of env, its statement, and provenance of
// the builder image it names.
func (s *stage) publishEnvironment(p *play, env doc) *play {
	p.said = append(p.said, act{attest.RoleBase, attest.TypeEnvironment, verify.Artifact{Manifest: otherManifest, File: digestFor(s.t, env)}, env})
	if image, ok := get(env, []string{"builderImage"}).(string); ok {
		if d, err := attest.ParseDigest(image); err == nil && d != s.w.Builder {
			p.said = append(p.said, act{attest.RoleBuilder, attest.TypeProvenance, verify.Artifact{Manifest: d}, s.docs["builder provenance"]})
		}
	}
	return p
}

// setEnvironment makes env what the artifact manifest holds.
func (s *stage) setEnvironment(p *play, env doc, manifest attest.Digest) {
	for i := range p.said {
		if p.said[i].typ == attest.TypeEnvironment {
			p.said[i].predicate, p.said[i].about = env, verify.Artifact{Manifest: manifest, File: digestFor(s.t, env)}
		}
	}
}

// isEnvironment reports whether env can be admitted at all.
func isEnvironment(t testing.TB, env doc) bool {
	t.Helper()
	b, err := strictjson.Canonical(env)
	if err != nil {
		t.Fatal(err)
	}
	_, err = attest.ParseEnvironment(b)
	return err == nil
}

func digestFor(t testing.TB, env doc) attest.Digest {
	t.Helper()
	b, err := strictjson.Canonical(env)
	if err != nil {
		t.Fatal(err)
	}
	return attest.DigestOf(b)
}

func digestOf(t testing.TB, env doc) string { return string(digestFor(t, env)) }

// rebuilt returns provenance that names env and its builder image.
func rebuilt(t testing.TB, provenance, env doc) doc {
	t.Helper()
	deps := []string{"buildDefinition", "resolvedDependencies"}
	provenance = with(provenance, append(deps, "0", "digest", "sha256"), digestFor(t, env).Hex())
	if image, ok := get(env, []string{"builderImage"}).(string); ok {
		provenance = with(provenance, append(deps, "1", "digest", "sha256"), attest.Digest(image).Hex())
	}
	return provenance
}
