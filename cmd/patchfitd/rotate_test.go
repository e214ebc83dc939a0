package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/index"
)

const (
	firstOrigin  = "test.patchfit.localhost"
	secondOrigin = "2027.patchfit.localhost"
	thirdOrigin  = "2028.patchfit.localhost"
)

// opened returns the house of a configuration, open.
func opened(t *testing.T, config string) *house {
	t.Helper()
	h, err := openHouse(t.Context(), config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func shut(t *testing.T, h *house) {
	t.Helper()
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
}

// logged journals what a server journals of its own accord, seals it, and
// returns the entry of the seal.
func logged(t *testing.T, h *house) *rekor.TransparencyLogEntry {
	t.Helper()
	if _, err := h.makeAdmin(t.Context(), "admin-"+strings.ToLower(rand.Text()), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := h.journal.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	seals := h.journal.Seals()
	envelope, err := h.store.Get(seals[len(seals)-1].Envelope)
	if err != nil {
		t.Fatal(err)
	}
	e, err := attest.ParseEnvelope(envelope, attest.SegmentPayload)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := attest.NewPublicKey(h.keys.journal.Public())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ledger.Leaf(e, pub)
	if err != nil {
		t.Fatal(err)
	}
	entry, duplicate, err := h.log.Add(t.Context(), leaf)
	if err != nil || !duplicate {
		t.Fatalf("the seal was not in the log: %v", err)
	}
	return entry
}

// name puts another origin into a configuration.
func name(t *testing.T, config, origin string) {
	t.Helper()
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(b), "origin: ")
	_, after, _ := strings.Cut(rest, "\n")
	if err := os.WriteFile(config, []byte(before+"origin: "+origin+"\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, config string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaints bytes.Buffer
	code = run(t.Context(), append(args, "--config", config), &out, &complaints)
	return code, out.String(), complaints.String()
}

// proves verifies an entry with the logs of a trusted root, and nothing else.
func proves(e *rekor.TransparencyLogEntry, trustedRoot []byte) error {
	keys, err := ledger.LogKeys(trustedRoot)
	if err != nil {
		return err
	}
	for _, k := range keys {
		id, err := k.ID()
		v, verr := k.Verifier()
		if err := errors.Join(err, verr); err != nil {
			return err
		}
		if bytes.Equal(id, e.GetLogId().GetKeyId()) {
			return rekorverify.VerifyLogEntry(e, v)
		}
	}
	return errors.New("no such log")
}

// TestRotate goes the whole way twice: old entries go on to verify, old logs go
// on to be read, the journal goes on to be sealed, and the old keys are gone.
func TestRotate(t *testing.T) {
	config := newData(t, "")
	data := filepath.Join(filepath.Dir(config), "data")
	h := opened(t, config)
	entries := []*rekor.TransparencyLogEntry{logged(t, h)}
	shut(t, h)

	for _, origin := range []string{secondOrigin, thirdOrigin} {
		code, prepared, _ := command(t, config, "log", "next", origin)
		if _, again, _ := command(t, config, "log", "next", origin); code != 0 || again != prepared {
			t.Fatalf("next: exit %d, %s; then %s", code, prepared, again)
		}
		name(t, config, origin)
		if _, err := openHouse(t.Context(), config, io.Discard); err == nil || !strings.Contains(err.Error(), "not that of the log") {
			t.Fatalf("a server with another origin and no rotation: %v", err)
		}
		if code, _, stderr := command(t, config, "log", "rotate"); code != 0 || !strings.Contains(stderr, "log "+origin+" takes the entries") {
			t.Fatalf("rotate: exit %d, %s", code, stderr)
		}
		if code, _, stderr := command(t, config, "log", "rotate"); code == 0 || !strings.Contains(stderr, "takes the entries already") {
			t.Errorf("again: exit %d, %s", code, stderr)
		}
		root, err := os.ReadFile(filepath.Join(data, trustedRootFile))
		if err != nil || string(root)+"\n" != prepared {
			t.Errorf("the trusted root is %s, %v; announced was %s", root, err, prepared)
		}
		h := opened(t, config)
		entries = append(entries, logged(t, h))
		shut(t, h)
		for i, e := range entries {
			if err := proves(e, root); err != nil {
				t.Errorf("entry %d: %v", i, err)
			}
		}
	}
	for _, key := range []string{keyLog, "log-" + secondOrigin + ".pem"} {
		if err := os.Remove(filepath.Join(data, keysDir, key)); err != nil {
			t.Error(err)
		}
	}
	readOld(t, config)
	refuseDamage(t, config, filepath.Join(data, logDir))
}

// doorsOf serves the doors of h until end.
func doorsOf(t *testing.T, h *house) (srv *httptest.Server, end func()) {
	t.Helper()
	x, err := index.Open(filepath.Join(t.TempDir(), indexFile))
	if err != nil {
		t.Fatal(err)
	}
	doors, err := h.doors(x, "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	srv = httptest.NewServer(doors)
	return srv, func() {
		srv.Close()
		x.Close()
	}
}

// readOld reads every log of a running server from its first leaf to its last.
func readOld(t *testing.T, config string) {
	h := opened(t, config)
	defer shut(t, h)
	srv, end := doorsOf(t, h)
	defer end()
	root, err := h.trustedRoot()
	if err != nil {
		t.Fatal(err)
	}
	for base, want := range map[string]string{
		"": thirdOrigin, ledger.ShardsPath + firstOrigin: firstOrigin, ledger.ShardsPath + secondOrigin: secondOrigin,
	} {
		c, err := client.New(srv.URL+base, nil)
		if err != nil {
			t.Fatal(err)
		}
		cp, err := c.VerifyLog(context.Background(), root, nil, nil)
		if err != nil || cp.Origin != want || cp.Size == 0 {
			t.Errorf("%q: %+v, %v, want a log called %s", base, cp, err, want)
		}
	}
	for path, want := range map[string]int{
		ledger.ShardsPath + firstOrigin + ledger.EntriesPath:            http.StatusMethodNotAllowed,
		ledger.ShardsPath + thirdOrigin + ledger.EntriesPath:            http.StatusNotFound,
		ledger.ShardsPath + "other.example" + ledger.EntriesPath:        http.StatusNotFound,
		ledger.ShardsPath + firstOrigin + "/api/v2/../../../readyz":     http.StatusTemporaryRedirect,
		ledger.ShardsPath + firstOrigin + "/api/v2/tile/../checkpoint":  http.StatusTemporaryRedirect,
		ledger.ShardsPath + firstOrigin + "/api/v2/log/entries/nothing": http.StatusNotFound,
	} {
		method := http.MethodGet
		if want == http.StatusMethodNotAllowed {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %s: %d, want %d", method, path, resp.StatusCode, want)
		}
	}
}

// refuseDamage changes a byte of a leaf in a frozen log, and has it go on.
func refuseDamage(t *testing.T, config, dir string) {
	bundles, err := filepath.Glob(filepath.Join(dir, "tile/entries/000.p/*"))
	if err != nil || len(bundles) == 0 {
		t.Fatal(bundles, err)
	}
	for _, file := range append(bundles, filepath.Join(dir, "checkpoint")) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b[40] ^= 1
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openHouse(t.Context(), config, io.Discard); !errors.Is(err, backend.ErrCorrupt) || !strings.Contains(err.Error(), firstOrigin) {
		t.Errorf("a frozen log that is damaged: %v", err)
	}
}

// TestRotateInterrupted has a rotation end just before and just after its one
// step, and is done by the next.
func TestRotateInterrupted(t *testing.T) {
	config := newData(t, "")
	shut(t, opened(t, config))
	name(t, config, secondOrigin)
	h, err := openTurning(t.Context(), config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.freeze(t.Context())
	if err := errors.Join(err, h.close()); err != nil {
		t.Fatal(err)
	}
	h, err = openTurning(t.Context(), config, io.Discard) // before the step: nothing happened
	if err != nil || h.config.Origin != firstOrigin {
		t.Fatal(h, err)
	}
	logged(t, h)
	list, err := h.freeze(t.Context())
	if err := errors.Join(err, list.Store(h.config.Data), h.close()); err != nil {
		t.Fatal(err)
	}
	h = opened(t, config) // after it: the new log is there
	logged(t, h)
	shut(t, h)
	if code, _, stderr := command(t, config, "log", "rotate"); code == 0 || !strings.Contains(stderr, "already") {
		t.Errorf("rotating again: %d, %s", code, stderr)
	}
	name(t, config, firstOrigin) // a configuration of before
	if _, err := openHouse(t.Context(), config, io.Discard); err == nil {
		t.Error("a frozen log was opened to be written")
	}
	if code, _, stderr := command(t, config, "log", "rotate"); code == 0 || !strings.Contains(stderr, "already") {
		t.Errorf("rotating back: %d, %s", code, stderr)
	}
}

// TestRotateKilled: a rotation that was killed right after its one step is
// finished by the next start: what is written of the new log is there, and the
// one after it can be prepared.
func TestRotateKilled(t *testing.T) {
	config := newData(t, "")
	name(t, config, secondOrigin)
	h, err := openTurning(t.Context(), config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	list, err := h.freeze(t.Context())
	if err := errors.Join(err, list.Store(h.config.Data), h.close()); err != nil {
		t.Fatal(err)
	}
	h = opened(t, config)
	entry := logged(t, h)
	shut(t, h)
	root, err := os.ReadFile(h.path(trustedRootFile))
	if err := errors.Join(err, proves(entry, root)); err != nil {
		t.Error(err)
	}
	if code, _, stderr := command(t, config, "log", "next", thirdOrigin); code != 0 {
		t.Errorf("preparing the one after: exit %d, %s", code, stderr)
	}
}

// TestPreparedStays: a rotation asked for too early, with the origin of the
// configuration as it was, does not forget what others were told of.
func TestPreparedStays(t *testing.T) {
	config := newData(t, "")
	_, told, _ := command(t, config, "log", "next", secondOrigin)
	next := filepath.Join(filepath.Dir(config), "data", "next-shard.json")
	before, err := os.ReadFile(next)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, config, "log", "rotate"); code == 0 || !strings.Contains(stderr, "already") {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	if after, err := os.ReadFile(next); err != nil || !bytes.Equal(after, before) {
		t.Errorf("prepared is %s, %v; was %s", after, err, before)
	}
	if _, again, _ := command(t, config, "log", "next", secondOrigin); again != told {
		t.Errorf("told was %s, then %s", told, again)
	}
}

// TestPreparedAtOnce: whoever prepares a log at the same time as others says
// what they say, or that they were first.
func TestPreparedAtOnce(t *testing.T) {
	config := newData(t, "")
	said := make([]string, 6)
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() {
			origin := []string{secondOrigin, thirdOrigin}[i%2]
			_, said[i], _ = command(t, config, "log", "next", origin)
		})
	}
	all.Wait()
	roots := make(map[string]bool)
	for _, root := range said {
		roots[root] = true
	}
	if len(roots) != 2 || !roots[""] { // one log, and its refusals of the other
		t.Errorf("%d answers: %v", len(roots), roots)
	}
}

// TestLostList: a server whose list of logs is lost does not go on with a log
// that was frozen.
func TestLostList(t *testing.T) {
	config := newData(t, "")
	name(t, config, secondOrigin)
	if code, _, stderr := command(t, config, "log", "rotate"); code != 0 {
		t.Fatal(stderr)
	}
	h := opened(t, config)
	logged(t, h)
	shut(t, h)
	if err := os.Remove(h.path("shards.json")); err != nil {
		t.Fatal(err)
	}
	for _, origin := range []string{secondOrigin, firstOrigin} {
		name(t, config, origin)
		if h, err := openHouse(t.Context(), config, io.Discard); err == nil {
			t.Errorf("log %s was opened to be written", h.config.Origin)
			shut(t, h)
		}
		if code, _, stderr := command(t, config, "log", "rotate"); code == 0 {
			t.Errorf("rotated: %s", stderr)
		}
	}
}
