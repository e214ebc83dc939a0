package attest_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

func certificateVectors(t *testing.T) []vector {
	vec := func(name, expect string, data []byte) vector {
		return vector{name: "certificate-" + name + ".txt", kind: "certificate", expect: expect, data: data}
	}
	leaf := func(name, expect string, change func(*x509.Certificate)) vector {
		return vec(name, expect, certificatePEM(leafCertificate(t, change)))
	}
	without := func(c *x509.Certificate) { c.ExtraExtensions = nil }
	issuers := func(list ...pkix.Extension) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions = list }
	}
	v1 := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(oidc)}
	other := pkix.Extension{Id: v1.Id, Value: []byte("https://other.example")}
	good := certificatePEM(leafCertificate(t, nil))
	const names1, differ = "certificate has 2 names (subject alternative name), want 1", "certificate's issuer extensions are not one line of text, or differ"
	const kind = "certificate's name is neither a URI nor an email address (subject alternative name)"
	return []vector{
		vec("good", accepted, good),
		vec("chain-after-it", accepted, append(good[:len(good):len(good)], certificatePEM(caCertificate(t))...)),
		leaf("without-issuer", accepted, without),
		leaf("issuer-v1", accepted, issuers(v1)),
		leaf("issuers-alike", accepted, issuers(v1, issuerExtension(t, oidc))),
		leaf("issuers-differ", differ, issuers(other, issuerExtension(t, oidc))),
		leaf("issuer-of-two-lines", differ, issuers(issuerExtension(t, "a\nb"))),
		leaf("issuer-empty", differ, issuers(issuerExtension(t, ""))),
		leaf("issuer-not-der", "certificate's issuer extension is not a DER UTF8String", issuers(pkix.Extension{Id: oidFulcioIssuer, Value: []byte(oidc)})),
		leaf("email", accepted, names(t, general(1, "release@example.org"))),
		leaf("no-name", "certificate has 0 names (subject alternative name), want 1", func(c *x509.Certificate) { c.URIs = nil }),
		leaf("two-names", names1, names(t, general(6, spiffe), general(6, "spiffe://other.example/x"))),
		leaf("uri-and-email", names1, names(t, general(6, spiffe), general(1, "release@example.org"))),
		leaf("uri-and-other-name", names1, names(t, general(6, spiffe), asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: []byte{6, 1, 42, 0xa0, 2, 12, 0}})),
		leaf("dns-name", kind, names(t, general(2, "build.example"))),
		leaf("uri-in-upper-case", `"SPIFFE://build.example/x" is neither a URI nor an email address in its one form`, names(t, general(6, "SPIFFE://build.example/x"))),
		leaf("key-usage", "certificate is not for digital signatures (key usage)", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
		vec("of-an-authority", "certificate is an authority's, which signs certificates and no statements", certificatePEM(caCertificate(t))),
		vec("rsa", accepted, certificatePEM(leafWith(t, &rsaPrivate(t).PublicKey, nil))),
		vec("p384", "certificate: ECDSA key is not on P-256: stock verifiers check other curves only with special flags; make a P-256 key", certificatePEM(leafWith(t, p384(t), nil))),
		vec("ed25519", "certificate: Ed25519 keys cannot sign here: the log takes only Ed25519ph (Rekor v2) and envelope verifiers know only pure Ed25519, so no signature satisfies both; make an ECDSA P-256 key", certificatePEM(leafWith(t, logKey().Public(), nil))),
		vec("not-der", "not the DER of one X.509 certificate", certificatePEM([]byte("hello"))),
		vec("trailing-der", "not the DER of one X.509 certificate", certificatePEM(append(leafCertificate(t, nil), 0))),
		vec("public-key", `PEM block is "PUBLIC KEY", want "CERTIFICATE"`, signerOf("release").public(t).PEM()),
		vec("empty", `certificate is not a PEM block that starts with "-----BEGIN CERTIFICATE-----"`, nil),
	}
}

// identityVectors are about names in certificates in a trust policy.
func identityVectors(t *testing.T) []vector {
	p := certifiedPolicy(t)
	good := policyBytes(t, p)
	ca := string(p.Signers[1].Identities[0].CA)
	one := `{"ca":"` + ca + `","issuer":"` + oidc + `","san":"` + spiffe + `","validFrom":"2026-01-01T00:00:00Z","validUntil":"2028-01-01T00:00:00Z"}`
	farm := `"keys":[{"key":"` + p.Signers[0].Keys[0].Key
	san := func(v string) string { return `"san":"` + v + `"` }
	const form = "is neither a URI nor an email address in its one form"
	return edits(t, "trust-policy", "trust-policy", good, []edited{
		{"identity-good", "", "", accepted},
		{"identity-email", san(spiffe), san("release@example.org"), accepted},
		{"identity-without-issuer", `"issuer":"` + oidc + `",`, ``, accepted},
		{"identity-without-end", `,"validUntil":"2028-01-01T00:00:00Z"}],"keys":[]`, `}],"keys":[]`, accepted},
		{"identity-and-keys", `"keys":[]`, `"keys":[{"key":"` + b64(spki(t, rsaKey())) + `","validFrom":"2026-01-01T00:00:00Z"}]`, accepted},
		{"identity-none-and-no-keys", `"identities":[` + one + `],`, ``, `/signers/1/keys: signer "release team" has no key and no identity`},
		{"identity-empty-list", `[` + one + `]`, `[]`, `/signers/1/identities: an empty list is left out`},
		{"identity-twice", one, one + "," + one, `/signers/1/identities/1: this identity is already one of "release team"`},
		{"identity-of-two", farm, `"identities":[` + one + `],` + farm, `/signers/1/identities/0: this identity is already one of "build farm"`},
		{"identity-authority-not-there", ca, string(digest("other")), "/signers/1/identities/0/ca: " + string(digest("other")) + " is the root of no certificate authority in /trustedRoot"},
		{"identity-authority-not-a-digest", `"ca":"` + ca + `"`, `"ca":"corp"`, `/signers/1/identities/0/ca: digest "corp" is not sha256: and 64 lower-case hex digits`},
		{"identity-san-empty", san(spiffe), san(""), "/signers/1/identities/0/san: empty"},
		{"identity-san-wildcard", san(spiffe), san("*"), `/signers/1/identities/0/san: "*" ` + form},
		{"identity-san-host", san(spiffe), san("build.example"), `/signers/1/identities/0/san: "build.example" ` + form},
		{"identity-san-with-name", san(spiffe), san("Release <release@example.org>"), `/signers/1/identities/0/san: "Release <release@example.org>" ` + form},
		{"identity-san-scheme-in-upper-case", san(spiffe), san("SPIFFE://build.example/patches"), `/signers/1/identities/0/san: "SPIFFE://build.example/patches" ` + form},
		{"identity-issuer-empty", `"issuer":"` + oidc + `"`, `"issuer":""`, accepted},
		{"identity-issuer-control-character", `"issuer":"` + oidc + `"`, `"issuer":"\u001b"`, `/signers/1/identities/0/issuer: "\x1b" holds characters that do not print`},
		{"identity-window-backwards", `"2028-01-01T00:00:00Z"}],"keys":[]`, `"2025-01-01T00:00:00Z"}],"keys":[]`, "/signers/1/identities/0/validUntil: does not come after validFrom"},
		{"identity-unknown-member", `{"ca":`, `{"sct":true,"ca":`, "/signers/1/identities/0/sct: unknown member"},
		{"identity-regexp", san(spiffe), san(spiffe) + `,"sanRegexp":".*"`, "/signers/1/identities/0/sanRegexp: unknown member"},
	})
}
