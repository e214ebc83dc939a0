// Package tuf makes and verifies the repository by which trust is handed out:
// metadata of The Update Framework (https://theupdateframework.io, spec 1.0)
// over three targets: the trust policy, the Sigstore trusted root and the
// Sigstore signing configuration. docs/spec/tuf.md.
//
// Root, targets and snapshot are signed by k of n keys that no server has. A
// server holds the timestamp key alone, which says which snapshot is the
// newest, and no more. [Accept] is the one way a repository follows another:
// the server asks it when an admin brings one and again at every start, the
// admin's program before it sends one.
//
// The package is pure: bytes, keys and the time are arguments. What clients do
// is in ledger/tuf/update, what the server serves in ledger/tuf/repository.
package tuf

import (
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// The top-level roles. There are no delegations.
const (
	RoleRoot      = metadata.ROOT
	RoleTargets   = metadata.TARGETS
	RoleSnapshot  = metadata.SNAPSHOT
	RoleTimestamp = metadata.TIMESTAMP
)

// The targets, which are all there are: stock Sigstore clients look for the
// first two by these names.
const (
	TrustedRoot   = "trusted_root.json"
	SigningConfig = "signing_config.v0.2.json"
	TrustPolicy   = "trust-policy.json"
)

// Limits, in bytes. MaxFile lets a trust policy of the largest size through,
// as an envelope.
const (
	MaxRoot      = 64 << 10
	MaxTargets   = 16 << 10
	MaxSnapshot  = 8 << 10
	MaxTimestamp = 8 << 10
	MaxFile      = 1 << 20
)

// MaxRoots is how many versions of root a repository may come to have: as many
// as go-tuf follows in one go.
const MaxRoots = 256

// maxVersion keeps versions exact in every reader of JSON.
const maxVersion = strictjson.MaxInteger - 1

// A Repository is one consistent state, verified by [Accept]. The zero value
// is none.
type Repository struct {
	Roots    [][]byte          // N.root.json at N-1: the whole chain
	Targets  []byte            // targets.json
	Snapshot []byte            // snapshot.json
	Files    map[string][]byte // the targets, by name
}

// Root returns the newest root.
func (r *Repository) Root() []byte { return r.Roots[len(r.Roots)-1] }

// A Pin names one version of root by the sha256 of its file.
type Pin = attest.TUFRoot

// The shapes metadata has to have before go-tuf sees it: a member it would
// follow blindly is there, and is no null.
type (
	shape[T any] struct {
		Signed     T `json:"signed"`
		Signatures []struct {
			KeyID string `json:"keyid"`
			Sig   string `json:"sig"`
		} `json:"signatures"`
	}
	common struct {
		Type    string    `json:"_type"`
		Spec    string    `json:"spec_version"`
		Version int64     `json:"version"`
		Expires time.Time `json:"expires"`
	}
	rootShape struct {
		common
		Consistent bool `json:"consistent_snapshot"`
		Keys       map[string]struct {
			Type   string `json:"keytype"`
			Scheme string `json:"scheme"`
			Value  struct {
				Public string `json:"public"`
			} `json:"keyval"`
		} `json:"keys"`
		Roles map[string]struct {
			KeyIDs    []string `json:"keyids"`
			Threshold int      `json:"threshold"`
		} `json:"roles"`
	}
	metaShape struct {
		common
		Meta map[string]struct {
			Version int64             `json:"version"`
			Length  int64             `json:"length,omitzero"`
			Hashes  map[string]string `json:"hashes,omitzero"`
		} `json:"meta"`
	}
	targetsShape struct {
		common
		Targets map[string]struct {
			Length int64             `json:"length"`
			Hashes map[string]string `json:"hashes"`
		} `json:"targets"`
		Delegations any `json:"delegations,omitzero"`
	}
)

// Check refuses bytes that are no metadata of a top-level role: too long, not
// strict JSON, or without a member every reader goes by. It says nothing of
// signatures.
func Check(role string, b []byte) error {
	got, err := checkShape(role, b)
	switch {
	case err != nil:
		return fmt.Errorf("%s.json: %w", role, err)
	case got.Type != role:
		return fmt.Errorf("%s.json: its _type is %.40q", role, got.Type)
	case got.Version < 1 || got.Version > maxVersion:
		return fmt.Errorf("%s.json: version %d is not between 1 and %d", role, got.Version, int64(maxVersion))
	}
	return nil
}

func checkShape(role string, b []byte) (common, error) {
	switch role {
	case RoleRoot:
		return checkRootShape(b)
	case RoleTargets:
		return checkTargetsShape(b)
	case RoleSnapshot:
		return checkMeta(b, MaxSnapshot, "targets.json")
	case RoleTimestamp:
		return checkMeta(b, MaxTimestamp, "snapshot.json")
	}
	return common{}, fmt.Errorf("there is no role %.40q", role)
}

func checkRootShape(b []byte) (common, error) {
	var v shape[rootShape]
	if err := strictjson.UnmarshalForeign(b, MaxRoot, &v); err != nil {
		return common{}, err
	}
	for _, role := range []string{RoleRoot, RoleTargets, RoleSnapshot, RoleTimestamp} {
		if _, ok := v.Signed.Roles[role]; !ok {
			return common{}, fmt.Errorf("it has no role %s", role)
		}
	}
	return v.Signed.common, nil
}

// checkTargetsShape refuses delegations, which a reader would follow to roles
// and files of any name.
func checkTargetsShape(b []byte) (common, error) {
	var v shape[targetsShape]
	if err := strictjson.UnmarshalForeign(b, MaxTargets, &v); err != nil {
		return common{}, err
	}
	if v.Signed.Delegations != nil {
		return common{}, errors.New("it delegates; in this repository nobody does")
	}
	return v.Signed.common, nil
}

func checkMeta(b []byte, limit int, name string) (common, error) {
	var v shape[metaShape]
	if err := strictjson.UnmarshalForeign(b, limit, &v); err != nil {
		return common{}, err
	}
	if _, ok := v.Signed.Meta[name]; !ok {
		return common{}, fmt.Errorf("it does not name %s", name)
	}
	return v.Signed.common, nil
}

// read checks metadata and returns it as go-tuf has it.
func read[T metadata.Roles](role string, b []byte) (*metadata.Metadata[T], error) {
	if err := Check(role, b); err != nil {
		return nil, err
	}
	m, err := new(metadata.Metadata[T]).FromBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%s.json: %w", role, err)
	}
	return m, nil
}

// Heading is what every kind of metadata begins with.
type Heading struct {
	Role    string
	Version int64
	Expires time.Time
}

// ReadHeading returns the heading of metadata of a role, checked for its shape
// and for nothing else.
func ReadHeading(role string, b []byte) (Heading, error) {
	if err := Check(role, b); err != nil {
		return Heading{}, err
	}
	c, err := checkShape(role, b)
	return Heading{Role: c.Type, Version: c.Version, Expires: c.Expires}, err
}

// RoleOf returns the role that metadata says it is of; "" where it says none.
func RoleOf(b []byte) string {
	var v struct {
		Signed struct {
			Type string `json:"_type"`
		} `json:"signed"`
	}
	if err := strictjson.UnmarshalForeign(b, MaxRoot, &v); err != nil {
		return ""
	}
	return v.Signed.Type
}
