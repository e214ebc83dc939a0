package verifying

import (
	"cmp"
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// A Checker verifies bundles about one subject by one trust policy.
type Checker struct {
	verifier *verify.Verifier
	trust    *policy.Trust
	version  int64
	product  string
	subject  *subject
	names    map[attest.Digest]string // of signers, by key or identity
	revoked  *policy.Revocations      // nil: they are not known
	known    Revocations
}

// NewChecker returns a checker for what is said in a product, about nothing yet.
func NewChecker(p *attest.TrustPolicy, product string) (*Checker, error) {
	verifier, err := verify.New(p)
	if err != nil {
		return nil, err
	}
	c := &Checker{verifier: verifier, trust: policy.NewTrust(p, ""), version: p.Version, product: product, names: map[attest.Digest]string{}}
	for _, s := range p.Signers {
		for _, k := range s.Keys {
			if key, err := attest.ParsePublicKey(k.Key); err == nil {
				c.names[key.ID()] = s.Name
			}
		}
		for _, i := range s.Identities {
			if id, err := i.ID(); err == nil {
				c.names[id] = s.Name
			}
		}
	}
	return c, nil
}

// About returns a checker for what is said about an artifact of a type; "" where
// the type is not known.
func (c *Checker) About(a verify.Artifact, typ string) *Checker {
	return c.about(&subject{artifact: a, typ: typ})
}

func (c *Checker) about(s *subject) *Checker {
	other := *c
	other.subject = s
	return &other
}

// Revoked returns a checker that knows these revocations, and where they are
// from. Those that do not verify, or whose signer has no role for them, count
// for nothing.
func (c *Checker) Revoked(bundles [][]byte, from string) *Checker {
	var all []*verify.Evidence
	for _, raw := range bundles {
		if e, err := c.verifier.Revocation(raw); err == nil {
			all = append(all, e)
		}
	}
	other := *c
	other.revoked = policy.NewRevocations(c.trust, all)
	other.known = Revocations{Known: true, From: from, Count: other.revoked.Count(c.product)}
	return &other
}

func (c *Checker) all(bundles []named) *Answer {
	answer := &Answer{
		SchemaVersion: 1, Subject: c.subject.name, Manifest: c.subject.artifact.Manifest, File: c.subject.artifact.File,
		Product: c.product, PolicyVersion: c.version, Revocations: c.known, Criteria: criteria(), Statements: []Result{},
		Verified: len(bundles) > 0,
	}
	for _, b := range bundles {
		r := c.One(b.name, b.raw)
		answer.Statements = append(answer.Statements, r)
		answer.Verified = answer.Verified && r.Verified
	}
	return answer
}

// One verifies one bundle; name is where it is from.
func (c *Checker) One(name string, raw []byte) Result {
	r := Result{Bundle: name, LogIndex: -1, Checks: []check{}}
	want, refusal := c.want(raw)
	e, checks := c.verifier.Explain(raw, want)
	for _, found := range checks {
		if found.Name == verify.CheckSubject && found.Outcome != verify.NotReached {
			found = c.aboutSubject(found, want, refusal)
		}
		r.add(check{Check: found.Name, Outcome: found.Outcome, Found: found.Found}, found.Refusal)
	}
	c.trusted(&r, e)
	c.live(&r, e)
	if r.Reason != "" || !e.Proven() {
		if r.Reason == "" { // nothing that is not proven is ever verified
			r.Reason, r.Fact = string(verify.Corrupt), "it was not proven"
		}
		return r
	}
	r.Verified, r.Type, r.Key, r.Signer = true, e.Type(), e.Signer(), c.names[e.Signer()]
	r.Signed, r.LogIndex, r.Payload = e.Time(), e.LogIndex(), e.Payload()
	return r
}

// add notes how a check came out; the first refusal leads.
func (r *Result) add(found check, refusal *verify.Refusal) {
	if refusal != nil {
		found.Outcome, found.Found, found.Reason = verify.Failed, refusal.Fact, string(refusal.Reason)
		if r.Reason == "" {
			r.Reason, r.Fact, r.Remedy = string(refusal.Reason), refusal.Fact, refusal.Remedy
		}
	}
	r.Checks = append(r.Checks, found)
}

// aboutSubject tells of the subject what could be compared: of a file, by which
// no manifest is known, or of nothing but what the statement says.
func (c *Checker) aboutSubject(found verify.Check, want verify.Artifact, refusal *verify.Refusal) verify.Check {
	switch {
	case refusal != nil:
		found.Refusal = refusal
	case c.subject.says:
		found.Outcome, found.Found = notAsked, fmt.Sprintf("it says it is about manifest %s, file %s", want.Manifest, cmp.Or(want.File, "(none)"))
	}
	return found
}

// trusted asks for the role.
func (c *Checker) trusted(r *Result, e *verify.Evidence) {
	if e == nil {
		r.add(check{Check: checkRole, Outcome: verify.NotReached}, nil)
		return
	}
	role, refusal := c.entitled(e)
	r.add(check{Check: checkRole, Outcome: verify.Passed, Found: "by " + c.names[e.Signer()] + ", who has role " + string(role)}, refusal)
}

// live asks whether it is revoked.
func (c *Checker) live(r *Result, e *verify.Evidence) {
	found := check{Check: checkRevocations, Outcome: verify.NotReached}
	switch {
	case e == nil:
	case c.revoked == nil:
		found.Outcome, found.Found = notAsked, "nothing is known of revocations here"
	default:
		if by := c.revoked.Voids(c.product, e); by != nil {
			what := verify.As[attest.Revocation](by)
			r.add(found, &verify.Refusal{
				Reason: verify.Revoked, Remedy: verify.Revoked.Remedy(),
				Fact: fmt.Sprintf("revoked by %s %s: %s", what.Kind, what.Digest, what.Reason),
			})
			return
		}
		found.Outcome, found.Found = verify.Passed, fmt.Sprintf("none of %d names it (%s)", c.known.Count, c.known.From)
	}
	r.add(found, nil)
}

// want completes what is known of the subject with what the statement says of
// the rest: a file is in some manifest, and a manifest alone does not tell its
// file.
func (c *Checker) want(raw []byte) (verify.Artifact, *verify.Refusal) {
	want := c.subject.artifact
	b, err := attest.ParseBundle(raw)
	if err != nil {
		return want, nil // the verifier says what is wrong with it
	}
	subjects := b.Statement.Subjects
	if c.subject.says {
		want.Manifest = subjects[0].Digest
		if len(subjects) == 2 {
			want.File = subjects[1].Digest
		}
		return want, nil
	}
	if want.Manifest != "" {
		if want.File == "" && len(subjects) == 2 && c.subject.typ == "" {
			want.File = subjects[1].Digest
		}
		return want, nil
	}
	if len(subjects) != 2 || subjects[1].Digest != want.File {
		return want, &verify.Refusal{
			Reason: verify.SubjectMismatch, Remedy: verify.SubjectMismatch.Remedy(),
			Fact: fmt.Sprintf("statement is about %s, want the file %s", subjects[len(subjects)-1].Digest, want.File),
		}
	}
	want.Manifest = subjects[0].Digest
	return want, nil
}

func (c *Checker) entitled(e *verify.Evidence) (attest.Role, *verify.Refusal) {
	for _, typ := range c.artifactTypes(e.Type()) {
		if role, ok := policy.RoleFor(e.Type(), typ); ok && c.trust.Trusted(c.product, role, e) {
			return role, c.ofProduct(e)
		}
	}
	return "", &verify.Refusal{
		Reason: verify.UntrustedSigner, Remedy: verify.UntrustedSigner.Remedy(),
		Fact: fmt.Sprintf("signer %s (key %s) has no role for a %s statement about this in product %s", cmp.Or(c.names[e.Signer()], "unknown"), e.Signer().Short(), shell.TypeName(e.Type()), c.product),
	}
}

// artifactTypes returns the types the subject can be of, so that the role for
// a statement about it can be told.
func (c *Checker) artifactTypes(predicate string) []string {
	if c.subject.typ != "" {
		return []string{c.subject.typ}
	}
	switch predicate {
	case attest.TypeEnvironment:
		return []string{attest.ArtifactEnv}
	case attest.TypeBase, attest.TypeEquivalence:
		return []string{attest.ArtifactBase}
	case attest.TypeLivePatch:
		return []string{attest.ArtifactPatch}
	case attest.TypeImport:
		return []string{attest.ArtifactBase, attest.ArtifactPatch}
	}
	if c.subject.artifact.File != "" {
		return []string{attest.ArtifactBase, attest.ArtifactPatch}
	}
	return []string{attest.ArtifactBase, attest.ArtifactPatch, ""}
}

func (c *Checker) ofProduct(e *verify.Evidence) *verify.Refusal {
	if got := policy.ProductOf(e); got != "" && got != c.product {
		return &verify.Refusal{
			Reason: verify.SubjectMismatch, Remedy: verify.SubjectMismatch.Remedy(),
			Fact: fmt.Sprintf("statement names product %s, want %s", got, c.product),
		}
	}
	return nil
}
