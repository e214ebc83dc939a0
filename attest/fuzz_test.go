package attest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Each target asserts of one parser: what it accepts, it reads the same after
// it was written again. The seeds are the vectors.

func seed(f *testing.F, kind string) {
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no vectors: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		v, err := decodeVector(name, b)
		if err != nil {
			f.Fatal(err)
		}
		if v.kind == kind {
			f.Add(v.data)
		}
	}
}

func FuzzParseEnvironment(f *testing.F) {
	seed(f, "environment")
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := attest.ParseEnvironment(in)
		if err != nil {
			return
		}
		if out, err := e.Canonical(); err != nil || !bytes.Equal(in, out) {
			t.Fatalf("accepted %q, wrote %q (%v)", in, out, err)
		}
		if d, err := e.Digest(); err != nil || d != attest.DigestOf(in) {
			t.Fatalf("digest of %q is %s (%v)", in, d, err)
		}
	})
}

func FuzzParseStatement(f *testing.F) {
	seed(f, "statement")
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := attest.ParseStatement(in)
		if err != nil {
			return
		}
		out, err := attest.NewStatement(s.Type, s.Subjects, s.Predicate)
		if err != nil {
			t.Fatalf("accepted %q, cannot write it: %v", in, err)
		}
		again, err := attest.ParseStatement(out)
		if err != nil {
			t.Fatalf("accepted %q, refused as %q: %v", in, out, err)
		}
		if diff := cmp.Diff(settled(t, s), settled(t, again), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q became %q (-first +again):\n%s", in, out, diff)
		}
	})
}

// settled puts an unknown predicate, which is kept as it came, into one form.
func settled(t *testing.T, s *attest.Statement) *attest.Statement {
	u, ok := s.Predicate.(attest.Unknown)
	if !ok {
		return s
	}
	c, err := strictjson.Canonicalize(u)
	if err != nil {
		t.Fatal(err)
	}
	return &attest.Statement{Subjects: s.Subjects, Type: s.Type, Predicate: attest.Unknown(c)}
}

func FuzzParseEnvelope(f *testing.F) {
	seed(f, "envelope")
	seed(f, "signed-trust-policy")
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, typ := range []string{attest.PayloadType, attest.PolicyPayload} {
			e, err := attest.ParseEnvelope(in, typ)
			if err != nil {
				continue
			}
			other := stockEnvelope(t, in)
			if diff := cmp.Diff(e, other, cmpopts.IgnoreFields(attest.Envelope{}, "Raw")); diff != "" {
				t.Fatalf("securesystemslib reads %q differently (-ours +theirs):\n%s", in, diff)
			}
		}
	})
}

// stockEnvelope reads an envelope with the library that verifiers use.
func stockEnvelope(t *testing.T, in []byte) *attest.Envelope {
	var e dsse.Envelope
	if err := json.Unmarshal(in, &e); err != nil {
		t.Fatal(err)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		t.Fatal(err)
	}
	out := &attest.Envelope{PayloadType: e.PayloadType, Payload: payload}
	for _, s := range e.Signatures {
		var sig []byte
		if err := json.Unmarshal([]byte(`"`+s.Sig+`"`), &sig); err != nil {
			t.Fatal(err)
		}
		out.Signatures = append(out.Signatures, attest.Signature{KeyID: s.KeyID, Sig: sig})
	}
	return out
}

func FuzzParseBundle(f *testing.F) {
	seed(f, "bundle")
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := attest.ParseBundle(in)
		if err != nil {
			return
		}
		if got := b.Sigstore.GetDsseEnvelope().GetPayload(); !bytes.Equal(got, b.Envelope.Payload) {
			t.Fatalf("sigstore-go reads the payload %q, we read %q", got, b.Envelope.Payload)
		}
		out, err := b.Sigstore.MarshalJSON()
		if err != nil {
			t.Fatalf("accepted %q, cannot write it: %v", in, err)
		}
		again, err := attest.ParseBundle(out)
		if err != nil {
			t.Fatalf("accepted %q, refused as %q: %v", in, out, err)
		}
		ignore := cmpopts.IgnoreFields(attest.Bundle{}, "Raw", "Sigstore", "Envelope.Raw")
		if diff := cmp.Diff(b, again, ignore); diff != "" {
			t.Fatalf("%q became %q (-first +again):\n%s", in, out, diff)
		}
	})
}

func FuzzParseTrustPolicy(f *testing.F) {
	seed(f, "trust-policy")
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := attest.ParseTrustPolicy(in)
		if err != nil {
			return
		}
		out, err := strictjson.Canonical(p)
		if err != nil {
			t.Fatalf("accepted %q, cannot write it: %v", in, err)
		}
		again, err := attest.ParseTrustPolicy(out)
		if err != nil {
			t.Fatalf("accepted %q, refused as %q: %v", in, out, err)
		}
		if diff := cmp.Diff(p, again, cmpopts.IgnoreFields(attest.TrustPolicy{}, "TrustedRoot")); diff != "" {
			t.Fatalf("%q became %q (-first +again):\n%s", in, out, diff)
		}
	})
}

func FuzzOpenTrustPolicy(f *testing.F) {
	seed(f, "signed-trust-policy")
	roots, err := goodRoots(f, 2, "root one", "root two", "root three").Digest()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := attest.OpenTrustPolicy(in, roots)
		if err != nil {
			return
		}
		if diff := cmp.Diff(goodPolicy(t), p); diff != "" {
			t.Fatalf("opened a policy that the roots never signed (-signed +opened):\n%s", diff)
		}
	})
}

func FuzzParsePublicKeyPEM(f *testing.F) {
	seed(f, "public-key")
	f.Fuzz(func(t *testing.T, in []byte) {
		k, err := attest.ParsePublicKeyPEM(in)
		if err != nil {
			return
		}
		again, err := attest.ParsePublicKeyPEM(k.PEM())
		if err != nil || !k.Equal(again) {
			t.Fatalf("accepted %q, wrote %q: %v", in, k.PEM(), err)
		}
		if same, err := attest.ParsePublicKey(k.Base64()); err != nil || !k.Equal(same) {
			t.Fatalf("accepted %q, wrote %q: %v", in, k.Base64(), err)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	seed(f, "digest")
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := attest.ParseDigest(string(in))
		if err != nil {
			return
		}
		if string(d) != string(in) || attest.DigestFromSum(d.Sum()) != d || len(d.Hex()) != 64 {
			t.Fatalf("accepted %q as %q", in, d)
		}
	})
}
