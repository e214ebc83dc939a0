package attest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	checkpoints "github.com/transparency-dev/formats/log"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// The members of a bundle, as strictly as our own formats: protojson, which
// reads them after us, also takes snake_case names, web-safe base64 and
// integers in several forms (Sigstore bundle v0.3, sigstore_bundle.proto).

type wireBundle struct {
	MediaType    string         `json:"mediaType"`
	Material     wireMaterial   `json:"verificationMaterial"`
	DSSEEnvelope jsontext.Value `json:"dsseEnvelope"`
}

type wireMaterial struct {
	// Exactly one of these says who signed.
	PublicKey   *wireHint        `json:"publicKey,omitzero"`
	Certificate *wireCertificate `json:"certificate,omitzero"`
	TlogEntries []wireEntry      `json:"tlogEntries"`
	Timestamps  struct {
		RFC3161 []wireTimestamp `json:"rfc3161Timestamps"`
	} `json:"timestampVerificationData"`
}

type wireHint struct {
	Hint string `json:"hint,omitzero"`
}

type wireCertificate struct {
	RawBytes string `json:"rawBytes"`
}

type wireTimestamp struct {
	SignedTimestamp string `json:"signedTimestamp"`
}

// A wireEntry is a log entry. protojson leaves out what is zero, so the first
// entry of a log has no logIndex.
type wireEntry struct {
	LogIndex string `json:"logIndex,omitzero"`
	LogID    struct {
		KeyID string `json:"keyId"`
	} `json:"logId"`
	KindVersion       wireKind  `json:"kindVersion"`
	IntegratedTime    string    `json:"integratedTime,omitzero"`
	InclusionProof    wireProof `json:"inclusionProof"`
	CanonicalizedBody string    `json:"canonicalizedBody"`
}

type wireKind struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

type wireProof struct {
	LogIndex   string   `json:"logIndex,omitzero"`
	RootHash   string   `json:"rootHash"`
	TreeSize   string   `json:"treeSize"`
	Hashes     []string `json:"hashes,omitzero"`
	Checkpoint struct {
		Envelope string `json:"envelope"`
	} `json:"checkpoint"`
}

// A wireBody is the log leaf that a bundle repeats.
type wireBody struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Spec       jsontext.Value `json:"spec"`
}

func (w *wireBundle) check() error {
	entries := spot("/verificationMaterial/tlogEntries")
	times := spot("/verificationMaterial/timestampVerificationData/rfc3161Timestamps")
	if n := len(w.Material.TlogEntries); n != 1 {
		return entries.errorf("%d log entries, want 1", n)
	}
	if n := len(w.Material.Timestamps.RFC3161); n == 0 || n > maxSignatures {
		return times.errorf("%d timestamps, want 1 to %d", n, maxSignatures)
	}
	return cmp.Or(
		spot("/mediaType").oneOf(w.MediaType, ArtifactBundle),
		w.Material.checkSigner("/verificationMaterial"),
		w.Material.TlogEntries[0].check(entries.index(0)),
		each(times, w.Material.Timestamps.RFC3161, checkTimestamp),
	)
}

// checkSigner asks for a key or a certificate. A chain is refused, as Sigstore
// does in v0.3: intermediate certificates are the trust policy's to name.
func (m *wireMaterial) checkSigner(at spot) error {
	switch {
	case m.PublicKey != nil && m.Certificate != nil:
		return at.member("certificate").errorf("there is a public key too: one of them signed")
	case m.PublicKey != nil:
		return checkHint(at.member("publicKey").member("hint"), m.PublicKey.Hint)
	case m.Certificate == nil:
		return at.member("publicKey").errorf("missing")
	}
	if _, err := decodeBase64(m.Certificate.RawBytes); err != nil {
		return at.member("certificate").member("rawBytes").errorf("%v", err)
	}
	return nil
}

func checkHint(at spot, hint string) error {
	if hint == "" {
		return nil
	}
	return at.line(hint)
}

func checkTimestamp(at spot, t wireTimestamp) error {
	at = at.member("signedTimestamp")
	b, err := decodeBase64(t.SignedTimestamp)
	if err != nil {
		return at.errorf("%v", err)
	}
	if !isDER(b) {
		return at.errorf("not one DER sequence, as an RFC 3161 response is")
	}
	return nil
}

func (e *wireEntry) check(at spot) error {
	kind := at.member("kindVersion")
	return cmp.Or(
		at.member("logIndex").decimal(cmp.Or(e.LogIndex, "0")),
		at.member("logId").member("keyId").sum(e.LogID.KeyID),
		kind.member("kind").oneOf(e.KindVersion.Kind, "hashedrekord"),
		kind.member("version").oneOf(e.KindVersion.Version, "0.0.2"),
		at.member("integratedTime").oneOf(cmp.Or(e.IntegratedTime, "0"), "0"),
		e.checkProof(at.member("inclusionProof")),
		checkBody(at.member("canonicalizedBody"), e.CanonicalizedBody),
	)
}

// checkProof also asks that what the proof repeats, unsigned, is what the entry
// and the signed checkpoint say, so that it cannot be changed without a trace.
func (e *wireEntry) checkProof(at spot) error {
	p := &e.InclusionProof
	if len(p.Hashes) > maxHashes {
		return at.member("hashes").errorf("%d hashes, want at most %d", len(p.Hashes), maxHashes)
	}
	var cp checkpoints.Checkpoint
	if _, err := cp.Unmarshal([]byte(p.Checkpoint.Envelope)); err != nil {
		return at.member("checkpoint").member("envelope").errorf("%v", err)
	}
	return cmp.Or(
		at.member("logIndex").oneOf(cmp.Or(p.LogIndex, "0"), cmp.Or(e.LogIndex, "0")),
		at.member("treeSize").oneOf(p.TreeSize, fmt.Sprint(cp.Size)),
		at.member("rootHash").oneOf(p.RootHash, base64.StdEncoding.EncodeToString(cp.Hash)),
		at.member("rootHash").sum(p.RootHash),
		each(at.member("hashes"), p.Hashes, spot.sum),
	)
}

func checkBody(at spot, b64 string) error {
	b, err := decodeBase64(b64)
	if err != nil {
		return at.errorf("%v", err)
	}
	var w wireBody
	if err := strictjson.Unmarshal(b, 64<<10, &w); err != nil {
		return strictjson.Under(string(at), err)
	}
	if c, err := strictjson.Canonicalize(b); err != nil || !bytes.Equal(b, c) {
		return at.errorf("not canonical JSON (RFC 8785)")
	}
	return cmp.Or(
		at.member("apiVersion").oneOf(w.APIVersion, "0.0.2"),
		at.member("kind").oneOf(w.Kind, "hashedrekord"),
	)
}

// proto returns the bundle, which was checked, with e its envelope, for
// sigstore-go. It is made from what was read here, so that there is no second
// reader who could see something else.
func (w *wireBundle) proto(e *Envelope) *protobundle.Bundle {
	times := new(protobundle.TimestampVerificationData)
	for _, t := range w.Material.Timestamps.RFC3161 {
		times.Rfc3161Timestamps = append(times.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: checkedBase64(t.SignedTimestamp)})
	}
	material := &protobundle.VerificationMaterial{
		TlogEntries: []*rekor.TransparencyLogEntry{w.Material.TlogEntries[0].proto()}, TimestampVerificationData: times,
	}
	if c := w.Material.Certificate; c != nil {
		material.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: checkedBase64(c.RawBytes)}}
	} else {
		material.Content = &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: w.Material.PublicKey.Hint}}
	}
	return &protobundle.Bundle{
		MediaType: w.MediaType, VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: protoEnvelope(e)},
	}
}

func (e *wireEntry) proto() *rekor.TransparencyLogEntry {
	p := &e.InclusionProof
	hashes := make([][]byte, len(p.Hashes))
	for i, h := range p.Hashes {
		hashes[i] = checkedBase64(h)
	}
	return &rekor.TransparencyLogEntry{
		LogIndex:          checkedNumber(e.LogIndex),
		LogId:             &protocommon.LogId{KeyId: checkedBase64(e.LogID.KeyID)},
		KindVersion:       &rekor.KindVersion{Kind: e.KindVersion.Kind, Version: e.KindVersion.Version},
		CanonicalizedBody: checkedBase64(e.CanonicalizedBody),
		InclusionProof: &rekor.InclusionProof{
			LogIndex: checkedNumber(p.LogIndex), TreeSize: checkedNumber(p.TreeSize),
			RootHash: checkedBase64(p.RootHash), Hashes: hashes,
			Checkpoint: &rekor.Checkpoint{Envelope: p.Checkpoint.Envelope},
		},
	}
}

// checkedBase64 decodes what check found to be standard base64.
func checkedBase64(s string) []byte {
	b, err := decodeBase64(s)
	if err != nil {
		return nil // verifies as nothing
	}
	return b
}

// checkedNumber reads what check found to be a decimal number, or left out.
func checkedNumber(s string) int64 {
	n, err := strconv.ParseInt(cmp.Or(s, "0"), 10, 64)
	if err != nil {
		return -1 // sigstore-go refuses it
	}
	return n
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})$`)

// decimal asks for an integer that is not negative, in its one form.
func (s spot) decimal(v string) error {
	if _, err := strconv.ParseInt(v, 10, 64); err != nil || !decimal.MatchString(v) {
		return s.errorf("%.80q is not a decimal number", v)
	}
	return nil
}

// sum asks for the base64 of a raw sha256.
func (s spot) sum(v string) error {
	b, err := decodeBase64(v)
	if err != nil {
		return s.errorf("%v", err)
	}
	if len(b) != 32 {
		return s.errorf("%d bytes, want the 32 of a sha256", len(b))
	}
	return nil
}
