package tuf

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/patchfit/patchfit/attest"
)

// A Role says whose signatures metadata needs, and how many.
type Role struct {
	Keys      []*attest.PublicKey
	Threshold int
}

// Roles are the four roles of a root, by name.
type Roles map[string]Role

// NewRoot makes a root that nobody has signed.
func NewRoot(version int64, expires time.Time, roles Roles) ([]byte, error) {
	m := metadata.Root(expires.UTC().Truncate(time.Second))
	m.Signed.Version = version
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if m.Signed.Roles[name] == nil {
			return nil, fmt.Errorf("there is no role %.40q", name)
		}
		for _, k := range roles[name].Keys {
			key, err := tufKey(k)
			if err != nil {
				return nil, err
			}
			if err := m.Signed.AddKey(key, name); err != nil {
				return nil, err
			}
		}
		m.Signed.Roles[name].Threshold = roles[name].Threshold
	}
	b, err := m.ToBytes(false)
	if err != nil {
		return nil, err
	}
	root, err := read[metadata.RootType](RoleRoot, b)
	if err != nil {
		return nil, err
	}
	return b, checkRoles(root)
}

// RolesOf returns the roles of a root, verified or not.
func RolesOf(root []byte) (Roles, error) {
	m, err := read[metadata.RootType](RoleRoot, root)
	if err != nil {
		return nil, err
	}
	if err := checkRoles(m); err != nil {
		return nil, err
	}
	roles := Roles{}
	for name, r := range m.Signed.Roles {
		role := Role{Threshold: r.Threshold}
		for _, id := range r.KeyIDs {
			k, err := publicKey(m.Signed.Keys[id])
			if err != nil {
				return nil, err
			}
			role.Keys = append(role.Keys, k)
		}
		roles[name] = role
	}
	return roles, nil
}

// NewTargets makes targets that nobody has signed.
func NewTargets(version int64, expires time.Time, files map[string][]byte) ([]byte, error) {
	m := metadata.Targets(expires.UTC().Truncate(time.Second))
	m.Signed.Version = version
	for name, b := range files {
		t, err := metadata.TargetFile().FromBytes(name, b, "sha256")
		if err != nil {
			return nil, err
		}
		m.Signed.Targets[name] = t
	}
	return m.ToBytes(false)
}

// NewSnapshot makes a snapshot that nobody has signed. It names targets.json by
// its version, not by its hash, so that both can be signed in one sitting.
func NewSnapshot(version, targets int64, expires time.Time) ([]byte, error) {
	m := metadata.Snapshot(expires.UTC().Truncate(time.Second))
	m.Signed.Version = version
	m.Signed.Meta = map[string]*metadata.MetaFiles{"targets.json": metadata.MetaFile(targets)}
	return m.ToBytes(false)
}

// NewTimestamp makes the timestamp of a snapshot, which it names by version,
// length and hash, signed by all of keys.
func NewTimestamp(version int64, expires time.Time, snapshot []byte, keys []crypto.Signer) ([]byte, error) {
	h, err := ReadHeading(RoleSnapshot, snapshot)
	if err != nil {
		return nil, err
	}
	m := metadata.Timestamp(expires.UTC().Truncate(time.Second))
	m.Signed.Version = version
	file := metadata.MetaFile(h.Version)
	file.Length = int64(len(snapshot))
	file.Hashes = metadata.Hashes{"sha256": attest.DigestOf(snapshot).Sum()}
	m.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": file}
	b, err := m.ToBytes(false)
	for _, k := range keys {
		if err == nil {
			b, err = Sign(b, k)
		}
	}
	return b, err
}

// Sign adds a signature to metadata of any role, in the place of an earlier one
// of the same key.
func Sign(b []byte, key crypto.Signer) ([]byte, error) {
	switch role := RoleOf(b); role {
	case RoleRoot:
		return sign[metadata.RootType](role, b, key)
	case RoleTargets:
		return sign[metadata.TargetsType](role, b, key)
	case RoleSnapshot:
		return sign[metadata.SnapshotType](role, b, key)
	case RoleTimestamp:
		return sign[metadata.TimestampType](role, b, key)
	}
	return nil, errNoRole
}

var errNoRole = errors.New("this is no metadata of a role")

func sign[T metadata.Roles](role string, b []byte, key crypto.Signer) ([]byte, error) {
	m, err := read[T](role, b)
	if err != nil {
		return nil, err
	}
	public, err := attest.NewPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	id, err := KeyID(public)
	if err != nil {
		return nil, err
	}
	m.Signatures = slices.DeleteFunc(m.Signatures, func(s metadata.Signature) bool { return s.KeyID == id })
	s, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if _, err := m.Sign(s); err != nil {
		return nil, fmt.Errorf("signing %s.json: %w", role, err)
	}
	return m.ToBytes(false)
}

// tufKey writes a key as metadata does. Of RSA keys there are two forms there
// that verifiers tell apart by guessing; the roles have ECDSA keys.
func tufKey(k *attest.PublicKey) (*metadata.Key, error) {
	if k.ECDSA() == nil {
		return nil, errors.New("the keys of a TUF repository are ECDSA P-256; this is another kind")
	}
	return metadata.KeyFromPublicKey(k.ECDSA())
}

// KeyID returns the id a key has in metadata.
func KeyID(k *attest.PublicKey) (string, error) {
	key, err := tufKey(k)
	if err != nil {
		return "", err
	}
	return key.ID()
}

// PathOf returns where a target's bytes are under the repository's address.
func PathOf(name string, b []byte) string {
	return "targets/" + hex.EncodeToString(attest.DigestOf(b).Sum()) + "." + name
}

// Paths returns the files of r by their path under the repository's address:
// every version of root, the newest of targets and snapshot, and the targets.
func (r *Repository) Paths() (map[string][]byte, error) {
	paths := make(map[string][]byte)
	for i, b := range r.Roots {
		paths[fmt.Sprintf("%d.root.json", i+1)] = b
	}
	for role, b := range map[string][]byte{RoleTargets: r.Targets, RoleSnapshot: r.Snapshot} {
		h, err := ReadHeading(role, b)
		if err != nil {
			return nil, err
		}
		paths[fmt.Sprintf("%d.%s.json", h.Version, role)] = b
	}
	for name, b := range r.Files {
		paths[PathOf(name, b)] = b
	}
	return paths, nil
}

// same reports whether two repositories are of the same bytes.
func same(a, b *Repository) bool {
	return slices.EqualFunc(a.Roots, b.Roots, bytes.Equal) && bytes.Equal(a.Targets, b.Targets) &&
		bytes.Equal(a.Snapshot, b.Snapshot) && maps.EqualFunc(a.Files, b.Files, bytes.Equal)
}
