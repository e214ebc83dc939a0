package rekorv1_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/types"

	"github.com/patchfit/patchfit/ledger/rekorv1"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// A mistake is a body no server of Rekor makes, in a log that took it.
type mistake struct {
	name, body string
	want       rekorv1.Reason
}

func (m mistake) refused(t *testing.T, kind string) {
	t.Run(m.name, func(t *testing.T) {
		w := newWorld(t)
		b := w.bundle(t, kind)
		b.VerificationMaterial.TlogEntries = []*rekor.TransparencyLogEntry{w.take(t, kind, entryOf(b).KindVersion.Version, []byte(m.body))}
		e, err := w.verifier(t).Bundle(raw(t, b), w.want(t))
		refused(t, e, err, m.want)
	})
}

// TestCVE2023_33199: a malformed intoto 0.0.2 entry panicked.
func TestCVE2023_33199(t *testing.T) {
	spec := func(s string) string { return `{"apiVersion":"0.0.2","kind":"intoto","spec":` + s + `}` }
	content := func(s string) string { return spec(`{"content":` + s + `}`) }
	hashes := `,"hash":{"algorithm":"sha256","value":"` + strings.Repeat("0", 64) + `"},"payloadHash":{"algorithm":"sha256","value":"` + strings.Repeat("0", 64) + `"}`
	for _, m := range []mistake{
		{"no spec", `{"apiVersion":"0.0.2","kind":"intoto"}`, rekorv1.InvalidEntry},
		{"spec null", spec(`null`), rekorv1.Malformed},
		{"spec a list", spec(`[]`), rekorv1.InvalidEntry},
		{"spec a text", spec(`"x"`), rekorv1.InvalidEntry},
		{"no content", spec(`{}`), rekorv1.InvalidEntry},
		{"content a text", content(`"x"`), rekorv1.InvalidEntry},
		{"no envelope", content(`{}`), rekorv1.InvalidEntry},
		{"envelope null", content(`{"envelope":null}`), rekorv1.Malformed},
		{"envelope empty", content(`{"envelope":{}}`), rekorv1.InvalidEntry},
		{"no signatures", content(`{"envelope":{"payloadType":"x"}` + hashes + `}`), rekorv1.InvalidEntry},
		{"signatures empty", content(`{"envelope":{"payloadType":"x","signatures":[]}` + hashes + `}`), rekorv1.InvalidEntry},
		{"a signature null", content(`{"envelope":{"payloadType":"x","signatures":[null]}` + hashes + `}`), rekorv1.Malformed},
		{"a signature empty", content(`{"envelope":{"payloadType":"x","signatures":[{}]}` + hashes + `}`), rekorv1.InvalidEntry},
		{"a signature without a key", content(`{"envelope":{"payloadType":"x","signatures":[{"sig":"eA=="}]}` + hashes + `}`), rekorv1.InvalidEntry},
		{"a key without a signature", content(`{"envelope":{"payloadType":"x","signatures":[{"publicKey":"eA=="}]}` + hashes + `}`), rekorv1.InvalidEntry},
		{"a key that is none", content(`{"envelope":{"payloadType":"x","signatures":[{"publicKey":"eA==","sig":"eA=="}]}` + hashes + `}`), rekorv1.InvalidEntry},
		{"a payload without a type", content(`{"envelope":{"payload":"eA==","signatures":[{"publicKey":"eA==","sig":"eA=="}]}` + hashes + `}`), rekorv1.InvalidEntry},
		{"no hash", content(`{"envelope":{"payloadType":"x","signatures":[{"publicKey":"eA==","sig":"eA=="}]}}`), rekorv1.InvalidEntry},
	} {
		m.refused(t, "intoto")
	}
}

func TestMalformedEntries(t *testing.T) {
	for _, kind := range []string{"hashedrekord", "dsse"} {
		spec := func(s string) string { return `{"apiVersion":"0.0.1","kind":"` + kind + `","spec":` + s + `}` }
		for _, m := range []mistake{
			{"not JSON", "x", rekorv1.Malformed},
			{"a list", "[]", rekorv1.Malformed},
			{"no kind", `{"apiVersion":"0.0.1"}`, rekorv1.UnknownKind},
			{"no spec", `{"apiVersion":"0.0.1","kind":"` + kind + `"}`, rekorv1.InvalidEntry},
			{"spec empty", spec(`{}`), rekorv1.InvalidEntry},
			{"spec a list", spec(`[]`), rekorv1.InvalidEntry},
			{"spec null", spec(`null`), rekorv1.Malformed},
			{"members of other types", spec(`{"data":1,"signature":[],"signatures":{},"envelopeHash":"","payloadHash":true}`), rekorv1.InvalidEntry},
			{"empty members", spec(`{"data":{},"signature":{},"signatures":[{}],"envelopeHash":{},"payloadHash":{}}`), rekorv1.InvalidEntry},
			{"what is proposed, not logged", spec(`{"proposedContent":{"envelope":"{}","verifiers":["eA=="]}}`), rekorv1.InvalidEntry},
			{"another version", strings.Replace(spec(`{}`), "0.0.1", "0.0.9", 1), rekorv1.UnknownKind},
		} {
			m.refused(t, kind)
		}
	}
}

// TestCVE2026_23831: a cose 0.0.1 entry with an empty message panicked when it
// was canonicalized. Such entries are not read, and not linked.
func TestCVE2026_23831(t *testing.T) {
	mistake{
		"empty message", `{"apiVersion":"0.0.1","kind":"cose","spec":{"data":{"aad":""},"message":"","publicKey":""}}`, rekorv1.UnknownKind,
	}.refused(t, "hashedrekord")
	if _, linked := types.TypeMap.Load("cose"); linked {
		t.Error("the cose type is linked")
	}
}

// Kinds that make Rekor open an archive, or that nothing ties to a bundle, are
// refused by name before anything decodes them, however well labelled.
func TestUnknownKinds(t *testing.T) {
	for _, kind := range []string{"alpine 0.0.1", "cose 0.0.1", "helm 0.0.1", "intoto 0.0.1", "jar 0.0.1", "rekord 0.0.1", "rfc3161 0.0.1", "rpm 0.0.1", "tuf 0.0.1", "hashedrekord 0.0.2", "dsse 0.0.2"} {
		t.Run(kind, func(t *testing.T) {
			name, version, _ := strings.Cut(kind, " ")
			w := newWorld(t)
			b := w.bundle(t, "hashedrekord")
			b.VerificationMaterial.TlogEntries = []*rekor.TransparencyLogEntry{w.take(t, name, version, []byte(`{"apiVersion":"`+version+`","kind":"`+name+`","spec":{}}`))}
			e, err := w.verifier(t).Bundle(raw(t, b), w.want(t))
			if fact := refused(t, e, err, rekorv1.UnknownKind); !strings.Contains(fact, kind) {
				t.Error(fact)
			}
		})
	}
}

// TestBombs: nothing larger than an honest entry is decoded.
func TestBombs(t *testing.T) {
	deep := `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `}`
	for _, c := range []struct {
		name string
		do   func(*rekor.TransparencyLogEntry)
		want rekorv1.Reason
	}{
		{"a body", func(e *rekor.TransparencyLogEntry) { e.CanonicalizedBody = make([]byte, 200<<10) }, rekorv1.TooLarge},
		{"a body of brackets", func(e *rekor.TransparencyLogEntry) { e.CanonicalizedBody = []byte(deep) }, rekorv1.Malformed},
		{"a proof", func(e *rekor.TransparencyLogEntry) { e.InclusionProof.Hashes = make([][]byte, 65) }, rekorv1.TooLarge},
		{"a checkpoint", func(e *rekor.TransparencyLogEntry) {
			e.InclusionProof.Checkpoint.Envelope += strings.Repeat("— x AAAAAAA=\n", 1000)
		}, rekorv1.TooLarge},
		{"a promise", func(e *rekor.TransparencyLogEntry) {
			e.InclusionPromise.SignedEntryTimestamp = make([]byte, 5000)
		}, rekorv1.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			b := w.bundle(t, "hashedrekord")
			c.do(entryOf(b))
			e, err := w.verifier(t).Bundle(raw(t, b), w.want(t))
			refused(t, e, err, c.want)
		})
	}
	t.Run("a bundle", func(t *testing.T) {
		w := newWorld(t)
		e, err := w.verifier(t).Bundle(append(raw(t, w.bundle(t, "dsse")), bytes.Repeat([]byte(" "), 1<<20)...), w.want(t))
		refused(t, e, err, rekorv1.TooLarge)
	})
}
