// Package update is a client's side of the TUF repository: the workflow of the
// TUF specification, by go-tuf's updater, from a pinned root to the three
// targets. docs/spec/tuf.md, "What a client does".
//
// What a client remembers is one value, a [State]. The updater works in a
// directory of its own that is thrown away, and its caller makes the next state
// durable in one step: after a crash a client knows what it knew, or all of
// what it learned. What was learned before something was refused is kept too:
// new roots, and the timestamp that forbids going back.
package update

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/tuf"
)

// Path is where a server has its repository.
const Path = "/tuf"

// Timeout is how long an update may take in all, however slowly a server sends.
const Timeout = time.Minute

const stateVersion = 1

// maxState is the longest state that is read, in bytes.
const maxState = 8 << 20

// A State is what a client remembers of a repository, verified.
type State struct {
	SchemaVersion int               `json:"schemaVersion"`
	Pin           attest.TUFRoot    `json:"pin"`  // where trust began
	Root          []byte            `json:"root"` // the newest
	Timestamp     []byte            `json:"timestamp,omitzero"`
	Snapshot      []byte            `json:"snapshot,omitzero"`
	Targets       []byte            `json:"targets,omitzero"`
	Files         map[string][]byte `json:"files,omitzero"` // of the last update that succeeded
}

// ParseState reads a state from its JSON, strictly. Who can change it can
// change what is trusted; what it holds is verified by the next update.
func ParseState(b []byte) (*State, error) {
	s := &State{}
	if err := strictjson.Unmarshal(b, maxState, s); err != nil {
		return nil, err
	}
	if s.SchemaVersion != stateVersion {
		return nil, fmt.Errorf("schemaVersion %d, this version reads %d", s.SchemaVersion, stateVersion)
	}
	for name, b := range s.metadata() {
		if len(b) == 0 && name != tuf.RoleRoot {
			continue
		}
		if err := tuf.Check(name, b); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *State) metadata() map[string][]byte {
	return map[string][]byte{tuf.RoleRoot: s.Root, tuf.RoleTimestamp: s.Timestamp, tuf.RoleSnapshot: s.Snapshot, tuf.RoleTargets: s.Targets}
}

// Heading returns version and expiry of metadata of a role; zero: none yet.
func (s *State) Heading(role string) tuf.Heading {
	h, err := tuf.ReadHeading(role, s.metadata()[role])
	if err != nil {
		return tuf.Heading{}
	}
	return h
}

// Until returns when the first of what was verified is over: from then on
// nothing says that there is nothing newer. Zero: nothing was verified yet.
func (s *State) Until() time.Time {
	var first time.Time
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets} {
		h := s.Heading(role)
		if h.Expires.IsZero() {
			return time.Time{}
		}
		if first.IsZero() || h.Expires.Before(first) {
			first = h.Expires
		}
	}
	return first
}

// Why an update was refused. Errors that are none of these are about reaching
// the server.
var (
	ErrNone     = errors.New("the server has no TUF repository")
	ErrRoot     = errors.New("not the pinned root")
	ErrUnsigned = errors.New("not signed by enough of the keys that count")
	ErrRollback = errors.New("older than what was seen before, or of another state")
	ErrExpired  = errors.New("expired")
	ErrCorrupt  = errors.New("not what it is said to be")
	ErrSlow     = errors.New("the server takes too long")
)

// A Client reads one server's repository.
type Client struct {
	Server string       // base URL
	HTTP   *http.Client // follows no redirects
	Dir    string       // an existing directory of the caller's, for working files
}

// Update brings have, which is nil at first, up to date from pin. The state it
// returns is to be kept whether or not there is an error; nil: nothing was
// learned. Only without an error its Files are good.
func (c *Client) Update(ctx context.Context, pin attest.TUFRoot, have *State) (*State, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Timeout, ErrSlow)
	defer cancel()
	next, err := c.begin(ctx, pin, have)
	if err != nil {
		return nil, classed(ctx, err)
	}
	dir, err := os.MkdirTemp(c.Dir, ".tuf-*.partial") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("making a directory to update in: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := c.refresh(ctx, dir, next); err != nil {
		return next, classed(ctx, err)
	}
	return next, nil
}

// begin returns the state to go on from: a copy of have, or the pinned root
// alone where trust begins.
func (c *Client) begin(ctx context.Context, pin attest.TUFRoot, have *State) (*State, error) {
	if have != nil && have.Pin == pin {
		next := *have
		return &next, nil
	}
	f := &fetcher{ctx, c}
	root, err := f.DownloadFile(fmt.Sprintf("%s%s/%d.root.json", c.Server, Path, pin.Version), tuf.MaxRoot, 0)
	if err != nil {
		return nil, fmt.Errorf("fetching the pinned root: %w", err)
	}
	if d := attest.DigestOf(root); d != pin.Root {
		return nil, fmt.Errorf("%w: root version %d has %s, pinned is %s", ErrRoot, pin.Version, d, pin.Root)
	}
	return &State{SchemaVersion: stateVersion, Pin: pin, Root: root}, nil
}

// refresh runs the updater in dir, from s and into s.
func (c *Client) refresh(ctx context.Context, dir string, s *State) error {
	u, err := c.updater(ctx, dir, s)
	if err != nil {
		return err
	}
	err = u.Refresh()
	if err := errors.Join(err, s.takeBack(dir)); err != nil {
		return err
	}
	files := make(map[string][]byte)
	for _, name := range []string{tuf.TrustPolicy, tuf.TrustedRoot, tuf.SigningConfig} {
		if files[name], err = target(u, dir, name, s.Files[name]); err != nil {
			return fmt.Errorf("target %s: %w", name, err)
		}
	}
	s.Files = files
	return nil
}

func (c *Client) updater(ctx context.Context, dir string, s *State) (*updater.Updater, error) {
	for _, role := range []string{tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets} {
		b := s.metadata()[role]
		if len(b) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, role+".json"), b, 0o600); err != nil {
			return nil, fmt.Errorf("updating: %w", err)
		}
	}
	return updater.New(&config.UpdaterConfig{
		MaxRootRotations: tuf.MaxRoots, RootMaxLength: tuf.MaxRoot, TimestampMaxLength: tuf.MaxTimestamp,
		SnapshotMaxLength: tuf.MaxSnapshot, TargetsMaxLength: tuf.MaxTargets,
		Fetcher: &fetcher{ctx, c}, LocalTrustedRoot: s.Root, LocalMetadataDir: dir, LocalTargetsDir: dir,
		RemoteMetadataURL: c.Server + Path, RemoteTargetsURL: c.Server + Path + "/targets",
		PrefixTargetsWithHash: true,
	})
}

// takeBack takes what the updater verified and wrote.
func (s *State) takeBack(dir string) error {
	for role, to := range map[string]*[]byte{tuf.RoleRoot: &s.Root, tuf.RoleTimestamp: &s.Timestamp, tuf.RoleSnapshot: &s.Snapshot, tuf.RoleTargets: &s.Targets} {
		b, err := os.ReadFile(filepath.Join(dir, role+".json"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("updating: %w", err)
		}
		*to = b
	}
	return nil
}

// target returns a target's bytes: those we have, where they are still the
// ones that are named.
func target(u *updater.Updater, dir, name string, have []byte) ([]byte, error) {
	info, err := u.GetTargetInfo(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if info.VerifyLengthHashes(have) == nil {
		return have, nil
	}
	_, b, err := u.DownloadTarget(info, filepath.Join(dir, "target"), "")
	return b, err
}
