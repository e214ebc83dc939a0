package attest_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// bundleVectors are about the form of bundles. Their envelope is signed and
// their log entry is the one leaf of a signed tree; their timestamp is empty.
func bundleVectors(t *testing.T) []vector {
	good := bundleOf(t, oddStatement(t))
	b, err := attest.ParseBundle(good)
	if err != nil {
		t.Fatal(err)
	}
	entry := b.Sigstore.VerificationMaterial.TlogEntries[0]
	body, root := b64(entry.CanonicalizedBody), b64(entry.InclusionProof.RootHash)
	hint := `"publicKey":{"hint":"` + b.KeyHint + `"}`
	stamp := `{"signedTimestamp":"` + b64(granted) + `"}`
	rootMember := `"rootHash":"` + root + `"`
	list := edits(t, "bundle", "bundle", good, []edited{
		{"good", "", "", accepted},
		{"no-hint", hint, `"publicKey":{}`, accepted},
		{"zeros-written-out", `"canonicalizedBody":`, `"logIndex":"0","integratedTime":"0","canonicalizedBody":`, accepted},
		{"two-timestamps", stamp, stamp + "," + stamp, accepted},
		{"media-type-v0.2", attest.ArtifactBundle, `application/vnd.dev.sigstore.bundle+json;version=0.2`, `/mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.2" is not "application/vnd.dev.sigstore.bundle.v0.3+json"`},
		{"media-type-v0.3-old-form", attest.ArtifactBundle, `application/vnd.dev.sigstore.bundle+json;version=0.3`, `/mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.3" is not "application/vnd.dev.sigstore.bundle.v0.3+json"`},
		{"media-type-v0.4", attest.ArtifactBundle, `application/vnd.dev.sigstore.bundle.v0.4+json`, `/mediaType: "application/vnd.dev.sigstore.bundle.v0.4+json" is not "application/vnd.dev.sigstore.bundle.v0.3+json"`},
		{"certificate", hint, certificateMember(leafCertificate(t, nil)), accepted},
		{"certificate-and-key", hint, hint + "," + certificateMember(leafCertificate(t, nil)), "/verificationMaterial/certificate: there is a public key too: one of them signed"},
		{"certificate-not-der", hint, `"certificate":{"rawBytes":"MAA="}`, "/verificationMaterial/certificate/rawBytes: not the DER of one X.509 certificate"},
		{"certificate-not-base64", hint, `"certificate":{"rawBytes":"*"}`, "/verificationMaterial/certificate/rawBytes: not standard base64 with padding (RFC 4648, section 4)"},
		{"certificate-of-an-authority", hint, certificateMember(caCertificate(t)), "/verificationMaterial/certificate/rawBytes: certificate is an authority's, which signs certificates and no statements"},
		{"certificate-null", hint, `"certificate":null`, "/verificationMaterial/certificate: null is not allowed"},
		{"certificate-chain", hint, `"x509CertificateChain":{"certificates":[{"rawBytes":"` + b64(leafCertificate(t, nil)) + `"}]}`, "/verificationMaterial/x509CertificateChain: unknown member"},
		{"hint-control-character", hint, `"publicKey":{"hint":"\u001b"}`, `/verificationMaterial/publicKey/hint: "\x1b" holds characters that do not print`},
		{"member-in-snake-case", `"dsseEnvelope"`, `"dsse_envelope"`, "/dsse_envelope: unknown member"},
		{"message-signature", `"dsseEnvelope":`, `"messageSignature":{},"dsseEnvelope":`, "/messageSignature: unknown member"},
		{"no-log-entry", entryOf(good), ``, "/verificationMaterial/tlogEntries: 0 log entries, want 1"},
		{"two-log-entries", entryOf(good), entryOf(good) + "," + entryOf(good), "/verificationMaterial/tlogEntries: 2 log entries, want 1"},
		{"inclusion-promise", `"kindVersion":`, `"inclusionPromise":{"signedEntryTimestamp":"MAA="},"kindVersion":`, "/verificationMaterial/tlogEntries/0/inclusionPromise: unknown member"},
		{"kind-dsse", `"kind":"hashedrekord"`, `"kind":"dsse"`, `/verificationMaterial/tlogEntries/0/kindVersion/kind: "dsse" is not "hashedrekord"`},
		{"kind-version-v1", `"version":"0.0.2"`, `"version":"0.0.1"`, `/verificationMaterial/tlogEntries/0/kindVersion/version: "0.0.1" is not "0.0.2"`},
		{"integrated-time", `"kindVersion":`, `"integratedTime":"1772366400","kindVersion":`, `/verificationMaterial/tlogEntries/0/integratedTime: "1772366400" is not "0"`},
		{"log-index-number", `"kindVersion":`, `"logIndex":1,"kindVersion":`, "/verificationMaterial/tlogEntries/0/logIndex: number cannot be read as string"},
		{"log-index-negative", `"kindVersion":`, `"logIndex":"-1","kindVersion":`, `/verificationMaterial/tlogEntries/0/logIndex: "-1" is not a decimal number`},
		{"log-index-leading-zero", `"kindVersion":`, `"logIndex":"01","kindVersion":`, `/verificationMaterial/tlogEntries/0/logIndex: "01" is not a decimal number`},
		{"log-index-not-the-proofs", `"kindVersion":`, `"logIndex":"1","kindVersion":`, `/verificationMaterial/tlogEntries/0/inclusionProof/logIndex: "0" is not "1"`},
		{"log-id-short", b64(logID()), b64(logID()[:31]), "/verificationMaterial/tlogEntries/0/logId/keyId: 31 bytes, want the 32 of a sha256"},
		{"root-not-the-checkpoints", rootMember, `"rootHash":"` + b64(digest("other").Sum()) + `"`, `/verificationMaterial/tlogEntries/0/inclusionProof/rootHash: "2SmKENGwc1g33EvYXaxkGw887yekfl1TpU8vP1svz/o=" is not "kcH8DEAwZRd5Wqttp4aViGBtJqdQYZIcolb0pQ9etsw="`},
		{"size-not-the-checkpoints", `"treeSize":"1"`, `"treeSize":"2"`, `/verificationMaterial/tlogEntries/0/inclusionProof/treeSize: "2" is not "1"`},
		{"hash-short", rootMember, `"hashes":["AAAA"],` + rootMember, "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0: 3 bytes, want the 32 of a sha256"},
		{"too-many-hashes", rootMember, `"hashes":[` + strings.Repeat(`"",`, 64) + `""],` + rootMember, "/verificationMaterial/tlogEntries/0/inclusionProof/hashes: 65 hashes, want at most 64"},
		{"checkpoint-without-lines", fmt.Sprintf(`%s\n1\n%s\n`, logOrigin, root), ``, "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope: invalid checkpoint - too few newlines"},
		{"no-timestamp", stamp, ``, "/verificationMaterial/timestampVerificationData/rfc3161Timestamps: 0 timestamps, want 1 to 16"},
		{"timestamp-empty", b64(granted), ``, "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp: not one DER sequence, as an RFC 3161 response is"},
		{"timestamp-not-der", b64(granted), b64([]byte("noon")), "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp: not one DER sequence, as an RFC 3161 response is"},
		{"timestamp-trailing-data", b64(granted), b64(append(granted[:len(granted):len(granted)], 0)), "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp: not one DER sequence, as an RFC 3161 response is"},
		{"body-of-v1", body, bodyWith(entry.CanonicalizedBody, `"apiVersion":"0.0.2"`, `"apiVersion":"0.0.1"`), `/verificationMaterial/tlogEntries/0/canonicalizedBody/apiVersion: "0.0.1" is not "0.0.2"`},
		{"body-of-another-kind", body, bodyWith(entry.CanonicalizedBody, `"kind":"hashedrekord"`, `"kind":"dsse"`), `/verificationMaterial/tlogEntries/0/canonicalizedBody/kind: "dsse" is not "hashedrekord"`},
		{"body-not-canonical", body, bodyWith(entry.CanonicalizedBody, `"kind":`, `"kind": `), "/verificationMaterial/tlogEntries/0/canonicalizedBody: not canonical JSON (RFC 8785)"},
		{"body-member-twice", body, bodyWith(entry.CanonicalizedBody, `"kind":`, `"kind":"dsse","kind":`), "/verificationMaterial/tlogEntries/0/canonicalizedBody/kind: duplicate object member name"},
		{"body-without-spec", body, b64([]byte(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}`)), "sigstore bundle: validation error: entry body is not a recognizable Rekor v1 or Rekor v2 type: hashedrekord implementation for version '0.0.2' not found: unable to locate entry for version 0.0.2"},
		{"body-without-padding", body, strings.TrimRight(body, "=") + "*", "/verificationMaterial/tlogEntries/0/canonicalizedBody: not standard base64 with padding (RFC 4648, section 4)"},
	})
	list = append(list, bundledEnvelopeVectors(t, good, b)...)
	list = append(list, vector{name: "bundle-trailing-data.txt", kind: "bundle", expect: "trailing data after the document at byte 2163", data: append(good[:len(good):len(good)], " {}"...)})
	return append(list, missing(t, "bundle", "bundle", good, "", "/verificationMaterial/publicKey/hint")...)
}

// bundledEnvelopeVectors are about the envelope in a bundle, and its statement.
func bundledEnvelopeVectors(t *testing.T, good []byte, b *attest.Bundle) []vector {
	payload := b64(b.Envelope.Payload)
	return edits(t, "bundle", "bundle", good, []edited{
		{"envelope-null", string(envelopeOf(good)), `null`, "/dsseEnvelope: null is not allowed"},
		{"envelope-member-twice", `"payloadType":`, `"payloadType":"","payloadType":`, "/dsseEnvelope/payloadType: duplicate object member name"},
		{"envelope-payload-type", attest.PayloadType, attest.PolicyPayload, `/dsseEnvelope/payloadType: "application/vnd.patchfit.trust-policy.v1+json" is not "application/vnd.in-toto+json"`},
		{"envelope-payload-not-base64", payload, `*`, "/dsseEnvelope/payload: not standard base64 with padding (RFC 4648, section 4)"},
		{"envelope-payload-web-safe", payload, base64.URLEncoding.EncodeToString(b.Envelope.Payload), "/dsseEnvelope/payload: not standard base64 with padding (RFC 4648, section 4)"},
		{"envelope-payload-stray-bits", payload, strayBits(t, payload), "/dsseEnvelope/payload: not standard base64 with padding (RFC 4648, section 4)"},
		{"envelope-two-signatures", `{"sig":`, `{"sig":"AAAA"},{"sig":`, "/dsseEnvelope/signatures: 2 signatures, want 1 in a bundle"},
		{"statement-of-v0.1", payload, b64(edit(t, b.Envelope.Payload, "Statement/v1", "Statement/v0.1")), `/dsseEnvelope/payload/_type: "https://in-toto.io/Statement/v0.1" is not "https://in-toto.io/Statement/v1"`},
		{"statement-member-twice", payload, b64(edit(t, b.Envelope.Payload, `"_type":`, `"_type":"","_type":`)), "/dsseEnvelope/payload/_type: duplicate object member name"},
		{"unknown-member", `"mediaType":`, `"comment":"","mediaType":`, "/comment: unknown member"},
	})
}

func bodyWith(body []byte, old, new string) string {
	return b64([]byte(strings.Replace(string(body), old, new, 1)))
}

func entryOf(bundle []byte) string {
	_, rest, _ := strings.Cut(string(bundle), `"tlogEntries":[`)
	e, _, _ := strings.Cut(rest, `]}}`)
	return e
}

func envelopeOf(bundle []byte) string {
	_, rest, _ := strings.Cut(string(bundle), `"dsseEnvelope":`)
	e, _, _ := strings.Cut(rest, `,"mediaType"`)
	return e
}
