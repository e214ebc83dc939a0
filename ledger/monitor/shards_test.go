package monitor

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
	"github.com/patchfit/patchfit/ledger/tsa"
)

// A row is a server of several logs, of which one takes entries.
type row struct {
	t      testing.TB
	fs     *disktest.FS
	logs   map[string]*fake
	root   []byte
	url    string
	o      Options
	alerts []Alert

	mu      sync.Mutex
	current string
	shown   map[string]bool // below /shards/
}

const (
	one   = "one.log.example.org"
	two   = "two.log.example.org"
	three = "three.log.example.org"
)

// newRow returns a server whose first log takes entries. The trusted root names
// three.
func newRow(t testing.TB) *row {
	t.Helper()
	r := &row{t: t, fs: disktest.New(), logs: map[string]*fake{}, current: one, shown: map[string]bool{}, o: Options{Lag: time.Millisecond}}
	var keys []ledger.LogKey
	start := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	for i, origin := range []string{one, two, three} {
		f := newFakeOf(t, origin, start)
		r.logs[origin] = f
		keys = append(keys, ledger.LogKey{Origin: origin, Key: f.key.Public(), Start: start.Add(time.Duration(i) * time.Second)})
	}
	chain, err := tsa.NewChain(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.root, err = ledger.TrustedRoot(keys, chain); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *row) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	log := r.logs[r.current]
	if rest, ok := strings.CutPrefix(req.URL.Path, ledger.ShardsPath); ok {
		origin, path, _ := strings.Cut(rest, "/")
		if log = nil; r.shown[origin] {
			log = r.logs[origin]
		}
		req.URL.Path = "/" + path
	}
	r.mu.Unlock()
	if log == nil {
		http.NotFound(w, req)
		return
	}
	log.ServeHTTP(w, req)
}

// rotate freezes the current log and lets another take the entries.
func (r *row) rotate(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown[r.current] = true
	r.current = to
	r.logs[to].grow(2)
}

// visit visits with a monitor that is opened for it.
func (r *row) visit() ([]*Report, error) {
	r.t.Helper()
	c, err := client.New(r.url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.alerts = nil
	s, err := openShards(r.fs, Config{Dir: "/m", Log: c, TrustedRoot: r.root, Tell: func(_ context.Context, a Alert) error {
		r.alerts = append(r.alerts, a)
		return nil
	}}, &r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close()
	return s.Visit(r.t.Context())
}

// quiet wants a visit to say nothing, and these logs to be as large.
func (r *row) quiet(sizes ...uint64) []*Report {
	r.t.Helper()
	reports, err := r.visit()
	var got []uint64
	for i, rep := range reports {
		got = append(got, rep.Size)
		if rep.Frozen != (i < len(reports)-1) {
			r.t.Errorf("report %d of %d is of a frozen log: %v", i, len(reports), rep.Frozen)
		}
	}
	if err != nil || len(r.alerts) > 0 || !slices.Equal(got, sizes) {
		r.t.Fatalf("%v: told %+v, sizes %v, want %v", err, r.alerts, got, sizes)
	}
	return reports
}

// caught wants one alert of a kind about a log.
func (r *row) caught(kind Kind, origin string) Alert {
	r.t.Helper()
	if _, err := r.visit(); err != nil || len(r.alerts) != 1 || r.alerts[0].Alert != kind || r.alerts[0].Origin != origin {
		r.t.Fatalf("want %s of %q, got error %v, alerts %+v", kind, origin, err, r.alerts)
	}
	return r.alerts[0]
}

// A monitor goes on with the log that took over, and with those before it.
func TestShardsAreFollowed(t *testing.T) {
	t.Parallel()
	r := newRow(t)
	r.logs[one].grow(300)
	if absent := r.quiet(300)[0].Absent; !slices.Equal(absent, []string{two, three}) {
		t.Errorf("not shown are %v", absent)
	}
	r.logs[one].grow(7) // since the last visit, and then it ends
	r.rotate(two)
	if before := r.quiet(307, 2)[0]; *before.Before != 300 || before.Entries != 7 || !before.Ended {
		t.Errorf("of the log that ended: %+v", before)
	}
	r.logs[two].grow(5)
	r.rotate(three)
	reports := r.quiet(307, 7, 2)
	if reports[0].Entries != 0 || reports[0].Ended || !reports[1].Ended || reports[2].Ended || reports[1].Entries != 5 || len(reports[2].Absent) > 0 {
		t.Errorf("%+v, %+v, %+v", reports[0], reports[1], reports[2])
	}
	r.quiet(307, 7, 2)

	// and whoever never was there reads them all
	r.fs = disktest.New()
	r.quiet(307, 7, 2)
}

// A log that ended goes on, is another one now, is hidden, or takes entries
// again.
func TestAttackFrozenLog(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		attack func(*row)
		kind   Kind
	}{
		"it goes on":                  {func(r *row) { r.logs[one].grow(1) }, Thawed},
		"another history":             {func(r *row) { r.logs[one] = r.logs[one].other(3).grow(9) }, SplitView},
		"another history, larger":     {func(r *row) { r.logs[one] = r.logs[one].other(3).grow(20) }, Thawed},
		"fewer entries":               {func(r *row) { r.logs[one] = r.logs[one].other(99).grow(8) }, RolledBack},
		"not shown any more":          {func(r *row) { delete(r.shown, one) }, Missing},
		"another log shown in place":  {func(r *row) { r.logs[one] = r.logs[two] }, Unsigned},
		"a stranger's shown in place": {func(r *row) { r.logs[one] = newFakeOf(r.t, one, time.Now()).grow(9) }, Unsigned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRow(t)
			r.logs[one].grow(9)
			r.quiet(9)
			r.rotate(two)
			r.quiet(9, 2)
			honest := maps.Clone(r.logs)
			tt.attack(r)
			a := r.caught(tt.kind, one)
			if !a.Alert.Breach() {
				t.Errorf("%s is no breach", a.Alert)
			}
			if tt.kind == Thawed && (len(a.Evidence) != 2 || !strings.Contains(a.Text, "ended with 9 entries")) {
				t.Errorf("told %+v", a)
			}
			if name == "it goes on" {
				return
			}
			r.logs, r.shown[one] = honest, true
			r.quiet(9, 2)
		})
	}
	r := newRow(t)
	r.logs[one].grow(9)
	r.rotate(two)
	r.quiet(9, 2)
	r.shown[two], r.current = true, one
	if a := r.caughtFirst(Thawed, one); !strings.Contains(a.Text, "is the one that takes entries") {
		t.Errorf("told %+v", a)
	}
}

// caughtFirst wants an alert of a kind about a log among others.
func (r *row) caughtFirst(kind Kind, origin string) Alert {
	r.t.Helper()
	_, err := r.visit()
	i := slices.IndexFunc(r.alerts, func(a Alert) bool { return a.Alert == kind && a.Origin == origin })
	if err != nil || i < 0 {
		r.t.Fatalf("want %s of %q, got error %v, alerts %+v", kind, origin, err, r.alerts)
	}
	return r.alerts[i]
}

// A log that took over and is not trusted, one that has no entry yet, and one
// that is trusted no more.
func TestShardsAndTrust(t *testing.T) {
	t.Parallel()
	r := newRow(t)
	r.logs[one].grow(3)
	r.quiet(3)
	r.rotate(two)
	r.logs["unknown.example"] = newFakeOf(t, "unknown.example", time.Now()).grow(1)
	r.current = "unknown.example"
	if a := r.caught(Unsigned, ""); !strings.Contains(a.Text, "unknown.example") || len(a.Evidence) != 1 {
		t.Errorf("told %+v", a)
	}
	r.current = "nothing.example"
	if _, err := r.visit(); err == nil || len(r.alerts) > 0 {
		t.Errorf("of a log without a checkpoint: %v, told %+v", err, r.alerts)
	}
	r.current = two
	r.quiet(3, 2)
	chain, err := tsa.NewChain(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.root, err = ledger.TrustedRoot([]ledger.LogKey{{Origin: two, Key: r.logs[two].key.Public(), Start: time.Now()}}, chain); err != nil {
		t.Fatal(err)
	}
	r.quiet(2)
}

// Of a server that does not answer it is still told that a log is silent.
func TestShardsOfAServerThatIsAway(t *testing.T) {
	t.Parallel()
	r := newRow(t)
	r.logs[one].grow(3)
	r.quiet(3)
	r.logs[one].tamper = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	r.o.MaxAge = time.Nanosecond
	if _, err := r.visit(); err == nil || len(r.alerts) != 1 || r.alerts[0].Alert != Stale {
		t.Errorf("%v: told %+v", err, r.alerts)
	}
}
