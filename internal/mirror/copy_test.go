package mirror_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/mirror"
)

func (o *origin) copy(ctx context.Context, x *target, work string) (*mirror.Copied, error) {
	return mirror.Copy(ctx, o.source(), []mirror.Want{{Repository: repo}}, mirror.Target{Server: x.client, Work: work}, nil)
}

func TestCopyBringsEverything(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.revoke(attest.RevokePayload, attest.DigestOf([]byte("nothing")))
	work := filepath.Join(t.TempDir(), "work")
	x := newTarget(t, o.envelope)
	got, err := o.copy(t.Context(), x, work)
	must(t, err)
	if diff := cmp.Diff(o.manifests, x.manifests) + cmp.Diff(o.tags, x.tags) + cmp.Diff(o.revoked, x.revoked); diff != "" {
		t.Error(diff)
	}
	if got.Manifests != 10 || got.Revocations != 1 || !got.Report.Verified() {
		t.Errorf("%+v", got.Pushed)
	}
	if _, err := os.Stat(work); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the working directory was left: %v", err)
	}
	again, err := o.copy(t.Context(), x, work)
	must(t, err)
	if again.Manifests != 0 || again.Blobs != 0 || again.Pushed.Present != 10 {
		t.Errorf("copied again: %+v", again.Pushed)
	}
}

// A copy that is interrupted at its k-th request to either server, for every k,
// and run again leaves what one that was not does. What came whole the first time
// is not asked for twice.
func TestCopyInterruptedAtEveryRequestResumes(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.revoke(attest.RevokePayload, attest.DigestOf([]byte("nothing")))
	var mu sync.Mutex
	for k := 1; ; k++ {
		x := newTarget(t, o.envelope)
		work := filepath.Join(t.TempDir(), "work")
		ctx, cancel := context.WithCancel(t.Context())
		n, files := 0, 0
		count := func(r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n == k {
				cancel()
			}
		}
		o.tamper = func(_ http.ResponseWriter, r *http.Request) bool {
			count(r)
			if strings.HasSuffix(r.URL.Path, "/blobs/"+string(o.world.PatchFile.Digest)) {
				files++
			}
			return false
		}
		x.before = count
		_, err := o.copy(ctx, x, work)
		cancel()
		began := len(x.puts) > 0 // the first thing sent is a revocation
		if err == nil {
			if n > k || k < 80 { // the last answer may come before the end is noticed
				t.Fatalf("interrupted at request %d of %d, and it says nothing", k, n)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("request %d: %v", k, err)
		}
		_, err = o.copy(t.Context(), x, work)
		must(t, err)
		if diff := cmp.Diff(o.manifests, x.manifests) + cmp.Diff(o.tags, x.tags) + cmp.Diff(o.revoked, x.revoked); diff != "" {
			t.Fatalf("request %d: %s", k, diff)
		}
		if files > 2 || began && files > 1 {
			t.Fatalf("request %d: the patch was fetched %d times", k, files)
		}
	}
	o.tamper = nil
}

// A target that would refuse is found out before anything is fetched; a source
// that lies is before anything is sent.
func TestCopySendsOnlyWhatIsWholeAndVerified(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	fetched := 0
	o.tamper = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v2/") {
			fetched++
		}
		return false
	}
	bare := newTarget(t, nil)
	work := filepath.Join(t.TempDir(), "work")
	refused(t, mirror.Untrusted, "has no trust policy yet", func() error { _, err := o.copy(t.Context(), bare, work); return err })
	if fetched > 0 {
		t.Errorf("%d requests to the source", fetched)
	}
	x := newTarget(t, o.envelope)
	o.tamper = at("/blobs/"+string(o.world.PatchFile.Digest), func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("another")) })
	refused(t, mirror.Corrupt, "the source sent", func() error { _, err := o.copy(t.Context(), x, work); return err })
	o.tamper = nil
	delete(o.manifests, o.attach(o.world.PatchManifest, []byte("no bundle")))
	late := mirror.CopyOptions{Now: time.Now().AddDate(2, 0, 0)}
	refused(t, mirror.Untrusted, "was good until", func() error {
		_, err := mirror.Copy(t.Context(), o.source(), []mirror.Want{{Repository: repo}}, mirror.Target{Server: x.client, Work: work}, &late)
		return err
	})
	if len(x.puts)+len(x.blobs) > 0 {
		t.Errorf("%d manifests and %d blobs were sent", len(x.puts), len(x.blobs))
	}
}

// Two copies with one working directory do not run at once.
func TestCopyIsAlone(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	x := newTarget(t, o.envelope)
	work := filepath.Join(t.TempDir(), "work")
	var second error
	x.before = func(r *http.Request) {
		if r.Method == http.MethodPut && second == nil {
			_, second = o.copy(t.Context(), x, work)
		}
	}
	_, err := o.copy(t.Context(), x, work)
	must(t, err)
	if second == nil || !strings.Contains(second.Error(), "another copy into") {
		t.Errorf("%v", second)
	}
}
