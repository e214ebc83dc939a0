package policy_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A play is one try: what is published, what the host says, and which patch it
// asks for. Everything in it is signed by whoever has the right to, logged,
// timestamped, and goes through admission; what admission refuses is not there.
type play struct {
	said    []act
	bases   []policy.Artifact
	patch   policy.Artifact
	record  doc
	hostKey *verifytest.Signer
	running *attest.HostRecord // what the server expects of the record
}

// An act is a statement somebody signs about an artifact. Its predicate is a
// tree, so that it can be anything.
type act struct {
	role      attest.Role
	typ       string
	about     verify.Artifact
	predicate doc
}

// The names of a world's documents, as mutations have them.
var docNames = []string{"livepatch", "patch provenance", "base", "base provenance", "environment", "builder provenance"}

// docs returns the documents of w, by name; "record" too.
func docs(t testing.TB, w *verifytest.World) map[string]doc {
	t.Helper()
	all := map[string]doc{"record": toDoc(t, w.Record)}
	for _, s := range w.Said() {
		all[s.Name] = toDoc(t, s.Predicate)
	}
	return all
}

// staged returns the play of w with these documents.
func staged(w *verifytest.World, docs map[string]doc) *play {
	p := &play{
		bases: []policy.Artifact{baseArtifact(w)}, patch: patchArtifact(w),
		record: docs["record"], hostKey: w.HostKey, running: w.Record,
	}
	for _, s := range w.Said() {
		p.said = append(p.said, act{s.Role, s.Type, s.About, docs[s.Name]})
	}
	return p
}

// A stage performs plays. It keeps what was verified: the same statement about
// the same artifact is signed once.
type stage struct {
	*scene
	t    *testing.T
	w    *verifytest.World
	docs map[string]doc
	seen map[string]*verify.Evidence
}

func newStage(t *testing.T) *stage {
	s := newScene(t)
	w := s.World(s.product, "one")
	return &stage{scene: s, t: t, w: w, docs: docs(t, w), seen: make(map[string]*verify.Evidence)}
}

// play returns the play of the stage's world with some documents replaced.
func (s *stage) play(replaced map[string]doc) *play {
	all := maps.Clone(s.docs)
	maps.Copy(all, replaced)
	return staged(s.w, all)
}

// evidence has a signed, logged and verified, as admission does; nil where it
// is refused.
func (s *stage) evidence(a act) *verify.Evidence {
	payload := statement(s.t, a)
	key := strings.Join([]string{string(a.role), string(a.about.Manifest), string(a.about.File), string(payload)}, "|")
	if ev, done := s.seen[key]; done {
		return ev
	}
	ev, err := s.verifier.Bundle(s.Unchecked(payload, s.Signer(string(a.role))), a.about)
	if (err == nil) != ev.Proven() {
		s.t.Fatalf("evidence %v with error %v", ev, err)
	}
	s.seen[key] = ev
	return ev
}

// statement writes the bytes of a statement whatever its predicate is. Its
// second subject is the file its predicate says, where it says one: that is
// what its parser asks for, and the lie that gets furthest.
func statement(t testing.TB, a act) []byte {
	t.Helper()
	predicate, err := strictjson.Canonical(a.predicate)
	if err != nil {
		t.Fatal(err)
	}
	file := a.about.File
	switch a.typ {
	case attest.TypeEnvironment:
		file = attest.DigestOf(predicate)
	case attest.TypeBase, attest.TypeLivePatch:
		if said, ok := get(a.predicate, []string{"file", "digest"}).(string); ok {
			if d, err := attest.ParseDigest(said); err == nil {
				file = d
			}
		}
	}
	subjects := []any{subject(a.about.Manifest)}
	if file != "" {
		subjects = append(subjects, subject(file))
	}
	b, err := strictjson.Canonical(map[string]any{
		"_type": attest.StatementType, "subject": subjects, "predicateType": a.typ, "predicate": a.predicate,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func subject(d attest.Digest) any {
	return map[string]any{"name": "_", "digest": map[string]any{"sha256": d.Hex()}}
}

// hostRecord has the record signed by its host and taken by the server, which
// asked for it; nil where it is refused.
func (s *stage) hostRecord(p *play) *attest.HostRecord {
	a := act{typ: attest.TypeHostRecord, about: verify.Artifact{Manifest: p.hostKey.Key.ID()}, predicate: p.record}
	r, err := verify.HostRecord(s.Envelope(statement(s.t, a), p.hostKey), p.hostKey.Key, verify.Host{
		ID: p.running.Host, After: p.running.Sequence - 1, Nonce: p.running.Nonce, Now: s.Now, Boot: p.running.BootID,
	})
	if err != nil {
		return nil
	}
	return r
}

// decide performs p.
func (s *stage) decide(p *play) policy.Decision { return policy.Decide(s.facts(p)) }

func (s *stage) facts(p *play) *policy.Facts {
	pool := &policy.Pool{Revoked: policy.NewRevocations(s.trust, s.revoked)}
	for _, a := range p.said {
		if ev := s.evidence(a); ev != nil {
			pool.Add(ev)
		}
	}
	var bases []*policy.Base
	var attached *policy.Base
	for _, a := range p.bases {
		b := policy.GatherBase(s.trust, s.product.ID, a, pool)
		bases = append(bases, b)
		if a.Manifest == p.patch.Subject {
			attached = b
		}
	}
	f := &policy.Facts{
		Now: s.Now.Add(time.Minute), Trust: s.trust, Product: s.product.ID, Site: policy.DefaultSite(), Revoked: pool.Revoked, Embargoes: policy.NewEmbargoes(nil, nil),
		Patch: policy.GatherPatch(s.trust, s.product.ID, p.patch, attached, pool),
		Host: &policy.Host{
			ID: p.running.Host, State: policy.HostActive, Products: []string{s.product.ID},
			Record: s.hostRecord(p), Received: s.Now, Sequence: p.running.Sequence,
		},
	}
	if f.Host.Record != nil {
		f.Host.Bases = resolve(f.Host.Record, bases)
	}
	return f
}
