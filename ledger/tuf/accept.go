package tuf

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
)

// An Offer is what an admin brings: a repository that follows the one there
// is. Roots are those after a version that is there already, or more of them.
type Offer struct {
	Roots    [][]byte
	Targets  []byte
	Snapshot []byte
	Files    map[string][]byte
}

// ErrSame says that an offer is the repository there is.
var ErrSame = errors.New("this is the repository there is")

// Accept verifies an offer completely and returns the repository it makes of
// current, which is nil before the first. Each root is one version above the
// one before it and signed by a threshold of that one's keys and its own;
// targets and snapshot are signed by thresholds of the newest root, and are
// either the bytes there are or of a higher version; the targets are exactly
// the three there can be, of the hashes the metadata names. What has expired is
// for [Repository.Current] to say.
//
// Accept gives the same answer at any time, so that a repository that was
// taken once is taken again at every start.
func Accept(current *Repository, o Offer) (*Repository, error) {
	if current == nil {
		current = &Repository{}
	}
	next := &Repository{Targets: o.Targets, Snapshot: o.Snapshot, Files: o.Files}
	var err error
	if next.Roots, err = follow(current.Roots, o.Roots); err != nil {
		return nil, err
	}
	root, err := read[metadata.RootType](RoleRoot, next.Root())
	if err != nil {
		return nil, err
	}
	targets, err := delegated[metadata.TargetsType](root, RoleTargets, o.Targets)
	if err != nil {
		return nil, err
	}
	snapshot, err := delegated[metadata.SnapshotType](root, RoleSnapshot, o.Snapshot)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		above(RoleTargets, current.Targets, o.Targets, targets.Signed.Version),
		above(RoleSnapshot, current.Snapshot, o.Snapshot, snapshot.Signed.Version),
		checkSnapshot(snapshot, targets.Signed.Version), checkTargets(targets, o.Files)); err != nil {
		return nil, err
	}
	if same(current, next) {
		return nil, ErrSame
	}
	if err := checkFiles(next); err != nil {
		return nil, err
	}
	return next, nil
}

// follow returns the chain of roots that more makes of have.
func follow(have, more [][]byte) ([][]byte, error) {
	chain := slices.Clone(have)
	for _, b := range more {
		m, err := read[metadata.RootType](RoleRoot, b)
		if err != nil {
			return nil, err
		}
		v := m.Signed.Version
		if v <= int64(len(chain)) {
			if !bytes.Equal(chain[v-1], b) {
				return nil, fmt.Errorf("root version %d is another one than the server has", v)
			}
			continue
		}
		if err := succeeds(chain, m); err != nil {
			return nil, err
		}
		chain = append(chain, b)
	}
	switch {
	case len(chain) == 0:
		return nil, errors.New("there is no root")
	case len(chain) > MaxRoots:
		return nil, fmt.Errorf("%d versions of root; clients follow %d", len(chain), MaxRoots)
	}
	return chain, nil
}

// succeeds asks that a root is the next one after a chain.
func succeeds(chain [][]byte, m *metadata.Metadata[metadata.RootType]) error {
	if want := int64(len(chain)) + 1; m.Signed.Version != want {
		return fmt.Errorf("root version %d came where version %d belongs", m.Signed.Version, want)
	}
	if err := checkRoles(m); err != nil {
		return fmt.Errorf("root version %d: %w", m.Signed.Version, err)
	}
	if len(chain) > 0 {
		before, err := read[metadata.RootType](RoleRoot, chain[len(chain)-1])
		if err != nil {
			return err
		}
		if err := before.VerifyDelegate(RoleRoot, m); err != nil {
			return fmt.Errorf("root version %d is not signed by the root keys of version %d: %w", m.Signed.Version, m.Signed.Version-1, err)
		}
	}
	if err := m.VerifyDelegate(RoleRoot, m); err != nil {
		return fmt.Errorf("root version %d is not signed by its own root keys: %w", m.Signed.Version, err)
	}
	return nil
}

// checkRoles asks for what makes a root safe to go by: four roles of P-256 keys
// that can reach their threshold, and a timestamp key that has no other role,
// because it is the one a server holds.
func checkRoles(m *metadata.Metadata[metadata.RootType]) error {
	s := &m.Signed
	if !s.ConsistentSnapshot {
		return errors.New("consistent_snapshot is not true")
	}
	if len(s.Roles) != 4 {
		return fmt.Errorf("%d roles, want root, targets, snapshot and timestamp", len(s.Roles))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Roles)) {
		if err := checkRole(s, name); err != nil {
			return fmt.Errorf("role %s: %w", name, err)
		}
	}
	for _, id := range s.Roles[RoleTimestamp].KeyIDs {
		for _, name := range []string{RoleRoot, RoleTargets, RoleSnapshot} {
			if slices.Contains(s.Roles[name].KeyIDs, id) {
				return fmt.Errorf("the timestamp key %.12s is a key of role %s too: the server's key must have no other role", id, name)
			}
		}
	}
	return nil
}

func checkRole(s *metadata.RootType, name string) error {
	r := s.Roles[name]
	if len(r.KeyIDs) == 0 {
		return errors.New("it has no key")
	}
	if r.Threshold < 1 || r.Threshold > len(r.KeyIDs) {
		return fmt.Errorf("threshold %d is not between 1 and the number of keys, %d", r.Threshold, len(r.KeyIDs))
	}
	for i, id := range r.KeyIDs {
		key := s.Keys[id]
		if slices.Contains(r.KeyIDs[:i], id) || key == nil {
			return fmt.Errorf("key %.12s is named twice, or is not there", id)
		}
		public, err := publicKey(key)
		if err != nil {
			return fmt.Errorf("key %.12s: %w", id, err)
		}
		if own, err := KeyID(public); err != nil || own != id {
			return fmt.Errorf("key %.12s has the id %.12s", id, own)
		}
	}
	return nil
}

func publicKey(k *metadata.Key) (*attest.PublicKey, error) {
	if k == nil {
		return nil, errors.New("it is not there")
	}
	p, err := k.ToPublicKey()
	if err != nil {
		return nil, err
	}
	return attest.NewPublicKey(p)
}

// delegated reads metadata that a threshold of a role's keys signed.
func delegated[T metadata.Roles](root *metadata.Metadata[metadata.RootType], role string, b []byte) (*metadata.Metadata[T], error) {
	m, err := read[T](role, b)
	if err != nil {
		return nil, err
	}
	if err := root.VerifyDelegate(role, m); err != nil {
		return nil, fmt.Errorf("%s.json is not signed by the %s keys of root version %d: %w", role, role, root.Signed.Version, err)
	}
	return m, nil
}

// above asks that metadata is what there is, or of a higher version. Versions
// may be left out: somebody made them and they were refused.
func above(role string, have, b []byte, version int64) error {
	if have == nil {
		return nil
	}
	h, err := ReadHeading(role, have)
	if err != nil {
		return err
	}
	switch {
	case version == h.Version && !bytes.Equal(have, b):
		return fmt.Errorf("%s.json version %d is another one than the server has", role, version)
	case version < h.Version:
		return fmt.Errorf("%s.json has version %d, the server has version %d", role, version, h.Version)
	}
	return nil
}

func checkSnapshot(m *metadata.Metadata[metadata.SnapshotType], targets int64) error {
	if len(m.Signed.Meta) != 1 {
		return fmt.Errorf("snapshot.json names %d files, want targets.json alone", len(m.Signed.Meta))
	}
	if v := m.Signed.Meta["targets.json"].Version; v != targets {
		return fmt.Errorf("snapshot.json names version %d of targets.json, which has version %d", v, targets)
	}
	return nil
}

func checkTargets(m *metadata.Metadata[metadata.TargetsType], files map[string][]byte) error {
	names := []string{SigningConfig, TrustPolicy, TrustedRoot}
	for _, have := range [][]string{slices.Sorted(maps.Keys(m.Signed.Targets)), slices.Sorted(maps.Keys(files))} {
		if !slices.Equal(have, names) {
			return fmt.Errorf("targets %.200q, want exactly %q", have, names)
		}
	}
	for name, t := range m.Signed.Targets {
		if len(files[name]) > MaxFile {
			return fmt.Errorf("target %s exceeds %d bytes", name, MaxFile)
		}
		if _, ok := t.Hashes["sha256"]; !ok || len(t.Hashes) != 1 {
			return fmt.Errorf("target %s is named by other hashes than sha256 alone", name)
		}
		if err := t.VerifyLengthHashes(files[name]); err != nil {
			return fmt.Errorf("target %s: %w", name, err)
		}
	}
	return nil
}

// checkFiles asks that the targets say one thing: the trusted root is that of
// the trust policy, which names a root of this repository, if it names one.
func checkFiles(r *Repository) error {
	p, err := r.Policy()
	if err != nil {
		return err
	}
	trusted, err := strictjson.Canonicalize(p.TrustedRoot)
	if err != nil {
		return err
	}
	if !bytes.Equal(trusted, r.Files[TrustedRoot]) {
		return fmt.Errorf("target %s is not the trusted root of the trust policy", TrustedRoot)
	}
	if err := ledger.CheckSigningConfig(r.Files[SigningConfig]); err != nil {
		return fmt.Errorf("target %s: %w", SigningConfig, err)
	}
	return r.pinned(p)
}

func (r *Repository) pinned(p *attest.TrustPolicy) error {
	pin := p.TUF
	if pin == (Pin{}) {
		return nil
	}
	if pin.Version > int64(len(r.Roots)) || attest.DigestOf(r.Roots[pin.Version-1]) != pin.Root {
		return fmt.Errorf("the trust policy names root version %d with %s, which is not in this repository", pin.Version, pin.Root)
	}
	return nil
}

// Policy returns the trust policy among the targets. Its own signatures are
// for whoever has its roots to verify.
func (r *Repository) Policy() (*attest.TrustPolicy, error) {
	e, err := attest.ParseEnvelope(r.Files[TrustPolicy], attest.PolicyPayload)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", TrustPolicy, err)
	}
	p, err := attest.ParseTrustPolicy(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", TrustPolicy, err)
	}
	return p, nil
}

// Current returns an error if root, targets or snapshot of r are over at now.
func (r *Repository) Current(now time.Time) error {
	for role, b := range map[string][]byte{RoleRoot: r.Root(), RoleTargets: r.Targets, RoleSnapshot: r.Snapshot} {
		h, err := ReadHeading(role, b)
		if err != nil {
			return err
		}
		if !now.Before(h.Expires) {
			return fmt.Errorf("%s.json version %d expired at %s", role, h.Version, h.Expires.Format(time.RFC3339))
		}
	}
	return nil
}

// A Timestamp is what a timestamp says.
type Timestamp struct {
	Heading
	Snapshot attest.Digest // of the snapshot it names
}

// OpenTimestamp reads a timestamp that a threshold of a root's timestamp keys
// signed.
func OpenTimestamp(root, b []byte) (*Timestamp, error) {
	r, err := read[metadata.RootType](RoleRoot, root)
	if err != nil {
		return nil, err
	}
	m, err := delegated[metadata.TimestampType](r, RoleTimestamp, b)
	if err != nil {
		return nil, err
	}
	t := &Timestamp{Heading: Heading{RoleTimestamp, m.Signed.Version, m.Signed.Expires}}
	if sum := m.Signed.Meta["snapshot.json"].Hashes["sha256"]; len(sum) > 0 {
		t.Snapshot = attest.Digest(fmt.Sprintf("sha256:%x", []byte(sum)))
	}
	return t, nil
}
