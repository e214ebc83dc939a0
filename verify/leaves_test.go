package verify_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// malleable are the leaves of a bundle that can be changed so that it still
// verifies, because nobody signs them or not all of them. Nothing is ever
// indexed, shown or revoked by them. A leaf that is added needs a reason.
var malleable = map[string]string{
	"/verificationMaterial/publicKey/hint":                                                "says where to look for the key first; every key is tried",
	"/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope":              "a signed note may carry more signature lines, of witnesses nobody asked for",
	"/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp": "a CMS message has parts outside what it signs",
}

// Each leaf of good bundles, changed in many ways, is either refused or on the
// list; and what is accepted proves the very same thing.
func TestEveryLeafIsRefusedOrKnown(t *testing.T) {
	l := newLab(t)
	leaves := make(map[string]int) // mutations accepted, by leaf
	for _, s := range l.world.Said() {
		raw := l.Say(s)
		want := identity(t, l.verifier, raw, s.About)
		doc := decode(t, raw)
		walk(doc, "", func(path string, leaf any, set func(any)) {
			leaves[path] += 0
			for _, changed := range changes(path, leaf) {
				if changed == leaf {
					continue
				}
				set(changed)
				mutated, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := l.verifier.Bundle(mutated, s.About); err != nil {
					continue
				}
				leaves[path]++
				if got := identity(t, l.verifier, mutated, s.About); got != want {
					t.Errorf("%s: %s changed to %.80v proves %s, want %s", s.Name, path, changed, got, want)
				}
			}
			set(leaf)
		})
	}
	if len(leaves) < 16 {
		t.Errorf("a bundle has only %d leaves", len(leaves))
	}
	for path, accepted := range leaves {
		if accepted > 0 && malleable[path] == "" {
			t.Errorf("%s: %d changes are accepted, and it is not on the list", path, accepted)
		}
		if accepted == 0 && malleable[path] != "" {
			t.Errorf("%s is on the list, and no change of it is accepted", path)
		}
	}
}

// Every member that is taken away or doubled is refused, but for the hint.
func TestEveryMemberHasToBeThere(t *testing.T) {
	l := newLab(t)
	doc := decode(t, l.good)
	var each func(path string, v any)
	each = func(path string, v any) {
		object, ok := v.(map[string]any)
		if list, isList := v.([]any); isList {
			for i, e := range list {
				each(path+"/"+strconv.Itoa(i), e)
			}
		}
		if !ok {
			return
		}
		for name, value := range object {
			delete(object, name)
			mutated, err := json.Marshal(doc)
			object[name] = value
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.verifier.Bundle(mutated, l.said.About); err == nil && malleable[path+"/"+name] == "" {
				t.Errorf("without %s/%s it is accepted", path, name)
			}
			each(path+"/"+name, value)
		}
	}
	each("", doc)
}

// identity verifies raw and returns all that evidence is identified by: all
// but the address of the bundle.
func identity(t testing.TB, v *verify.Verifier, raw []byte, about verify.Artifact) string {
	t.Helper()
	ev, err := v.Bundle(raw, about)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("payload %s type %s subject %s file %s signer %s time %s index %d",
		ev.Payload(), ev.Type(), ev.Subject(), ev.File(), ev.Signer(), ev.Time(), ev.LogIndex())
}

// walk visits every leaf of a JSON document. set replaces the leaf.
func walk(v any, path string, visit func(path string, leaf any, set func(any))) {
	step := func(name string, child any, set func(any)) {
		switch child.(type) {
		case map[string]any, []any:
			walk(child, path+"/"+name, visit)
		default:
			visit(path+"/"+name, child, set)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			step(name, child, func(c any) { v[name] = c })
		}
	case []any:
		for i, child := range v {
			step(strconv.Itoa(i), child, func(c any) { v[i] = c })
		}
	}
}

// changes returns other values for a leaf: of another kind, empty, longer,
// with one character or, where it is base64, one bit of each byte changed.
func changes(path string, leaf any) []any {
	s, ok := leaf.(string)
	if !ok {
		return []any{nil, "", "1", true, 7.0}
	}
	all := []any{nil, "", s + "A", s + " ", " " + s, s + s, 1.0, true}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		all = append(all, strconv.FormatInt(n+1, 10), strconv.FormatInt(n-1, 10), "0"+s, "+"+s, float64(n), "-1", "9223372036854775808")
	}
	stride := max(1, len(s)/50)
	for i := 0; i < len(s); i += stride {
		c := []byte(s)
		c[i] ^= 1
		all = append(all, string(c))
	}
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		all = append(all, base64.RawStdEncoding.EncodeToString(b), base64.URLEncoding.EncodeToString(append(b, 0xff)))
		stride = max(1, len(b)/50)
		for i := 0; i < len(b); i += stride {
			c := append([]byte(nil), b...)
			c[i] ^= 1 << (i % 8)
			all = append(all, base64.StdEncoding.EncodeToString(c))
		}
		all = append(all, base64.StdEncoding.EncodeToString(append(b, 0)), base64.StdEncoding.EncodeToString(b[:max(0, len(b)-1)]))
	}
	if path == "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope" {
		all = append(all, s+"\u2014 witness.example AAAAAAAAAAA=\n")
	}
	return all
}

// Two JSON texts of one bundle prove the same, at two addresses.
func TestBundleAddressIsNoIdentity(t *testing.T) {
	l := newLab(t)
	spaced, err := json.MarshalIndent(decode(t, l.good), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.verifier.Bundle(l.good, l.said.About)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.verifier.Bundle(spaced, l.said.About)
	if err != nil {
		t.Fatal(err)
	}
	if a.Payload() != b.Payload() || a.Bundle() == b.Bundle() {
		t.Errorf("payloads %s and %s, bundles %s and %s", a.Payload(), b.Payload(), a.Bundle(), b.Bundle())
	}
	if a.Payload() != attest.DigestOf(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate)) {
		t.Error("the payload's digest is not that of the statement's bytes")
	}
}
