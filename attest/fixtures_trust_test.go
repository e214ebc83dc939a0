package attest_test

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"testing"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

const logOrigin = "log.example.com"

var year = func(n int) time.Time { return time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC) }

func logKey() ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("patchfit test log key"))
	return ed25519.NewKeyFromSeed(sum[:])
}

// logID is the untruncated key hash of a C2SP Ed25519 note key.
func logID() []byte {
	pub := logKey().Public().(ed25519.PublicKey)
	sum := sha256.Sum256(append([]byte(logOrigin+"\n\x01"), pub...))
	return sum[:]
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

type object = map[string]any

// trustedRoot is a trusted_root.json with one log and one timestamp authority.
func trustedRoot(t testing.TB) []byte {
	pub, err := x509.MarshalPKIXPublicKey(logKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	start := object{"start": "2026-01-01T00:00:00Z"}
	b, err := json.Marshal(object{
		"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs": []object{{
			"baseUrl": "https://" + logOrigin, "hashAlgorithm": "SHA2_256", "logId": object{"keyId": b64(logID())},
			"publicKey": object{"rawBytes": b64(pub), "keyDetails": "PKIX_ED25519", "validFor": start},
		}},
		"timestampAuthorities": []object{{
			"subject":   object{"organization": "example", "commonName": "timestamps"},
			"uri":       "https://tsa.example.com",
			"certChain": object{"certificates": []object{{"rawBytes": b64(tsaCertificate(t))}}},
			"validFor":  start,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, err = strictjson.Canonicalize(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func tsaCertificate(t testing.TB) []byte {
	key := signerOf("tsa").key
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "timestamps"},
		NotBefore: year(2026), NotAfter: year(2036), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtraExtensions: []pkix.Extension{{ // extended key usage: timeStamping, critical, sole (RFC 3161)
			Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true,
			Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08},
		}},
	}
	der, err := x509.CreateCertificate(nil, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func goodRoots(t testing.TB, threshold int, names ...string) attest.Roots {
	r := attest.Roots{Threshold: threshold}
	for _, n := range names {
		r.Keys = append(r.Keys, signerOf(n).public(t).Base64())
	}
	return r
}

func goodPolicy(t testing.TB) *attest.TrustPolicy {
	return &attest.TrustPolicy{
		Version: 1, Expires: year(2027), Roots: goodRoots(t, 2, "root one", "root two", "root three"),
		Signers: []attest.Signer{
			{Name: "build farm", Keys: []attest.SignerKey{{Key: signerOf("farm").public(t).Base64(), ValidFrom: year(2026), ValidUntil: year(2028)}}},
			{Name: "release team", Keys: []attest.SignerKey{{Key: signerOf("release").public(t).Base64(), ValidFrom: year(2026)}}},
		},
		Products: []attest.Product{{
			ID: productID, Repository: "lib/demo",
			Authorities: map[attest.Role][]string{
				attest.RoleBuilder: {"build farm"}, attest.RoleBase: {"build farm"},
				attest.RolePatch: {"release team"}, attest.RoleRevocation: {"release team"},
			},
			FitBases: []string{attest.FitEnvironment},
		}},
		TrustedRoot: trustedRoot(t),
	}
}

func policyBytes(t testing.TB, p *attest.TrustPolicy) []byte {
	b, err := strictjson.Canonical(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// logEntry is a log's answer for an envelope: its leaf, alone in the tree,
// under a signed checkpoint.
func logEntry(t testing.TB, e *attest.Envelope, k *attest.PublicKey) *rekor.TransparencyLogEntry {
	pae := sha256.Sum256(e.PAE())
	body, err := json.Marshal(object{"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": object{"hashedRekordV002": object{
		"data": object{"algorithm": "SHA2_256", "digest": b64(pae[:])},
		"signature": object{"content": b64(e.Signatures[0].Sig), "verifier": object{
			"keyDetails": "PKIX_ECDSA_P256_SHA_256", "publicKey": object{"rawBytes": b64(k.DER())},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if body, err = strictjson.Canonicalize(body); err != nil {
		t.Fatal(err)
	}
	root := sha256.Sum256(append([]byte{0}, body...))
	note := fmt.Sprintf("%s\n1\n%s\n", logOrigin, b64(root[:]))
	sig := append(logID()[:4:4], ed25519.Sign(logKey(), []byte(note))...)
	return &rekor.TransparencyLogEntry{
		LogId:       &protocommon.LogId{KeyId: logID()},
		KindVersion: &rekor.KindVersion{Kind: "hashedrekord", Version: "0.0.2"},
		InclusionProof: &rekor.InclusionProof{
			RootHash: root[:], TreeSize: 1,
			Checkpoint: &rekor.Checkpoint{Envelope: note + "\n— " + logOrigin + " " + b64(sig) + "\n"},
		},
		CanonicalizedBody: body,
	}
}

// granted is the DER of an RFC 3161 response that carries no token: enough for
// a reader of the form, never for a verifier.
var granted = []byte{0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x00}

func bundleOf(t testing.TB, payload []byte) []byte {
	env := sign(t, attest.PayloadType, payload, "release")
	e, err := attest.ParseEnvelope(env, attest.PayloadType)
	if err != nil {
		t.Fatal(err)
	}
	k := signerOf("release").public(t)
	b, err := attest.NewBundle(env, k, logEntry(t, e, k), granted)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mirrored returns the other signature (r, n-s) that holds where (r, s) does.
func mirrored(t testing.TB, sig []byte) []byte {
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		t.Fatal(err)
	}
	rs.S.Sub(elliptic.P256().Params().N, rs.S)
	out, err := asn1.Marshal(rs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
