package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/ledger/monitor"
)

// told returns the alerts a run told, a line each.
func told(t *testing.T, o outcome) (alerts []monitor.Alert) {
	t.Helper()
	for line := range strings.Lines(o.stdout) {
		var a monitor.Alert
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if a.Alert != "" {
			alerts = append(alerts, a)
		}
	}
	return alerts
}

func TestMonitor(t *testing.T) {
	dir := home(t)
	s := newServer(t)
	root := filepath.Join(dir, "trusted_root.json")
	if err := os.WriteFile(root, s.trustedRoot, 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, 2, "nothing says which log key to trust", "monitor", "--server", s.url, "--state", "seen", "--once")
	fails(t, 2, "too often", "monitor", "--server", s.url, "--state", "seen", "--trusted-root", root, "--every", "1ms")
	fails(t, 2, "--once, --every", "monitor", "--server", s.url, "--state", "seen", "--trusted-root", root, "--every", "1m", "--once")

	watch := []string{"monitor", "--server", s.url, "--state", "seen", "--trusted-root", root, "--once"}
	if err := s.journal.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := cli(t, watch...); o.code != 0 || o.stdout+o.stderr != "" {
		t.Errorf("in a pipe: exit code %d, %q, %q", o.code, o.stdout, o.stderr)
	}
	if r := answer[monitor.Report](t, watch...); r.Size == 0 || r.Before == nil || *r.Before != r.Size || r.Breach {
		t.Errorf("%+v", r)
	}

	// a quorum nobody cosigned for
	policy := filepath.Join(dir, "log.policy")
	ok(t, "witness", "init", "w", "--name", "w.example")
	vkey := answer[struct{ VKey string }](t, "witness", "init", "w2", "--name", "w2.example").VKey
	if err := os.WriteFile(policy, []byte("witness w "+vkey+"\nquorum w\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pager, got := filepath.Join(dir, "pager"), filepath.Join(dir, "got")
	if err := os.WriteFile(pager, []byte("#!/bin/sh\ncat >>"+got+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := cli(t, append(watch, "--log-policy", policy, "--exec", pager)...)
	if a := told(t, o); o.code != 6 || len(a) != 1 || a[0].Alert != monitor.Unseen || len(a[0].Evidence) != 1 {
		t.Errorf("exit code %d: %q, %q", o.code, o.stdout, o.stderr)
	}
	if paged, err := os.ReadFile(got); err != nil || string(paged) != o.stdout {
		t.Errorf("the program got %q, %v", paged, err)
	}

	// the journal's key is watched: every segment is told
	o = cli(t, "monitor", "--server", s.url, "--state", "seen2", "--trusted-root", root, "--once", "--watch", s.journalKey(t))
	if a := told(t, o); o.code != 3 || len(a) == 0 || a[0].Alert != monitor.WatchedKey || *a[0].Index != 0 || a[0].Name != "journal.pem.pub" {
		t.Errorf("exit code %d: %q, %q", o.code, o.stdout, o.stderr)
	}
}

// journalKey writes the key that signs the journal's segments.
func (s *testServer) journalKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.pem.pub")
	if err := os.WriteFile(path, s.journalPublic.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
