package state_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const repo = statetest.Repository

// decide asks what the gate would.
func decide(t *testing.T, h *statetest.House, host string, w *verifytest.World) policy.Decision {
	t.Helper()
	h.Journal.Time = h.Now
	facts, ok := h.State.Facts(host, repo, w.PatchManifest, h.Now.Add(time.Minute))
	if !ok {
		t.Fatalf("nothing to decide on for host %s and patch %s", host, w.Name)
	}
	return policy.Decide(facts)
}

// house returns a House whose journal runs at the time of its evidence.
func house(t *testing.T) *statetest.House {
	t.Helper()
	h := statetest.New(t)
	h.Journal.Time = h.Now
	return h
}

func reasons(d policy.Decision) []verify.Reason {
	var all []verify.Reason
	for _, f := range d.Reasons {
		if !slices.Contains(all, f.Reason) {
			all = append(all, f.Reason)
		}
	}
	return all
}

func TestFit(t *testing.T) {
	h := house(t)
	one, two := h.Publish("one"), h.Publish("two")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, one)
	if d := decide(t, h, host, one); !d.Allow {
		t.Errorf("patch for the base the host runs is denied: %v", d.Reasons)
	}
	if d := decide(t, h, host, two); d.Allow || d.Reasons[0].Reason != verify.EnvMismatch {
		t.Errorf("patch for another base: %+v, want a denial that ENV_MISMATCH leads", d)
	}
}

// TestEveryStatementNeeded leaves out one statement at a time.
func TestEveryStatementNeeded(t *testing.T) {
	h := house(t)
	host, key := h.Enrol("a")
	said := h.Authority.World(h.Product, "names").Said()
	for i, left := range said {
		w := h.World(fmt.Sprint("without ", i))
		h.Record(host, key, int64(i+1), w)
		for j, s := range w.Said() {
			if j != i {
				h.SayIt(s)
			}
		}
		if d := decide(t, h, host, w); d.Allow {
			t.Errorf("allowed without %s", left.Name)
		}
		h.SayIt(w.Said()[i])
		if d := decide(t, h, host, w); !d.Allow {
			t.Errorf("denied with everything said, %s last: %v", left.Name, d.Reasons)
		}
	}
}

func TestNothingToDecideOn(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	ask := func(s *state.State, host, repository string, d attest.Digest) bool {
		_, ok := s.Facts(host, repository, d, h.Now)
		return ok
	}
	if !ask(h.State, host, repo, w.PatchManifest) {
		t.Fatal("no facts about a published patch")
	}
	for name, ok := range map[string]bool{
		"unknown host":       ask(h.State, "nobody", repo, w.PatchManifest),
		"principal, no host": ask(h.State, h.Admin, repo, w.PatchManifest),
		"unknown repository": ask(h.State, host, "other", w.PatchManifest),
		"unknown manifest":   ask(h.State, host, repo, attest.DigestOf([]byte("x"))),
		"blob, no manifest":  ask(h.State, host, repo, w.Patch.File.Digest),
	} {
		if ok {
			t.Errorf("%s: there are facts to decide on", name)
		}
	}
	unready := state.New(h.Blobs, policy.DefaultSite())
	for _, r := range h.Journal.Records() {
		if err := unready.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	if ask(unready, host, repo, w.PatchManifest) {
		t.Error("a state that is not ready has facts")
	}
	if err := unready.SetReady(); err != nil || !ask(unready, host, repo, w.PatchManifest) {
		t.Errorf("the state is ready and has no facts (error %v)", err)
	}
}

func TestDeleteHides(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	h.Must(ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: "latest", Digest: w.PatchManifest, By: h.Admin})
	before := len(h.State.Evidence(repo, w.PatchManifest))
	h.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: w.PatchManifest, By: h.Admin})
	if _, ok := h.State.Facts(host, repo, w.PatchManifest, h.Now); ok {
		t.Error("a deleted patch can be decided on")
	}
	if _, ok := h.State.Tag(repo, "latest"); ok {
		t.Error("a tag names a deleted manifest")
	}
	if n := len(h.State.Evidence(repo, w.PatchManifest)); n != before || n == 0 {
		t.Errorf("%d statements about a deleted patch, %d before: a delete removes no evidence", n, before)
	}
	if got := h.State.Referencing(repo, w.Patch.File.Digest); len(got) != 0 {
		t.Errorf("a deleted manifest still references its blob: %v", got)
	}
	h.PutManifest(statetest.Manifest(attest.ArtifactPatch, w.Patch.File, w.BaseManifest))
	if d := decide(t, h, host, w); !d.Allow {
		t.Errorf("put again, and denied: %v", d.Reasons)
	}
	if _, ok := h.State.Tag(repo, "latest"); ok {
		t.Error("putting a manifest again brought a deleted tag back")
	}
}

// TestResolve: every base that claims a measurement is among the facts, each
// once, and only while its authority says so.
func TestResolve(t *testing.T) {
	h := house(t)
	one := h.Publish("one")
	host, key := h.Enrol("a")
	if n := len(h.State.Bases(host)); n != 0 {
		t.Fatalf("a host without a record resolves to %d bases", n)
	}
	h.Record(host, key, 1, one)
	if n := len(h.State.Bases(host)); n != 1 {
		t.Fatalf("host resolves to %d bases, want 1", n)
	}
	manifest := h.PutManifest(statetest.Manifest(attest.ArtifactBase, one.Base.File, ""))
	statement := h.Statement(attest.TypeBase, manifest, one.Base.File.Digest, one.Base)
	h.Admit(h.Bundle(statement, h.Signer(string(attest.RolePatch))), manifest, attest.TypeBase)
	if n := len(h.State.Bases(host)); n != 1 {
		t.Errorf("host resolves to %d bases, want 1: the other is not said by the base authority", n)
	}
	for range 2 {
		h.Admit(h.Bundle(statement, h.Signer(string(attest.RoleBase))), manifest, attest.TypeBase)
		if n := len(h.State.Bases(host)); n != 2 {
			t.Errorf("host resolves to %d bases, want 2", n)
		}
	}
}

func TestClonedKey(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	boots := []string{
		"11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222",
		"22222222-2222-4222-8222-222222222222", "11111111-1111-4111-8111-111111111111",
		"33333333-3333-4333-8333-333333333333",
	}
	for i, boot := range boots {
		w.Record.BootID = boot
		h.Record(host, key, int64(i+1), w)
		got, _ := h.State.Host(host)
		if want := i >= 3; got.Cloned != want {
			t.Errorf("after boots %v: cloned %v, want %v", boots[:i+1], got.Cloned, want)
		}
		if d := decide(t, h, host, w); d.Allow == got.Cloned {
			t.Errorf("after boots %v: allow %v", boots[:i+1], d.Allow)
		}
	}
}

func TestHostState(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	h.SetState(host, state.Suspended)
	if d := decide(t, h, host, w); d.Allow || d.Reasons[0].Reason != verify.HostNotActive {
		t.Errorf("suspended host: %+v, want HOST_NOT_ACTIVE", d)
	}
	if roles := h.State.Roles(host, h.Product.ID); len(roles) != 0 {
		t.Errorf("suspended host has roles %v", roles)
	}
	h.SetState(host, state.Active)
	if d := decide(t, h, host, w); !d.Allow {
		t.Errorf("active again, and denied: %v", d.Reasons)
	}
}
