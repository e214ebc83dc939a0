package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
)

var task = Task{Server: "127.0.0.1:8443", Repository: "lib/greet", Manifest: attest.DigestOf([]byte("manifest"))}

// hands do what they are told: one result a run, and what is left to say fails.
type hands struct {
	t       *testing.T
	results []string // "differs:OUTPUT", or another result; "error"
	mute    bool
	ran     int
	said    []string
}

func (h *hands) Run(_ context.Context, _ Task, dir string) (*attest.Rebuild, error) {
	h.t.Helper()
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		h.t.Errorf("a run begins in a directory with %v, %v", list, err)
	}
	if h.ran == len(h.results) {
		h.t.Fatalf("run %d, want no more than %d", h.ran+1, len(h.results))
	}
	result, out, _ := strings.Cut(h.results[h.ran], ":")
	h.ran++
	if result == "error" {
		return nil, errors.New("the disk is full")
	}
	r := &attest.Rebuild{
		Product: "6f1c0b0f-3c62-4a3e-9d3b-3f2f6f8f1a10", Environment: attest.DigestOf(nil), Result: result, Log: attest.DigestOf(nil),
		Run: attest.Run{ID: fmt.Sprint(h.ran), Builder: "https://rebuilder.example"},
	}
	if out != "" {
		r.Compared = &attest.Compared{File: attest.Pair{Wanted: attest.DigestOf([]byte("a")), Got: attest.DigestOf([]byte(out))}}
	}
	if result != attest.Reproduced {
		r.Category = "code"
	}
	return r, os.WriteFile(filepath.Join(dir, LeftLog), []byte(h.results[h.ran-1]), 0o600)
}

func (h *hands) Say(_ context.Context, _ Task, dir string, said *attest.Rebuild) error {
	if h.mute {
		return errors.New("the server is away")
	}
	if _, err := os.Stat(filepath.Join(dir, LeftLog)); err != nil {
		h.t.Errorf("what a run left is gone before it was said: %v", err)
	}
	h.said = append(h.said, said.Run.ID)
	return nil
}

func reopened(t *testing.T, dir string, h *hands) *Queue {
	t.Helper()
	q, err := Open(dir, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// What comes of a task: how often it is built, and what of it is said, however
// often somebody looks, and with a restart before each.
func TestWhatIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		results, said []string
	}{
		"reproduced":                  {[]string{"reproduced:a"}, []string{"1"}},
		"twice alike":                 {[]string{"differs:b", "differs:b"}, []string{"1", "2"}},
		"not the second time":         {[]string{"differs:b", "reproduced:a"}, []string{"2"}},
		"otherwise the second time":   {[]string{"differs:b", "differs:c"}, []string{"2"}},
		"it fails":                    {[]string{"build-failed", "build-failed", "build-failed"}, []string{"1", "2", "3"}},
		"it cannot be tried":          {[]string{"not-attempted", "not-attempted", "not-attempted"}, []string{"1", "2", "3"}},
		"it fails at first":           {[]string{"build-failed", "reproduced:a"}, []string{"1", "2"}},
		"it fails the second time":    {[]string{"differs:b", "build-failed", "differs:b", "differs:b"}, []string{"2", "3", "4"}},
		"the disk is full":            {[]string{"error", "error", "error"}, nil},
		"the disk is full for a time": {[]string{"error", "reproduced:a"}, []string{"2"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, dir := &hands{t: t, results: c.results}, t.TempDir()
				var j *Job
				for range 12 {
					q, err := Open(dir, h, nil)
					if err != nil {
						t.Fatal(err)
					}
					if j, _ = q.Do(t.Context(), task); j == nil {
						t.Fatal("no job")
					}
					if again, err := q.Do(t.Context(), task); err != nil || !again.Idle {
						t.Fatalf("it is not left alone: %+v, %v", again, err)
					}
					_ = q.Close()
					time.Sleep(30 * time.Minute)
				}
				if !j.Done || h.ran != len(c.results) {
					t.Errorf("%d runs, want %d; %+v", h.ran, len(c.results), j)
				}
				if diff := cmp.Diff(c.said, h.said); diff != "" {
					t.Errorf("said (-want +got):\n%s", diff)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*", "run-*")); c.said != nil && len(left) > 0 {
					t.Errorf("%v is left", left)
				}
			})
		})
	}
}

// A rebuilder that dies between a build and its word builds nothing again, and says
// the same.
func TestARestartRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dir := &hands{t: t, results: []string{"differs:b", "differs:b"}, mute: true}, t.TempDir()
		q := reopened(t, dir, h)
		for range 5 {
			if j, err := q.Do(t.Context(), task); err == nil || j.Done || j.Error == "" {
				t.Fatalf("%+v, %v", j, err)
			}
			time.Sleep(time.Hour)
		}
		_ = q.Close()
		h.mute = false
		q = reopened(t, dir, h)
		if list, err := q.Pending(task.Server); err != nil || !slices.Equal(list, []Task{task}) {
			t.Errorf("pending: %v, %v", list, err)
		}
		if list, err := q.Pending("elsewhere"); err != nil || len(list) > 0 {
			t.Errorf("pending elsewhere: %v, %v", list, err)
		}
		if j, err := q.Do(t.Context(), task); err != nil || !j.Done {
			t.Fatalf("%+v, %v", j, err)
		}
		if list, err := q.Pending(task.Server); err != nil || len(list) > 0 {
			t.Errorf("pending when all is said: %v, %v", list, err)
		}
		if !slices.Equal(h.said, []string{"1", "2"}) || h.ran != 2 {
			t.Errorf("%d runs, said %v", h.ran, h.said)
		}
	})
}

// An interruption is no attempt.
func TestInterrupted(t *testing.T) {
	h, dir := &hands{t: t, results: []string{"error", "error", "error", "error", "reproduced:a"}}, t.TempDir()
	q := reopened(t, dir, h)
	for range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := q.Do(ctx, task); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if j, err := q.Do(t.Context(), task); err != nil || !j.Done || j.Attempts != 1 {
		t.Errorf("%+v, %v", j, err)
	}
}

// A task that ends leaves nothing on the disk, wherever a crash comes: what its
// runs left goes before the state says that there is no more to do, as nobody
// looks after that. A restart in between ends it, and says nothing again.
func TestCrashAtTheEndLeavesNothing(t *testing.T) {
	h, dir := &hands{t: t, results: []string{"differs:a", "differs:a"}}, t.TempDir()
	q := reopened(t, dir, h)
	j, err := q.open(task)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := q.run(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	j.Runs[0].Settled, j.Runs[1].Settled = true, true
	if err := j.save(); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(j.dir, stateFile)
	said, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(state), os.Mkdir(state, 0o700)); err != nil { // nothing replaces it
		t.Fatal(err)
	}
	if err := q.settle(j); err == nil {
		t.Fatal("the state was written")
	}
	if left, _ := filepath.Glob(filepath.Join(j.dir, "run-*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if err := errors.Join(os.Remove(state), os.WriteFile(state, said, 0o600)); err != nil {
		t.Fatal(err)
	}
	if again, err := q.Do(t.Context(), task); err != nil || !again.Done || h.ran != 2 || len(h.said) > 0 {
		t.Errorf("%+v, %v; %d runs, said %v", again, err, h.ran, h.said)
	}
}

func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	reopened(t, dir, &hands{t: t})
	if _, err := Open(dir, &hands{t: t}, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
}

// State that is not what it has to be stops the task, and is not begun again.
func TestStateIsRead(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":           "",
		"of another":        `{"attempts":0,"done":true,"from":0,"manifest":"sha256:` + strings.Repeat("0", 64) + `","repository":"lib/greet","runs":[],"schemaVersion":1}`,
		"more than it has":  `{"attempts":0,"done":true,"from":1,"manifest":"` + string(task.Manifest) + `","repository":"lib/greet","runs":[],"schemaVersion":1}`,
		"of a later format": `{"attempts":0,"done":true,"from":0,"manifest":"` + string(task.Manifest) + `","repository":"lib/greet","runs":[],"schemaVersion":2}`,
	} {
		dir := t.TempDir()
		q := reopened(t, dir, &hands{t: t})
		j, err := q.open(task)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(j.dir, stateFile), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Do(t.Context(), task); err == nil {
			t.Errorf("%s: it goes on", name)
		}
	}
}

// What is accepted comes back as it was.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"attempts":0,"done":true,"from":0,"manifest":"` + string(task.Manifest) + `","repository":"lib/greet","runs":[],"schemaVersion":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		j := &Job{Manifest: task.Manifest, Repository: task.Repository, dir: t.TempDir()}
		if j.parse(raw) != nil {
			return
		}
		if err := j.save(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(j.dir, stateFile))
		if err != nil {
			t.Fatal(err)
		}
		again := &Job{Manifest: task.Manifest, Repository: task.Repository, dir: j.dir}
		if err := again.parse(b); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
	})
}
