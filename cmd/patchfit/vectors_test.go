package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/schematest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// A vector is a file of docs/spec/vectors, as its README says.
type vector struct {
	SchemaVersion int           `json:"schemaVersion"`
	About         string        `json:"about"`
	TrustPolicy   string        `json:"trustPolicy"`
	Roots         attest.Digest `json:"roots"`
	Product       string        `json:"product"`
	Manifest      attest.Digest `json:"manifest,omitzero"`
	File          attest.Digest `json:"file,omitzero"`
	Bundle        []byte        `json:"bundle"`
	Revocations   *[][]byte     `json:"revocations,omitzero"`
	Expect        struct {
		Verified bool   `json:"verified"`
		Check    string `json:"check,omitzero"`
		Reason   string `json:"reason,omitzero"`
	} `json:"expect"`
}

// TestVerificationVectors runs every vector through the command line, as anybody
// can: the one check that is named fails, for the reason that is named, and no
// other.
func TestVerificationVectors(t *testing.T) {
	dir := must(filepath.Abs(filepath.Join("..", "..", "docs", "spec", "vectors")))(t)
	answers := schematest.Load(t, filepath.Join("..", "..", "docs", "spec", "schema", "verify-answer.json"))
	schema := schematest.Load(t, filepath.Join("..", "..", "docs", "spec", "schema", "vector.json"))
	home(t)
	checks := map[string]bool{}
	for _, path := range must(filepath.Glob(filepath.Join(dir, "*.json")))(t) {
		if strings.HasSuffix(path, ".trust-policy.json") {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			raw := must(os.ReadFile(path))(t)
			if err := schema.Check(raw); err != nil {
				t.Errorf("its schema refuses it: %v", err)
			}
			var v vector
			if err := strictjson.Unmarshal(raw, len(raw), &v); err != nil {
				t.Fatal(err)
			}
			checks[v.Expect.Check] = true
			v.run(t, dir, name, answers)
		})
	}
	for _, c := range append(verify.Criteria(), verify.Check{Name: "role"}, verify.Check{Name: "revocations"}) {
		if !checks[c.Name] {
			t.Errorf("no vector fails check %s", c.Name)
		}
	}
}

func (v *vector) run(t *testing.T, dir, name string, answers schematest.Schema) {
	t.Helper()
	what := string(v.File)
	if v.Manifest != "" {
		what = "libs/vectors@" + string(v.Manifest)
	}
	bundle := name + ".bundle.json"
	args := []string{"--format", "json", "verify", what, "--offline", "--bundle", bundle, "--trust-policy", filepath.Join(dir, v.TrustPolicy), "--roots", string(v.Roots), "--product", v.Product}
	if err := os.WriteFile(bundle, v.Bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	if v.Revocations != nil {
		known := name + ".revocations.json"
		b := must(strictjson.Canonical(api.Revocations{SchemaVersion: 1, Product: v.Product, Count: int64(len(*v.Revocations)), Bundles: *v.Revocations}))(t)
		if err := os.WriteFile(known, b, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--revocations", known)
	}
	o := cli(t, args...)
	var got verifying.Answer
	if err := json.Unmarshal([]byte(o.stdout), &got); err != nil || len(got.Statements) != 1 {
		t.Fatalf("%v\n%s%s", err, o.stdout, o.stderr)
	}
	if err := answers.Check([]byte(o.stdout)); err != nil {
		t.Errorf("the answer's schema refuses it: %v", err)
	}
	want := exit.OK
	if !v.Expect.Verified {
		want = exit.ForReason(verify.Reason(v.Expect.Reason))
	}
	s := got.Statements[0]
	if o.code != want || got.Verified != v.Expect.Verified || s.Reason != v.Expect.Reason {
		t.Errorf("%s: exit code %d, verified %v, reason %q, want %d and %+v\n%s", v.About, o.code, got.Verified, s.Reason, want, v.Expect, o.stdout)
	}
	var failed []string
	for _, c := range s.Checks {
		if c.Outcome == verify.Failed {
			failed = append(failed, c.Check+" "+c.Reason)
		}
	}
	if only := []string{fmt.Sprintf("%s %s", v.Expect.Check, v.Expect.Reason)}; !v.Expect.Verified && !slices.Equal(failed, only) || v.Expect.Verified && failed != nil {
		t.Errorf("%s: failed %q, want only %q", v.About, failed, only)
	}
}
