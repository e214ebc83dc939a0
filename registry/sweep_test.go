package registry_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// A quiet registry has no network, so that time can be made up.
type quiet struct {
	t    *testing.T
	root string
	oci  *registry.Registry
	who  []state.Principal
}

func newQuiet(t *testing.T, limits registry.Limits) *quiet {
	t.Helper()
	q := &quiet{t: t, root: t.TempDir()}
	disk, err := content.OpenDisk(q.root)
	if err != nil {
		t.Fatal(err)
	}
	h := statetest.New(t)
	g := gate.New(h.State, h.Journal, nil)
	q.oci, err = registry.New(registry.Config{
		Content: content.New(disk, nil), State: h.State, Gate: g, Admit: admit.New(h.State), Store: h.Blobs, Journal: h.Journal, Limits: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two", "three"} {
		id, _ := h.Principal(name, state.RolePublisher)
		p, _ := h.State.Principal(id)
		q.who = append(q.who, p)
	}
	t.Cleanup(func() {
		if err := q.oci.Close(); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

// inMadeUpTime runs do in a bubble with a sweeper of its own: distribution's
// goroutines never end, so the registry was made outside.
func (q *quiet) inMadeUpTime(do func()) {
	synctest.Test(q.t, func(*testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		go q.oci.Sweep(ctx)
		do()
		stop()
	})
}

// begin begins an upload, with a first chunk, and returns where it goes on.
func (q *quiet) begin(who state.Principal) string {
	q.t.Helper()
	w := q.ask(who, httptest.NewRequest(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil))
	if w.Code != http.StatusAccepted {
		q.t.Fatalf("beginning: %d %s", w.Code, w.Body)
	}
	w = q.ask(who, httptest.NewRequest(http.MethodPatch, w.Header().Get("Location"), bytes.NewReader([]byte("a chunk"))))
	if w.Code != http.StatusAccepted {
		q.t.Fatalf("a chunk: %d %s", w.Code, w.Body)
	}
	return w.Header().Get("Location")
}

func (q *quiet) ask(who state.Principal, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	q.oci.ServeHTTP(w, r.WithContext(auth.With(r.Context(), who)))
	return w
}

// held is how many uploads hold room.
func (q *quiet) held() int {
	q.t.Helper()
	left, err := os.ReadDir(filepath.Join(q.root, "uploads"))
	if err != nil {
		q.t.Fatal(err)
	}
	return len(left)
}

// TestUploadsEndByThemselves: the room of an upload whose time is over is given
// back at that time, without another request, some at a time; younger ones stay.
func TestUploadsEndByThemselves(t *testing.T) {
	q := newQuiet(t, registry.Limits{OwnUploads: 30})
	q.inMadeUpTime(func() {
		for _, who := range q.who[:2] {
			for range 20 {
				q.begin(who)
			}
		}
		time.Sleep(20 * time.Minute)
		young := q.begin(q.who[2])
		for _, step := range []struct {
			after time.Duration
			held  int
		}{
			{40*time.Minute - time.Second, 41},
			{2 * time.Second, 9}, // 32 of them went
			{8 * time.Second, 9},
			{2 * time.Second, 1},
			{19 * time.Minute, 1},
		} {
			time.Sleep(step.after)
			synctest.Wait()
			if n := q.held(); n != step.held {
				t.Errorf("after %v more, %d uploads hold room, want %d", step.after, n, step.held)
			}
		}
		if w := q.ask(q.who[2], httptest.NewRequest(http.MethodGet, young, nil)); w.Code != http.StatusNoContent {
			t.Errorf("the young one: %d %s", w.Code, w.Body)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := q.held(); n != 0 {
			t.Errorf("in the end %d uploads hold room", n)
		}
		if w := q.ask(q.who[2], httptest.NewRequest(http.MethodGet, young, nil)); w.Code != http.StatusNotFound {
			t.Errorf("the young one, now old: %d %s", w.Code, w.Body)
		}
	})
}

// slowly is a body that takes its time.
type slowly struct{ wait time.Duration }

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(s.wait)
	s.wait = 0
	return copy(p, "the rest"), http.ErrBodyReadAfterClose
}

// TestUploadInUseIsNotSwept: one that is written to when its time is over ends
// when nobody writes to it any more.
func TestUploadInUseIsNotSwept(t *testing.T) {
	q := newQuiet(t, registry.Limits{})
	q.inMadeUpTime(func() {
		location := q.begin(q.who[0])
		go q.ask(q.who[0], httptest.NewRequest(http.MethodPatch, location, &slowly{wait: 90 * time.Minute}))
		time.Sleep(89 * time.Minute)
		synctest.Wait()
		if n := q.held(); n != 1 {
			t.Errorf("while it is written to, %d uploads hold room", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := q.held(); n != 0 {
			t.Errorf("afterwards %d uploads hold room", n)
		}
	})
}

// TestSweeperRuns: a registry sweeps from the moment it is made, by the clock.
func TestSweeperRuns(t *testing.T) {
	q := newQuiet(t, registry.Limits{UploadTTL: 300 * time.Millisecond})
	q.begin(q.who[0])
	deadline := time.After(20 * time.Second)
	for q.held() > 0 {
		select {
		case <-deadline:
			t.Fatal("an upload whose time is over holds its room")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
