package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// The kind of the log's entries, the one kind Rekor v2 still takes.
const (
	EntryKind    = "hashedrekord"
	EntryVersion = "0.0.2"
)

// MaxEntry is the largest leaf of a log, in bytes (C2SP tlog-tiles).
const MaxEntry = 1<<16 - 1

// Leaf returns the request that logs e: the sha256 of its PAE, its one
// signature, and whose signature it must be. docs/spec/log.md, "Leaves".
func Leaf(e *attest.Envelope, by attest.Credential) (*pb.HashedRekordRequestV002, error) {
	if n := len(e.Signatures); n != 1 {
		return nil, fmt.Errorf("envelope has %d signatures, a log entry has 1", n)
	}
	if by == nil {
		return nil, errNobody
	}
	key := by.SigningKey()
	if err := e.Verify(key); err != nil {
		return nil, err
	}
	v := &pb.Verifier{KeyDetails: key.Details()}
	if cert, ok := by.(*attest.Certificate); ok {
		v.Verifier = &pb.Verifier_X509Certificate{X509Certificate: &protocommon.X509Certificate{RawBytes: cert.DER()}}
	} else {
		v.Verifier = &pb.Verifier_PublicKey{PublicKey: &pb.PublicKey{RawBytes: key.DER()}}
	}
	return &pb.HashedRekordRequestV002{
		Digest:    attest.DigestOf(e.PAE()).Sum(),
		Signature: &pb.Signature{Content: e.Signatures[0].Sig, Verifier: v},
	}, nil
}

var errNobody = errors.New("log entry without a key or a certificate")

// LeafSigner returns the key or the certificate req says it is signed by.
// Whether it is, [LeafBody] finds out.
func LeafSigner(req *pb.HashedRekordRequestV002) (attest.Credential, error) {
	v := req.GetSignature().GetVerifier()
	if c := v.GetX509Certificate(); c != nil {
		cert, err := attest.ParseCertificate(c.GetRawBytes())
		if err != nil {
			return nil, fmt.Errorf("signature.verifier.x509Certificate: %w", err)
		}
		return cert, nil
	}
	if v.GetPublicKey() == nil {
		return nil, errors.New("signature.verifier.publicKey: missing")
	}
	key, err := publicKey(v.GetPublicKey().GetRawBytes())
	if err != nil {
		return nil, fmt.Errorf("signature.verifier.publicKey: %w", err)
	}
	return key, nil
}

func publicKey(der []byte) (*attest.PublicKey, error) {
	return attest.ParsePublicKey(base64.StdEncoding.EncodeToString(der))
}

// LeafBody returns the leaf req asks for, after checking that its signature is
// by its key over its digest: what Rekor calls the canonicalized body.
func LeafBody(req *pb.HashedRekordRequestV002) ([]byte, error) {
	by, err := LeafSigner(req)
	if err != nil {
		return nil, err
	}
	key := by.SigningKey()
	if got := req.GetSignature().GetVerifier().GetKeyDetails(); got != key.Details() {
		return nil, fmt.Errorf("signature.verifier.keyDetails: %s, the key is of kind %s", got, key.Details())
	}
	algorithms, err := signature.NewAlgorithmRegistryConfig([]protocommon.PublicKeyDetails{key.Details()})
	if err != nil {
		return nil, fmt.Errorf("listing the algorithms: %w", err)
	}
	if _, err := hashedrekord.ToLogEntry(req, algorithms); err != nil {
		return nil, err
	}
	return entryBody(newEntry(attest.DigestFromSum(req.GetDigest()), req.GetSignature().GetContent(), by))
}

// EntryBody returns the leaf by which e, signed once and so, stands in a
// log. Verifiers compare it with the body a bundle carries, which nobody else
// looks at. It does not check the signature.
func EntryBody(e *attest.Envelope, by attest.Credential) ([]byte, error) {
	if n := len(e.Signatures); n != 1 {
		return nil, fmt.Errorf("envelope has %d signatures, a log entry has 1", n)
	}
	if by == nil {
		return nil, errNobody
	}
	return entryBody(newEntry(attest.DigestOf(e.PAE()), e.Signatures[0].Sig, by))
}

// EntryHash returns the hash of a leaf in the tree (RFC 6962, section 2.1).
func EntryHash(body []byte) []byte { return rfc6962.DefaultHasher.HashLeaf(body) }

// An Entry is what a leaf says: somebody signed something. What was signed is
// in the ledger store, if it was signed for this server.
type Entry struct {
	Digest    attest.Digest // sha256 of the envelope's PAE
	Signature []byte        // over Digest, by Key
	Key       *attest.PublicKey
	// Certificate is whose key it is; nil where the leaf has the key alone.
	Certificate *attest.Certificate
}

// By returns who signed, as the leaf has it.
func (e *Entry) By() attest.Credential {
	if e.Certificate != nil {
		return e.Certificate
	}
	return e.Key
}

func newEntry(digest attest.Digest, sig []byte, by attest.Credential) Entry {
	cert, _ := by.(*attest.Certificate)
	return Entry{digest, sig, by.SigningKey(), cert}
}

// ParseEntry reads a leaf that has the one form [LeafBody] writes. It does not
// check the signature.
func ParseEntry(body []byte) (*Entry, error) {
	if e := exactEntry(body); e != nil {
		return e, nil
	}
	return parseEntry(body)
}

func parseEntry(body []byte) (*Entry, error) {
	var w wireEntry
	if err := strictjson.Unmarshal(body, MaxEntry, &w); err != nil {
		return nil, err
	}
	r := &w.Spec.HashedRekord
	if len(r.Data.Digest) != 32 {
		return nil, strictjson.Errorf("/spec/hashedRekordV002/data/digest", "%d bytes, want the 32 of a sha256", len(r.Data.Digest))
	}
	by, err := r.Signature.Verifier.read()
	if err != nil {
		return nil, err
	}
	e := newEntry(attest.DigestFromSum(r.Data.Digest), r.Signature.Content, by)
	again, err := entryBody(e)
	if err != nil {
		return nil, err
	}
	if string(again) != string(body) {
		return nil, strictjson.Errorf("", "not a %s %s leaf in its one form", EntryKind, EntryVersion)
	}
	return &e, nil
}

// A wireEntry is a leaf's JSON (rekor-tiles, api/proto, Entry).
type wireEntry struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		HashedRekord wireRekord `json:"hashedRekordV002"`
	} `json:"spec"`
}

type wireRekord struct {
	Data struct {
		Algorithm string `json:"algorithm"`
		Digest    []byte `json:"digest"`
	} `json:"data"`
	Signature struct {
		Content  []byte       `json:"content"`
		Verifier wireVerifier `json:"verifier"`
	} `json:"signature"`
}

type wireVerifier struct {
	KeyDetails  string   `json:"keyDetails"`
	PublicKey   *wireDER `json:"publicKey,omitzero"`
	Certificate *wireDER `json:"x509Certificate,omitzero"`
}

type wireDER struct {
	RawBytes []byte `json:"rawBytes"`
}

// read returns who signed; that there is but one of them, and that its kind is
// the one named, shows when the leaf is written again.
func (v *wireVerifier) read() (attest.Credential, error) {
	const at = "/spec/hashedRekordV002/signature/verifier"
	switch {
	case v.Certificate != nil:
		cert, err := attest.ParseCertificate(v.Certificate.RawBytes)
		if err != nil {
			return nil, strictjson.Errorf(at+"/x509Certificate/rawBytes", "%v", err)
		}
		return cert, nil
	case v.PublicKey != nil:
		key, err := publicKey(v.PublicKey.RawBytes)
		if err != nil {
			return nil, strictjson.Errorf(at+"/publicKey/rawBytes", "%v", err)
		}
		return key, nil
	}
	return nil, strictjson.Errorf(at+"/publicKey", "missing")
}

// entryBody writes what the log hashes: canonical JSON (RFC 8785).
func entryBody(e Entry) ([]byte, error) {
	if e.Key == nil {
		return nil, errNobody
	}
	w := wireEntry{APIVersion: EntryVersion, Kind: EntryKind}
	r := &w.Spec.HashedRekord
	r.Data.Algorithm, r.Data.Digest = protocommon.HashAlgorithm_SHA2_256.String(), e.Digest.Sum()
	r.Signature.Content = e.Signature
	r.Signature.Verifier.KeyDetails = e.Key.Details().String()
	if e.Certificate != nil {
		r.Signature.Verifier.Certificate = &wireDER{e.Certificate.DER()}
	} else {
		r.Signature.Verifier.PublicKey = &wireDER{e.Key.DER()}
	}
	b, err := strictjson.Canonical(w)
	if err != nil {
		return nil, fmt.Errorf("writing the log entry: %w", err)
	}
	if len(b) > MaxEntry {
		return nil, fmt.Errorf("log entry of %d bytes exceeds the limit of %d", len(b), MaxEntry)
	}
	return b, nil
}
