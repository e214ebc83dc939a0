package verify_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A lab is an authority, a verifier of its trust policy and a good bundle.
type lab struct {
	*verifytest.Authority
	product  attest.Product
	world    *verifytest.World
	verifier *verify.Verifier
	said     verifytest.Said // base/v1, with two subjects
	good     []byte
}

func newLab(t testing.TB) *lab {
	t.Helper()
	a := verifytest.New(t)
	l := &lab{Authority: a, product: a.Product("kernel/debian-12-amd64")}
	l.world = a.World(l.product, "one")
	l.said = l.world.Said()[2]
	for range 5 { // so that inclusion proofs have hashes
		l.good = a.Say(l.said)
	}
	l.verifier = l.newVerifier(t)
	return l
}

func (l *lab) newVerifier(t testing.TB) *verify.Verifier {
	t.Helper()
	v, err := verify.New(l.TrustPolicy(l.product))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantRefusal(t *testing.T, err error, want verify.Reason, parts ...string) {
	t.Helper()
	var r *verify.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got error %v, want a refusal with %s", err, want)
	}
	if r.Reason != want {
		t.Fatalf("got %v, want reason %s", r, want)
	}
	for _, p := range parts {
		if !strings.Contains(r.Fact, p) {
			t.Errorf("fact %q does not say %q", r.Fact, p)
		}
	}
	if r.Remedy == "" || strings.ContainsAny(r.Error(), "\n\r\x1b") {
		t.Errorf("refusal %q: want one line with a remedy", r.Error())
	}
}

func TestBundleProvesWhatItSays(t *testing.T) {
	l := newLab(t)
	for _, s := range l.world.Said() {
		ev, err := l.verifier.Bundle(l.Say(s), s.About)
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		if !ev.Proven() || ev.Type() != s.Type || ev.Subject() != s.About.Manifest || ev.File() != s.About.File {
			t.Errorf("%s: evidence is of type %s about %s, %s", s.Name, ev.Type(), ev.Subject(), ev.File())
		}
		if want := l.Signer(string(s.Role)).Key.ID(); ev.Signer() != want {
			t.Errorf("%s: signer %s, want %s", s.Name, ev.Signer(), want)
		}
		if !ev.Time().Equal(l.Now) {
			t.Errorf("%s: time %s, want %s", s.Name, ev.Time(), l.Now)
		}
	}
	ev, err := l.verifier.Bundle(l.good, l.said.About)
	if err != nil {
		t.Fatal(err)
	}
	if got := verify.As[attest.Base](ev); got == nil || got.File != l.world.Base.File {
		t.Errorf("predicate is %+v", got)
	}
	if verify.As[attest.LivePatch](ev) != nil {
		t.Error("a base statement is taken for a livepatch statement")
	}
	if ev.LogIndex() != 4 || ev.Bundle() != attest.DigestOf(l.good) {
		t.Errorf("log index %d, bundle %s", ev.LogIndex(), ev.Bundle())
	}
}

// TestRSA: a bundle by each size of RSA key proves as much as any other, and a
// changed one nothing.
func TestRSA(t *testing.T) {
	for _, bits := range []int{2048, 3072, 4096} {
		t.Run(strconv.Itoa(bits), func(t *testing.T) {
			a := verifytest.New(t)
			s := a.RSASigner(string(attest.RoleBase), bits)
			l := &lab{Authority: a, product: a.Product("lib/demo")}
			l.world = a.World(l.product, "one")
			l.said, l.verifier = l.world.Said()[2], l.newVerifier(t)
			good := a.Say(l.said)
			ev, err := l.verifier.Bundle(good, l.said.About)
			if err != nil {
				t.Fatal(err)
			}
			if ev.Signer() != s.Key.ID() {
				t.Errorf("signer %s, want %s", ev.Signer(), s.Key.ID())
			}
			other := decode(t, a.Say(l.world.Said()[3])) // by the same key
			_, err = l.verifier.Bundle(edit(t, good, "dsseEnvelope/signatures", at(other, "dsseEnvelope/signatures")), l.said.About)
			wantRefusal(t, err, verify.BadSignature, "the key the bundle names")
			details := strings.Replace(string(must(base64.StdEncoding.DecodeString(at(decode(t, good), "verificationMaterial/tlogEntries/0/canonicalizedBody").(string)))),
				fmt.Sprintf("PKIX_RSA_PKCS1V15_%d_SHA256", bits), "PKIX_ECDSA_P256_SHA_256", 1)
			_, err = l.verifier.Bundle(edit(t, good, "verificationMaterial/tlogEntries/0/canonicalizedBody", base64.StdEncoding.EncodeToString([]byte(details))), l.said.About)
			wantRefusal(t, err, verify.NotLogged, "canonicalizedBody")
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // what a test made itself
	}
	return v
}

func TestZeroEvidenceProvesNothing(t *testing.T) {
	for _, ev := range []*verify.Evidence{nil, new(verify.Evidence)} {
		if ev.Proven() || verify.As[attest.Base](ev) != nil || ev.Subject() != "" || ev.Signer() != "" || !ev.Time().IsZero() {
			t.Errorf("%+v says something", ev)
		}
	}
}

func TestBundleRefusals(t *testing.T) {
	l := newLab(t)
	other := l.World(l.product, "two")
	about := l.said.About
	tests := []struct {
		name   string
		bundle func() []byte
		about  verify.Artifact
		want   verify.Reason
		says   []string
	}{
		{"not JSON", func() []byte { return []byte("{") }, about, verify.Corrupt, nil},
		{"nothing", func() []byte { return nil }, about, verify.Corrupt, nil},
		{"too long", func() []byte { return make([]byte, attest.MaxBundle+1) }, about, verify.Corrupt, []string{"exceeds the limit"}},
		{"moved from another artifact", func() []byte { return l.good }, verify.Artifact{Manifest: other.BaseManifest, File: about.File},
			verify.SubjectMismatch, []string{string(about.Manifest), string(other.BaseManifest)}},
		{"another file", func() []byte { return l.good }, verify.Artifact{Manifest: about.Manifest, File: other.Base.File.Digest},
			verify.SubjectMismatch, []string{string(about.File), string(other.Base.File.Digest)}},
		{"a manifest without its file", func() []byte { return l.good }, verify.Artifact{Manifest: about.Manifest}, verify.SubjectMismatch, []string{"(none)"}},
		{"about nothing", func() []byte { return l.good }, verify.Artifact{}, verify.SubjectMismatch, nil},
		{"signed by a stranger", func() []byte {
			return l.Bundle(l.Statement(l.said.Type, about.Manifest, about.File, l.said.Predicate), l.Stranger())
		}, about, verify.UntrustedSigner, []string{"trust policy's 6 keys"}},
		{"a stranger's, with the hint of a known key", func() []byte {
			b := l.Bundle(l.Statement(l.said.Type, about.Manifest, about.File, l.said.Predicate), l.Stranger())
			return edit(t, b, "verificationMaterial/publicKey/hint", l.Signer("base").Key.Hint())
		}, about, verify.BadSignature, []string{"the key the bundle names"}},
		{"same signer, another log", func() []byte { return relogged(l, verifytest.New(t)) }, about, verify.NotLogged, []string{"tlogEntries/0"}},
		{"no log entry", func() []byte { return edit(t, l.good, "verificationMaterial/tlogEntries", []any{}) }, about, verify.NotLogged, []string{"0 log entries"}},
		{"log entries left out", func() []byte { return edit(t, l.good, "verificationMaterial/tlogEntries", nil) }, about, verify.NotLogged, []string{"missing"}},
		{"no timestamp", func() []byte {
			return edit(t, l.good, "verificationMaterial/timestampVerificationData/rfc3161Timestamps", []any{})
		}, about, verify.NotLogged, []string{"0 timestamps"}},
		{"timestamp of another signature", func() []byte {
			other := decode(t, l.Say(l.said))
			return edit(t, l.good, "verificationMaterial/timestampVerificationData", at(other, "verificationMaterial/timestampVerificationData"))
		}, about, verify.NotLogged, []string{"timestampVerificationData"}},
		{"log entry of another statement", func() []byte {
			other := decode(t, l.Say(l.said))
			return edit(t, l.good, "verificationMaterial/tlogEntries", at(other, "verificationMaterial/tlogEntries"))
		}, about, verify.NotLogged, []string{"tlogEntries/0"}},
		{"leaf of another statement pasted in", func() []byte {
			other := decode(t, l.Say(l.world.Said()[3]))
			return edit(t, l.good, "verificationMaterial/tlogEntries/0/canonicalizedBody", at(other, "verificationMaterial/tlogEntries/0/canonicalizedBody"))
		}, about, verify.NotLogged, []string{"canonicalizedBody"}},
		{"key id of another key", func() []byte {
			return edit(t, l.good, "dsseEnvelope/signatures/0/keyid", l.Signer("patch").Key.ID().Hex())
		}, about, verify.BadSignature, []string{"keyid"}},
		{"a host record as evidence", func() []byte { return l.Bundle(recordStatement(l), l.Signer("base")) }, about, verify.SubjectMismatch, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ev, err := l.verifier.Bundle(tt.bundle(), tt.about)
			if ev != nil {
				t.Errorf("evidence of a refused bundle: %+v", ev)
			}
			wantRefusal(t, err, tt.want, tt.says...)
		})
	}
}

func recordStatement(l *lab) []byte {
	return l.Statement(attest.TypeHostRecord, l.world.HostKey.Key.ID(), "", l.world.Record)
}

// relogged returns a statement by l's signer with the log and the timestamps of
// another authority.
func relogged(l *lab, other *verifytest.Authority) []byte {
	s := l.Signer("base")
	return other.BundleOf(l.Envelope(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate), s), s.Key)
}

// A hint nobody signed: without a good one every key is tried.
func TestHintIsOnlyAHint(t *testing.T) {
	l := newLab(t)
	for _, hint := range []string{"", "no such key", l.Signer("patch").Key.Hint(), l.Signer("base").Key.ID().Hex()} {
		b := edit(t, l.good, "verificationMaterial/publicKey/hint", hint)
		ev, err := l.verifier.Bundle(b, l.said.About)
		if err != nil || ev.Signer() != l.Signer("base").Key.ID() {
			t.Errorf("hint %q: signer %s, error %v", hint, ev.Signer(), err)
		}
	}
}

func TestKeyWindows(t *testing.T) {
	l := newLab(t)
	from, until := verifytest.Epoch, verifytest.Epoch.Add(time.Hour)
	s := l.Signer("base")
	s.From, s.Until = from, until
	v := l.newVerifier(t)
	for _, tt := range []struct {
		at time.Time
		ok bool
	}{
		{from.Add(-time.Second), false}, {from, true}, {until.Add(-time.Second), true}, {until, false}, {until.Add(time.Hour), false},
	} {
		l.Now = tt.at
		_, err := v.Bundle(l.Say(l.said), l.said.About)
		if tt.ok && err != nil {
			t.Errorf("at %s: %v", tt.at, err)
		}
		if !tt.ok {
			wantRefusal(t, err, verify.Expired, tt.at.Format(time.RFC3339), from.Format(time.RFC3339), until.Format(time.RFC3339))
		}
	}
}

// Two keys of one signer, one after the other: each counts in its own window.
func TestKeyRotation(t *testing.T) {
	l := newLab(t)
	l.Signer("base").Until = verifytest.Epoch.Add(time.Hour)
	p := l.TrustPolicy(l.product)
	second := l.Stranger()
	for i := range p.Signers {
		if p.Signers[i].Name == "base" {
			p.Signers[i].Keys = append(p.Signers[i].Keys, attest.SignerKey{Key: second.Key.Base64(), ValidFrom: verifytest.Epoch.Add(time.Hour)})
		}
	}
	v, err := verify.New(p)
	if err != nil {
		t.Fatal(err)
	}
	l.Now = verifytest.Epoch.Add(2 * time.Hour)
	b := l.Bundle(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate), second)
	if _, err := v.Bundle(b, l.said.About); err != nil {
		t.Errorf("second key: %v", err)
	}
	_, err = v.Bundle(l.Say(l.said), l.said.About)
	wantRefusal(t, err, verify.Expired)
	if _, err := v.Bundle(l.good, l.said.About); err != nil {
		t.Errorf("old statement of the first key: %v", err)
	}
}

func TestNewRefusesWhatItCannotUse(t *testing.T) {
	l := newLab(t)
	p := l.TrustPolicy(l.product)
	p.TrustedRoot = []byte(`{"mediaType":"no such thing"}`)
	if _, err := verify.New(p); err == nil {
		t.Error("a trust policy without a trusted root is taken")
	}
	p = l.TrustPolicy(l.product)
	p.Signers[0].Keys[0].Key = "AAAA"
	if _, err := verify.New(p); err == nil || !strings.Contains(err.Error(), p.Signers[0].Name) {
		t.Errorf("a key that is none is taken: %v", err)
	}
}

func TestUnknownTypesAreProvenAndNothingMore(t *testing.T) {
	l := newLab(t)
	b := l.Bundle(l.Statement("https://example.com/other/v1", l.said.About.Manifest, l.said.About.File, attest.Unknown(`{"fits":true}`)), l.Signer("base"))
	ev, err := l.verifier.Bundle(b, l.said.About)
	if err != nil || !ev.Proven() || ev.Type() != "https://example.com/other/v1" {
		t.Fatalf("%+v, %v", ev, err)
	}
	if verify.As[attest.Base](ev) != nil || verify.As[attest.Provenance](ev) != nil {
		t.Error("an unknown predicate reads as one of ours")
	}
	about := []attest.Subject{{Digest: l.said.About.Manifest}, {Digest: l.said.About.File}, {Digest: attest.DigestOf(nil)}}
	three, err := attest.NewStatement("https://example.com/other/v1", about, attest.Unknown(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.verifier.Bundle(l.Bundle(three, l.Signer("base")), l.said.About)
	wantRefusal(t, err, verify.SubjectMismatch, "3 subjects")
}

// A signer who does not use our code can get anything logged and timestamped.
// It is refused for what it is.
func TestSignedNonsense(t *testing.T) {
	l := newLab(t)
	good := l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate)
	for name, payload := range map[string]string{
		"not a statement":     `{"hello":"world"}`,
		"trailing data":       string(good) + `{}`,
		"duplicate predicate": strings.Replace(string(good), `"predicate":`, `"predicate":{},"predicate":`, 1),
		"case variant":        strings.Replace(string(good), `"_type"`, `"_TYPE"`, 1),
		"unknown field":       strings.Replace(string(good), `"kind":`, `"extra":1,"kind":`, 1),
		"missing field":       strings.Replace(string(good), `"kind":"elf-library",`, ``, 1),
		"not UTF-8":           strings.Replace(string(good), `elf-library`, "elf-\xff", 1),
		"three subjects":      strings.Replace(string(good), `"subject":[`, `"subject":[{"name":"_","digest":{"sha256":"`+strings.Repeat("0", 64)+`"}},`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if payload == string(good) {
				t.Fatal("the payload was not changed")
			}
			_, err := l.verifier.Bundle(l.Unchecked([]byte(payload), l.Signer("base")), l.said.About)
			wantRefusal(t, err, verify.Corrupt, "/dsseEnvelope/payload")
		})
	}
	if _, err := l.verifier.Bundle(l.Unchecked(good, l.Signer("base")), l.said.About); err != nil {
		t.Errorf("the good statement made the same way: %v", err)
	}
}

func TestRevocation(t *testing.T) {
	l := newLab(t)
	good := l.Revoke(l.product.ID, attest.RevokeSubject, l.world.PatchManifest)
	ev, err := l.verifier.Revocation(good)
	if err != nil || verify.As[attest.Revocation](ev).Digest != l.world.PatchManifest {
		t.Fatalf("%+v, %v", ev, err)
	}
	_, err = l.verifier.Revocation(l.good)
	wantRefusal(t, err, verify.Corrupt, attest.TypeBase, attest.TypeRevocation)
	_, err = l.verifier.Revocation(good[:len(good)-1])
	wantRefusal(t, err, verify.Corrupt)
	moved := strings.Replace(string(l.Statement(attest.TypeRevocation, l.world.PatchManifest, "", &attest.Revocation{
		Product: l.product.ID, Kind: attest.RevokeSubject, Digest: l.world.PatchManifest, Reason: "x",
	})), `"subject":[{"digest":{"sha256":"`+l.world.PatchManifest.Hex(), `"subject":[{"digest":{"sha256":"`+l.world.BaseManifest.Hex(), 1)
	_, err = l.verifier.Revocation(l.Unchecked([]byte(moved), l.Signer("revocation")))
	wantRefusal(t, err, verify.Corrupt, l.world.BaseManifest.Hex())
}

func decode(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func at(v any, path string) any {
	for name := range strings.SplitSeq(path, "/") {
		v = child(v, name)
	}
	return v
}

// child returns the element called name of an object or array.
func child(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[name]
	case []any:
		return v[int(name[0]-'0')]
	}
	return nil
}

// edit sets what is at path in the JSON raw to value; nil takes it away.
func edit(t testing.TB, raw []byte, path string, value any) []byte {
	t.Helper()
	doc := decode(t, raw)
	names := strings.Split(path, "/")
	parent := any(doc)
	if len(names) > 1 {
		parent = at(doc, strings.Join(names[:len(names)-1], "/"))
	}
	last := names[len(names)-1]
	switch p := parent.(type) {
	case map[string]any:
		p[last] = value
		if value == nil {
			delete(p, last)
		}
	case []any:
		p[int(last[0]-'0')] = value
	default:
		t.Fatalf("nothing at %s", path)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
