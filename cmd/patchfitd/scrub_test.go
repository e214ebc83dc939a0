package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/content"
)

// damaged makes a data directory with a blob whose bytes changed.
func damaged(t *testing.T) (config string, d attest.Digest, file string) {
	t.Helper()
	config = newData(t, "")
	root := filepath.Join(filepath.Dir(config), "data", registryDir)
	if _, err := content.OpenDisk(root); err != nil {
		t.Fatal(err)
	}
	d = attest.DigestOf([]byte("whole"))
	file = filepath.Join(root, "blobs/sha256", d.Hex()[:2], d.Hex())
	if err := os.WriteFile(file, []byte("WHOLE"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := openHouse(t.Context(), config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.journal.Append(t.Context(), ledger.KindProduct, ledger.ProductAdded{Product: "0d9ff2a4-6f9c-4f0b-8d3b-1f6f6f0a0001", Repository: "x", By: "me"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.journal.Append(t.Context(), ledger.KindBlob, ledger.BlobPut{Repository: "x", Digest: d, Size: 5, By: "me"}); err != nil {
		t.Fatal(err)
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	return config, d, file
}

// TestScrubCommands: damage is found, shown, acknowledged and repaired, and an
// exit code says whether somebody has to do something.
func TestScrubCommands(t *testing.T) {
	config, d, file := damaged(t)
	say := func(wantCode int, wants []string, args ...string) {
		t.Helper()
		code, stdout, stderr := patchfitd(t, append(args, "--config", config)...)
		if code != wantCode {
			t.Errorf("%v: exit code %d, want %d\n%s%s", args, code, wantCode, stdout, stderr)
		}
		for _, want := range wants {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%v: no %q in\n%s%s", args, want, stdout, stderr)
			}
		}
	}
	say(0, []string{"nothing is known to be damaged", "never read from beginning to end"}, "scrub", "status")
	say(1, []string{"nothing with this digest", "hint: "}, "scrub", "acknowledge", string(d))
	say(1, []string{"damaged  blob      " + string(d) + "  -  found ", "1 objects of 5 bytes, 1 damaged, 0 could not be read", "1 damaged objects are neither", "hint: push the right bytes"}, "scrub", "run")
	say(1, []string{string(d)}, "scrub", "status")
	say(1, []string{`"schemaVersion":1`, `"open":1`, `"lastPass":{`}, "scrub", "status", "--format", "json")
	say(0, nil, "scrub", "acknowledge", string(d), "--why", "a known disk")
	say(0, []string{"acknowledged ", ": a known disk"}, "scrub", "status")
	say(0, []string{`"open":0`, `"why":"a known disk"`}, "scrub", "status", "--format", "json")
	if err := os.WriteFile(file, []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	say(0, []string{"nothing is known to be damaged", "0 damaged"}, "scrub", "run")
	say(2, []string{"hint: "}, "scrub", "status", "--format", "xml")
	say(2, []string{"hint: "}, "scrub", "acknowledge", "x")
	say(2, []string{"hint: "}, "scrub", "acknowledge")
	say(2, []string{"hint: one of"}, "scrub", "everything")
}

// TestScrubStatusBesideAServer: it needs no lock.
func TestScrubStatusBesideAServer(t *testing.T) {
	config, _, _ := damaged(t)
	h, err := openHouse(t.Context(), config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if code, _, stderr := patchfitd(t, "scrub", "status", "--config", config); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code, _, stderr := patchfitd(t, "scrub", "run", "--config", config); code != 1 || !strings.Contains(stderr, "in use by another patchfitd") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
