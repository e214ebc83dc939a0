package attest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

func envelopeVectors(t *testing.T) []vector {
	good := sign(t, attest.PayloadType, oddStatement(t), "release")
	e, err := attest.ParseEnvelope(good, attest.PayloadType)
	if err != nil {
		t.Fatal(err)
	}
	payload, sig := b64(e.Payload), b64(e.Signatures[0].Sig)
	keyid := `"keyid":"` + e.Signatures[0].KeyID + `",`
	one := `{` + keyid + `"sig":"` + sig + `"}`
	list := edits(t, "envelope", "envelope", good, []edited{
		{"good", "", "", accepted},
		{"no-keyid", keyid, ``, accepted},
		{"keyid-empty", keyid, `"keyid":"",`, accepted},
		{"spaces", `"payload":`, ` "payload" : `, accepted},
		{"payload-type-of-others", attest.PayloadType, attest.PolicyPayload, `/payloadType: "application/vnd.patchfit.trust-policy.v1+json" is not "application/vnd.in-toto+json"`},
		{"payload-type-empty", attest.PayloadType, ``, "/payloadType: empty"},
		{"payload-type-in-another-case", attest.PayloadType, strings.ToUpper(attest.PayloadType), `/payloadType: "APPLICATION/VND.IN-TOTO+JSON" is not "application/vnd.in-toto+json"`},
		{"payload-twice", `"payload":`, `"payload":"","payload":`, "/payload: duplicate object member name"},
		{"payload-in-another-case", `"payload":`, `"Payload":`, "/Payload: unknown member"},
		{"payload-without-padding", payload, strings.TrimRight(payload, "="), "/payload: not standard base64 with padding (RFC 4648, section 4)"},
		{"payload-web-safe", payload, base64.URLEncoding.EncodeToString(e.Payload), "/payload: not standard base64 with padding (RFC 4648, section 4)"},
		{"payload-with-newline", payload, payload[:76] + `\n` + payload[76:], "/payload: not standard base64 with padding (RFC 4648, section 4)"},
		{"payload-stray-bits", payload, strayBits(t, payload), "/payload: not standard base64 with padding (RFC 4648, section 4)"},
		{"no-signature", one, ``, "/signatures: 0 signatures, want 1 to 16"},
		{"signature-twice", one, one + "," + one, `/signatures/1: repeats element 0, "MEUCIEAYa+CVLzGId3kzRls8JwMlZ9tRje29t2ffBwM6G8kVAiEA+itnYiQZhPTJgdg+337pu0nk7pM6"`},
		{"signature-empty", sig, ``, "/signatures/0/sig: empty"},
		{"signature-web-safe", sig, `_-8=`, "/signatures/0/sig: not standard base64 with padding (RFC 4648, section 4)"},
		{"too-many-signatures", one, manySignatures(17), "/signatures: 17 signatures, want 1 to 16"},
		{"keyid-control-character", keyid, `"keyid":"\u001b",`, `/signatures/0/keyid: "\x1b" holds characters that do not print`},
		{"unknown-member", `"payload":`, `"cert":"","payload":`, "/cert: unknown member"},
		{"unknown-member-of-signature", keyid, keyid + `"cert":"",`, "/signatures/0/cert: unknown member"},
	})
	return append(list, missing(t, "envelope", "envelope", good, "", "/signatures/0/keyid")...)
}

// oddStatement is a good statement whose base64 needs padding and characters
// that the web-safe alphabet has not.
func oddStatement(t *testing.T) []byte {
	b := edit(t, statementBytes(t, "revocation"), "lib/demo", "lib/demo ~~~???>>>")
	for len(b)%3 == 0 || !strings.ContainsAny(b64(b), "+/") {
		b = edit(t, b, "lib/demo ", "lib/demo  ")
	}
	return b
}

// strayBits sets a bit of the last character that no byte has.
func strayBits(t *testing.T, padded string) string {
	body := strings.TrimRight(padded, "=")
	if body == padded {
		t.Fatalf("%s has no padding", padded)
	}
	return body[:len(body)-1] + string(body[len(body)-1]+1) + padded[len(body):]
}

func manySignatures(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"sig":"%s"}`, b64([]byte{1, byte(i)})))
	}
	return strings.Join(list, ",")
}

func keyVectors(t *testing.T) []vector {
	k := signerOf("release").public(t)
	good := string(k.PEM())
	vec := func(name, expect, data string) vector {
		return vector{name: "public-key-" + name + ".txt", kind: "public-key", expect: expect, data: []byte(data)}
	}
	hex := digest("x").Hex()
	dig := func(name, expect, data string) vector {
		return vector{name: "digest-" + name + ".txt", kind: "digest", expect: expect, data: []byte(data)}
	}
	return []vector{
		vec("good", accepted, good),
		vec("spaces-around", accepted, "\n"+good+"\n\n"),
		vec("empty", `public key is not a PEM block that starts with "-----BEGIN PUBLIC KEY-----"`, ""),
		vec("text-before", `public key is not a PEM block that starts with "-----BEGIN PUBLIC KEY-----"`, "my key\n"+good),
		vec("second-key", "trailing data after the PEM block of a public key", good+good),
		vec("with-headers", "PEM block has headers, which a public key does not", strings.Replace(good, "-----\n", "-----\nProc-Type: 4\n\n", 1)),
		vec("certificate", `PEM block is "CERTIFICATE", want "PUBLIC KEY"`, block("CERTIFICATE", tsaCertificate(t))),
		vec("private", "this is a private key; the public key that belongs to it is asked for", block("PRIVATE KEY", []byte{0x30, 0})),
		vec("not-der", "public key is not the DER of a SubjectPublicKeyInfo (RFC 5280)", block("PUBLIC KEY", []byte("hello"))),
		vec("trailing-der", "public key is not the DER of a SubjectPublicKeyInfo (RFC 5280)", block("PUBLIC KEY", append(k.DER(), 0))),
		vec("ed25519", "Ed25519 keys cannot sign here: the log takes only Ed25519ph (Rekor v2) and envelope verifiers know only pure Ed25519, so no signature satisfies both; make an ECDSA P-256 key", block("PUBLIC KEY", spki(t, logKey().Public()))),
		vec("p384", "ECDSA key is not on P-256: stock verifiers check other curves only with special flags; make a P-256 key", block("PUBLIC KEY", spki(t, p384(t)))),
		vec("rsa-2048", accepted, block("PUBLIC KEY", spki(t, rsaKey()))),
		vec("rsa-3072", accepted, block("PUBLIC KEY", spki(t, rsaOf(3072, 65537)))),
		vec("rsa-4096", accepted, block("PUBLIC KEY", spki(t, rsaOf(4096, 65537)))),
		vec("rsa-exponent-3", accepted, block("PUBLIC KEY", spki(t, rsaOf(2048, 3)))),
		vec("rsa-1024", "RSA key has 1024 bits; keys of 2048, 3072 and 4096 bits are taken, as in Rekor v2", block("PUBLIC KEY", spki(t, rsaOf(1024, 65537)))),
		vec("rsa-2047", "RSA key has 2047 bits; keys of 2048, 3072 and 4096 bits are taken, as in Rekor v2", block("PUBLIC KEY", spki(t, rsaOf(2047, 65537)))),
		vec("rsa-private", "this is a private key; the public key that belongs to it is asked for", string(rsaPEM(t))),
		dig("good", accepted, "sha256:"+hex),
		dig("sha512", `digest "sha512:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" is not sha256: and 64 lower-case hex digits`, "sha512:"+hex),
		dig("no-algorithm", `digest "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" is not sha256: and 64 lower-case hex digits`, hex),
		dig("upper-case", `digest "sha256:2D711642B726B04401627CA9FBAC32F5C8530FB1903CC4DB02258717921A4881" is not sha256: and 64 lower-case hex digits`, "sha256:"+strings.ToUpper(hex)),
		dig("short", `digest "sha256:d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" is not sha256: and 64 lower-case hex digits`, "sha256:"+hex[1:]),
		dig("long", `digest "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a48810" is not sha256: and 64 lower-case hex digits`, "sha256:"+hex+"0"),
		dig("newline", `digest "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\n" is not sha256: and 64 lower-case hex digits`, "sha256:"+hex+"\n"),
		dig("not-hex", `digest "sha256:d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881g" is not sha256: and 64 lower-case hex digits`, "sha256:"+hex[1:]+"g"),
		dig("empty", `digest "" is not sha256: and 64 lower-case hex digits`, ""),
	}
}

func block(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

func spki(t *testing.T, k any) []byte {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func p384(t *testing.T) *ecdsa.PublicKey {
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), []byte(strings.Repeat("k", 48)))
	if err != nil {
		t.Fatal(err)
	}
	return &k.PublicKey
}

func rsaPEM(t testing.TB) []byte {
	b, err := os.ReadFile("testdata/rsa-2048.pem")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rsaPrivate is a key of these tests alone: one that is made is never the same.
func rsaPrivate(t testing.TB) *rsa.PrivateKey {
	block, _ := pem.Decode(rsaPEM(t))
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(*rsa.PrivateKey)
}

// rsaKey has the form of an RSA key; nobody knows its factors.
func rsaKey() *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).SetBytes([]byte(strings.Repeat("\xf1", 256))), E: 65537}
}
