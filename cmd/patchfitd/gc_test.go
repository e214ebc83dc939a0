package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/registry/content"
)

// leftOver puts bytes that are in no repository into a data directory, as a
// crash leaves them, and returns their file.
func leftOver(t *testing.T, config string) string {
	t.Helper()
	root := filepath.Join(filepath.Dir(config), "data", registryDir)
	if _, err := content.OpenDisk(root); err != nil {
		t.Fatal(err)
	}
	b := []byte("left over")
	d := attest.DigestOf(b)
	file := filepath.Join(root, "blobs/sha256", d.Hex()[:2], d.Hex())
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-36 * time.Hour)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
	return file
}

func exists(file string) bool { _, err := os.Stat(file); return err == nil }

// TestGC: a dry run changes nothing and says what a run does; the grace is the
// configured one unless it is given.
func TestGC(t *testing.T) {
	config := newData(t, "registry: {gc: {every: 24h, grace: 48h}}\n")
	file := leftOver(t, config)
	for _, tt := range []struct {
		args  string
		says  string
		after bool
	}{
		{"gc", "removed from the disk: 0 blobs", true},
		{"gc --dry-run --grace 24h", "would be removed from the disk: 1 blobs of 9 bytes", true},
		{"gc --grace 24h", "removed from the disk: 1 blobs of 9 bytes", false},
		{"gc --grace 24h", "removed from the disk: 0 blobs", false},
	} {
		var out, log bytes.Buffer
		code := run(t.Context(), append(strings.Fields(tt.args), "--config", config), &out, &log)
		if code != 0 || !strings.Contains("\n"+out.String(), "\n"+tt.says) || exists(file) != tt.after {
			t.Errorf("%s: exit %d, %s%s; the file is there: %v", tt.args, code, out.String(), log.String(), exists(file))
		}
	}
	for _, args := range []string{"gc --grace 0s", "gc --grace -1h", "gc now"} {
		if code := run(t.Context(), append(strings.Fields(args), "--config", config), io.Discard, io.Discard); code != exit.Usage {
			t.Errorf("%s: exit %d", args, code)
		}
	}
}

// TestGCOfARunningServer: there is one collector at a time.
func TestGCOfARunningServer(t *testing.T) {
	config := newData(t, "")
	h, err := openHouse(t.Context(), config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	var log bytes.Buffer
	if code := run(t.Context(), []string{"gc", "--config", config}, io.Discard, &log); code != exit.Failure || !strings.Contains(log.String(), "in use by another patchfitd") {
		t.Errorf("exit %d: %s", code, log.String())
	}
}

// TestChores: a running server collects and scrubs by itself, and stops.
func TestChores(t *testing.T) {
	config := newData(t, "registry: {gc: {every: 5ms}, scrub: {every: 5ms, rate: 1GiB}, retention: [{untagged: 720h}]}\n")
	file := leftOver(t, config)
	said := make(lines, 1024)
	h, err := openHouse(t.Context(), config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	h.logger = slog.New(slog.NewTextHandler(said, nil))
	defer h.close()
	store, err := h.openContent()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.tend(store, func(do func() error) error { return do() }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"objects=1 bytes=9 complete=true", `msg="scrubbing is done"`} {
		for line := ""; !strings.Contains(line, want); {
			select {
			case line = <-said:
			case <-t.Context().Done():
				t.Fatalf("nothing says %q", want)
			}
		}
	}
	if exists(file) {
		t.Error("the bytes are there")
	}
	if err := h.close(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// lines gives what is logged to a test; what nobody takes is dropped.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}

// TestPeriods: the first time is soon, and a stop is at once.
func TestPeriods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, done := time.Now(), make(chan struct{})
		var at []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(done)
			periodically(ctx, 24*time.Hour, func() {
				if at = append(at, time.Since(began)); len(at) == 2 {
					cancel()
				}
			})
		}()
		<-done
		if len(at) != 2 || at[0] != settle || at[1] != settle+24*time.Hour {
			t.Errorf("done at %v", at)
		}
	})
}

func TestBadRule(t *testing.T) {
	h := &house{config: &serverconfig.Config{}, logger: slog.New(slog.DiscardHandler)}
	h.config.Registry.Retention = []serverconfig.Retention{{Tags: "x"}}
	if err := h.tend(nil, nil); err == nil || !strings.Contains(err.Error(), "retention rule 1: tags and keepLast") {
		t.Errorf("error %v", err)
	}
}
