package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
)

// running starts a new server and returns its address.
func running(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "patchfitd.yaml")
	if code, _, stderr := patchfitd(t, "init", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0"); code != 0 {
		t.Fatalf("init: exit code %d\n%s", code, stderr)
	}
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, config, w, io.Discard) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
}

// TestDoctor examines a server as it is: the whole of it, with every door.
func TestDoctor(t *testing.T) {
	server := running(t)
	probe := "lib/greet@" + string(attest.DigestOf([]byte("manifest")))
	args := []string{"doctor", server, "--probe", probe, "--file", string(attest.DigestOf([]byte("file")))}
	code, stdout, stderr := patchfitd(t, args...)
	if code != 0 {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{"ok    ready  (200 OK)\n", "skip  TLS version  (there is no TLS; ", "ok    nobody: dots as %2e%2e  (", "skip  host: an artifact  (", "ok    header Cache-Control  ("} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	state := stateOf(t, server)
	code, stdout, stderr = patchfitd(t, append(args, "--format", "json", "--host-state", state)...)
	var got diagnosis
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exit.Failure || got.Failed != 1 || got.Server != server || got.SchemaVersion != 1 {
		t.Errorf("as a host the server does not know: exit code %d, %v, %+v\n%s", code, err, got, stderr)
	}
	for _, f := range got.Probes {
		if f.Outcome == "FAIL" && (f.What != "host: login" || f.Next == "") {
			t.Errorf("%+v", f)
		}
	}
	if !strings.Contains(stderr, "1 of ") {
		t.Errorf("stderr %q", stderr)
	}
}

// stateOf returns the state directory of a host that no server knows.
func stateOf(t *testing.T, server string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := keyfile.CreateECDSA(host.KeyFile(dir)); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(host.Identity{SchemaVersion: 1, Server: server, Roots: attest.DigestOf(nil), Host: uuid.NewString(), Products: []string{}})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "host.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDoctorUsage(t *testing.T) {
	const server = "http://127.0.0.1:1"
	probe := "lib/greet@" + string(attest.DigestOf(nil))
	for name, args := range map[string][]string{
		"no server":          {},
		"two servers":        {server, server},
		"no address":         {"registry"},
		"plain HTTP":         {"http://registry.example"},
		"a tag":              {server, "--probe", "lib/greet:latest"},
		"half a digest":      {server, "--probe", "lib/greet@sha256:abc"},
		"no repository":      {server, "--probe", "LIB@" + string(attest.DigestOf(nil))},
		"file without probe": {server, "--file", string(attest.DigestOf(nil))},
		"half a file":        {server, "--probe", probe, "--file", "sha256:abc"},
		"no such format":     {server, "--format", "xml"},
		"another's host":     {server, "--host-state", stateOf(t, "http://127.0.0.1:2")},
	} {
		if code, stdout, stderr := patchfitd(t, append([]string{"doctor"}, args...)...); code != exit.Usage || stdout != "" || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, stdout, stderr)
		}
	}
	if code, stdout, _ := patchfitd(t, "doctor", server); code != exit.Failure || !strings.HasPrefix(stdout, "FAIL  ready  (no answer: ") {
		t.Errorf("no server: exit code %d\n%s", code, stdout)
	}
	if code, _, stderr := patchfitd(t, "doctor", server, "--host-state", t.TempDir()); code != exit.Failure || !strings.Contains(stderr, "not enrolled") {
		t.Errorf("no host: exit code %d\n%s", code, stderr)
	}
}
