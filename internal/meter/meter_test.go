package meter

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// full is a state with a value for everything.
func full() State {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	return State{
		Ready: true, Errors: 1,
		Damage:  Damage{Open: map[string]int64{"blob": 2}, Acknowledged: map[string]int64{"blob": 1}, Found: map[string]int64{"blob": 5}, Unlisted: 3, Last: at},
		Scrub:   Scrub{Every: time.Hour, Running: true, Objects: 3, Bytes: 30, Last: Pass{at, at.Add(time.Minute), 9, 90, 2, 1}},
		Journal: Journal{Up: true, Records: 100, Sealed: 90, Oldest: time.Now().Add(-time.Hour)},
		Log:     Log{12, at, time.Now().Add(-time.Minute)}, Indexed: 98,
		Witnesses: []Witness{{"one", map[string]int64{"cosigned": 8, "silent": 2}, at}, {"two", map[string]int64{"cosigned": 0}, time.Time{}}},
		Trust:     map[string]time.Time{"root": at, "timestamp": {}},
		Decisions: Decisions{7, 1, map[string]uint64{"ENV_MISMATCH": 4}},
		Disputes:  map[string]int64{"yes": 1, "no": 2},
		Uploads:   2, Stored: map[string]int64{"p": 1000}, Quota: 2000, DiskFree: 10, DiskSize: 100, DiskLow: true,
		Pending: map[string]int64{"ops": 6},
	}
}

// scrape returns what a scrape of m gets.
func scrape(t *testing.T, m *Meter) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// wants wants lines in a scrape.
func wants(t *testing.T, got string, lines ...string) {
	t.Helper()
	have := strings.Split(got, "\n")
	for _, line := range lines {
		if !slices.Contains(have, line) {
			t.Errorf("no line %q", line)
		}
	}
}

func TestScrape(t *testing.T) {
	m := New(Config{Version: "v1", Read: full})
	m.Hit(LimitToken)
	m.Collected(Collected{1, 2, 3, 4, 5})
	m.Collected(Collected{Tags: 1})
	got := scrape(t, m)
	wants(t, got,
		`patchfitd_build_info{version="v1"} 1`, "patchfitd_ready 1", "patchfitd_read_errors 1",
		`patchfitd_damage_open{kind="blob"} 2`, `patchfitd_damage_acknowledged{kind="blob"} 1`, `patchfitd_damage_found_total{kind="blob"} 5`,
		"patchfitd_damage_unlisted 3", "patchfitd_damage_last_seen_timestamp_seconds 1.7829072e+09",
		"patchfitd_scrub_interval_seconds 3600", "patchfitd_scrub_running 1", "patchfitd_scrub_objects 3", "patchfitd_scrub_bytes 30",
		"patchfitd_scrub_last_pass_timestamp_seconds 1.78290726e+09", "patchfitd_scrub_last_pass_seconds 60",
		"patchfitd_scrub_last_pass_objects 9", "patchfitd_scrub_last_pass_bytes 90", "patchfitd_scrub_last_pass_damaged 2", "patchfitd_scrub_last_pass_unread 1",
		"patchfitd_journal_up 1", "patchfitd_journal_records_total 100", "patchfitd_journal_unsealed_records 10",
		"patchfitd_log_entries_total 12", "patchfitd_log_checkpoint_timestamp_seconds 1.7829072e+09", "patchfitd_index_lag_records 2",
		`patchfitd_witness_requests_total{outcome="silent",witness="one"} 2`, `patchfitd_witness_requests_total{outcome="cosigned",witness="two"} 0`,
		`patchfitd_witness_cosigned_timestamp_seconds{witness="one"} 1.7829072e+09`, `patchfitd_witness_cosigned_timestamp_seconds{witness="two"} 0`,
		`patchfitd_tuf_expiry_timestamp_seconds{role="root"} 1.7829072e+09`, `patchfitd_tuf_expiry_timestamp_seconds{role="timestamp"} 0`,
		`patchfitd_decisions_total{outcome="allow",reason=""} 7`, `patchfitd_decisions_total{outcome="unrecorded",reason=""} 1`,
		`patchfitd_decisions_total{outcome="deny",reason="ENV_MISMATCH"} 4`,
		`patchfitd_rebuild_disputes{pauses="yes"} 1`, `patchfitd_rebuild_disputes{pauses="no"} 2`,
		"patchfitd_uploads_open 2", `patchfitd_stored_bytes{product="p"} 1000`, "patchfitd_quota_bytes 2000",
		"patchfitd_disk_free_bytes 10", "patchfitd_disk_size_bytes 100", "patchfitd_disk_low 1",
		`patchfitd_notifications_pending_records{endpoint="ops"} 6`,
		`patchfitd_limits_hit_total{limit="token"} 1`, `patchfitd_limits_hit_total{limit="host"} 0`,
		`patchfitd_collected_total{what="tags"} 2`, `patchfitd_collected_total{what="objects"} 4`, "patchfitd_collected_bytes_total 5",
		`patchfitd_requests_total{code="aborted",route="blob"} 0`,
	)
	if lag := regexp.MustCompile(`(?m)^patchfitd_journal_seal_lag_seconds 36\d\d(\.|$)`); !lag.MatchString(got) {
		t.Error("the journal does not lag by an hour")
	}
	if waits := regexp.MustCompile(`(?m)^patchfitd_log_unpublished_seconds 6\d(\.|$)`); !waits.MatchString(got) {
		t.Error("no checkpoint waits for a minute")
	}
}

// TestEmptyState: a server about which nothing is known yet says no alarm.
func TestEmptyState(t *testing.T) {
	wants(t, scrape(t, New(Config{Read: func() State { return State{} }})),
		"patchfitd_ready 0", "patchfitd_journal_up 0", "patchfitd_damage_last_seen_timestamp_seconds 0", "patchfitd_journal_seal_lag_seconds 0",
		"patchfitd_scrub_last_pass_timestamp_seconds 0", "patchfitd_scrub_last_pass_seconds 0", "patchfitd_log_unpublished_seconds 0")
}

var family = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)

// TestEveryMetricIsListed holds the list against what a scrape has, and
// docs/spec/metrics.md against the list.
func TestEveryMetricIsListed(t *testing.T) {
	m := New(Config{Version: "v", Read: full})
	m.Requests(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	listed, got := make(map[string]string), make(map[string]string)
	for _, m := range Metrics() {
		listed[m.Name] = m.Type
	}
	for _, f := range family.FindAllStringSubmatch(scrape(t, m), -1) {
		if !strings.HasPrefix(f[1], "go_") && !strings.HasPrefix(f[1], "process_") {
			got[f[1]] = f[2]
		}
	}
	if diff := cmp.Diff(listed, got); diff != "" {
		t.Errorf("a scrape has others than the list (-listed +got):\n%s", diff)
	}
	page, err := os.ReadFile("../../docs/spec/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	row := regexp.MustCompile("(?m)^\\| `(patchfitd_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\|")
	for _, r := range row.FindAllStringSubmatch(string(page), -1) {
		documented[r[1]] = r[2] + " " + strings.Join(regexp.MustCompile("`(\\w+)`").FindAllString(r[3], -1), " ")
	}
	want := make(map[string]string)
	for _, m := range Metrics() {
		var labels []string
		for _, l := range m.Labels {
			labels = append(labels, "`"+l+"`")
		}
		want[m.Name] = m.Type + " " + strings.Join(labels, " ")
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("the page lists others (-want +page):\n%s", diff)
	}
}

// TestOpenMetrics: who asks for it gets it.
func TestOpenMetrics(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	New(Config{Read: full}).Handler().ServeHTTP(w, r)
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(w.Body.String(), "# EOF\n") {
		t.Errorf("%s\n%s", w.Header().Get("Content-Type"), w.Body)
	}
}

func TestRoutes(t *testing.T) {
	for path, want := range map[string]string{
		"/v2/": "ping", "/v2": "ping", "/v2/_catalog": "catalog", "/v2/a/tags/list": "tags",
		"/v2/a/manifests/latest": "manifest", "/v2/a/b/c/blobs/sha256:00": "blob", "/v2/a/referrers/sha256:00": "referrers",
		"/v2/a/blobs/uploads/": "upload", "/v2/a/blobs/uploads/6f": "upload",
		"/v2/manifests/blobs/blobs/sha256:00": "blob", "/v2/a/uploads/x": "other", "/v2/x": "other", "/v2//": "other",
		"/token": "token", "/token/": "other", "/v1/enrol": "api", "/v1/audit/decisions": "audit", "/api/v1/timestamp": "timestamp",
		"/api/v2/log/entries": "log", "/trusted_root.json": "material", "/signing_config.json": "material", "/readyz": "ready",
		"": "other", "/": "other", "/v3/": "other", "/v2a": "other",
	} {
		if got := routeNames[routeOf(path)]; got != want {
			t.Errorf("%q is %s, want %s", path, got, want)
		}
	}
}

// TestRequests: every answer is counted once, by what went out.
func TestRequests(t *testing.T) {
	m := New(Config{Read: func() State { return State{} }})
	srv := httptest.NewServer(m.Requests(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/a/blobs/sha256:aborted":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "x")
			panic(http.ErrAbortHandler)
		case "/v2/a/manifests/hints":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusForbidden)
			w.WriteHeader(http.StatusTeapot) // too late
		case "/v2/a/blobs/sha256:copied":
			if _, err := io.Copy(w, strings.NewReader("whole")); err != nil {
				t.Error(err)
			}
		case "/token":
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Errorf("what is beneath cannot be reached: %v", err)
			}
			w.(http.Flusher).Flush()
		}
	})))
	defer srv.Close()
	for _, path := range []string{"/v2/a/blobs/sha256:aborted", "/v2/a/manifests/hints", "/v2/a/blobs/sha256:copied", "/token", "/token", "/nothing"} {
		if r, err := http.Get(srv.URL + path); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
	}
	got := scrape(t, m)
	wants(t, got, `patchfitd_requests_total{code="aborted",route="blob"} 1`, `patchfitd_requests_total{code="403",route="manifest"} 1`,
		`patchfitd_requests_total{code="200",route="blob"} 1`, `patchfitd_requests_total{code="200",route="token"} 2`,
		`patchfitd_requests_total{code="200",route="other"} 1`, `patchfitd_request_duration_seconds_count{route="blob"} 2`)
	if strings.Contains(got, `code="103"`) || strings.Contains(got, `code="418"`) {
		t.Error("something was counted that was no answer")
	}
}

// TestCountingAllocatesNothing: it is on the way of every read.
func TestCountingAllocatesNothing(t *testing.T) {
	m := New(Config{Read: func() State { return State{} }})
	h := m.Requests(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	r := httptest.NewRequest(http.MethodGet, "/v2/lib/greet/manifests/v1", nil)
	w := silent{}
	if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r); m.Hit(LimitHost) }); n >= 1 {
		t.Errorf("%v allocations for one request", n)
	}
}

type silent struct{}

func (silent) Header() http.Header         { return nil }
func (silent) Write(b []byte) (int, error) { return len(b), nil }
func (silent) WriteHeader(int)             {}

// TestLabels: every label's values are known beforehand, and none repeats.
func TestLabels(t *testing.T) {
	for kind, names := range map[string][]string{"route": routeNames[:], "limit": limitNames[:]} {
		if set := slices.Compact(slices.Sorted(slices.Values(names))); len(set) != len(names) || slices.Contains(set, "") {
			t.Errorf("the names of each %s: %q", kind, names)
		}
	}
}
