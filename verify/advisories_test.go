package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// What befell other verifiers, each tried here under the name of its advisory.
// A test asserts why a bundle is refused: one that is refused for another
// reason, as many a published case is for not parsing, would prove nothing.
// docs/advisories.md tells of each, and of those that are tried elsewhere.

const entries = "verificationMaterial/tlogEntries"
const timestamps = "verificationMaterial/timestampVerificationData/rfc3161Timestamps"

// refused verifies a bundle that has to be refused, and nothing comes out.
func (l *lab) refused(t *testing.T, bundle []byte, want verify.Reason, says ...string) {
	t.Helper()
	if _, err := l.verifier.Bundle(l.good, l.said.About); err != nil {
		t.Fatalf("the bundle this is made of is not good: %v", err)
	}
	ev, err := l.verifier.Bundle(bundle, l.said.About)
	if ev != nil {
		t.Errorf("evidence of a refused bundle: %+v", ev)
	}
	wantRefusal(t, err, want, says...)
}

// pasted returns the good bundle with what from has at path.
func (l *lab) pasted(t *testing.T, path string, from []byte) []byte {
	t.Helper()
	return edit(t, l.good, path, at(decode(t, from), path))
}

// other returns a good bundle, in the same log and by the same authority, of
// another statement about the same artifact, by the signer called name.
func (l *lab) other(t *testing.T, name string) []byte {
	t.Helper()
	raw := l.Bundle(l.Statement("https://example.com/other/v1", l.said.About.Manifest, l.said.About.File, attest.Unknown(`{}`)), l.Signer(name))
	if _, err := l.newVerifier(t).Bundle(raw, l.said.About); err != nil {
		t.Fatalf("the bundle to paste from is not good: %v", err)
	}
	return raw
}

// cosign took the word of whoever had a key for the log's: an entry by a log
// of the same name that nobody trusts.
func TestCVE2022_23649(t *testing.T) {
	l := newLab(t)
	stranger := verifytest.New(t)
	var fake []byte
	for range at(decode(t, l.good), entries+"/0/logIndex").(string)[0] - '0' + 1 { // to the same size
		fake = relogged(l, stranger)
	}
	l.refused(t, fake, verify.NotLogged, "tlogEntries/0")
	l.refused(t, l.pasted(t, entries+"/0/inclusionProof", fake), verify.NotLogged, "tlogEntries/0")
}

// cosign did not compare the entry with the signature it was there for.
func TestCVE2022_36056(t *testing.T) {
	l := newLab(t)
	l.refused(t, l.pasted(t, entries, l.Say(l.said)), verify.NotLogged, "tlogEntries/0")
}

// cosign took any valid entry of the log for any artifact; gitsign
// (CVE-2024-51746) the first of several that verified.
func TestCVE2026_22703(t *testing.T) {
	l := newLab(t)
	for _, by := range []string{"base", "patch"} {
		other := l.other(t, by)
		l.refused(t, l.pasted(t, entries, other), verify.NotLogged, "tlogEntries/0")
		l.refused(t, l.pasted(t, entries+"/0/canonicalizedBody", other), verify.NotLogged, "canonicalizedBody")
	}
}

func TestCVE2024_51746(t *testing.T) {
	l := newLab(t)
	own, wrong := at(decode(t, l.good), entries+"/0"), at(decode(t, l.other(t, "patch")), entries+"/0")
	for _, both := range [][]any{{own, wrong}, {wrong, own}} {
		l.refused(t, edit(t, l.good, entries, both), verify.NotLogged, "2 log entries")
	}
}

// sigstore-go counted one log twice towards a threshold of two. Nothing is
// counted here: there is one entry, and one authority is enough.
func TestCVE2026_49834(t *testing.T) {
	l := newLab(t)
	own := at(decode(t, l.good), entries+"/0")
	l.refused(t, edit(t, l.good, entries, []any{own, own}), verify.NotLogged, "2 log entries")
}

// sigstore-go did not hold a key to its window where a timestamp said when it
// signed. Whoever has the key after its end has no timestamp of that signature
// from before it, and the timestamp of an earlier signature does not help.
func TestCVE2026_54787(t *testing.T) {
	l := newLab(t)
	l.Signer("base").Until = verifytest.Epoch.Add(time.Hour)
	l.verifier = l.newVerifier(t)
	early := at(decode(t, l.good), timestamps+"/0")
	l.Now = verifytest.Epoch.Add(2 * time.Hour)
	late := l.Say(l.said)
	l.refused(t, late, verify.Expired, "signed at 2026-03-01T14:00:00Z", "until 2026-03-01T13:00:00Z")

	own := at(decode(t, late), timestamps+"/0")
	for _, both := range [][]any{{early, own}, {own, early}} {
		l.refused(t, edit(t, late, timestamps, both), verify.Expired, "signed at 2026-03-01T14:00:00Z")
	}
	l.refused(t, edit(t, late, timestamps, []any{early}), verify.NotLogged, "timestampVerificationData")
}

// cosign accepted an expired certificate where no log was asked; the timestamp
// authority's library (CVE-2026-39984) took another certificate of the message
// than the one that had signed.
func TestCVE2026_24122(t *testing.T) {
	l := newLab(t)
	l.Now = verifytest.Epoch.AddDate(10, 0, 1) // the authority's chain has ended
	l.refused(t, l.Say(l.said), verify.NotLogged, "timestampVerificationData")
}

func TestCVE2026_39984(t *testing.T) {
	l := newLab(t)
	stranger := verifytest.New(t)
	b, err := attest.ParseBundle(l.good)
	if err != nil {
		t.Fatal(err)
	}
	stamped := edit(t, l.good, timestamps+"/0/signedTimestamp", stranger.Timestamp(b.Envelope.Signatures[0].Sig))
	l.refused(t, stamped, verify.NotLogged, "timestampVerificationData")
}

// cosign said "Verified OK" of an attestation of another type than was asked
// for, and (CVE-2026-39395) of one it could not parse.
func TestCVE2022_35929(t *testing.T) {
	l := newLab(t)
	ev, err := l.newVerifier(t).Bundle(l.other(t, "base"), l.said.About)
	if err != nil {
		t.Fatal(err)
	}
	if verify.As[attest.Base](ev) != nil {
		t.Error("a statement of another type is read as base/v1")
	}
	_, err = l.verifier.Revocation(l.good)
	wantRefusal(t, err, verify.Corrupt, attest.TypeBase, attest.TypeRevocation)
}

func TestCVE2026_39395(t *testing.T) {
	l := newLab(t)
	statement := string(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate))
	for _, payload := range []string{statement[:len(statement)-1], strings.Replace(statement, `"predicate":{`, `"predicate":[{`, 1), "", "null"} {
		l.refused(t, l.Unchecked([]byte(payload), l.Signer("base")), verify.Corrupt, "/dsseEnvelope/payload")
	}
}

// cosign (also CVE-2024-29902 and CVE-2024-29903), sigstore-go and notation
// did as much work as the sender wished.
func TestCVE2024_45395(t *testing.T) {
	l := newLab(t)
	many := func(path string, n int) []byte {
		one := at(decode(t, l.good), path+"/0")
		all := make([]any, n)
		for i := range all {
			all[i] = one
		}
		return edit(t, l.good, path, all)
	}
	l.refused(t, many(entries, 200), verify.NotLogged, "200 log entries")
	l.refused(t, many(timestamps, 200), verify.NotLogged, "200 timestamps")
	l.refused(t, many(entries+"/0/inclusionProof/hashes", 5000), verify.Corrupt, "inclusionProof/hashes")
	l.refused(t, many(timestamps, 20_000), verify.Corrupt, "exceeds the limit")
}

func TestCVE2023_33958(t *testing.T) {
	l := newLab(t)
	one := at(decode(t, l.good), "dsseEnvelope/signatures/0")
	for _, n := range []int{2, 17, 3000} {
		all := make([]any, n)
		for i := range all {
			all[i] = one
		}
		l.refused(t, edit(t, l.good, "dsseEnvelope/signatures", all), verify.Corrupt, "/dsseEnvelope/signatures")
	}
}

// notation verified the artifact it had been led to, not the one asked for.
func TestCVE2023_33959(t *testing.T) {
	l := newLab(t)
	asked := l.World(l.product, "two").BaseManifest
	_, err := l.verifier.Bundle(l.good, verify.Artifact{Manifest: asked, File: l.said.About.File})
	wantRefusal(t, err, verify.SubjectMismatch, string(asked), string(l.said.About.Manifest))
}

// gitsign verified normalised bytes and showed the raw ones.
func TestCVE2026_44309(t *testing.T) {
	l := newLab(t)
	statement := string(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate))
	for _, other := range []string{statement + "\n", " " + statement, strings.Replace(statement, ":", ": ", 1)} {
		signed := at(decode(t, l.Unchecked([]byte(other), l.Signer("base"))), "dsseEnvelope/payload")
		l.refused(t, edit(t, l.good, "dsseEnvelope/payload", signed), verify.BadSignature)
	}
}
