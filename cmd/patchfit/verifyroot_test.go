package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// v1Home is a working directory with the bundles package rekorv1 keeps.
func v1Home(t *testing.T) (artifact attest.Digest) {
	t.Helper()
	home(t)
	if err := os.CopyFS(".", os.DirFS(filepath.Join(packageDir, "..", "..", "ledger", "rekorv1", "testdata"))); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("artifact")
	if err != nil {
		t.Fatal(err)
	}
	return attest.DigestOf(b)
}

// byKey are the flags that verify kind's bundle.
func byKey(kind string) []string {
	return []string{"--bundle", kind + ".sigstore.json", "--trusted-root", "trusted_root.json", "--key", "key.pem.pub"}
}

func TestVerifyRekorV1(t *testing.T) {
	artifact := v1Home(t)
	for kind, version := range map[string]string{"hashedrekord": "0.0.1", "dsse": "0.0.1", "intoto": "0.0.2"} {
		for _, what := range []string{"artifact", string(artifact), "some/where@" + string(artifact)} {
			args := append([]string{"verify", what}, byKey(kind)...)
			text := ok(t, args...)
			criteria, check := strings.Index(text, "Every bundle about it has to be:"), strings.Index(text, "in a Rekor v1 log ("+kind+" "+version+")")
			if criteria < 0 || check < criteria || !strings.HasSuffix(text, "\nverified") {
				t.Errorf("%s", text)
			}
			a := answer[verifying.RootAnswer](t, args...)
			r := a.Bundles[0]
			if !a.Verified || a.Digest != artifact || len(a.Criteria) != 4 || !r.Verified || r.Reason != "" ||
				r.Log.Rekor != 1 || r.Log.Kind != kind || r.Log.Version != version || r.Log.Index != 1001 || r.Log.TreeIndex != 1 ||
				!r.Log.Integrated.Equal(time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)) || (r.Type != "") != (kind != "hashedrekord") {
				t.Errorf("%+v, log %+v", a, r.Log)
			}
		}
	}
	ok(t, append([]string{"verify", "artifact", "--type", "https://example.org/test/v1"}, byKey("dsse")...)...)
}

func TestVerifyRekorV2(t *testing.T) {
	home(t)
	a := verifytest.New(t)
	w := a.World(a.Product("demo/greet"), "greet")
	said := w.Said()[0]
	raw := a.Say(said)
	files := map[string][]byte{"b.json": raw, "root.json": a.TrustedRoot(), "key.pub": keyPEM(a.Signer(string(said.Role)).Key)}
	// Said once more, it has another entry in the same log.
	other := a.Say(said)
	files["pasted.json"] = pasted(t, raw, other)
	for name, b := range files {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{"--trusted-root", "root.json", "--key", "key.pub"}
	args := append([]string{"verify", string(said.About.Manifest), "--bundle", "b.json"}, flags...)
	if text := ok(t, args...); !strings.Contains(text, "in a Rekor v2 log (hashedrekord 0.0.2)") {
		t.Error(text)
	}
	r := answer[verifying.RootAnswer](t, args...).Bundles[0]
	if r.Log.Rekor != 2 || !r.Log.Integrated.IsZero() || r.Signed.IsZero() || r.Type != said.Type {
		t.Errorf("%+v, log %+v", r, r.Log)
	}
	fails(t, exit.Unproven, "NOT_LOGGED: canonicalizedBody is another entry", append([]string{"verify", string(said.About.Manifest), "--bundle", "pasted.json"}, flags...)...)
	fails(t, exit.Unproven, "SUBJECT_MISMATCH", append([]string{"verify", string(attest.DigestOf(nil)), "--bundle", "b.json"}, flags...)...)
}

func keyPEM(k *attest.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.DER()})
}

// pasted is a bundle with the canonicalizedBody of another.
func pasted(t *testing.T, raw, other []byte) []byte {
	t.Helper()
	body := func(b []byte) []byte {
		var d struct {
			Material struct {
				Entries []struct {
					Body json.RawMessage `json:"canonicalizedBody"`
				} `json:"tlogEntries"`
			} `json:"verificationMaterial"`
		}
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		return d.Material.Entries[0].Body
	}
	if bytes.Equal(body(raw), body(other)) {
		t.Fatal("the two entries are one")
	}
	return bytes.Replace(raw, body(raw), body(other), 1)
}

func TestVerifyByRootRefuses(t *testing.T) {
	artifact := v1Home(t)
	ok(t, "keygen", "-o", "other.pem")
	edit := func(name, from, to string) {
		b, err := os.ReadFile("dsse.sigstore.json")
		if err != nil || !bytes.Contains(b, []byte(from)) {
			t.Fatalf("%v, or no %s in it", err, from)
		}
		if err := os.WriteFile(name+".sigstore.json", bytes.Replace(b, []byte(from), []byte(to), 1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit("time", `"integratedTime":"1714564800"`, `"integratedTime":"1714564801"`)
	edit("size", `"treeSize":"3"`, `"treeSize":"4"`)
	edit("kind", `"kind":"dsse"`, `"kind":"intoto"`)
	edit("type", `"payloadType":"application/vnd.in-toto+json"`, `"payloadType":"text/plain"`)
	edit("torn", `"mediaType"`, `"mediaTyp"`)
	for _, c := range []struct{ name, bundle, words string }{
		{"another time", "time", "NOT_LOGGED (bad-promise)"},
		{"another size", "size", "NOT_LOGGED (other-checkpoint)"},
		{"another kind", "kind", "NOT_LOGGED (other-kind)"},
		{"another envelope", "type", "BAD_SIGNATURE (bad-signature)"},
		{"no bundle", "torn", "CORRUPT (malformed)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fails(t, exit.Unproven, c.words, append([]string{"verify", "artifact"}, byKey(c.bundle)...)...)
			o := cli(t, append([]string{"--format", "json", "verify", "artifact"}, byKey(c.bundle)...)...)
			var a verifying.RootAnswer
			if err := json.Unmarshal([]byte(o.stdout), &a); err != nil || a.Verified || a.Bundles[0].Remedy == "" || a.Bundles[0].Log != nil {
				t.Errorf("%v: %s", err, o.stdout)
			}
		})
	}
	root := []string{"--bundle", "hashedrekord.sigstore.json", "--trusted-root", "trusted_root.json"}
	fails(t, exit.Unproven, "SUBJECT_MISMATCH (other-artifact)", append([]string{"verify", "key.pem.pub"}, byKey("hashedrekord")...)...)
	fails(t, exit.Unproven, "SUBJECT_MISMATCH", append([]string{"verify", "key.pem.pub"}, byKey("dsse")...)...)
	fails(t, exit.Unproven, "UNTRUSTED_SIGNER (other-key)", append([]string{"verify", "artifact", "--key", "other.pem.pub"}, root...)...)
	fails(t, exit.Unproven, "UNTRUSTED_SIGNER (no-key)", append([]string{"verify", "artifact", "--certificate-identity", "a", "--certificate-oidc-issuer", "b"}, root...)...)
	fails(t, exit.NotFound, "NO_ATTESTATION", append([]string{"verify", "artifact", "--type", "base"}, byKey("dsse")...)...)
	fails(t, exit.Unproven, "trusted root artifact", "verify", "artifact", "--bundle", "dsse.sigstore.json", "--trusted-root", "artifact", "--key", "key.pem.pub")
	fails(t, exit.Unproven, "key artifact", "verify", "artifact", "--bundle", "dsse.sigstore.json", "--trusted-root", "trusted_root.json", "--key", "artifact")
	// One that does not hold is not made up for by one that does.
	fails(t, exit.Unproven, "bad-promise", append([]string{"verify", string(artifact), "--bundle", "time.sigstore.json"}, byKey("dsse")...)...)
}

// withoutPromise writes a bundle the log vouches for no time of.
func withoutPromise(t *testing.T) {
	t.Helper()
	var doc map[string]any
	b, err := os.ReadFile("dsse.sigstore.json")
	if err == nil {
		err = json.Unmarshal(b, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(doc["verificationMaterial"].(map[string]any)["tlogEntries"].([]any)[0].(map[string]any), "inclusionPromise")
	if b, err = json.Marshal(doc); err == nil {
		err = os.WriteFile("timeless.sigstore.json", b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Without a promise the time of a timestamp authority counts; there is none
// here, so there is none at all.
func TestVerifyByRootAsksForATime(t *testing.T) {
	v1Home(t)
	withoutPromise(t)
	fails(t, exit.Unproven, "NOT_LOGGED", append([]string{"verify", "artifact"}, byKey("timeless")...)...)
}
