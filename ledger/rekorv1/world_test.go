package rekorv1_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/rekorv1"
)

// epoch is when the log takes entries, unless a test says otherwise.
var epoch = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

const (
	v01 = "application/vnd.dev.sigstore.bundle+json;version=0.1"
	v03 = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// A world is a Rekor v1 log with a key of its own, a signer and what is signed.
type world struct {
	log, signer *ecdsa.PrivateKey
	at          time.Time
	artifact    []byte
	statement   []byte
}

func newWorld(t testing.TB) *world {
	artifact := []byte("a live patch\n")
	return &world{
		log: ecKey(t), signer: ecKey(t), at: epoch, artifact: artifact,
		statement: []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"patch","digest":{"sha256":"` + attest.DigestOf(artifact).Hex() +
			`"}}],"predicateType":"https://example.org/test/v1","predicate":{}}`),
	}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func pem(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := cryptoutils.MarshalPublicKeyToPEM(k.Public())
	return must(t, b, err)
}

func (w *world) id(t testing.TB) []byte {
	der, err := x509.MarshalPKIXPublicKey(w.log.Public())
	sum := sha256.Sum256(must(t, der, err))
	return sum[:]
}

// trusted is the trusted root that names the log, with its key valid between
// two times.
func (w *world) trusted(t testing.TB, from, to time.Time) *root.TrustedRoot {
	t.Helper()
	id := w.id(t)
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, nil, map[string]*root.TransparencyLog{
		hex.EncodeToString(id): {
			BaseURL: "https://rekor.example", ID: id, ValidityPeriodStart: from, ValidityPeriodEnd: to,
			HashFunc: crypto.SHA256, PublicKey: w.log.Public(), SignatureHashFunc: crypto.SHA256,
		},
	})
	return must(t, r, err)
}

func (w *world) verifier(t testing.TB) *rekorv1.Verifier {
	return rekorv1.New(w.trusted(t, epoch.AddDate(-1, 0, 0), time.Time{}))
}

func (w *world) want(t testing.TB) rekorv1.Want {
	return rekorv1.Want{Digest: attest.DigestOf(w.artifact), Key: pem(t, w.signer)}
}

func sign(t testing.TB, k *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	sig, err := k.Sign(rand.Reader, sum[:], crypto.SHA256)
	return must(t, sig, err)
}

// take logs body the way Rekor v1 does: between two other leaves, under a
// signed checkpoint, with a promise.
func (w *world) take(t testing.TB, kind, version string, body []byte) *rekor.TransparencyLogEntry {
	t.Helper()
	h := rfc6962.DefaultHasher
	before, after := h.HashLeaf([]byte("before")), h.HashLeaf([]byte("after"))
	rootHash := h.HashChildren(h.HashChildren(before, h.HashLeaf(body)), after)
	e := &rekor.TransparencyLogEntry{
		LogIndex: 1001, LogId: &protocommon.LogId{KeyId: w.id(t)}, KindVersion: &rekor.KindVersion{Kind: kind, Version: version},
		IntegratedTime: w.at.Unix(), CanonicalizedBody: body,
		InclusionProof: &rekor.InclusionProof{
			LogIndex: 1, TreeSize: 3, RootHash: rootHash, Hashes: [][]byte{before, after},
			Checkpoint: &rekor.Checkpoint{Envelope: w.checkpoint(t, 3, rootHash)},
		},
	}
	w.promise(t, e)
	return e
}

func (w *world) checkpoint(t testing.TB, size uint64, rootHash []byte) string {
	t.Helper()
	s, err := signature.LoadECDSASigner(w.log, crypto.SHA256)
	text, err := util.CreateAndSignCheckpoint(context.Background(), "rekor.example", 7, size, rootHash, must(t, s, err))
	return string(must(t, text, err))
}

// promise signs for the entry as it is, the way Rekor's API does.
func (w *world) promise(t testing.TB, e *rekor.TransparencyLogEntry) {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"body": base64.StdEncoding.EncodeToString(e.CanonicalizedBody), "integratedTime": json.Number(strconv.FormatInt(e.IntegratedTime, 10)),
		"logIndex": e.LogIndex, "logID": hex.EncodeToString(e.LogId.KeyId),
	})
	c, err := strictjson.Canonicalize(must(t, b, err))
	e.InclusionPromise = &rekor.InclusionPromise{SignedEntryTimestamp: sign(t, w.log, must(t, c, err))}
}

// relog has the log take another body in place of the bundle's.
func (w *world) relog(t testing.TB, b *protobundle.Bundle, body []byte) {
	t.Helper()
	kv := entryOf(b).KindVersion
	b.VerificationMaterial.TlogEntries[0] = w.take(t, kv.Kind, kv.Version, body)
}

func entryOf(b *protobundle.Bundle) *rekor.TransparencyLogEntry {
	return b.VerificationMaterial.TlogEntries[0]
}

// bundle signs, logs and wraps up. kind is that of the entry; "hashedrekord"
// signs the artifact, the others the statement.
func (w *world) bundle(t testing.TB, kind string) *protobundle.Bundle {
	t.Helper()
	return w.wrap(t, kind, pem(t, w.signer), &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: "key"}},
	})
}

// certified is bundle with a certificate, valid around epoch, in place of the
// bare key.
func (w *world) certified(t testing.TB, kind string) *protobundle.Bundle {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a signer"},
		NotBefore: epoch.Add(-5 * time.Minute), NotAfter: epoch.Add(5 * time.Minute),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, w.signer.Public(), w.signer)
	c, err := x509.ParseCertificate(must(t, der, err))
	text, err := cryptoutils.MarshalCertificateToPEM(must(t, c, err))
	return w.wrap(t, kind, must(t, text, err), &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: c.Raw}},
	})
}

func (w *world) wrap(t testing.TB, kind string, key []byte, material *protobundle.VerificationMaterial) *protobundle.Bundle {
	t.Helper()
	b := &protobundle.Bundle{MediaType: v03, VerificationMaterial: material}
	props := types.ArtifactProperties{PublicKeyBytes: [][]byte{key}, PKIFormat: "x509"}
	version := "0.0.1"
	if kind == "hashedrekord" {
		sum := sha256.Sum256(w.artifact)
		sig := sign(t, w.signer, w.artifact)
		props.ArtifactHash, props.SignatureBytes = "sha256:"+hex.EncodeToString(sum[:]), sig
		b.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]}, Signature: sig,
		}}
	} else {
		sig := sign(t, w.signer, dsse.PAE(attest.PayloadType, w.statement))
		// Spaced as nobody else would: its hash is one nobody can compute again.
		props.ArtifactBytes = []byte(`{ "payload":"` + base64.StdEncoding.EncodeToString(w.statement) + `", "payloadType":"` + attest.PayloadType +
			`", "signatures":[ {"sig":"` + base64.StdEncoding.EncodeToString(sig) + `"} ] }`)
		b.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: w.statement, PayloadType: attest.PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
		}}
	}
	if kind == "intoto" {
		version = "0.0.2"
	}
	proposed, err := types.NewProposedEntry(context.Background(), kind, version, props)
	e, err := types.UnmarshalEntry(must(t, proposed, err))
	body, err := types.CanonicalizeEntry(context.Background(), must(t, e, err))
	material.TlogEntries = []*rekor.TransparencyLogEntry{w.take(t, kind, version, must(t, body, err))}
	return b
}

func raw(t testing.TB, b *protobundle.Bundle) []byte {
	t.Helper()
	j, err := protojson.Marshal(b)
	j, err = strictjson.Canonicalize(must(t, j, err))
	return must(t, j, err)
}

func unraw(t testing.TB, j []byte) *protobundle.Bundle {
	t.Helper()
	b := new(protobundle.Bundle)
	return must(t, b, protojson.Unmarshal(j, b))
}

// replaced is body with one text in place of another, which it has to hold.
func replaced(t testing.TB, body []byte, old, new string) []byte {
	t.Helper()
	if !bytes.Contains(body, []byte(old)) {
		t.Fatalf("%s does not hold %s", body, old)
	}
	return bytes.Replace(body, []byte(old), []byte(new), 1)
}

// refused asserts the reason, and returns the fact.
func refused(t testing.TB, e *rekorv1.Entry, err error, want rekorv1.Reason) string {
	t.Helper()
	var r *rekorv1.Refusal
	if e.Proven() || !errors.As(err, &r) {
		t.Fatalf("entry %+v, error %v; want %s", e, err, want)
	}
	if r.Reason != want {
		t.Fatalf("%v; want %s", r, want)
	}
	return r.Fact
}
