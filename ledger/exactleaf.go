package ledger

import (
	"bytes"
	"encoding/base64"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"

	"github.com/patchfit/patchfit/attest"
)

// What stands between the three values of a leaf in its one form.
const (
	beforeDigest    = `{"apiVersion":"` + EntryVersion + `","kind":"` + EntryKind + `","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"`
	beforeSignature = `"},"signature":{"content":"`
	beforeKey       = `","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"`
	afterKey        = `"}}}}}}`
)

// exactEntry reads a leaf in its one form without reading JSON: whoever follows
// a log of millions reads nothing else. Nil: it is not, or not quite, in that
// form, and [ParseEntry] finds out what is wrong.
func exactEntry(body []byte) *Entry {
	rest, head := bytes.CutPrefix(body, []byte(beforeDigest))
	digest, rest, first := bytes.Cut(rest, []byte(beforeSignature))
	content, rest, second := bytes.Cut(rest, []byte(beforeKey))
	der, tail := bytes.CutSuffix(rest, []byte(afterKey))
	if len(body) > MaxEntry || !head || !first || !second || !tail {
		return nil
	}
	sum, ok := exactBase64(digest)
	if !ok || len(sum) != 32 {
		return nil
	}
	sig, ok := exactBase64(content)
	if !ok {
		return nil
	}
	key, err := attest.ParsePublicKey(string(der))
	if err != nil || key.Base64() != string(der) || key.Details() != protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256 {
		return nil
	}
	return &Entry{Digest: attest.DigestFromSum(sum), Signature: sig, Key: key}
}

// exactBase64 decodes text that is the encoding of what it decodes to.
func exactBase64(text []byte) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	return b, err == nil && bytes.Equal(base64.StdEncoding.AppendEncode(nil, b), text)
}
