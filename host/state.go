package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
)

// The files of a state directory (docs/spec/agent.md).
const (
	identityFile    = "host.json"
	keyFile         = "key.pem"
	policyFile      = "trust-policy.json"
	recordFile      = "record.json"
	revocationsFile = "revocations.json"
	tufFile         = "tuf.json"
	siteFile        = "site.yaml"
	lockFile        = "lock"
)

const (
	stateVersion = 1
	maxState     = 64 << 20 // bytes of one state file
	lockWait     = 50 * time.Millisecond
)

// An Identity is who a host is, and how it knows its server. It is written
// once, at enrolment.
type Identity struct {
	SchemaVersion int           `json:"schemaVersion"`
	Server        string        `json:"server"` // base URL
	TLSKey        string        `json:"tlsKey"` // hex sha256 of the server key's SPKI DER; "": the system's authorities vouch for it
	Roots         attest.Digest `json:"roots"`  // of the trust policy, as the enrolment token had it
	Host          string        `json:"host"`   // UUID
	Name          string        `json:"name"`   // a label
	Products      []string      `json:"products"`
	Enrolled      time.Time     `json:"enrolled"`
}

// storedPolicy is the newest trust policy this host accepted.
type storedPolicy struct {
	SchemaVersion int           `json:"schemaVersion"`
	Version       int64         `json:"version"`
	Roots         attest.Digest `json:"roots"`    // of this version
	Envelope      []byte        `json:"envelope"` // as it was signed
}

// lastRecord is the last record the server took, and what it was made of.
type lastRecord struct {
	SchemaVersion int        `json:"schemaVersion"`
	Bases         []Base     `json:"bases"`
	Signed        int64      `json:"signed"`   // the highest sequence ever signed, sent or not
	Envelope      []byte     `json:"envelope"` // empty: none was taken yet
	Received      time.Time  `json:"received,omitzero"`
	Resolved      []api.Base `json:"resolved"` // what the server said the record is of: a hint
}

// A Base is a product and the file of this host that is its base.
type Base struct {
	Product string `json:"product"` // product id
	Path    string `json:"path"`    // absolute
}

// seenRevocations are all revocations this host ever verified.
type seenRevocations struct {
	SchemaVersion int                  `json:"schemaVersion"`
	Products      []productRevocations `json:"products"`
}

type productRevocations struct {
	Product string   `json:"product"`
	Count   int64    `json:"count"` // of bundles; agents before wrote what the server said, so nothing reads it
	Bundles [][]byte `json:"bundles"`
}

// state is a locked state directory. Every write is atomic and durable: after
// a crash a file is as it was, or as it was going to be.
type state struct {
	dir  string
	lock *os.File
}

// openState locks an existing state directory.
func openState(ctx context.Context, dir string) (*state, error) {
	return openSynced(ctx, dir, durable.SyncDir)
}

// openSynced is openState. An agent that was killed may have renamed a file and
// not synced the directory: what is read from here on is made durable first, so
// that nothing an agent decided from is forgotten.
func openSynced(ctx context.Context, dir string, sync func(dir string) error) (*state, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no state directory %s", ErrNotEnrolled, dir)
	case err != nil:
		return nil, fmt.Errorf("opening the state directory: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("state directory %s is not a directory", dir)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("state directory %s is open to others (mode %04o): chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the state directory: %w", err)
	}
	if err := lock(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("waiting for another patchfit-agent that uses %s: %w", dir, err)
	}
	if err := durable.Sweep(dir); err != nil {
		f.Close()
		return nil, fmt.Errorf("tidying the state directory: %w", err)
	}
	if err := sync(dir); err != nil {
		f.Close()
		return nil, fmt.Errorf("making the state directory durable: %w", err)
	}
	return &state{dir: dir, lock: f}, nil
}

// lock takes an exclusive lock, which ends with the file or the process.
func lock(ctx context.Context, f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockWait):
		}
	}
}

func (s *state) close() error { return s.lock.Close() }

// ReadIdentity reads who the host with this state directory is, without
// locking it. The error is [ErrNotEnrolled] where nobody is.
func ReadIdentity(dir string) (*Identity, error) {
	id := &Identity{}
	err := readJSON(dir, identityFile, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no %s", ErrNotEnrolled, filepath.Join(dir, identityFile))
	case err != nil:
		return nil, err
	}
	return id, versioned(identityFile, id.SchemaVersion)
}

// KeyFile returns the path of the host's private key in a state directory.
func KeyFile(dir string) string { return filepath.Join(dir, keyFile) }

func (s *state) readPolicy() (*succession.Policy, error) {
	p := &storedPolicy{}
	if err := readJSON(s.dir, policyFile, p); err != nil {
		return nil, err
	}
	if err := versioned(policyFile, p.SchemaVersion); err != nil {
		return nil, err
	}
	opened, err := attest.OpenTrustPolicy(p.Envelope, p.Roots)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", policyFile, err)
	}
	if opened.Version != p.Version {
		return nil, fmt.Errorf("reading %s: it holds version %d and says version %d", policyFile, opened.Version, p.Version)
	}
	return &succession.Policy{TrustPolicy: opened, Envelope: p.Envelope}, nil
}

func (s *state) writePolicy(p *succession.Policy) error {
	roots, err := p.Roots.Digest()
	if err != nil {
		return err
	}
	return s.write(policyFile, storedPolicy{SchemaVersion: stateVersion, Version: p.Version, Roots: roots, Envelope: p.Envelope})
}

func (s *state) readRecord() (*lastRecord, error) {
	r := &lastRecord{SchemaVersion: stateVersion}
	if err := readJSON(s.dir, recordFile, r); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return r, versioned(recordFile, r.SchemaVersion)
}

// readSite returns the minimums of site.yaml, unless the caller has its own.
func (s *state) readSite(own *policy.Site) (*policy.Site, error) {
	if own != nil {
		return own, nil
	}
	b, err := os.ReadFile(filepath.Join(s.dir, siteFile))
	if errors.Is(err, fs.ErrNotExist) {
		return policy.DefaultSite(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the agent's site policy: %w", err)
	}
	site, err := policy.LoadSite(b)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(s.dir, siteFile), err)
	}
	return site, nil
}

func (s *state) readRevocations() (*seenRevocations, error) {
	r := &seenRevocations{SchemaVersion: stateVersion}
	if err := readJSON(s.dir, revocationsFile, r); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return r, versioned(revocationsFile, r.SchemaVersion)
}

func versioned(name string, got int) error {
	if got != stateVersion {
		return fmt.Errorf("reading %s: it has schemaVersion %d, this agent reads %d", name, got, stateVersion)
	}
	return nil
}

func readJSON(dir, name string, v any) error {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("reading the agent's state: %w", err)
	}
	if err := strictjson.Unmarshal(b, maxState, v); err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Join(dir, name), err)
	}
	return nil
}

func (s *state) write(name string, v any) error {
	b, err := strictjson.Canonical(v)
	if err == nil {
		err = durable.Replace(filepath.Join(s.dir, name), append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the agent's state: %w", err)
	}
	return nil
}
