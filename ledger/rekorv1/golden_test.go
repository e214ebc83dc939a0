package rekorv1_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/rekorv1"
)

//go:generate go test -run ^TestGolden$ . -args -update

var update = flag.Bool("update", false, "write testdata where there is none")

// TestGolden verifies bundles that were made once, so that another version of
// Rekor's types that writes entries otherwise shows here: evidence that was
// good stays good. cmd/patchfit verifies the same files.
func TestGolden(t *testing.T) {
	if _, err := os.Stat("testdata"); *update && errors.Is(err, fs.ErrNotExist) {
		writeGolden(t) // never over those that are there: they are to stay good
	}
	v, want := golden(t)
	for _, kind := range kinds {
		e, err := v.Bundle(read(t, kind+".sigstore.json"), want)
		if err != nil || e.Kind != kind || !e.Integrated.Equal(epoch) {
			t.Errorf("%s: %+v, %v", kind, e, err)
		}
	}
}

func golden(t testing.TB) (*rekorv1.Verifier, rekorv1.Want) {
	t.Helper()
	trusted, err := root.NewTrustedRootFromJSON(read(t, "trusted_root.json"))
	return rekorv1.New(must(t, trusted, err)), rekorv1.Want{Digest: attest.DigestOf(read(t, "artifact")), Key: read(t, "key.pem.pub")}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	return must(t, b, err)
}

func writeGolden(t *testing.T) {
	w := newWorld(t)
	trusted, err := w.trusted(t, epoch.AddDate(-1, 0, 0), time.Time{}).MarshalJSON()
	files := map[string][]byte{"artifact": w.artifact, "key.pem.pub": pem(t, w.signer), "trusted_root.json": must(t, trusted, err)}
	for _, kind := range kinds {
		files[kind+".sigstore.json"] = raw(t, w.bundle(t, kind))
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join("testdata", name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzBundle: no input panics, every refusal is a Refusal, and what is accepted
// is one of the good entries. The fuzzer cannot sign, so anything else would be
// a forgery.
func FuzzBundle(f *testing.F) {
	v, want := golden(f)
	for _, kind := range kinds {
		f.Add(read(f, kind+".sigstore.json"))
	}
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := v.Bundle(b, want)
		if err == nil {
			if !e.Proven() || e.LogIndex != -1 && (e.LogIndex != 1001 || !e.Integrated.Equal(epoch)) {
				t.Fatalf("forged: %+v", e)
			}
			return
		}
		var r *rekorv1.Refusal
		if e.Proven() || !errors.As(err, &r) || r.Reason == rekorv1.Panicked {
			t.Fatalf("%+v, %v", e, err)
		}
	})
}

// FuzzBody: no entry panics, however the log came to take it, and none but the
// bundle's own is accepted.
func FuzzBody(f *testing.F) {
	w := newWorld(f)
	v, want := w.verifier(f), w.want(f)
	good := map[string][]byte{}
	for _, kind := range kinds {
		b := w.bundle(f, kind)
		good[kind] = raw(f, b)
		f.Add(kind, entryOf(b).CanonicalizedBody)
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		if good[kind] == nil || len(body) == 0 {
			return
		}
		b := unraw(t, good[kind])
		signed := entryOf(b).CanonicalizedBody
		w.relog(t, b, body)
		e, err := v.Bundle(raw(t, b), want)
		if err == nil {
			if string(body) != string(signed) && kind == "hashedrekord" {
				t.Fatalf("another body is accepted: %s", body)
			}
			return
		}
		var r *rekorv1.Refusal
		if e.Proven() || !errors.As(err, &r) || r.Reason == rekorv1.Panicked {
			t.Fatalf("%+v, %v", e, err)
		}
	})
}
