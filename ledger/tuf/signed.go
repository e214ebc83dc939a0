package tuf

import (
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Tally is whose signatures of a role metadata has, and how many it needs.
type Tally struct {
	By   []string // key ids
	Need int
}

// Enough reports whether the threshold is reached.
func (t Tally) Enough() bool { return t.Need > 0 && len(t.By) >= t.Need }

// Signatures counts the keys of a role of root that signed b, metadata of the
// role it says it is of.
func Signatures(root []byte, role string, b []byte) (Tally, error) {
	r, err := read[metadata.RootType](RoleRoot, root)
	if err != nil {
		return Tally{}, err
	}
	if err := checkRoles(r); err != nil {
		return Tally{}, err
	}
	m, err := ofItsRole(b)
	if err != nil {
		return Tally{}, err
	}
	named, ok := r.Signed.Roles[role]
	if !ok {
		return Tally{}, fmt.Errorf("there is no role %.40q", role)
	}
	t := Tally{Need: named.Threshold}
	for _, id := range named.KeyIDs {
		alone := &metadata.Metadata[metadata.RootType]{Signed: metadata.RootType{
			Keys: r.Signed.Keys, Roles: map[string]*metadata.Role{role: {KeyIDs: []string{id}, Threshold: 1}},
		}}
		if alone.VerifyDelegate(role, m) == nil {
			t.By = append(t.By, id)
		}
	}
	return t, nil
}

// ofItsRole reads metadata of the role it says it is of.
func ofItsRole(b []byte) (any, error) {
	switch role := RoleOf(b); role {
	case RoleRoot:
		return read[metadata.RootType](role, b)
	case RoleTargets:
		return read[metadata.TargetsType](role, b)
	case RoleSnapshot:
		return read[metadata.SnapshotType](role, b)
	case RoleTimestamp:
		return read[metadata.TimestampType](role, b)
	}
	return nil, errNoRole
}

// Whole returns an error unless a chain of roots, from version 1, is one that
// clients follow: each signed by the one before it and by itself.
func Whole(roots [][]byte) error {
	_, err := follow(nil, roots)
	return err
}

// TargetPaths returns where the targets that metadata names are, by name.
// Names are the three there can be, so that none leads elsewhere.
func TargetPaths(targets []byte) (map[string]string, error) {
	m, err := read[metadata.TargetsType](RoleTargets, targets)
	if err != nil {
		return nil, err
	}
	paths := make(map[string]string)
	for name, t := range m.Signed.Targets {
		sum := t.Hashes["sha256"]
		if name != TrustPolicy && name != TrustedRoot && name != SigningConfig || len(sum) == 0 {
			return nil, fmt.Errorf("targets.json names %.80q, which is no target of ours", name)
		}
		paths[name] = fmt.Sprintf("targets/%x.%s", []byte(sum), name)
	}
	return paths, nil
}
