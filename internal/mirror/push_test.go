package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
)

// A target is a server to push to; it notes what it is asked to take.
type target struct {
	*store
	client *api.Client
	puts   []string // "put D", "revoke"
	before func(r *http.Request)
	away   string // where uploads are sent instead
}

func newTarget(t *testing.T, policy []byte) *target {
	t.Helper()
	x := &target{store: newStore()}
	x.store.policy = policy
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if x.before != nil {
			x.before(r)
		}
		switch {
		case r.Method == http.MethodPost && x.away != "" && filepath.Base(r.URL.Path) == "uploads":
			w.Header().Set("Location", x.away+r.URL.Path+"1")
			w.WriteHeader(http.StatusAccepted)
			return
		case r.Method == http.MethodPut && filepath.Base(filepath.Dir(r.URL.Path)) == "manifests":
			x.puts = append(x.puts, filepath.Base(r.URL.Path))
		case r.Method == http.MethodPost && r.URL.Path == "/v1/revocations":
			x.puts = append(x.puts, "revoke")
		}
		x.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	var err error
	x.client, err = api.New(srv.URL, nil)
	must(t, err)
	return x
}

func push(ctx context.Context, t *testing.T, path string, x *target) (*mirror.Pushed, error) {
	t.Helper()
	l, err := mirror.Open(path)
	must(t, err)
	defer l.Close()
	return mirror.Push(ctx, l, x.client, nil)
}

func TestPushBringsEverything(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	path := filepath.Join(t.TempDir(), "m.tar")
	o.mustPull(path)
	x := newTarget(t, o.envelope)
	p, err := push(t.Context(), t, path, x)
	must(t, err)
	if diff := cmp.Diff(o.manifests, x.manifests); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(o.blobs, x.blobs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(o.tags, x.tags); diff != "" {
		t.Error(diff)
	}
	if len(p.Skipped) != 0 || p.Manifests != 10 || p.Tags != 3 {
		t.Errorf("%+v", p)
	}
	again, err := push(t.Context(), t, path, x)
	must(t, err)
	if again.Manifests != 0 || again.Blobs != 0 || again.Tags != 0 || again.Present != 10 {
		t.Errorf("pushed again: %+v", again)
	}
}

// Nothing is said of a patch before all that could speak against it is there,
// however long the way to that is.
func TestPushSaysWhatMakesAPatchFitLast(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	deep := o.world.BaseManifest
	for i := range 4 {
		deep = o.manifest(statetest.Manifest("application/vnd.other", o.blob(fmt.Appendf(nil, "note %d", i)), deep))
	}
	path := filepath.Join(t.TempDir(), "m.tar")
	o.mustPull(path)
	x := newTarget(t, o.envelope)
	_, err := push(t.Context(), t, path, x)
	must(t, err)
	said := 0
	for i, d := range x.puts[:len(x.puts)-len(o.tags)] {
		m := parse(x.manifests[attest.Digest(d)])
		about := m.Subject != nil && m.Subject.Digest == o.world.PatchManifest
		if about {
			said++
		}
		if !about && said > 0 {
			t.Errorf("manifest %d, %s, comes after %d bundles about the patch", i, m.ArtifactType, said)
		}
	}
	if said != 2 {
		t.Errorf("%d bundles about the patch", said)
	}
}

// A push that is interrupted at its k-th request, for every k, and run again
// leaves what one that was not does.
func TestPushInterruptedAtEveryRequestResumes(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.revoke(attest.RevokePayload, attest.DigestOf([]byte("nothing")))
	hidden := o.say(o.world.Said()[2])
	delete(o.manifests, o.attach(o.world.BaseManifest, hidden))
	path := filepath.Join(t.TempDir(), "m.tar")
	o.mustPull(path)
	whole := newTarget(t, o.envelope)
	_, err := push(t.Context(), t, path, whole)
	must(t, err)
	for k := 1; ; k++ {
		x := newTarget(t, o.envelope)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		x.before = func(*http.Request) {
			if n++; n == k {
				cancel()
			}
		}
		_, err := push(ctx, t, path, x)
		cancel()
		x.before = nil
		if err == nil {
			if n > k || k < 40 { // the last answer may come before the end is noticed
				t.Fatalf("interrupted at request %d of %d, and it says nothing", k, n)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("request %d: %v", k, err)
		}
		_, err = push(t.Context(), t, path, x)
		must(t, err)
		if diff := cmp.Diff(whole.manifests, x.manifests) + cmp.Diff(whole.tags, x.tags) + cmp.Diff(whole.revoked, x.revoked); diff != "" {
			t.Fatalf("request %d: %s", k, diff)
		}
	}
}

// What is revoked is revoked before anything else comes. What was said of it
// before comes all the same, so that a host is told what it is told at the
// source; what was said after is skipped by name.
func TestPushRevokesFirst(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.revoke(attest.RevokeSubject, o.world.PatchManifest)
	path := filepath.Join(t.TempDir(), "m.tar")
	o.mustPull(path)
	x := newTarget(t, o.envelope)
	p, err := push(t.Context(), t, path, x)
	must(t, err)
	if x.puts[0] != "revoke" || p.Revocations != 1 {
		t.Errorf("the first thing sent is %s", x.puts[0])
	}
	if len(p.Skipped) != 0 || len(x.manifests) != len(o.manifests) {
		t.Errorf("skipped %+v, %d of %d manifests", p.Skipped, len(x.manifests), len(o.manifests))
	}
	late := o.say(o.world.Said()[0])
	o.attach(o.world.PatchManifest, late)
	o.mustPull(path)
	p, err = push(t.Context(), t, path, newTarget(t, o.envelope))
	must(t, err)
	if len(p.Skipped) != 1 || p.Skipped[0].Bundle != attest.DigestOf(late) || p.Skipped[0].Refusal.Reason != verify.Revoked {
		t.Errorf("skipped %+v", p.Skipped)
	}
}

// A mirror of one base carries the revocation of a patch it does not hold, with
// its entry in the log, and brings it into the next server.
func TestRevocationsOfWhatIsNotHeldComeAlong(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.revoke(attest.RevokeSubject, o.world.PatchManifest)
	path := filepath.Join(t.TempDir(), "m.tar")
	p, err := mirror.Pull(t.Context(), o.source(), []mirror.Want{{Repository: repo, Reference: "base"}}, path, nil)
	must(t, err)
	held := p.Record.Repositories[0]
	if slices.ContainsFunc(held.Manifests, func(d mirror.Descriptor) bool { return d.Digest == o.world.PatchManifest }) {
		t.Fatal("the patch is in it")
	}
	if len(held.Revocations) != 1 || p.Report.Repositories[0].Revocations != 1 || p.Report.Entries != 5 {
		t.Errorf("%d revocations, %d log entries", len(held.Revocations), p.Report.Entries)
	}
	x := newTarget(t, o.envelope)
	pushed, err := push(t.Context(), t, path, x)
	must(t, err)
	if pushed.Revocations != 1 || len(x.revoked) != 1 || x.manifests[o.world.PatchManifest] != nil {
		t.Errorf("%+v", pushed)
	}
}

// Evidence without a manifest gets one, as cosign writes it.
func TestPushAttachesWhatIsDetached(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	hidden := o.say(o.world.Said()[2])
	delete(o.manifests, o.attach(o.world.BaseManifest, hidden))
	delete(o.blobs, attest.DigestOf(hidden))
	path := filepath.Join(t.TempDir(), "m.tar")
	o.mustPull(path)
	x := newTarget(t, o.envelope)
	_, err := push(t.Context(), t, path, x)
	must(t, err)
	if !slices.ContainsFunc(slices.Collect(maps.Values(x.manifests)), func(raw []byte) bool {
		m := parse(raw)
		return m.ArtifactType == attest.ArtifactBundle && m.Layers[0].Digest == attest.DigestOf(hidden) && m.Subject.Digest == o.world.BaseManifest
	}) {
		t.Error("no manifest carries it")
	}
}

// A server that would refuse is told apart before the first byte.
func TestPushAsksFirst(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	path := filepath.Join(t.TempDir(), "m.tar")
	o.mustPull(path)
	root := o.policy.TrustedRoot
	other := newOrigin(t)
	o.trust(root, 1) // of other roots
	another := o.envelope
	for name, c := range map[string]struct {
		policy []byte
		says   string
	}{
		"no trust policy":      {nil, "has no trust policy yet"},
		"another of the same":  {another, "two trust policies of version 1"},
		"one of other owners":  {other.envelope, "two trust policies of version 1"},
		"something else":       {[]byte("{}"), "the server's trust policy"},
		"a later of strangers": {later(other), "has no product"},
	} {
		x := newTarget(t, c.policy)
		refused(t, mirror.Untrusted, c.says, func() error { _, err := push(t.Context(), t, path, x); return err })
		if len(x.puts)+len(x.blobs) > 0 {
			t.Errorf("%s: %d manifests and %d blobs were sent", name, len(x.puts), len(x.blobs))
		}
	}
	first := o.envelope
	o.trust(root, 2)
	second := filepath.Join(t.TempDir(), "second.tar")
	o.mustPull(second)
	refused(t, mirror.Untrusted, "the server has trust policy version 1, the mirror was made under version 2", func() error {
		_, err := push(t.Context(), t, second, newTarget(t, first))
		return err
	})
	o.trust(other.policy.TrustedRoot, 2) // does not name the log
	x := newTarget(t, o.envelope)
	var refusal *verify.Refusal
	if _, err := push(t.Context(), t, path, x); !errors.As(err, &refusal) || refusal.Reason != verify.NotLogged {
		t.Errorf("%v, want %s", err, verify.NotLogged)
	}
}

// later returns the second version of an origin's trust policy.
func later(o *origin) []byte {
	o.trust(o.policy.TrustedRoot, 2)
	return o.envelope
}
