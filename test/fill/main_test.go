package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/shards"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/registry/state"
)

// data makes what patchfitd init makes, as far as the ledger needs it.
func data(t *testing.T) (config, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(t.TempDir(), "patchfitd.yaml")
	for _, err := range []error{
		keyfile.CreateEd25519(filepath.Join(dir, "keys/log.pem")),
		keyfile.CreateECDSA(filepath.Join(dir, "keys/journal.pem")),
		os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600),
		os.WriteFile(config, fmt.Appendf(nil, "data: %s\nlisten: 127.0.0.1:8443\norigin: log.example.org\n", dir), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return config, dir
}

// TestFill fills a ledger and reads it as a server does: each manifest is in
// the store before its record, and its record before its tag's.
func TestFill(t *testing.T) {
	config, dir := data(t)
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"-config", config, "-repository", "lib/many", "-by", "x", "-manifests", "600"}, t.Output(), &errs); code != 0 {
		t.Fatal(code, errs.String())
	}
	l, err := open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := store.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	known, tags := map[attest.Digest]bool{}, map[string]bool{}
	for r, err := range l.journal.Records(1) {
		if err != nil {
			t.Fatal(err)
		}
		switch r.Kind {
		case ledger.KindManifest:
			put, err := ledger.Decode[ledger.ManifestPut](r)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := s.Get(put.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := state.ParseManifest(raw, put.MediaType); err != nil {
				t.Fatalf("a server would not start on it: %v", err)
			}
			known[put.Digest] = true
		case ledger.KindTag:
			moved, err := ledger.Decode[ledger.TagMoved](r)
			if err != nil || !known[moved.Digest] {
				t.Fatalf("%+v: %v", moved, err)
			}
			tags[moved.Tag] = true
		}
	}
	if len(known) != 600 || len(tags) != 600 {
		t.Errorf("%d manifests and %d tags, want 600", len(known), len(tags))
	}
	if code := run(t.Context(), []string{"-config", config, "-repository", "lib/many", "-by", "x"}, t.Output(), &errs); code != 1 || !strings.Contains(errs.String(), "in use") {
		t.Errorf("beside whoever has it open: %d, %s", code, &errs)
	}
}

// TestOtherLog: what was begun on a log that is frozen, or in a bucket, is not
// gone on with on the disk: the server would not start on it.
func TestOtherLog(t *testing.T) {
	config, dir := data(t)
	signer, err := keyfile.LoadSigner(filepath.Join(dir, "keys/log.pem"))
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := shards.New("log.example.org", signer.Public(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	bucket.Kept = "s3+mysql"
	if err := (&shards.List{Shards: []shards.Shard{bucket}}).Store(dir); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"-config", config, "-repository", "lib/many", "-by", "x", "-manifests", "1"}, t.Output(), &errs); code != 1 || !strings.Contains(errs.String(), "not the one it began with") {
		t.Errorf("exit %d, %s", code, &errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "log")); err == nil {
		t.Error("a log was made on the disk")
	}
}
