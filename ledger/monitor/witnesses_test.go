package monitor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/ledger/quorum"
)

func TestWitnessed(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	c := newCourt(t, f)
	c.cosign(f, 0, 0, 2)
	w, url := newWatch(t, f, Options{Policy: c.policy}), f.serve()
	r := w.quiet(url)
	if len(r.Witnesses) != 3 || *r.Witnesses[0].Size != 300 || r.Witnesses[1].Size != nil || *r.Witnesses[2].Size != 300 {
		t.Errorf("%+v", r.Witnesses)
	}
	f.grow(20)
	c.cosign(f, 300, 0, 2)
	w.quiet(url)

	f.grow(20)
	c.cosign(f, 320, 0) // one is not enough
	if a := w.caught(url, Unseen); len(w.kept(a)) != 1 || !strings.Contains(a.Text, "cosigned by w0") {
		t.Errorf("told %+v", a)
	}
}

// The monitor never saw the honest history, and one witness did.
func TestWitnessSawAnotherHistory(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	c := newCourt(t, f)
	c.cosign(f, 0, 0, 1)
	lying := f.other(100).grow(400)
	c.cosign(lying, 0, 2)
	w := newWatch(t, f, Options{Policy: c.policy})
	r, err := w.visit(lying.serve())
	if err != nil || !r.Breach {
		t.Fatalf("%+v, %v", r, err)
	}
	var kinds []Kind
	for _, a := range w.alerts {
		kinds = append(kinds, a.Alert)
		if a.Alert == SplitView && (len(w.kept(a)) != 2 || !strings.Contains(a.Text, "has seen another history")) {
			t.Errorf("told %+v", a)
		}
	}
	if len(kinds) != 3 || kinds[0] != Unseen || kinds[1] != SplitView || kinds[2] != SplitView {
		t.Errorf("told %v", kinds)
	}
}

// The log was set back, and the monitor is new: the witnesses remember.
func TestWitnessSawMore(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	c := newCourt(t, f)
	c.cosign(f, 0, 0, 1)
	old := f.other(1 << 40).grow(200)
	w := newWatch(t, f, Options{})
	quiet, err := quorum.Parse([]byte(strings.Replace(c.text, "quorum two", "quorum none", 1)))
	if err != nil {
		t.Fatal(err)
	}
	w.o.Policy = quiet
	r, err := w.visit(old.serve())
	if err != nil || len(w.alerts) != 2 || w.alerts[0].Alert != RolledBack || !strings.Contains(w.alerts[0].Text, "cosigned 300 entries, the log shows 200") {
		t.Errorf("%+v, %v: told %+v", r, err, w.alerts)
	}
}

// A witness cosigns before the log publishes: a log that lags a little is none
// that was set back.
func TestLogLagsBehindAWitness(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	c := newCourt(t, f)
	c.cosign(f, 0, 0, 1)
	before := f.cosigned
	f.grow(5)
	c.cosign(f, 300, 0, 1)
	asked := 0
	f.tamper = func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "checkpoint") || asked > 2 {
			return false
		}
		asked++
		rw.Write(before)
		return true
	}
	w := newWatch(t, f, Options{Policy: c.policy, Lag: 50 * time.Millisecond})
	if r := w.quiet(f.serve()); r.Size != 305 {
		t.Errorf("%+v", r)
	}
}

// What is no checkpoint of the log, or too long, is nobody's evidence.
func TestWitnessesThatTalkNonsense(t *testing.T) {
	t.Parallel()
	f, stranger := newFake(t).grow(300), newFake(t).grow(7)
	for name, answer := range map[string]http.HandlerFunc{
		"another's": func(w http.ResponseWriter, _ *http.Request) { w.Write(stranger.checkpoint()) },
		"long":      func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, maxCheckpoint+1)) },
		"an error":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"nothing":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		c := newCourt(t, f)
		s := httptest.NewServer(answer)
		t.Cleanup(s.Close)
		c.policy.Witnesses[0].URL = s.URL
		c.cosign(f, 0, 1, 2)
		w := newWatch(t, f, Options{Policy: c.policy})
		if r := w.quiet(f.serve()); r.Witnesses[0].Error == "" || r.Witnesses[1].Error != "" {
			t.Errorf("%s: %+v", name, r.Witnesses)
		}
	}
}
