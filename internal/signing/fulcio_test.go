package signing

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/internal/signing/signingtest"
)

func TestFulcio(t *testing.T) {
	f := signingtest.NewFulcio(t)
	t.Setenv(EnvToken, f.Token("release@example.org"))
	_, first, err := envelopeBy(t, fulcio+f.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := first.Certificate
	if c == nil || c.SAN() != "release@example.org" || c.Issuer() != f.Issuer || !c.SigningKey().Equal(first.Key) {
		t.Errorf("certificate of %+v", c)
	}
	if _, second, err := envelopeBy(t, fulcio+f.URL+"/"); err != nil || second.Key.Equal(first.Key) {
		t.Errorf("the key lives on (%v)", err)
	}
	for name, tt := range map[string]struct{ ref, token, says string }{
		"no token":     {f.URL, "", "set SIGSTORE_ID_TOKEN"},
		"no JWT":       {f.URL, "secret", "unable to get subject"},
		"forged token": {f.URL, f.Forged("release@example.org"), "Fulcio returned 401"},
		"plain http":   {"http://fulcio.example", f.Token("a@b.example"), "is asked by https"},
		"no URL":       {"fulcio.example", f.Token("a@b.example"), "is not the URL of a Fulcio"},
	} {
		t.Setenv(EnvToken, tt.token)
		_, err := Open(t.Context(), fulcio+tt.ref)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want it to say %q", name, err, tt.says)
		}
		if err != nil && tt.token != "" && strings.Contains(err.Error(), tt.token) && tt.token != "secret" {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
}
