package update

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/patchfit/patchfit/ledger/tuf"
)

// What befell go-tuf, each tried on our client: docs/advisories.md.

// says asks that an update is refused for a reason, in these words.
func (w *world) says(why error, words string) {
	w.t.Helper()
	had := w.files()
	err := w.update()
	if !errors.Is(err, why) || !strings.Contains(err.Error(), words) {
		w.t.Errorf("%v, want %v: %q", err, why, words)
	}
	if len(had) != len(w.files()) {
		w.t.Error("the client goes by other files than before")
	}
}

// CVE-2022-29173: an older snapshot, or older targets, were taken after newer
// ones.
func TestCVE2022_29173(t *testing.T) {
	within(t, func(w *world) {
		first := w.Served()
		w.Release(w.policy(2))
		w.updated()
		newer := w.Served()
		w.Serve("timestamp.json", first["timestamp.json"])
		w.says(ErrRollback, "new timestamp version 1 must be >= 2")
		stamp := func(version int64, snapshot []byte) {
			b, err := tuf.NewTimestamp(version, w.Now.AddDate(0, 0, 1), snapshot, []crypto.Signer{w.Keys[tuf.RoleTimestamp].Keys[0]})
			if err != nil {
				t.Fatal(err)
			}
			w.Serve("timestamp.json", b)
		}
		stamp(3, newer["1.snapshot.json"])
		w.says(ErrRollback, "new snapshot version 1 must be >= 2")
		b, err := tuf.NewSnapshot(3, 1, w.Now.AddDate(0, 3, 0))
		if err != nil {
			t.Fatal(err)
		}
		b = w.Sign(b, w.Keys[tuf.RoleSnapshot].Keys...)
		w.Serve("3.snapshot.json", b)
		stamp(4, b)
		w.says(ErrRollback, "expected targets.json version 1, got 2") // go-tuf names the older one first
	})
}

// twice is a root in which one of two targets keys is the other one again,
// under an id of its own: one person reaches the threshold.
func (w *world) twice() []byte {
	w.t.Helper()
	var ids []string
	for _, k := range w.Roles()[tuf.RoleTargets].Keys {
		id, err := tuf.KeyID(k)
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	roles := w.Roles()
	both := roles[tuf.RoleTargets]
	b, err := tuf.NewRoot(2, w.Now.AddDate(1, 0, 0), roles)
	if err != nil {
		w.t.Fatal(err)
	}
	from, to := both.Keys[1].PEM(), both.Keys[0].PEM()
	quoted := func(pem []byte) []byte { return []byte(strings.ReplaceAll(string(pem), "\n", `\n`)) }
	changed := bytes.Replace(b, quoted(from), quoted(to), 1)
	if bytes.Equal(changed, b) {
		w.t.Fatalf("the key %s is not there as PEM: %s", ids[1], b)
	}
	return w.Sign(changed, w.Keys[tuf.RoleRoot].Keys...)
}

// GHSA-3633-5h82-39pq: one key under two ids met a threshold of two.
func TestGHSA_3633_5h82_39pq(t *testing.T) {
	within(t, func(w *world) {
		w.updated()
		w.AddRoot(w.twice())
		w.says(ErrCorrupt, "has the id")
		if v := w.state.Heading(tuf.RoleRoot).Version; v != 1 {
			t.Errorf("root %d was taken", v)
		}
	})
}

// CVE-2026-23992: a threshold of none, or below, was met by no signature.
func TestCVE2026_23992(t *testing.T) {
	for _, threshold := range []string{"0", "-1", "4"} {
		within(t, func(w *world) {
			w.updated()
			b, err := tuf.NewRoot(2, w.Now.AddDate(1, 0, 0), w.Roles())
			if err != nil {
				t.Fatal(err)
			}
			before, after, ok := bytes.Cut(b, []byte(`"targets":{`))
			if !ok {
				t.Fatalf("%s", b)
			}
			after = bytes.Replace(after, []byte(`"threshold":2`), []byte(`"threshold":`+threshold), 1)
			w.AddRoot(w.Sign(slices.Concat(before, []byte(`"targets":{`), after), w.Keys[tuf.RoleRoot].Keys...))
			w.says(ErrCorrupt, "threshold "+threshold+" is not between 1 and the number of keys")
		})
	}
	within(t, func(w *world) { // and fewer signatures than asked for are too few
		w.updated()
		w.Keys[tuf.RoleTargets].Keys = w.Keys[tuf.RoleTargets].Keys[:1]
		w.Release(w.policy(2))
		w.says(ErrUnsigned, "targets")
	})
}

// delegating are targets by all of their keys that delegate every path.
func (w *world) delegating(version int64) []byte {
	w.t.Helper()
	m, err := new(metadata.Metadata[metadata.TargetsType]).FromBytes(w.Served()[fmt.Sprintf("%d.targets.json", version)])
	if err != nil {
		w.t.Fatal(err)
	}
	m.ClearSignatures()
	m.Signed.Delegations = &metadata.Delegations{
		Keys:  map[string]*metadata.Key{},
		Roles: []metadata.DelegatedRole{{Name: "../../../evil", KeyIDs: []string{}, Threshold: 1, Paths: []string{"*"}}},
	}
	for _, k := range w.Keys[tuf.RoleTargets].Keys {
		signer, err := signature.LoadSigner(k, crypto.SHA256)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := m.Sign(signer); err != nil {
			w.t.Fatal(err)
		}
	}
	b, err := m.ToBytes(false)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// CVE-2024-47534: a target was looked up in a role that must not sign it.
// CVE-2026-24686: names in metadata became names of files. Nobody delegates
// here, whoever signs it and however the member is written.
func TestCVE2024_47534(t *testing.T) {
	for member, why := range map[string]string{"delegations": "it delegates", "Delegations": "Delegations", "DELEGATIONS": "DELEGATIONS"} {
		within(t, func(w *world) {
			w.Release(w.policy(2))
			w.Serve("2.targets.json", bytes.Replace(w.delegating(2), []byte(`"delegations"`), []byte(`"`+member+`"`), 1))
			w.says(ErrCorrupt, why)
			w.nothingElsewhere()
		})
	}
}

// CVE-2026-24137, CVE-2026-24686: the name of a target led out of the
// directory.
func TestCVE2026_24137(t *testing.T) {
	within(t, func(w *world) {
		files := w.Files(w.policy(2))
		files["../../../evil.json"] = []byte("{}")
		w.ReleaseAs(2, files, w.Now.AddDate(0, 3, 0))
		w.updated() // signed by enough: what nobody asks for is not fetched
		if len(w.state.Files) != 3 {
			t.Errorf("%d targets, want 3", len(w.state.Files))
		}
		w.nothingElsewhere()
	})
}

// nothingElsewhere asks that no file is beside the client's directory.
func (w *world) nothingElsewhere() {
	w.t.Helper()
	for _, up := range []string{"..", "../..", "../../.."} {
		for _, name := range []string{"evil.json", "evil"} {
			if _, err := os.Stat(filepath.Join(w.client.Dir, up, name)); !errors.Is(err, os.ErrNotExist) {
				w.t.Errorf("%s/%s: %v", up, name, err)
			}
		}
	}
}

// CVE-2026-23991: valid JSON that is no metadata made the client panic.
func TestCVE2026_23991(t *testing.T) {
	for _, path := range []string{"1.root.json", "2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"} {
		for _, body := range []string{
			``, `{}`, `[]`, `null`, `"x"`, `1`, `{"signed":{}}`, `{"signed":null,"signatures":null}`, `{"signatures":[]}`, `{"signed":[],"signatures":{}}`,
			`{"signed":{"_type":1},"signatures":[]}`, `{"signed":{"_type":"root","version":2,"roles":{},"keys":{}},"signatures":[null]}`,
		} {
			within(t, func(w *world) {
				w.body = func(at string, b []byte) io.Reader {
					if at == path {
						return strings.NewReader(body)
					}
					return bytes.NewReader(b)
				}
				if path == "2.root.json" {
					w.Serve(path, []byte(body))
				}
				if err := w.update(); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s as %s: %v", path, body, err)
				}
			})
		}
	}
}
