package update

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/tuftest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A world is a client and the server it asks, which lies as a test has it lie.
// There is no network, so that time is the test's.
type world struct {
	*tuftest.Repository
	t         *testing.T
	client    *Client
	authority *verifytest.Authority
	pin       attest.TUFRoot
	state     *State
	body      func(path string, b []byte) io.Reader // nil: the bytes as they are
}

// within runs a test in a bubble of its own time.
func within(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Repository: tuftest.New(t, time.Now()), t: t, authority: verifytest.New(t)}
		w.pin = w.Pin()
		w.client = &Client{Server: "http://127.0.0.1:1", HTTP: &http.Client{Transport: w}, Dir: t.TempDir()}
		w.Release(w.policy(1))
		test(w)
		if left, err := os.ReadDir(w.client.Dir); err != nil || len(left) > 0 {
			t.Errorf("working files are left: %v, %v", left, err)
		}
	})
}

func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(req.URL.Path, Path+"/")
	b, ok := w.Served()[path]
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(b)), Request: req}
	switch {
	case !ok:
		resp.StatusCode = http.StatusNotFound
	case w.body != nil:
		resp.Body = io.NopCloser(w.body(path, b))
	}
	return resp, nil
}

func (w *world) policy(version int64) []byte {
	w.t.Helper()
	root := w.authority.Signer("policy root")
	p := w.authority.TrustPolicy(w.authority.Product("lib/greet"))
	p.Version = version
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{root.Key.Base64()}}
	b, err := strictjson.Canonical(p)
	if err != nil {
		w.t.Fatal(err)
	}
	if b, err = attest.SignEnvelope(attest.PolicyPayload, b, root); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// update updates, and keeps what is to be kept as a client does: as JSON.
func (w *world) update() error {
	w.t.Helper()
	next, err := w.client.Update(context.Background(), w.pin, w.state)
	if next == nil {
		return err
	}
	b, jerr := strictjson.Canonical(next)
	if jerr != nil {
		w.t.Fatal(jerr)
	}
	if w.state, jerr = ParseState(b); jerr != nil {
		w.t.Fatal(jerr)
	}
	return err
}

func (w *world) updated() {
	w.t.Helper()
	if err := w.update(); err != nil {
		w.t.Fatal(err)
	}
}

// refused asks that an update is refused for a reason, and that the client
// goes by the files it had.
func (w *world) refused(why error) {
	w.t.Helper()
	had := w.files()
	if err := w.update(); !errors.Is(err, why) {
		w.t.Errorf("%v, want %v", err, why)
	}
	if !maps.EqualFunc(had, w.files(), bytes.Equal) {
		w.t.Error("the client goes by other files than before")
	}
}

func (w *world) files() map[string][]byte {
	if w.state == nil {
		return nil
	}
	return w.state.Files
}

func TestUpdate(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		first := w.state.Files[tuf.TrustPolicy]
		w.updated()
		w.Release(w.policy(2))
		w.updated()
		if got := w.state.Files[tuf.TrustPolicy]; bytes.Equal(got, first) || !bytes.Equal(got, w.Offer().Files[tuf.TrustPolicy]) {
			t.Error("the new trust policy did not come")
		}
		if until := w.state.Until(); !until.Equal(w.Now.AddDate(0, 0, 1)) {
			t.Errorf("good until %v", until)
		}
	})
}

func TestServerWithoutRepository(t *testing.T) {
	within(t, func(w *world) {
		w.Restore(nil)
		w.refused(ErrNone)
	})
}

func TestAttackAnotherRoot(t *testing.T) {
	within(t, func(w *world) {
		evil := tuftest.New(t, w.Now)
		evil.Release(w.policy(1))
		w.Restore(evil.Served())
		w.refused(ErrRoot)
	})
}

func TestAttackRollbackOfTimestamp(t *testing.T) {
	within(t, func(w *world) {
		old := w.Served()
		w.Release(w.policy(2))
		w.updated()
		w.Restore(old)
		w.refused(ErrRollback)
	})
}

// Whoever has the server's key makes newer timestamps of an older snapshot.
func TestAttackRollbackOfSnapshotWithTheServersKey(t *testing.T) {
	within(t, func(w *world) {
		w.Release(w.policy(2))
		w.updated()
		w.ReleaseAs(1, w.Files(w.policy(1)), w.Now.AddDate(0, 3, 0))
		w.Stamp(9, w.Now.AddDate(0, 0, 1))
		w.refused(ErrRollback)
	})
}

func TestAttackFreeze(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		time.Sleep(23 * time.Hour)
		w.updated()
		time.Sleep(2 * time.Hour)
		w.refused(ErrExpired)
		if w.state.Until().After(time.Now()) {
			t.Error("the state is good for longer than its timestamp")
		}
	})
}

// With the server's key a freeze lasts until the snapshot is over, no longer.
func TestAttackFreezeWithTheServersKey(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		time.Sleep(100 * 24 * time.Hour)
		w.Stamp(7, time.Now().Add(24*time.Hour))
		w.refused(ErrExpired)
	})
}

func TestAttackMixAndMatch(t *testing.T) {
	within(t, func(w *world) {
		old := w.Served()
		w.Release(w.policy(2))
		w.Serve("2.targets.json", old["1.targets.json"])
		w.refused(ErrRollback)
		w.Restore(old)
		w.Release(w.policy(3)) // version 3
		w.Serve("3.snapshot.json", old["1.snapshot.json"])
		w.refused(ErrCorrupt) // another hash than the timestamp names
	})
}

func TestAttackEndlessData(t *testing.T) {
	for _, path := range []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "targets/"} {
		within(t, func(w *world) {
			sent := 0
			w.Serve("2.root.json", []byte("{}"))
			if path != "2.root.json" {
				w.Serve("2.root.json", nil)
			}
			w.body = func(p string, b []byte) io.Reader {
				if !strings.HasPrefix(p, path) {
					return bytes.NewReader(b)
				}
				return endless{&sent}
			}
			w.refused(ErrCorrupt)
			if sent > 2*tuf.MaxFile {
				t.Errorf("%s: %d bytes were read", path, sent)
			}
		})
	}
}

type endless struct{ sent *int }

func (e endless) Read(b []byte) (int, error) {
	*e.sent += len(b)
	return copy(b, bytes.Repeat([]byte(" "), len(b))), nil
}

// The server's key can say that a snapshot is long. It is not read for that.
func TestAttackEndlessDataWithTheServersKey(t *testing.T) {
	within(t, func(w *world) {
		s := append(bytes.Clone(w.Offer().Snapshot), bytes.Repeat([]byte(" "), 1<<20)...)
		b, err := tuf.NewTimestamp(5, w.Now.AddDate(0, 0, 1), w.Offer().Snapshot, nil)
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.Replace(b, []byte(`"length":`), []byte(`"length":10`), 1)
		w.Serve("timestamp.json", w.Sign(b, w.Keys[tuf.RoleTimestamp].Keys...))
		w.Serve("1.snapshot.json", s)
		w.refused(ErrCorrupt)
	})
}

func TestAttackSlowRetrieval(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		began := time.Now()
		w.body = func(_ string, b []byte) io.Reader { return &slow{b} }
		w.refused(ErrSlow)
		if took := time.Since(began); took > 2*Timeout {
			t.Errorf("waited for %v", took)
		}
	})
}

// slow sends a byte a second.
type slow struct{ rest []byte }

func (s *slow) Read(b []byte) (int, error) {
	time.Sleep(time.Second)
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest[:1])
	s.rest = s.rest[n:]
	return n, nil
}

// Below the threshold a stolen key makes nothing.
func TestAttackKeysBelowTheThreshold(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		whole := w.Served()
		targets := w.Keys[tuf.RoleTargets].Keys
		w.Keys[tuf.RoleTargets].Keys = targets[:1]
		w.Release(w.policy(2))
		w.refused(ErrUnsigned)
		w.Restore(whole)
		w.Keys[tuf.RoleTargets].Keys = targets
		stolen := w.Keys[tuf.RoleRoot].Keys[:1]
		w.Keys[tuf.RoleRoot].Keys = append(w.Keys[tuf.RoleRoot].Keys[:1:1], tuftest.Key(t), tuftest.Key(t))
		w.AddRoot(w.NextRoot(w.Now.AddDate(1, 0, 0), append(w.Keys[tuf.RoleRoot].Keys, stolen...)...))
		w.refused(ErrUnsigned)
	})
}

func TestAttackSnapshotAndTargetsByTheServersKey(t *testing.T) {
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTargets} {
		within(t, func(w *world) {
			w.updated()
			w.Keys[role].Keys = w.Keys[tuf.RoleTimestamp].Keys
			w.Release(w.policy(2))
			w.refused(ErrUnsigned)
		})
	}
}

func TestAttackTargetOfAnotherHash(t *testing.T) {
	within(t, func(w *world) {
		w.Serve(tuf.PathOf(tuf.TrustPolicy, w.Offer().Files[tuf.TrustPolicy]), w.policy(9))
		w.refused(ErrCorrupt)
		if len(w.state.Files) > 0 {
			t.Error("something of it was kept")
		}
	})
}

// Whoever had the timestamp key made a version nobody gets above. A root with
// another key ends that.
func TestFastForwardRecovery(t *testing.T) {
	within(t, func(w *world) {
		w.Stamp(1<<52, w.Now.AddDate(0, 0, 1))
		w.updated()
		w.Stamp(8, w.Now.AddDate(0, 0, 1))
		w.refused(ErrRollback)
		w.Keys[tuf.RoleTimestamp].Keys = []*ecdsa.PrivateKey{tuftest.Key(t)}
		w.Rotate()
		w.Stamp(9, w.Now.AddDate(0, 0, 1))
		w.updated()
		if got := w.state.Heading(tuf.RoleTimestamp).Version; got != 9 {
			t.Errorf("timestamp version %d", got)
		}
	})
}

// A client that was away follows a chain of roots, each of other keys.
func TestChainOfRoots(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		for range 5 {
			for _, role := range w.Keys {
				role.Keys[0] = tuftest.Key(t)
			}
			w.Rotate()
		}
		w.Release(w.policy(2))
		w.updated()
		if got := w.state.Heading(tuf.RoleRoot).Version; got != 6 {
			t.Errorf("root version %d", got)
		}
		served := w.Served()
		w.Serve("3.root.json", nil) // and a new client needs every one
		w.state = nil
		w.refused(ErrUnsigned)
		w.Restore(served)
		w.updated()
	})
}

// New roots are kept although what comes after them is refused.
func TestRootsAreKeptWhenTheRestIsRefused(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		w.Rotate()
		time.Sleep(25 * time.Hour)
		w.refused(ErrExpired)
		if got := w.state.Heading(tuf.RoleRoot).Version; got != 2 {
			t.Errorf("root version %d", got)
		}
	})
}

func TestRootExpires(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		time.Sleep(370 * 24 * time.Hour)
		w.Now = time.Now().UTC().Truncate(time.Second)
		w.Release(w.policy(2))
		w.refused(ErrExpired)
	})
}

// Metadata the server's key signed, without what readers follow blindly.
func TestAttackMalformedTimestampWithTheServersKey(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		for name, meta := range map[string]map[string]*metadata.MetaFiles{
			"nothing": {}, "null": {"snapshot.json": nil}, "another": {"targets.json": metadata.MetaFile(1)}, "no map": nil,
		} {
			m := metadata.Timestamp(w.Now.AddDate(0, 0, 1))
			m.Signed.Version, m.Signed.Meta = 50, meta
			signer, err := signature.LoadSigner(w.Keys[tuf.RoleTimestamp].Keys[0], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Sign(signer); err != nil {
				t.Fatal(err)
			}
			b, err := m.ToBytes(false)
			if err != nil {
				t.Fatal(err)
			}
			w.Serve("timestamp.json", b)
			if err := w.update(); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestChangedStateIsRefused(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		b, err := strictjson.Canonical(w.state)
		if err != nil {
			t.Fatal(err)
		}
		for name, spoiled := range map[string][]byte{
			"cut": b[:len(b)/2], "empty": nil, "more": append(bytes.Clone(b), "{}"...),
			"no root": []byte(`{"schemaVersion":1,"pin":{"version":1,"root":"` + string(w.pin.Root) + `"},"root":""}`),
			"later":   bytes.Replace(b, []byte(`"schemaVersion":1`), []byte(`"schemaVersion":2`), 1),
		} {
			if _, err := ParseState(spoiled); err == nil {
				t.Errorf("%s is read", name)
			}
		}
	})
}
