package verify_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// Keys are made anew, so that every file changes: this is no part of go generate.
var writeVectors = flag.Bool("vectors", false, "write docs/spec/vectors again")

const vectorDir = "../docs/spec/vectors"

// A vector is one bundle and what verifying it comes to. docs/spec/vectors/README.md.
type vector struct {
	SchemaVersion int           `json:"schemaVersion"`
	About         string        `json:"about"`
	TrustPolicy   string        `json:"trustPolicy"` // a file beside it
	Roots         attest.Digest `json:"roots"`
	Product       string        `json:"product"`
	Manifest      attest.Digest `json:"manifest,omitzero"`
	File          attest.Digest `json:"file,omitzero"`
	Bundle        []byte        `json:"bundle"`
	Revocations   *[][]byte     `json:"revocations,omitzero"` // absent: nothing is known of them
	Expect        expectation   `json:"expect"`
}

type expectation struct {
	Verified bool          `json:"verified"`
	Check    string        `json:"check,omitzero"` // the one that fails
	Reason   verify.Reason `json:"reason,omitzero"`
}

// A press makes vectors, all about one base of one product.
type press struct {
	*lab
	t    *testing.T
	root *verifytest.Signer
}

// policy writes the trust policy as signers and witnesses now are.
func (p *press) policy(name string) (file string, roots attest.Digest) {
	policy := p.TrustPolicy(p.product)
	policy.Expires = time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC)
	policy.Roots = attest.Roots{Threshold: 1, Keys: []string{p.root.Key.Base64()}}
	raw, err := strictjson.Canonical(policy)
	if err != nil {
		p.t.Fatal(err)
	}
	envelope, err := attest.SignEnvelope(attest.PolicyPayload, raw, p.root)
	if err != nil {
		p.t.Fatal(err)
	}
	if roots, err = policy.Roots.Digest(); err != nil {
		p.t.Fatal(err)
	}
	file = name + ".trust-policy.json"
	p.write(file, envelope)
	return file, roots
}

func (p *press) write(name string, b []byte) {
	if err := os.WriteFile(filepath.Join(vectorDir, name), append(b, '\n'), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// add presses one vector; change, which may be nil, makes it another.
func (p *press) add(name, about, policy string, roots attest.Digest, bundle []byte, check string, reason verify.Reason, change func(*vector)) {
	v := vector{
		SchemaVersion: 1, About: about, TrustPolicy: policy, Roots: roots, Product: p.product.ID, Manifest: p.said.About.Manifest, File: p.said.About.File,
		Bundle: bundle, Revocations: &[][]byte{}, Expect: expectation{reason == "", check, reason},
	}
	if change != nil {
		change(&v)
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(name+".json", b)
}

// TestWriteVectors writes docs/spec/vectors, if it is asked to. That they are
// right is asked of the command line, in cmd/patchfit.
func TestWriteVectors(t *testing.T) {
	if !*writeVectors {
		return
	}
	old, _ := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	p := &press{lab: newLab(t), t: t}
	p.root = p.Stranger()
	p.bundles()
	p.windows()
	p.witnessed()
}

func (p *press) bundles() {
	const entries, times = "verificationMaterial/tlogEntries", "verificationMaterial/timestampVerificationData"
	t, l := p.t, p.lab
	file, roots := p.policy("plain")
	other, elsewhere := l.World(l.product, "two"), relogged(l, verifytest.New(t))
	part := func(raw []byte, path string) any { return at(decode(t, raw), path) }
	second := l.Say(l.said)
	stranger := l.Bundle(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate), l.Stranger())
	byPatch := l.Bundle(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate), l.Signer("patch"))
	foreign := *l.world.Base
	foreign.Product = "0d9ff2a4-6f9c-4f0b-8d3b-1f6f6f0a0001"
	ofAnother := l.Bundle(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, foreign), l.Signer("base"))
	payload := []byte(part(l.good, "dsseEnvelope/payload").(string))
	i := len(payload) / 2
	payload[i] = map[bool]byte{true: 'B', false: 'A'}[payload[i] == 'A']
	hash := part(l.good, entries+"/0/inclusionProof/hashes/0").(string)
	swapped := map[bool]string{true: "B", false: "A"}[hash[0] == 'A'] + hash[1:]

	add := func(name, about string, bundle []byte, check string, reason verify.Reason) {
		p.add(name, about, file, roots, bundle, check, reason, nil)
	}
	add("good", "a base/v1 of the base authority", l.good, "", "")
	add("form-not-json", "the bundle ends early", l.good[:len(l.good)-1], verify.CheckForm, verify.Corrupt)
	add("form-trailing-data", "something follows the bundle", append(slices.Clone(l.good), "{}"...), verify.CheckForm, verify.Corrupt)
	add("form-unknown-member", "the bundle has a member more", edit(t, l.good, "more", 1), verify.CheckForm, verify.Corrupt)
	add("form-no-log-entry", "the bundle has no log entry", edit(t, l.good, entries, []any{}), verify.CheckForm, verify.NotLogged)
	add("form-no-timestamp", "the bundle has no timestamp", edit(t, l.good, times+"/rfc3161Timestamps", []any{}), verify.CheckForm, verify.NotLogged)
	add("signature-of-a-stranger", "signed by a key the trust policy does not name", stranger, verify.CheckSignature, verify.UntrustedSigner)
	add("signature-of-a-stranger-hinted", "the same, with the hint of a key it names", edit(t, stranger, "verificationMaterial/publicKey/hint", l.Signer("base").Key.Hint()), verify.CheckSignature, verify.BadSignature)
	add("log-another", "the entry is in a log the trust policy does not name", edit(t, l.good, entries, part(elsewhere, entries)), verify.CheckLog, verify.NotLogged)
	add("log-entry-of-another-signature", "the entry is of another signature over the same statement", edit(t, l.good, entries, part(second, entries)), verify.CheckLog, verify.NotLogged)
	add("log-hash-changed", "one hash of the inclusion proof is another", edit(t, l.good, entries+"/0/inclusionProof/hashes/0", swapped), verify.CheckLog, verify.NotLogged)
	add("log-body-of-another", "the leaf beside the entry is another than the envelope's", edit(t, l.good, entries+"/0/canonicalizedBody", part(second, entries+"/0/canonicalizedBody")), verify.CheckLog, verify.NotLogged)
	add("timestamp-of-another-authority", "timestamped by an authority the trust policy does not name", edit(t, l.good, times, part(elsewhere, times)), verify.CheckTimestamp, verify.NotLogged)
	add("timestamp-of-another-signature", "the timestamp is of another signature", edit(t, l.good, times, part(second, times)), verify.CheckTimestamp, verify.NotLogged)
	add("role-of-another", "signed by a signer who has other roles in the product", byPatch, "role", verify.UntrustedSigner)
	add("role-in-another-product", "the statement names another product", ofAnother, "role", verify.SubjectMismatch)
	p.add("subject-another-manifest", "asked about another manifest", file, roots, l.good, verify.CheckSubject, verify.SubjectMismatch, func(v *vector) { v.Manifest, v.File = other.BaseManifest, "" })
	p.add("subject-another-file", "asked about another file", file, roots, l.good, verify.CheckSubject, verify.SubjectMismatch, func(v *vector) { v.Manifest, v.File = "", other.BaseFile.Digest })
	p.add("good-by-file", "asked about the file alone", file, roots, l.good, "", "", func(v *vector) { v.Manifest = "" })
	p.add("good-revocations-unknown", "nothing is known of revocations: verified, and said", file, roots, l.good, "", "", func(v *vector) { v.Revocations = nil })
	p.revocations(file, roots)
}

func (p *press) revocations(file string, roots attest.Digest) {
	ev, err := p.verifier.Bundle(p.good, p.said.About)
	if err != nil {
		p.t.Fatal(err)
	}
	for kind, d := range map[string]attest.Digest{
		attest.RevokePayload: ev.Payload(), attest.RevokeSubject: ev.Subject(), attest.RevokeKey: ev.Signer(), attest.RevokeEnvironment: p.world.Base.Environment,
	} {
		revoked := [][]byte{p.Revoke(p.product.ID, kind, d)}
		p.add("revoked-by-"+kind, "a revocation names its "+kind, file, roots, p.good, "revocations", verify.Revoked, func(v *vector) { v.Revocations = &revoked })
	}
	r := attest.Revocation{Product: p.product.ID, Kind: attest.RevokeSubject, Digest: ev.Subject(), Reason: "by the wrong one"}
	powerless := [][]byte{p.Bundle(p.Statement(attest.TypeRevocation, r.Digest, "", r), p.Signer("patch"))}
	p.add("good-revoked-by-a-signer-without-the-role", "a revocation whose signer has no role for it counts for nothing", file, roots, p.good, "", "", func(v *vector) { v.Revocations = &powerless })
}

// windows makes the key of the base authority count for an hour.
func (p *press) windows() {
	s := p.Signer("base")
	s.From, s.Until = verifytest.Epoch, verifytest.Epoch.Add(time.Hour)
	file, roots := p.policy("window")
	for _, v := range []struct {
		name, about string
		at          time.Time
		reason      verify.Reason
	}{
		{"good-window-begins", "timestamped in the second in which the key begins to count", s.From, ""},
		{"window-before", "timestamped a second before", s.From.Add(-time.Second), verify.Expired},
		{"good-window-last-second", "timestamped in the last second in which it counts", s.Until.Add(-time.Second), ""},
		{"window-ended", "timestamped in the second in which it counts no more", s.Until, verify.Expired},
	} {
		p.Now = v.at
		check := map[bool]string{true: verify.CheckWindow}[v.reason != ""]
		p.add(v.name, v.about, file, roots, p.Say(p.said), check, v.reason, nil)
	}
	p.Now = verifytest.Epoch
	s.From, s.Until = verifytest.Epoch.Add(-24*time.Hour), time.Time{}
}

// witnessed asks for two of three witnesses.
func (p *press) witnessed() {
	one, oneKey := witness(p.t, "one.example")
	two, twoKey := witness(p.t, "two.example")
	_, threeKey := witness(p.t, "three.example")
	p.LogPolicy = "witness one " + oneKey + "\nwitness two " + twoKey + "\nwitness three " + threeKey + "\ngroup enough 2 one two three\nquorum enough\n"
	file, roots := p.policy("witnesses")
	for _, v := range []struct {
		name, about string
		by          []note.Signer
		reason      verify.Reason
	}{
		{"good-two-witnesses", "cosigned by two of three", []note.Signer{one, two}, ""},
		{"witnesses-one", "cosigned by one of three, two are asked for", []note.Signer{one}, verify.NotLogged},
		{"witnesses-none", "cosigned by nobody", nil, verify.NotLogged},
		{"witnesses-one-twice", "cosigned by one of three, twice", []note.Signer{two, two}, verify.NotLogged},
	} {
		p.Witnesses = v.by
		check := map[bool]string{true: verify.CheckWitnesses}[v.reason != ""]
		p.add(v.name, v.about, file, roots, p.Say(p.said), check, v.reason, nil)
	}
}
