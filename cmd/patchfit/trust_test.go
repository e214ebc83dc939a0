package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/trust"
	"github.com/patchfit/patchfit/internal/exit"
)

// policyOf reads the policy in a file, signed or not.
func policyOf(t *testing.T, path string) *attest.TrustPolicy {
	t.Helper()
	e, err := attest.ParseEnvelope(must(os.ReadFile(path))(t), attest.PolicyPayload)
	payload := must(os.ReadFile(path))(t)
	if err == nil {
		payload = e.Payload
	}
	return must(attest.ParseTrustPolicy(payload))(t)
}

// changed returns a signed policy with one byte of its payload replaced: the
// year it expires.
func changed(t *testing.T, path string) []byte {
	t.Helper()
	e := must(attest.ParseEnvelope(must(os.ReadFile(path))(t), attest.PolicyPayload))(t)
	expires := policyOf(t, path).Expires.Year()
	payload := strings.Replace(string(e.Payload), fmt.Sprint(expires), fmt.Sprint(expires+1), 1)
	old, next := base64.StdEncoding.EncodeToString(e.Payload), base64.StdEncoding.EncodeToString([]byte(payload))
	out := strings.Replace(string(e.Raw), old, next, 1)
	if out == string(e.Raw) {
		t.Fatal("nothing was changed")
	}
	return []byte(out)
}

func TestTrustPolicyIsMadeOffline(t *testing.T) {
	dir := home(t)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // whoever asks a network fails
	for _, key := range []string{"r1", "r3", "s1", "outsider"} {
		ok(t, "keygen", "-o", key)
	}
	ok(t, "keygen", "-o", "r2", "--type", "rsa-3072")
	ok(t, "keygen", "-o", "s2", "--type", "rsa-2048")
	if err := os.WriteFile("root.json", newServer(t).trustedRoot, 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, "trust", "init", "-o", "p.json", "--root", "r1.pub", "--root", "r2.pub", "--root", "r3.pub", "--threshold", "2",
		"--product", "demo/greet", "--product", "demo/other", "--signer", "one=s1.pub", "--authority", "demo/greet:base=one", "--trusted-root", "root.json")
	fails(t, exit.Failure, "exists already", "trust", "init", "-o", "p.json", "--root", "r1.pub", "--product", "x", "--trusted-root", "root.json")
	fails(t, exit.Failure, "is a draft", "--server", "http://127.0.0.1:1", "--token-file", dir+"/none", "trust", "push", "p.json")

	one := answer[trust.Answer](t, "trust", "sign", "p.json", "--key", "r1")
	fails(t, exit.Failure, "signed by 1 of its root keys, 2 are needed", "trust", "push", "p.signed.json")
	fails(t, exit.Failure, "already signed", "trust", "sign", "p.signed.json", "--key", "r1")
	ok(t, "trust", "sign", "p.signed.json", "--key", "outsider")
	fails(t, exit.Failure, "2 are needed", "trust", "push", "p.signed.json")
	two := answer[trust.Answer](t, "trust", "sign", "p.signed.json", "--key", "r2")
	if one.Signatures != 1 || two.Signatures != 2 || one.Roots != two.Roots || two.Version != 1 {
		t.Errorf("signed once %+v, twice %+v", one, two)
	}

	if err := os.WriteFile("changed.json", changed(t, "p.signed.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, exit.Unproven, "no signature on this policy", "trust", "show", "changed.json")
	ok(t, "trust", "show", "p.signed.json")

	fails(t, exit.Usage, "stays as it is", "trust", "edit", "p.signed.json", "--add-signer", "two=s2.pub")
	ok(t, "trust", "edit", "p.signed.json", "-o", "next.json", "--add-signer", "two=outsider.pub", "--add-signer", "one=s2.pub",
		"--authority", "demo/greet:patch=two", "--signer-until", "one=2099-01-01T00:00:00Z", "--remove-product", "demo/other", "--expires", "48h")
	next := policyOf(t, "next.json")
	if next.Version != 2 || len(next.Products) != 1 || len(next.Signers) != 2 || len(next.Signers[0].Keys) != 2 {
		t.Errorf("the next version: %+v", next)
	}
	if keys := next.Signers[0].Keys; keys[0].ValidUntil.Year() != 2099 || !keys[1].ValidUntil.IsZero() {
		t.Errorf("rotated keys: %+v", keys)
	}
	if got := next.Products[0].Authorities[attest.RolePatch]; len(got) != 1 || got[0] != "two" {
		t.Errorf("role patch is %q's", got)
	}
	if next.Products[0].ID != two.Products[0].ID {
		t.Error("an edit changed a product's id")
	}
	fails(t, exit.Failure, "", "trust", "edit", "next.json", "--remove-signer", "none")
	fails(t, exit.Failure, "no product", "trust", "edit", "next.json", "--authority", "none:patch=two")
	fails(t, exit.Failure, "would be refused", "trust", "edit", "next.json", "--authority", "demo/greet:patch=nobody")
	fails(t, exit.Usage, "PRODUCT:ROLE=NAME", "trust", "edit", "next.json", "--authority", "demo/greet=two")
	ok(t, "trust", "edit", "next.json", "--remove-signer", "two")
	if got := policyOf(t, "next.json").Products[0].Authorities[attest.RolePatch]; len(got) != 0 {
		t.Errorf("a signer was dropped and still has a role: %q", got)
	}
	ok(t, "trust", "edit", "p.json", "--from", "next.json")
	if p := policyOf(t, "p.json"); p.Version != 1 || len(p.Products) != 1 {
		t.Errorf("taken over: %+v", p)
	}
}

func TestTrustedRootFromTheNetworkNeedsItsHash(t *testing.T) {
	home(t)
	root := newServer(t).trustedRoot
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(root) }))
	defer h.Close()
	ok(t, "keygen", "-o", "r")
	args := []string{"trust", "init", "-o", "p.json", "--root", "r.pub", "--product", "demo/greet", "--trusted-root", h.URL}
	fails(t, exit.Usage, "--trusted-root-sha256 is missing", args...)
	fails(t, exit.Unproven, "want "+strings.Repeat("0", 64), append(args, "--trusted-root-sha256", strings.Repeat("0", 64))...)
	ok(t, append(args, "--trusted-root-sha256", attest.DigestOf(root).Hex())...)
}

func TestLogin(t *testing.T) {
	s := newSite(t)
	fails(t, exit.Auth, "not logged in", "audit", "decisions")
	id, err := os.ReadFile("publisher.id")
	if err != nil {
		t.Fatal(err)
	}
	fails(t, exit.Auth, "", "login", s.url, "--principal", string(id), "--key", "stranger.pem")
	fails(t, exit.Unproven, "pinned are", "login", s.url, "--principal", string(id), "--key", "publisher.pem", "--roots", string(attest.DigestOf(nil)))
	fails(t, exit.Usage, "only one of these", "login", s.url, "--principal", string(id), "--key", "publisher.pem", "--tls-key", "x", "--ca", "y")
	fails(t, exit.Auth, "not logged in", "audit", "decisions") // a login that failed is not remembered
	ok(t, "login", s.url, "--principal", string(id), "--key", "publisher.pem")
	fails(t, exit.Failure, "no trust policy is pinned", "audit", "verify")
	s.as(t, "publisher")
	ok(t, "audit", "verify")
}

func TestAdminVerbs(t *testing.T) {
	s := newSite(t)
	admin := func(args ...string) []string { return append(append([]string{}, s.admin...), args...) }
	token := ok(t, admin("admin", "token", "--product", s.product, "--ttl", "5m")...)
	if !strings.HasPrefix(token, "pfe1.") || strings.Contains(token, "\n") {
		t.Errorf("standard output is not the token alone: %q", token)
	}
	fails(t, exit.NotFound, "no product", admin("admin", "product", "5f7e1b9e-3c4f-4d7e-9a0b-000000000000")...)
	fails(t, exit.Usage, "is not active, suspended or revoked", admin("admin", "host", "00000000-0000-0000-0000-000000000000", "--state", "gone")...)
	fails(t, exit.NotFound, "", admin("admin", "host", "5f7e1b9e-3c4f-4d7e-9a0b-000000000000")...)
	fails(t, exit.Failure, "", admin("admin", "grant", "--principal", "x", "--product", s.product, "--role", "king")...)
	if err := os.Chmod("admin.token", 0o644); err != nil {
		t.Fatal(err)
	}
	fails(t, exit.Failure, "can be read by others", admin("admin", "token", "--product", s.product)...)
	if err := os.WriteFile("admin.token", []byte("pfa_wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("admin.token", 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, exit.Auth, "", admin("admin", "token", "--product", s.product)...)
}
