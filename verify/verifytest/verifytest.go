// Package verifytest makes evidence for tests: an [Authority] is a log, a
// timestamp authority and any number of signers, all in memory, whose bundles
// verify like real ones because they are real ones. Nothing in it is a fake
// that always says yes: keys sign, leaves are put into a Merkle tree whose
// checkpoints are signed, and timestamps are RFC 3161 responses.
//
// The log is written with the libraries of Rekor v2 and not with package
// ledger, so that tests see where the two would differ.
package verifytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
)

// Origin is the name of an Authority's log.
const Origin = "log.verifytest.example"

// Epoch is the time of an Authority's timestamps until a test moves it. Keys
// are valid from a day before it, trust policies expire a year after it.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// An Authority makes signers, trust policies and bundles. It fails the test
// when it cannot. It is not safe for concurrent use.
type Authority struct {
	// Now is the time of the next timestamps.
	Now time.Time
	// LogPolicy is that of the next trust policies, and Witnesses cosign the
	// next checkpoints.
	LogPolicy string
	Witnesses []note.Signer

	t       testing.TB
	tree    *testonly.Tree
	logKey  ed25519.PrivateKey
	tsaKey  *ecdsa.PrivateKey
	chain   []*x509.Certificate
	signers map[string]*Signer
	order   []string
	root    *Signer
	cas     []*CA
	serials int64
}

// New returns an Authority with fresh keys and an empty log.
func New(t testing.TB) *Authority {
	t.Helper()
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("making the log key: %v", err)
	}
	a := &Authority{
		Now: Epoch, t: t, logKey: logKey,
		tree:    testonly.New(rfc6962.DefaultHasher),
		signers: make(map[string]*Signer),
	}
	a.tsaKey, a.chain = a.newTSA()
	a.root = a.newSigner("root")
	return a
}

// A Signer is a named key of the trust policy.
type Signer struct {
	signature.Signer
	Name string
	Key  *attest.PublicKey
	// Certificate is what stands in bundles for Key, and Identity in trust
	// policies; nil for signers known by their key.
	Certificate *attest.Certificate
	Identity    *attest.SignerIdentity
	// From and Until are the key's window. A test may change them before it
	// asks for a trust policy; a zero Until is no end.
	From, Until time.Time
	// Independence is what the next trust policies say of the signer.
	Independence attest.Independence
}

// Signer returns the signer called name, made on first use. It is in every
// trust policy asked for from then on.
func (a *Authority) Signer(name string) *Signer {
	if a.signers[name] == nil {
		a.signers[name] = a.newSigner(name)
		a.order = append(a.order, name)
	}
	return a.signers[name]
}

// Stranger returns a signer that no trust policy names.
func (a *Authority) Stranger() *Signer { return a.newSigner("stranger") }

// RSASigner returns a signer like Signer, whose key on first use is RSA.
func (a *Authority) RSASigner(name string, bits int) *Signer {
	if a.signers[name] == nil {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			a.t.Fatalf("making a key: %v", err)
		}
		a.signers[name] = a.signerOf(name, k)
		a.order = append(a.order, name)
	}
	return a.signers[name]
}

func (a *Authority) newSigner(name string) *Signer { return a.signerOf(name, a.newKey()) }

func (a *Authority) signerOf(name string, k crypto.Signer) *Signer {
	s, err := signature.LoadSigner(k, crypto.SHA256)
	if err != nil {
		a.t.Fatalf("signer %s: %v", name, err)
	}
	pub, err := attest.NewPublicKey(k.Public())
	if err != nil {
		a.t.Fatalf("signer %s: %v", name, err)
	}
	return &Signer{Signer: s, Name: name, Key: pub, From: Epoch.Add(-24 * time.Hour)}
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatalf("making a key: %v", err)
	}
	return k
}

// Product returns a new product in repository. Each role is held by one signer
// whose name is the role's.
func (a *Authority) Product(repository string) attest.Product {
	p := attest.Product{
		ID: uuid.NewString(), Repository: repository, FitBases: []string{attest.FitEnvironment},
		Authorities: make(map[attest.Role][]string),
	}
	for _, role := range []attest.Role{attest.RoleBuilder, attest.RoleBase, attest.RolePatch, attest.RoleRevocation, attest.RoleChannel, attest.RoleImport} {
		p.Authorities[role] = []string{a.Signer(string(role)).Name}
	}
	return p
}

// TrustPolicy returns a trust policy with all signers made so far and these
// products. It is what its parser reads back.
func (a *Authority) TrustPolicy(products ...attest.Product) *attest.TrustPolicy {
	a.t.Helper()
	p, err := attest.ParseTrustPolicy(a.trustPolicy(products))
	if err != nil {
		a.t.Fatalf("trust policy: %v", err)
	}
	return p
}

// SignedTrustPolicy returns the envelope of the same trust policy, signed by
// its one root key, and the digest of its roots, which agents pin.
func (a *Authority) SignedTrustPolicy(products ...attest.Product) (envelope []byte, roots attest.Digest) {
	a.t.Helper()
	envelope, err := attest.SignEnvelope(attest.PolicyPayload, a.trustPolicy(products), a.root)
	if err != nil {
		a.t.Fatalf("signing the trust policy: %v", err)
	}
	roots, err = a.TrustPolicy(products...).Roots.Digest()
	if err != nil {
		a.t.Fatalf("roots: %v", err)
	}
	return envelope, roots
}

func (a *Authority) trustPolicy(products []attest.Product) []byte {
	p := attest.TrustPolicy{
		Version: 1, Expires: Epoch.AddDate(1, 0, 0),
		Roots:    attest.Roots{Threshold: 1, Keys: []string{a.root.Key.Base64()}},
		Products: slices.Clone(products), TrustedRoot: a.TrustedRoot(), LogPolicy: a.LogPolicy,
	}
	for _, name := range a.order {
		s := a.signers[name]
		if s.Identity != nil {
			i := *s.Identity
			i.ValidFrom, i.ValidUntil = s.From, s.Until
			p.Signers = append(p.Signers, attest.Signer{Name: name, Keys: []attest.SignerKey{}, Identities: []attest.SignerIdentity{i}, Independence: s.Independence})
			continue
		}
		p.Signers = append(p.Signers, attest.Signer{Name: name, Keys: []attest.SignerKey{{
			Key: s.Key.Base64(), ValidFrom: s.From, ValidUntil: s.Until,
		}}, Independence: s.Independence})
	}
	b, err := strictjson.Canonical(p)
	if err != nil {
		a.t.Fatalf("trust policy: %v", err)
	}
	return b
}

// TrustedRoot returns the trusted_root.json of the log, the timestamp authority
// and the certificate authorities made so far.
func (a *Authority) TrustedRoot() []byte {
	a.t.Helper()
	b, err := ledger.TrustedRoot([]ledger.LogKey{{Origin: Origin, Key: a.logKey.Public(), Start: Epoch.AddDate(-1, 0, 0)}}, a.chain)
	if err != nil {
		a.t.Fatalf("trusted root: %v", err)
	}
	for _, ca := range a.cas {
		if b, err = ledger.WithAuthority(b, []*x509.Certificate{ca.Intermediate, ca.Root}, ca.Start, ca.End); err != nil {
			a.t.Fatalf("trusted root: %v", err)
		}
	}
	return b
}

// Statement returns the bytes of a statement about manifest and, unless it is
// zero, file.
func (a *Authority) Statement(typ string, manifest, file attest.Digest, predicate any) []byte {
	a.t.Helper()
	subjects := []attest.Subject{{Digest: manifest}}
	if file != "" {
		subjects = append(subjects, attest.Subject{Digest: file})
	}
	b, err := attest.NewStatement(typ, subjects, predicate)
	if err != nil {
		a.t.Fatalf("statement %s: %v", typ[strings.LastIndex(typ, "/")+1:], err)
	}
	return b
}

// Envelope returns the DSSE envelope in which s signs statement.
func (a *Authority) Envelope(statement []byte, s *Signer) []byte {
	a.t.Helper()
	b, err := attest.SignEnvelope(attest.PayloadType, statement, s)
	if err != nil {
		a.t.Fatalf("signing as %s: %v", s.Name, err)
	}
	return b
}
