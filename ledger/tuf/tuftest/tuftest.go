// Package tuftest makes TUF repositories for tests: the keys of every role in
// memory, real signatures, and every mistake a test asks for. What it serves is
// a map from path to bytes, which a hostile server changes as it likes.
package tuftest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tuf"
)

// A Role is the private keys of a role.
type Role struct {
	Keys      []*ecdsa.PrivateKey
	Threshold int
}

// A Repository is a repository in the making. A test changes Keys or Now, then
// calls Rotate or Release.
type Repository struct {
	Now  time.Time
	Keys map[string]*Role

	t         testing.TB
	roots     [][]byte
	signers   []*ecdsa.PrivateKey // root keys of the newest root
	version   int64               // of targets and snapshot
	stamp     int64               // version of the timestamp
	targets   []byte
	snapshot  []byte
	timestamp []byte
	files     map[string][]byte
	served    map[string][]byte
}

// Key makes a key.
func Key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// New returns a repository that has its first root, of 2 of 3 keys, and no
// targets.
func New(t testing.TB, now time.Time) *Repository {
	r := &Repository{t: t, Now: now.UTC().Truncate(time.Second), Keys: map[string]*Role{}, served: map[string][]byte{}}
	for role, n := range map[string]int{tuf.RoleRoot: 3, tuf.RoleTargets: 2, tuf.RoleSnapshot: 2, tuf.RoleTimestamp: 1} {
		r.Keys[role] = &Role{Threshold: min(n, 2)}
		for range n {
			r.Keys[role].Keys = append(r.Keys[role].Keys, Key(t))
		}
	}
	r.Rotate()
	return r
}

func (r *Repository) must(b []byte, err error) []byte {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// Roles are the roles the keys of now have.
func (r *Repository) Roles() tuf.Roles {
	roles := tuf.Roles{}
	for name, role := range r.Keys {
		out := tuf.Role{Threshold: role.Threshold}
		for _, k := range role.Keys {
			p, err := attest.NewPublicKey(k.Public())
			if err != nil {
				r.t.Fatal(err)
			}
			out.Keys = append(out.Keys, p)
		}
		roles[name] = out
	}
	return roles
}

// Sign signs metadata with all of keys.
func (r *Repository) Sign(b []byte, keys ...*ecdsa.PrivateKey) []byte {
	r.t.Helper()
	for _, k := range keys {
		b = r.must(tuf.Sign(b, k))
	}
	return b
}

// Rotate makes the next root, of the keys there are now, signed by the keys of
// the root before and by its own.
func (r *Repository) Rotate() {
	r.t.Helper()
	r.AddRoot(r.NextRoot(r.Now.AddDate(1, 0, 0), append(r.signers, r.Keys[tuf.RoleRoot].Keys...)...))
}

// NextRoot makes the next root and does not serve it.
func (r *Repository) NextRoot(expires time.Time, signers ...*ecdsa.PrivateKey) []byte {
	r.t.Helper()
	return r.Sign(r.must(tuf.NewRoot(int64(len(r.roots))+1, expires, r.Roles())), signers...)
}

// AddRoot serves a root.
func (r *Repository) AddRoot(b []byte) {
	r.roots = append(r.roots, b)
	r.signers = r.Keys[tuf.RoleRoot].Keys
	r.served[fmt.Sprintf("%d.root.json", len(r.roots))] = b
}

// Pin names the newest root.
func (r *Repository) Pin() attest.TUFRoot {
	return attest.TUFRoot{Version: int64(len(r.roots)), Root: attest.DigestOf(r.roots[len(r.roots)-1])}
}

// Files are the targets of a signed trust policy.
func (r *Repository) Files(policy []byte) map[string][]byte {
	r.t.Helper()
	e, err := attest.ParseEnvelope(policy, attest.PolicyPayload)
	if err != nil {
		r.t.Fatal(err)
	}
	p, err := attest.ParseTrustPolicy(e.Payload)
	if err != nil {
		r.t.Fatal(err)
	}
	return map[string][]byte{
		tuf.TrustPolicy:   policy,
		tuf.TrustedRoot:   r.must(strictjson.Canonicalize(p.TrustedRoot)),
		tuf.SigningConfig: r.must(ledger.SigningConfig("https://patches.example.org", r.Now)),
	}
}

// Release serves the next version of targets and snapshot, with a trust policy,
// and a timestamp of a day.
func (r *Repository) Release(policy []byte) {
	r.t.Helper()
	r.ReleaseAs(r.version+1, r.Files(policy), r.Now.AddDate(0, 3, 0))
}

// ReleaseAs serves targets and snapshot of a version, with these files.
func (r *Repository) ReleaseAs(version int64, files map[string][]byte, expires time.Time) {
	r.t.Helper()
	r.version, r.files = version, files
	r.targets = r.Sign(r.must(tuf.NewTargets(version, expires, files)), r.Keys[tuf.RoleTargets].Keys...)
	r.snapshot = r.Sign(r.must(tuf.NewSnapshot(version, version, expires)), r.Keys[tuf.RoleSnapshot].Keys...)
	r.served[fmt.Sprintf("%d.targets.json", version)] = r.targets
	r.served[fmt.Sprintf("%d.snapshot.json", version)] = r.snapshot
	for name, b := range files {
		r.served[tuf.PathOf(name, b)] = b
	}
	r.Stamp(r.stamp+1, r.Now.AddDate(0, 0, 1))
}

// Stamp serves a timestamp of the newest snapshot.
func (r *Repository) Stamp(version int64, expires time.Time) {
	r.t.Helper()
	r.stamp = version
	var keys []crypto.Signer
	for _, k := range r.Keys[tuf.RoleTimestamp].Keys {
		keys = append(keys, k)
	}
	r.timestamp = r.must(tuf.NewTimestamp(version, expires, r.snapshot, keys))
	r.served["timestamp.json"] = r.timestamp
}

// Version returns the versions of snapshot and timestamp.
func (r *Repository) Version() (snapshot, timestamp int64) { return r.version, r.stamp }

// Served returns what there is by path, for the test to change.
func (r *Repository) Served() map[string][]byte { return maps.Clone(r.served) }

// Serve adds or replaces, with nil removes, one path.
func (r *Repository) Serve(path string, b []byte) {
	if r.served[path] = b; b == nil {
		delete(r.served, path)
	}
}

// Restore serves what was served before.
func (r *Repository) Restore(served map[string][]byte) { r.served = maps.Clone(served) }

// Offer is what an admin brings to a server.
func (r *Repository) Offer() tuf.Offer {
	return tuf.Offer{Roots: r.roots, Targets: r.targets, Snapshot: r.snapshot, Files: maps.Clone(r.files)}
}
