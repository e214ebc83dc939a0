package index

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	mrand "math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tsa"
	"github.com/sigstore/sigstore/pkg/signature"
)

var epoch = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)

const (
	repoA, productA = "lib/demo", "11111111-1111-4111-8111-111111111111"
	repoB, productB = "lib/other", "22222222-2222-4222-8222-222222222222"
)

func uuid(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }

type testKey struct {
	signature.Signer
	public *attest.PublicKey
}

func newKey() testKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	s, err := signature.LoadECDSASigner(key, crypto.SHA256)
	if err != nil {
		panic(err)
	}
	public, err := attest.NewPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return testKey{s, public}
}

var keys = sync.OnceValue(func() [4]testKey { return [4]testKey{newKey(), newKey(), newKey(), newKey()} })

// A ledgerSource is a journal, a store and admitted statements in memory.
type ledgerSource struct {
	t          testing.TB
	records    []ledger.Record
	blobs      map[attest.Digest][]byte
	statements map[attest.Digest]Statement
	limit      int // how many records there are for now; 0: all
}

func newSource(t testing.TB) *ledgerSource {
	return &ledgerSource{t: t, blobs: make(map[attest.Digest][]byte), statements: make(map[attest.Digest]Statement)}
}

func (s *ledgerSource) Records(from int64) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		records := s.records
		if s.limit > 0 {
			records = records[:s.limit]
		}
		for _, r := range records {
			if r.Sequence >= from && !yield(r, nil) {
				return
			}
		}
	}
}

func (s *ledgerSource) Blob(d attest.Digest) ([]byte, error) {
	b, ok := s.blobs[d]
	if !ok {
		return nil, errors.New("no blob " + string(d))
	}
	return b, nil
}

func (s *ledgerSource) Statement(bundle attest.Digest) (Statement, error) {
	st, ok := s.statements[bundle]
	if !ok {
		return st, errors.New("no statement " + string(bundle))
	}
	return st, nil
}

func (s *ledgerSource) put(b []byte) attest.Digest {
	d := attest.DigestOf(b)
	s.blobs[d] = b
	return d
}

// at is the journal time of a record; some share one.
func at(sequence int64) time.Time { return epoch.Add(time.Duration(sequence/2) * time.Second) }

// add appends a record and returns its sequence.
func (s *ledgerSource) add(kind ledger.Kind, body any) int64 {
	s.t.Helper()
	b, err := ledger.EncodeBody(kind, body)
	if err != nil {
		s.t.Fatal(err)
	}
	n := int64(len(s.records)) + 1
	salt := make([]byte, ledger.SaltSize)
	binary.BigEndian.PutUint64(salt, uint64(n))
	s.records = append(s.records, ledger.Record{Sequence: n, Time: at(n), Kind: kind, Salt: salt, Body: b})
	return n
}

func (s *ledgerSource) envelope(payloadType string, payload []byte) attest.Digest {
	s.t.Helper()
	e, err := attest.SignEnvelope(payloadType, payload, keys()[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return s.put(e)
}

// policy adds a trust policy in which key i has the i-th name.
func (s *ledgerSource) policy(version int64, names ...string) int64 {
	s.t.Helper()
	p := attest.TrustPolicy{
		Version: version, Expires: epoch.AddDate(9, 0, 0),
		Roots:       attest.Roots{Threshold: 1, Keys: []string{keys()[0].public.Base64()}},
		TrustedRoot: trustedRoot(),
		Products: []attest.Product{
			{ID: productA, Repository: repoA, FitBases: []string{attest.FitEnvironment}},
			{ID: productB, Repository: repoB, FitBases: []string{attest.FitEnvironment}},
		},
	}
	for i, name := range names {
		p.Signers = append(p.Signers, attest.Signer{Name: name, Keys: []attest.SignerKey{{Key: keys()[i].public.Base64(), ValidFrom: epoch}}})
	}
	b, err := strictjson.Canonical(p)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.add(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: version, Envelope: s.envelope(attest.PolicyPayload, b), By: "root"})
}

var trustedRoot = sync.OnceValue(func() []byte {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	chain, err := tsa.NewChain(key)
	if err != nil {
		panic(err)
	}
	b, err := ledger.TrustedRoot([]ledger.LogKey{{Origin: "log.example.com", Key: public, Start: epoch}}, chain)
	if err != nil {
		panic(err)
	}
	return b
})

// manifest adds an artifact and returns its manifest digest.
func (s *ledgerSource) manifest(repository, artifactType string, file, subject attest.Digest) attest.Digest {
	s.t.Helper()
	m := map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": artifactType}
	desc := map[string]any{"mediaType": "application/octet-stream", "digest": file, "size": 1}
	m["config"], m["layers"] = map[string]any{"mediaType": artifactType, "digest": attest.DigestOf([]byte("{}")), "size": 2}, []any{desc}
	if artifactType == attest.ArtifactEnv {
		m["config"], m["layers"] = desc, []any{}
	}
	if artifactType == imageConfigs[0] {
		delete(m, "artifactType")
	}
	if subject != "" {
		m["subject"] = map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1}
	}
	b, err := strictjson.Canonical(m)
	if err != nil {
		s.t.Fatal(err)
	}
	d := s.put(b)
	s.add(ledger.KindManifest, ledger.ManifestPut{Repository: repository, Digest: d, MediaType: "application/vnd.oci.image.manifest.v1+json", By: "ci"})
	return d
}

// statement admits a statement by key about subject.
func (s *ledgerSource) statement(repository, typ string, subject attest.Digest, key int) (int64, Statement) {
	s.t.Helper()
	n := len(s.records) + 1
	bundle := attest.DigestOf(fmt.Appendf(nil, "bundle %d", n))
	st := Statement{
		Bundle: bundle, Payload: attest.DigestOf(fmt.Appendf(nil, "payload %d", n)), Subject: subject, Signer: keys()[key].public.ID(),
		Type: typ, Product: productA, Time: epoch.Add(-time.Duration(n) * time.Minute), LogIndex: int64(3 * n),
	}
	referrer := attest.DigestOf(fmt.Appendf(nil, "referrer %d", n))
	switch typ {
	case attest.TypeProvenance:
		st.BuilderID = "https://ci.example.com"
	case attest.TypeRevocation:
		referrer = ""
	case attest.TypeBase, attest.TypeLivePatch:
		st.Environment = attest.DigestOf([]byte("environment"))
	case attest.TypeRebuild:
		st.Rebuild = someRebuild(n)
	case attest.TypeAdjudication:
		st.Adjudication = &attest.Adjudication{Product: productA, Verdict: attest.DissentDismissed, Outputs: []attest.Digest{attest.DigestOf([]byte("otherwise"))}, Reason: "looked at"}
	}
	s.statements[bundle] = st
	return s.add(ledger.KindStatement, ledger.StatementAdmitted{
		Repository: repository, Subject: subject, Referrer: referrer, Bundle: bundle, Type: typ, By: "ci"}), st
}

func (s *ledgerSource) host(n int, name, state string, products ...string) int64 {
	s.t.Helper()
	return s.add(ledger.KindHost, ledger.HostEnrolled{Host: uuid(n), Name: name, Key: keys()[n%4].public.Base64(), Products: products, State: state})
}

func (s *ledgerSource) hostRecord(n int, number int64, running ...attest.Running) int64 {
	s.t.Helper()
	payload, err := attest.NewStatement(attest.TypeHostRecord,
		[]attest.Subject{{Name: "host", Digest: keys()[n%4].public.ID()}},
		&attest.HostRecord{
			Host: uuid(n), BootID: uuid(77), Sequence: number, Nonce: "n", Time: epoch,
			Target: attest.Target{Architecture: "x86_64", ByteOrder: "little", WordSize: 64, ABI: "sysv"}, Running: running,
		})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.add(ledger.KindHostRecord, ledger.HostRecorded{Host: uuid(n), Sequence: number, Envelope: s.envelope(attest.PayloadType, payload)})
}

func running(product, file string) attest.Running {
	return attest.Running{Product: product, Measurement: attest.Measurement{Kind: attest.MeasureELFFile, Digest: attest.DigestOf([]byte(file)), BuildID: "4d2a4d2a"}}
}

func (s *ledgerSource) decide(host int, repository string, artifact attest.Digest, allow bool) (int64, string) {
	s.t.Helper()
	d := ledger.Decided{
		Decision: fmt.Sprintf("d-%026d", len(s.records)+1), Host: uuid(host), Repository: repository, Artifact: artifact, Allow: allow,
		Basis: attest.FitEnvironment, Policy: attest.DigestOf([]byte("policy")), Site: attest.DigestOf([]byte("site")), Evidence: []attest.Digest{artifact},
	}
	if !allow {
		d.Basis = ""
		d.Reasons = []ledger.Finding{{Reason: "ENV_MISMATCH", Rule: "environment-match", Want: "flags/1 -O2", Got: "flags/1 -O3", Evidence: artifact, Remedy: "use the other"}}
	}
	return s.add(ledger.KindDecision, d), d.Decision
}

// randomHistory is n records of every kind in an order that could have been.
func randomHistory(t testing.TB, seed uint64, n int) *ledgerSource {
	s := newSource(t)
	r := mrand.New(mrand.NewPCG(seed, 7))
	s.policy(1, "ci", "base-authority", "builders")
	s.add(ledger.KindProduct, ledger.ProductAdded{Product: productA, Repository: repoA, By: "root"})
	s.add(ledger.KindProduct, ledger.ProductAdded{Product: productB, Repository: repoB, By: "root"})
	artifacts := []attest.Digest{s.manifest(repoA, imageConfigs[0], attest.DigestOf(nil), "")}
	decisions := []string{"d-none"}
	types := []string{imageConfigs[0], attest.ArtifactEnv, attest.ArtifactBase, attest.ArtifactPatch, attest.ArtifactBundle, "application/x"}
	claims := []string{attest.TypeProvenance, attest.TypeBase, attest.TypeLivePatch, attest.TypeEnvironment, attest.TypeRevocation, attest.TypeRebuild, attest.TypeAdjudication, "https://example.com/other"}
	version := int64(1)
	for len(s.records) < n {
		repository := []string{repoA, repoA, repoB}[r.IntN(3)]
		artifact := artifacts[r.IntN(len(artifacts))]
		switch r.IntN(11) {
		case 0, 1:
			file := attest.DigestOf([]byte{byte(r.IntN(256))})
			artifacts = append(artifacts, s.manifest(repository, types[r.IntN(len(types))], file, artifact))
		case 2, 3:
			s.statement(repository, claims[r.IntN(len(claims))], artifact, r.IntN(4))
		case 4:
			s.add(ledger.KindDelete, ledger.Deleted{Repository: repository, Digest: artifact, By: "ci"})
		case 5:
			s.host(r.IntN(6), fmt.Sprint("web-", r.IntN(9)), []string{"active", "suspended"}[r.IntN(2)], [][]string{{productA}, {productB}, {productA, productB}, {}}[r.IntN(4)]...)
		case 6:
			s.hostRecord(r.IntN(6), int64(len(s.records)), running(productA, fmt.Sprint(r.IntN(3))), running(productB, "x"))
		case 7, 8:
			_, d := s.decide(r.IntN(6), repository, artifact, r.IntN(2) == 0)
			decisions = append(decisions, d)
		case 9:
			s.add(ledger.KindUses, ledger.DecisionUses{Decision: decisions[r.IntN(len(decisions))], Uses: int64(r.IntN(5))})
		case 10:
			s.other(r, repository, artifact, &version)
		}
	}
	return s
}

// other adds a record of one of the rarer kinds.
func (s *ledgerSource) other(r *mrand.Rand, repository string, artifact attest.Digest, version *int64) {
	switch r.IntN(8) {
	case 6:
		s.channel([]string{productA, productB}[r.IntN(2)], []string{"stable", "beta"}[r.IntN(2)], int64(len(s.records)), r.IntN(4), digestsOf("r"),
			attest.ChannelBase{Base: artifact, Patches: digestsOf(fmt.Sprint(r.IntN(3))), Superseded: digestsOf()})
	case 0:
		*version++
		s.policy(*version, fmt.Sprint("ci-", *version), "base-authority")
	case 1:
		s.add(ledger.KindTag, ledger.TagMoved{Repository: repository, Tag: "v1", Digest: artifact, By: "ci"})
	case 2:
		s.add(ledger.KindDelete, ledger.Deleted{Repository: repository, Tag: "v1", By: "ci"})
	case 3:
		s.add(ledger.KindPrincipal, ledger.PrincipalAdded{Principal: uuid(99), Name: "ci", Key: keys()[1].public.Base64(), By: "root"})
	case 4:
		s.add(ledger.KindGrant, ledger.Granted{Principal: uuid(99), Product: productA, Role: "auditor", By: "root"})
	case 7:
		s.add(ledger.KindLint, ledger.Linted{Repository: repository, Digest: artifact, Report: s.put([]byte(`{"findings":[]}`)), Linter: "one", By: "ci"})
	case 5:
		s.add(ledger.KindToken, ledger.TokenMade{Token: "t", MAC: "00", Products: []string{productA}, Expires: epoch, By: "root"})
		s.add(ledger.KindEmbargo, ledger.Embargoed{Product: productA, Patch: artifact, Hosts: []string{uuid(1)}, By: "root"})
	}
}

func openIndex(t testing.TB) *Index {
	t.Helper()
	x, err := Open(filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

func catchUp(t testing.TB, x *Index, src Source) {
	t.Helper()
	if err := x.CatchUp(t.Context(), src); err != nil {
		t.Fatal(err)
	}
}
