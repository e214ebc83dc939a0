package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/auth"
)

func patchfitd(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

// TestAdminToken: a lost admin token is replaced on the server, visibly, and
// not while the server runs.
func TestAdminToken(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "patchfitd.yaml")
	if code, _, stderr := patchfitd(t, "init", "--config", config, "--data", filepath.Join(dir, "data")); code != 0 {
		t.Fatalf("init: exit code %d\n%s", code, stderr)
	}
	file := filepath.Join(dir, "token")
	if code, stdout, stderr := patchfitd(t, "admin-token", "--config", config, "--name", "alice", "--ttl", "24h", "-o", file); code != 0 || stdout != "" {
		t.Fatalf("admin-token: exit code %d, printed %q\n%s", code, stdout, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info.Mode(), err)
	}
	h, err := openHouse(t.Context(), config, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := h.state.TokenPrincipal(auth.TokenMAC(h.keys.pepper, strings.TrimSpace(string(text))))
	if !ok || p.Name != "alice" || p.By != p.ID || p.Expires.IsZero() || !strings.Contains(strings.Join(h.state.Roles(p.ID, "*"), " "), "admin") {
		t.Errorf("the token is of %+v", p)
	}
	records := 0
	for r, err := range h.journal.Records(1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == ledger.KindPrincipal {
			records++
		}
	}
	if records != 2 {
		t.Errorf("%d principals in the journal, want 2", records)
	}
	if code, _, stderr := patchfitd(t, "admin-token", "--config", config); code != exit.Failure || !strings.Contains(stderr, "in use by another patchfitd") {
		t.Errorf("while the server runs: exit code %d\n%s", code, stderr)
	}
	if err := h.close(); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{"-o", file}, {"--ttl", "-1h"}, {"--ttl", "1ms"}} {
		if code, _, stderr := patchfitd(t, append([]string{"admin-token", "--config", config}, args...)...); code != exit.Usage {
			t.Errorf("%v: exit code %d\n%s", args, code, stderr)
		}
	}
}
