package verify_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// What is wrong with a bundle that a certificate's key signed is told check by
// check, as of keys, and nothing more is proven by it.
func TestExplainCertificateNamesEachCheck(t *testing.T) {
	type wrong = map[string]verify.Reason
	const sigs = "dsseEnvelope/signatures"
	signedAt := func(o *office, when time.Time, s *verifytest.Signer) []byte {
		now := o.Now
		defer func() { o.Now = now }()
		o.Now = when
		return o.says(s)
	}
	for name, tt := range map[string]struct {
		bundle func(t *testing.T, o *office) []byte
		want   wrong
	}{
		"good":         {func(_ *testing.T, o *office) []byte { return o.says(o.signer) }, wrong{}},
		"another name": {func(_ *testing.T, o *office) []byte { return o.says(o.ca.Certificate(spiffe+"/x", oidc, nil)) }, wrong{"signature": verify.UntrustedSigner}},
		"another authority": {func(_ *testing.T, o *office) []byte { return o.says(o.CA("corp", nil).Certificate(spiffe, oidc, nil)) },
			wrong{"signature": verify.UntrustedSigner}},
		"an authority's that is over": {func(_ *testing.T, o *office) []byte {
			return signedAt(o, o.Now.AddDate(0, 3, 0), o.CA("corp", nil).Certificate(spiffe, oidc, nil))
		}, wrong{"signature": verify.UntrustedSigner}},
		"no certificate for code": {func(_ *testing.T, o *office) []byte {
			return o.says(o.ca.Certificate(spiffe, oidc, func(c *x509.Certificate) { c.ExtKeyUsage = nil }))
		}, wrong{"signature": verify.UntrustedSigner}},
		"another signature": {func(t *testing.T, o *office) []byte {
			return edit(t, o.says(o.signer), sigs, partOf(t, o.says(o.ca.Certificate(spiffe, oidc, nil)), sigs))
		}, wrong{"signature": verify.BadSignature, "log": verify.NotLogged, "timestamp": verify.NotLogged}},
		"too late": {func(_ *testing.T, o *office) []byte { return signedAt(o, o.Now.AddDate(0, 3, 0), o.signer) }, wrong{"window": verify.Expired}},
		"another log's entry": {func(t *testing.T, o *office) []byte {
			b := decode(t, o.says(o.ca.Certificate(spiffe, oidc, nil)))
			const entries = "verificationMaterial/tlogEntries"
			return edit(t, o.says(o.signer), entries, at(b, entries))
		}, wrong{"log": verify.NotLogged}},
		"another timestamp and another name": {func(t *testing.T, o *office) []byte {
			const times = "verificationMaterial/timestampVerificationData"
			return edit(t, o.says(o.ca.Certificate(spiffe+"/x", oidc, nil)), times, partOf(t, o.says(o.signer), times))
		}, wrong{"signature": verify.UntrustedSigner, "timestamp": verify.NotLogged}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, oidc, nil)
			raw := tt.bundle(t, o)
			ev, checks := o.verifier.Explain(raw, o.said.About)
			if diff := cmp.Diff(tt.want, failures(checks)); diff != "" {
				t.Errorf("checks that failed (-want +got):\n%s\n%+v", diff, checks)
			}
			if _, err := o.check(raw); ev.Proven() != (err == nil) || ev.Proven() != (len(tt.want) == 0) {
				t.Errorf("proven %v with failures %v; verified: %v", ev.Proven(), tt.want, err)
			}
			for _, c := range checks {
				if (c.Outcome == verify.Passed) != (c.Found != "" && c.Refusal == nil) {
					t.Errorf("check %+v", c)
				}
			}
		})
	}
}

// Of a good one each check says what it found.
func TestExplainCertificateTellsWhatItFound(t *testing.T) {
	o := newOffice(t, oidc, nil)
	_, checks := o.verifier.Explain(o.says(o.signer), o.said.About)
	for name, says := range map[string]string{
		"signature": `"` + spiffe + `"`, "log": "entry ", "timestamp": "seen at " + o.Now.Format(time.RFC3339), "window": "the name counts from",
		"witnesses": "none asked for", "subject": string(o.said.About.Manifest),
	} {
		for _, c := range checks {
			if c.Name == name && !strings.Contains(c.Found, says) {
				t.Errorf("%s found %q, want it to say %q", name, c.Found, says)
			}
		}
	}
}

// Whatever byte of a bundle is changed, explaining it says no where verifying
// does.
func TestExplainCertificateNeverSaysMore(t *testing.T) {
	o := newOffice(t, oidc, nil)
	good := o.says(o.signer)
	for i := 0; i < len(good); i += 41 {
		b := append([]byte(nil), good...)
		b[i] ^= 1
		want, err := o.check(b)
		ev, checks := o.verifier.Explain(b, o.said.About)
		if ev.Proven() != want.Proven() || (err != nil) != (len(failures(checks)) > 0) {
			t.Fatalf("byte %d: verified %v (%v), explained %v: %+v", i, want.Proven(), err, ev.Proven(), checks)
		}
	}
}

// partOf is what a bundle has at a path.
func partOf(t *testing.T, raw []byte, path string) any {
	t.Helper()
	return at(decode(t, raw), path)
}
