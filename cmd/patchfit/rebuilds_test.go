package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
)

func TestTrustPolicyAsksForRebuilds(t *testing.T) {
	home(t)
	for _, key := range []string{"r", "n", "s"} {
		ok(t, "keygen", "-o", key)
	}
	if err := os.WriteFile("root.json", newServer(t).trustedRoot, 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, "trust", "init", "-o", "p.json", "--root", "r.pub", "--product", "demo/greet", "--trusted-root", "root.json",
		"--signer", "north=n.pub", "--signer", "south=s.pub", "--authority", "demo/greet:rebuilder=north", "--authority", "demo/greet:rebuilder=south",
		"--independence", "north=operator:acme,hosting:hall-1,toolchain:debian", "--independence", "south=operator:initech,hosting:hall-2",
		"--quorum", "demo/greet:patch=2,hosting", "--quorum", "demo/greet:base=1")
	p := policyOf(t, "p.json")
	want := attest.Rebuilds{Base: &attest.Quorum{Reproduced: 1, Differ: []string{}}, Patch: &attest.Quorum{Reproduced: 2, Differ: []string{"hosting"}}}
	if d := cmp.Diff(want, p.Products[0].Rebuilds); d != "" {
		t.Errorf("rebuilds (-want +got):\n%s", d)
	}
	if d := cmp.Diff(attest.Independence{Operator: "acme", Hosting: "hall-1", Toolchain: "debian"}, p.Signers[0].Independence); d != "" {
		t.Errorf("independence (-want +got):\n%s", d)
	}
	shown := ok(t, "trust", "show", "p.json")
	for _, line := range []string{"patches: reproduced by 2, each of another operator, hosting", "bases: reproduced by 1, each of another operator"} {
		if !strings.Contains(shown, line) {
			t.Errorf("trust show does not say %q:\n%s", line, shown)
		}
	}
	edit := func(args ...string) []string { return append([]string{"trust", "edit", "p.json"}, args...) }
	fails(t, exit.Failure, "2 different operators: nothing would ever go out", edit("--quorum", "demo/greet:patch=3")...)
	fails(t, exit.Failure, "has role rebuilder and no operator", edit("--independence", "north=none")...)
	fails(t, exit.Failure, "has no signer", edit("--independence", "west=operator:x")...)
	fails(t, exit.Usage, "is not operator:WORD", edit("--independence", "north=country:de")...)
	fails(t, exit.Usage, "is not a number", edit("--quorum", "demo/greet:patch=two")...)
	fails(t, exit.Usage, "neither base nor patch", edit("--quorum", "demo/greet:environment=2")...)
	fails(t, exit.Usage, "PRODUCT:base=N", edit("--quorum", "demo=2")...)
	fails(t, exit.Failure, "no product", edit("--quorum", "demo/other:patch=2")...)
	ok(t, edit("--quorum", "demo/greet:patch=0", "--quorum", "demo/greet:base=0")...)
	if got := policyOf(t, "p.json").Products[0].Rebuilds; got != (attest.Rebuilds{}) {
		t.Errorf("nothing is asked for: %+v", got)
	}
}
