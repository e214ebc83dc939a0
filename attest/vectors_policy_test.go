package attest_test

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

func policyVectors(t *testing.T) []vector {
	p := goodPolicy(t)
	good := policyBytes(t, p)
	one, farm := p.Roots.Keys[0], p.Signers[0].Keys[0].Key
	product := `{"authorities":{"base":["build farm"],"builder":["build farm"],"patch":["release team"],"revocation":["release team"]},"fitBases":["environment"],"id":"` + productID + `","repository":"lib/demo"}`
	second := func(old, new string) string { return product + "," + strings.Replace(product, old, new, 1) }
	list := edits(t, "trust-policy", "trust-policy", good, []edited{
		{"good", "", "", accepted},
		{"spaces", `"version":1`, `"version": 1`, accepted},
		{"no-products", product, ``, accepted},
		{"nobody-may-patch", `,"patch":["release team"]`, ``, accepted},
		{"version-zero", `"version":1`, `"version":0`, "/version: 0 is not between 1 and 9007199254740991"},
		{"version-twice", `"version":1`, `"version":1,"version":2`, "/version: duplicate object member name"},
		{"expires-with-offset", `"expires":"2027-01-01T00:00:00Z"`, `"expires":"2027-01-01T01:00:00+01:00"`, `/expires: "2027-01-01T01:00:00+01:00" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"expires-with-fraction", `"expires":"2027-01-01T00:00:00Z"`, `"expires":"2027-01-01T00:00:00.5Z"`, "/expires: 2027-01-01T00:00:00.5Z is not in whole seconds"},
		{"expires-zero", `"expires":"2027-01-01T00:00:00Z"`, `"expires":"0001-01-01T00:00:00Z"`, "/expires: no time"},
		{"threshold-zero", `"threshold":2`, `"threshold":0`, "/roots/threshold: 0 is not between 1 and the number of keys, 3"},
		{"threshold-above-keys", `"threshold":2`, `"threshold":4`, "/roots/threshold: 4 is not between 1 and the number of keys, 3"},
		{"no-roots", `"` + strings.Join(p.Roots.Keys, `","`) + `"`, ``, "/roots/keys: 0 root keys, want 1 to 16"},
		{"root-twice", one, p.Roots.Keys[1], `/roots/keys/1: repeats element 0, "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEB2VZEDhkdQQz5SmIar1Ztb2EgoBc9RFgveWvbvhee6w8"`},
		{"root-ed25519", one, b64(spki(t, logKey().Public())), "/roots/keys/0: Ed25519 keys cannot sign here: the log takes only Ed25519ph (Rekor v2) and envelope verifiers know only pure Ed25519, so no signature satisfies both; make an ECDSA P-256 key"},
		{"root-p384", one, b64(spki(t, p384(t))), "/roots/keys/0: ECDSA key is not on P-256: stock verifiers check other curves only with special flags; make a P-256 key"},
		{"root-rsa", one, b64(spki(t, rsaKey())), accepted},
		{"signer-rsa", farm, b64(spki(t, rsaOf(3072, 65537))), accepted},
		{"signer-rsa-1024", farm, b64(spki(t, rsaOf(1024, 65537))), "/signers/0/keys/0/key: RSA key has 1024 bits; keys of 2048, 3072 and 4096 bits are taken, as in Rekor v2"},
		{"root-not-base64", one, "key", "/roots/keys/0: public key: not standard base64 with padding (RFC 4648, section 4)"},
		{"root-without-padding", one, strings.TrimRight(one, "="), "/roots/keys/0: public key: not standard base64 with padding (RFC 4648, section 4)"},
		{"signer-without-key", `[{"key":"` + farm + `","validFrom":"2026-01-01T00:00:00Z","validUntil":"2028-01-01T00:00:00Z"}]`, `[]`, `/signers/0/keys: signer "build farm" has no key and no identity`},
		{"signer-name-empty", `"name":"build farm"`, `"name":""`, "/signers/0/name: empty"},
		{"signer-name-twice", `"name":"release team"`, `"name":"build farm"`, `/signers/1: repeats element 0, "build farm"`},
		{"signer-key-of-two", farm, p.Signers[1].Keys[0].Key, `/signers/1/keys/0/key: this key is already a key of "build farm"`},
		{"signer-window-backwards", `"validUntil":"2028-01-01T00:00:00Z"`, `"validUntil":"2025-01-01T00:00:00Z"`, "/signers/0/keys/0/validUntil: does not come after validFrom"},
		{"signer-window-empty", `"validUntil":"2028-01-01T00:00:00Z"`, `"validUntil":"2026-01-01T00:00:00Z"`, "/signers/0/keys/0/validUntil: does not come after validFrom"},
		{"signer-window-with-offset", `"validUntil":"2028-01-01T00:00:00Z"`, `"validUntil":"2028-01-01T00:00:00-05:00"`, `/signers/0/keys/0/validUntil: "2028-01-01T00:00:00-05:00" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"product-id-not-uuid", productID, `lib/demo`, `/products/0/id: "lib/demo" is not a lower-case UUID`},
		{"product-id-twice", product, second("lib/demo", "lib/other"), `/products/1: repeats element 0, "6f0f6c1e-7f0a-4c57-9d1b-2f6f4f1f7a10"`},
		{"product-repository-twice", product, second(productID, otherID), `/products/1: repeats element 0, "lib/demo"`},
		{"product-repository-upper-case", `"lib/demo"`, `"Lib/demo"`, `/products/0/repository: "Lib/demo" is not an OCI repository name`},
		{"product-repository-traversal", `"lib/demo"`, `"lib/../demo"`, `/products/0/repository: "lib/../demo" is not an OCI repository name`},
		{"product-repository-empty", `"lib/demo"`, `""`, `/products/0/repository: "" is not an OCI repository name`},
		{"product-without-fit-basis", `["environment"]`, `[]`, "/products/0/fitBases: a product that accepts no basis of fit can have no patch"},
		{"product-fit-basis-unknown", `["environment"]`, `["kinship"]`, `/products/0/fitBases/0: "kinship" is not "environment" or "equivalent" or "vendor"`},
		{"product-fit-bases-all", `["environment"]`, `["environment","equivalent","vendor"]`, accepted},
		{"authority-of-imports", `"patch":["release team"]`, `"import":["release team"],"patch":["release team"]`, accepted},
		{"product-fit-basis-twice", `["environment"]`, `["environment","environment"]`, `/products/0/fitBases/1: repeats element 0, "environment"`},
		{"role-unknown", `"patch":`, `"patches":`, `/products/0/authorities/patches: "patches" is not "builder" or "base" or "patch" or "revocation" or "channel" or "import" or "rebuilder" or "adjudicator"`},
		{"role-in-another-case", `"patch":`, `"Patch":`, `/products/0/authorities/Patch: "Patch" is not "builder" or "base" or "patch" or "revocation" or "channel" or "import" or "rebuilder" or "adjudicator"`},
		{"authority-unknown", `"patch":["release team"]`, `"patch":["nobody"]`, `/products/0/authorities/patch/0: "nobody" is not the name of a signer`},
		{"authority-twice", `"patch":["release team"]`, `"patch":["release team","release team"]`, `/products/0/authorities/patch/1: repeats element 0, "release team"`},
		{"trusted-root-empty", string(p.TrustedRoot), `{}`, "/trustedRoot: unsupported TrustedRoot media type: "},
		{"trusted-root-media-type-v0.2", `trustedroot+json;version=0.1`, `trustedroot.v0.2+json`, "/trustedRoot: unsupported TrustedRoot media type: application/vnd.dev.sigstore.trustedroot.v0.2+json"},
		{"trusted-root-without-log", logOf(p), ``, "/trustedRoot/tlogs: no log"},
		{"trusted-root-without-timestamps", timestampsOf(p), ``, "/trustedRoot/timestampAuthorities: no timestamp authority"},
		{"trusted-root-member-twice", `"tlogs":`, `"tlogs":[],"tlogs":`, "/trustedRoot/tlogs: duplicate object member name"},
		{"log-policy", `"products":`, `"logPolicy":"quorum none\n","products":`, accepted},
		{"log-policy-without-newline", `"products":`, `"logPolicy":"quorum none","products":`, "/logPolicy: its last line does not end in a newline"},
		{"journals", `"products":`, `"journals":["` + b64(spki(t, rsaOf(4096, 65537))) + `"],"products":`, accepted},
		{"journals-empty", `"products":`, `"journals":[],"products":`, "/journals: 0 keys of journals, want 1 to 64; an empty list is left out"},
		{"journals-null", `"products":`, `"journals":null,"products":`, "/journals: null is not allowed"},
		{"journals-ed25519", `"products":`, `"journals":["` + b64(spki(t, logKey().Public())) + `"],"products":`, "/journals/0: Ed25519 keys cannot sign here: the log takes only Ed25519ph (Rekor v2) and envelope verifiers know only pure Ed25519, so no signature satisfies both; make an ECDSA P-256 key"},
		{"journals-key-of-signer", `"products":`, `"journals":["` + farm + `"],"products":`, `/journals/0: this key is already a key of "build farm"`},
		{"journals-key-of-root", `"products":`, `"journals":["` + one + `"],"products":`, `/journals/0: this key is already a key of "a root"`},
		{"tuf", `"version":1`, `"tuf":{"root":"sha256:` + strings.Repeat("0a", 32) + `","version":1},"version":1`, accepted},
		{"tuf-version-zero", `"version":1`, `"tuf":{"root":"sha256:` + strings.Repeat("0a", 32) + `","version":0},"version":1`, "/tuf/version: 0 is not between 1 and 9007199254740991"},
		{"tuf-without-root", `"version":1`, `"tuf":{"version":1},"version":1`, "/tuf/root: missing"},
		{"tuf-root-not-sha256", `"version":1`, `"tuf":{"root":"` + strings.Repeat("0a", 32) + `","version":1},"version":1`, `/tuf/root: digest "` + strings.Repeat("0a", 32) + `" is not sha256: and 64 lower-case hex digits`},
		{"channels-required", `"fitBases":`, `"channels":"required","fitBases":`, accepted},
		{"channels-unknown", `"fitBases":`, `"channels":"wanted","fitBases":`, `/products/0/channels: "wanted" is not "required"`},
		{"authority-of-channels", `"patch":["release team"]`, `"channel":["release team"],"patch":["release team"]`, accepted},
		{"unknown-member", `"version":1`, `"version":1,"warn":true`, "/warn: unknown member"},
	})
	return append(list, missing(t, "trust-policy", "trust-policy", good, "",
		"/products/0/authorities/base", "/products/0/authorities/builder", "/products/0/authorities/patch", "/products/0/authorities/revocation",
		"/signers/0/keys/0/validUntil", "/trustedRoot/mediaType", "/trustedRoot/tlogs", "/trustedRoot/timestampAuthorities")...)
}

func logOf(p *attest.TrustPolicy) string {
	_, rest, _ := strings.Cut(string(p.TrustedRoot), `"tlogs":[`)
	return strings.TrimSuffix(rest, "]}")
}

func timestampsOf(p *attest.TrustPolicy) string {
	_, rest, _ := strings.Cut(string(p.TrustedRoot), `"timestampAuthorities":[`)
	ts, _, _ := strings.Cut(rest, `],"tlogs"`)
	return ts
}

// signedPolicyVectors are about who signed: two of three roots are asked for.
func signedPolicyVectors(t *testing.T) []vector {
	p := goodPolicy(t)
	good := policyBytes(t, p)
	roots, err := p.Roots.Digest()
	if err != nil {
		t.Fatal(err)
	}
	vec := func(name, expect string, data []byte) vector {
		return vector{name: "signed-trust-policy-" + name + ".txt", kind: "signed-trust-policy", expect: expect, roots: string(roots), data: data}
	}
	weak := *p
	weak.Roots.Threshold = 1
	stranger := *p
	stranger.Roots = goodRoots(t, 2, "root one", "root two", "stranger")
	two := sign(t, attest.PolicyPayload, good, "root one", "root two")
	single := sign(t, attest.PolicyPayload, good, "root one")
	repeated := sign(t, attest.PolicyPayload, good, "root one")
	otherType := sign(t, attest.PayloadType, good, "root one", "root two")
	return []vector{
		vec("good", accepted, two),
		vec("by-all-three", accepted, sign(t, attest.PolicyPayload, good, "root one", "root two", "root three")),
		vec("and-a-stranger", accepted, sign(t, attest.PolicyPayload, good, "stranger", "root three", "root two")),
		vec("below-threshold", "trust policy is signed by 1 of its root keys, 2 are needed", single),
		vec("one-root-and-a-stranger", "trust policy is signed by 1 of its root keys, 2 are needed", sign(t, attest.PolicyPayload, good, "root one", "stranger")),
		vec("one-root-twice", "trust policy is signed by 1 of its root keys, 2 are needed", signedAgain(t, repeated)),
		vec("by-strangers", "trust policy is signed by 0 of its root keys, 2 are needed", sign(t, attest.PolicyPayload, good, "stranger", "release")),
		vec("weaker-threshold", "trust policy has the roots sha256:9a327a71e704e7d6e60e9130c1aab55c16078dfac1814058241991f8d7c38a89, pinned are sha256:06a68ab259b0e69a7527bd5efb641833484ceebd7d8cf86d40e677deb8508246", sign(t, attest.PolicyPayload, policyBytes(t, &weak), "root one")),
		vec("other-roots", "trust policy has the roots sha256:c321345910ca988513d6a4ba3e4b62a7c48958b9101bc153314051a97478bd8e, pinned are sha256:06a68ab259b0e69a7527bd5efb641833484ceebd7d8cf86d40e677deb8508246", sign(t, attest.PolicyPayload, policyBytes(t, &stranger), "root one", "root two")),
		vec("payload-changed", "trust policy is signed by 0 of its root keys, 2 are needed", edit(t, two, b64(good), b64(edit(t, good, `"version":1`, `"version":2`)))),
		vec("other-payload-type", `/payloadType: "application/vnd.in-toto+json" is not "application/vnd.patchfit.trust-policy.v1+json"`, otherType),
		vec("relabelled", "trust policy is signed by 0 of its root keys, 2 are needed", edit(t, otherType, attest.PayloadType, attest.PolicyPayload)),
		vec("policy-inconsistent", "/payload/products/0/fitBases: a product that accepts no basis of fit can have no patch", sign(t, attest.PolicyPayload, edit(t, good, `["environment"]`, `[]`), "root one", "root two")),
	}
}

// signedAgain adds a second signature of the same root that is not the same
// bytes: (r, n-s) is as good as (r, s).
func signedAgain(t *testing.T, envelope []byte) []byte {
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	if err != nil {
		t.Fatal(err)
	}
	first := b64(e.Signatures[0].Sig)
	return edit(t, envelope, `"sig":"`+first+`"}`, `"sig":"`+first+`"},{"sig":"`+b64(mirrored(t, e.Signatures[0].Sig))+`"}`)
}
