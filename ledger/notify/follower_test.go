package notify

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

func TestEventsArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, in := new(book), new(inbox)
		b.tags(t, 2) // before anybody listens
		n := start(t, disktest.New(), config(b, endpoint("a"), endpoint("b")), in)
		defer n.Close()
		b.tags(t, 20)
		time.Sleep(time.Second)
		want := wanted(t, b, 5)
		for _, host := range []string{"a.example", "b.example"} {
			if diff := cmp.Diff(want, in.ids(host)); diff != "" {
				t.Errorf("%s: %s", host, diff)
			}
		}
	})
}

// TestGoesOnWhereItWas: what was taken before a stop is not sent again, what
// came meanwhile is.
func TestGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, in, fs := new(book), new(inbox), disktest.New()
		n := start(t, fs, config(b, endpoint("a")), in)
		b.tags(t, 3)
		time.Sleep(time.Second)
		n.Close()
		b.tags(t, 3)
		n = start(t, fs.Cut(), config(b, endpoint("a")), in)
		time.Sleep(time.Second)
		n.Close()
		if diff := cmp.Diff(wanted(t, b, 1), in.ids("a.example")); diff != "" {
			t.Error(diff)
		}
	})
}

// TestKilledBeforeTheCursorWasWritten: what was delivered comes again, with
// the same id and the same bytes.
func TestKilledBeforeTheCursorWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, in, fs := new(book), new(inbox), disktest.New()
		n := start(t, fs, config(b, endpoint("a")), in)
		fs.Break(func(string) disktest.Fault { return disktest.Dead })
		b.tags(t, 1)
		time.Sleep(time.Second)
		n.Close()
		n = start(t, fs.Kill(), config(b, endpoint("a")), in)
		time.Sleep(time.Second)
		n.Close()
		if len(in.posts) != 2 || in.posts[0].id != in.posts[1].id || in.posts[0].body != in.posts[1].body {
			t.Errorf("got %+v, want the same event twice", in.posts)
		}
	})
}

// TestBackoff: an endpoint that is away is tried again ever more rarely, for
// ever, and the event is neither lost nor overtaken.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, log := new(book), new(logbook)
		back := time.Now().Add(30 * time.Hour)
		in := &inbox{answer: func(post) (*http.Response, error) {
			if time.Now().Before(back) {
				return nil, errors.New("connection refused")
			}
			return status(200), nil
		}}
		n, err := open(disktest.New(), config(b, endpoint("a")), &Options{Transport: in, Logger: slog.New(log)})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		b.tags(t, 2)
		time.Sleep(31 * time.Hour)
		if diff := cmp.Diff(wanted(t, b, 1), once(in.ids("a.example"))); diff != "" {
			t.Error(diff)
		}
		checkWaits(t, in.posts)
		if w, e := log.count("WARN a notification is not delivered"), log.count("ERROR a notification is not delivered"); w != 1 || e < 28 || e > 30 {
			t.Errorf("%d warnings and %d errors in 30 hours, want 1 and about 29", w, e)
		}
		if log.count("notifications go on") != 1 {
			t.Error("nobody was told that it goes on")
		}
	})
}

func checkWaits(t *testing.T, posts []post) {
	t.Helper()
	want := time.Second
	for i := range len(posts) - 3 { // the last ones went well
		wait := posts[i+1].at.Sub(posts[i].at)
		if wait < want/2 || wait > want {
			t.Fatalf("attempt %d after %v, want %v to %v", i+2, wait, want/2, want)
		}
		want = min(2*want, longestWait)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want time.Duration
	}{
		"seconds":       {"90", 90 * time.Second},
		"a date":        {"Sat, 01 Jan 2000 00:02:00 GMT", 2 * time.Minute}, // synctest begins at 2000
		"a week is not": {"604800", longestAsked},
		"nonsense":      {"soon", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := new(book)
				in := &inbox{}
				in.answer = func(post) (*http.Response, error) {
					if len(in.posts) > 1 {
						return status(200), nil
					}
					r := status(429)
					r.Header.Set("Retry-After", tc.text)
					return r, nil
				}
				n := start(t, disktest.New(), config(b, endpoint("a")), in)
				defer n.Close()
				b.tags(t, 1)
				time.Sleep(2 * time.Hour)
				if len(in.posts) != 2 {
					t.Fatalf("%d attempts, want 2", len(in.posts))
				}
				if wait := in.posts[1].at.Sub(in.posts[0].at); wait < tc.want-time.Second || wait > tc.want+time.Second {
					t.Errorf("tried again after %v, want %v", wait, tc.want)
				}
			})
		})
	}
}

// TestRefusedEventIsSetAside: after GiveUpAfter an event the endpoint does not
// want is a file, and the next one goes out. It is never just gone.
func TestRefusedEventIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, fs, log := new(book), disktest.New(), new(logbook)
		b.tags(t, 3)
		poison := wanted(t, b, 1)[1]
		all := wanted(t, b, 1)
		b = &book{}
		in := &inbox{answer: func(p post) (*http.Response, error) {
			if p.id == poison {
				return status(400), nil
			}
			return status(202), nil
		}}
		n, err := open(fs, config(b, endpoint("a")), &Options{Transport: in, Logger: slog.New(log)})
		if err != nil {
			t.Fatal(err)
		}
		b.tags(t, 3)
		time.Sleep(DefaultGiveUpAfter - time.Minute)
		if got := fs.Files(dir + "/a.refused"); len(got) != 0 || once(in.ids("a.example"))[1] != poison {
			t.Fatalf("given up early: %v", got)
		}
		time.Sleep(longestWait + 2*time.Minute)
		n.Close()
		if diff := cmp.Diff(all, once(in.ids("a.example"))); diff != "" {
			t.Error(diff)
		}
		file := filepath.Join(dir, "a.refused", poison+".json")
		kept, err := fs.Cut().ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(in.posts, func(p post) bool { return p.id == poison }); string(kept) != in.posts[i].body {
			t.Errorf("set aside %s, sent was %s", kept, in.posts[i].body)
		}
		if log.count("ERROR a notification was refused for too long and is set aside") != 1 {
			t.Errorf("logged %q", log.lines)
		}
	})
}

// TestWhatMayPassIsNeverGivenUp: a server error, a limit, a redirect.
func TestWhatMayPassIsNeverGivenUp(t *testing.T) {
	for _, code := range []int{301, 307, 408, 425, 429, 500, 502, 503} {
		synctest.Test(t, func(t *testing.T) {
			b, fs := new(book), disktest.New()
			in := &inbox{answer: func(post) (*http.Response, error) { return status(code), nil }}
			n := start(t, fs, config(b, endpoint("a")), in)
			b.tags(t, 2)
			time.Sleep(48 * time.Hour)
			n.Close()
			if got := once(in.ids("a.example")); len(got) != 1 || len(fs.Files(dir)) != 1 {
				t.Errorf("after %d: told of %v, files %v; want the first event held on to", code, got, fs.Files(dir))
			}
		})
	}
}

// TestSlowEndpointHoldsUpNobody: one never answers, the other gets everything,
// and Close does not wait for the one.
func TestSlowEndpointHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(book)
		in := &inbox{answer: func(p post) (*http.Response, error) {
			if p.host == "slow.example" {
				time.Sleep(DefaultTimeout)
				return nil, errors.New("no answer")
			}
			return status(200), nil
		}}
		n := start(t, disktest.New(), config(b, endpoint("slow"), endpoint("quick")), in)
		b.tags(t, 50)
		time.Sleep(time.Second)
		if diff := cmp.Diff(wanted(t, b, 1), in.ids("quick.example")); diff != "" {
			t.Error(diff)
		}
		n.Close()
	})
}

// TestCursorFaults breaks each operation on the disk in each way, with power
// cut afterwards: whatever happens, every event arrives, in order, and what
// comes twice is the same event.
func TestCursorFaults(t *testing.T) {
	for _, fault := range []disktest.Fault{disktest.Fails, disktest.Lies, disktest.Half} {
		for nth := range 14 {
			t.Run(fmt.Sprintf("fault %d at %d", fault, nth), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { cursorFault(t, nth, fault) })
			})
		}
	}
}

func cursorFault(t *testing.T, nth int, fault disktest.Fault) {
	b, in, fs := new(book), new(inbox), disktest.New()
	n := start(t, fs, config(b, endpoint("a")), in)
	fs.BreakNth(nth, fault)
	for range 3 {
		b.tags(t, 2)
		time.Sleep(3 * time.Second)
	}
	n.Close()
	b.tags(t, 1)
	n = start(t, fs.Cut(), config(b, endpoint("a")), in)
	time.Sleep(time.Second)
	n.Close()
	if diff := cmp.Diff(wanted(t, b, 1), once(in.ids("a.example"))); diff != "" {
		t.Error(diff)
	}
}

// TestOpenNeedsACursor: an endpoint whose place cannot be kept is an error at
// the start, not events lost after a crash.
func TestOpenNeedsACursor(t *testing.T) {
	fs := disktest.New()
	fs.Break(func(op string) disktest.Fault {
		if strings.HasPrefix(op, "sync ") {
			return disktest.Fails
		}
		return disktest.None
	})
	if n, err := open(fs, config(new(book), endpoint("a")), nil); err == nil {
		n.Close()
		t.Error("opened without a place to go on from")
	}
}

func TestDamagedCursor(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "torn": `{"sequence":`, "negative": `{"sequence":-1}`, "unknown": `{"sequence":1,"x":2}`, "zeros": "\x00\x00",
	} {
		fs := disktest.New()
		n := start(t, fs, config(new(book), endpoint("a")), new(inbox))
		n.Close()
		fs.Corrupt(dir+"/a.cursor", func([]byte) []byte { return []byte(text) })
		_, err := open(fs, config(new(book), endpoint("a")), nil)
		if err == nil || !strings.Contains(err.Error(), "a.cursor") {
			t.Errorf("%s: got %v, want an error that names the file", name, err)
		}
	}
}

// TestRestoredBackup: a cursor that is ahead of the journal begins at its end,
// and the ids of what then takes the old sequences are new.
func TestRestoredBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, in, fs := new(book), new(inbox), disktest.New()
		n := start(t, fs, config(b, endpoint("a")), in)
		b.tags(t, 3)
		time.Sleep(time.Second)
		n.Close()
		old := &book{records: slices.Clone(b.records[:2]), salt: "another sixteen!"}
		n = start(t, fs, config(old, endpoint("a")), in)
		old.tags(t, 1)
		time.Sleep(time.Second)
		n.Close()
		ids := in.ids("a.example")
		if len(ids) != 4 || ids[3] == ids[1] {
			t.Errorf("got %v, want a fourth event with an id of its own", ids)
		}
	})
}

func TestEndpointsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Endpoint){
		"no name":         func(e *Endpoint) { e.Name = "" },
		"a path":          func(e *Endpoint) { e.Name = "../keys" },
		"plain http":      func(e *Endpoint) { e.URL = "http://example.org/" },
		"another scheme":  func(e *Endpoint) { e.URL = "ftp://example.org/" },
		"a user":          func(e *Endpoint) { e.URL = "https://me:pw@example.org/" },
		"no secret":       func(e *Endpoint) { e.Secrets = nil },
		"a short secret":  func(e *Endpoint) { e.Secrets = [][]byte{secret[:23]} },
		"three secrets":   func(e *Endpoint) { e.Secrets = [][]byte{secret, secret, secret} },
		"an unknown type": func(e *Endpoint) { e.Types = []string{"manifest"} },
		"a negative time": func(e *Endpoint) { e.Timeout = -1 },
	} {
		e := endpoint("a")
		change(&e)
		if n, err := open(disktest.New(), config(new(book), e), nil); err == nil {
			n.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	if n, err := open(disktest.New(), config(new(book), endpoint("a"), endpoint("a")), nil); err == nil {
		n.Close()
		t.Error("two endpoints with one cursor")
	}
}
