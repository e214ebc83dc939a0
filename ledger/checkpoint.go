package ledger

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"time"

	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
)

// The ways a log's word can fail. docs/spec/log.md, "What a log can be caught at".
var (
	// ErrUnsigned: a checkpoint is not signed by a log that is trusted.
	ErrUnsigned = errors.New("checkpoint is not signed by a trusted log")
	// ErrRolledBack: a log is smaller than a checkpoint of it seen before.
	ErrRolledBack = errors.New("log is smaller than it was")
	// ErrForked: a log is not a continuation of a checkpoint of it seen before.
	ErrForked = errors.New("log shows another history than before")
	// ErrTampered: what a log serves does not add up to its checkpoint.
	ErrTampered = errors.New("log does not hold what its checkpoint says")
)

// A LogKey is a log that is trusted. The log's origin, the name in its
// checkpoints, is part of its identity: one key under two origins is two logs.
type LogKey struct {
	Origin string           // a host name, no port, no path
	Key    crypto.PublicKey // ed25519.PublicKey or *ecdsa.PublicKey
	Start  time.Time        // when the log began
}

// ID returns the log's 32-byte id: the C2SP key hash, not truncated.
func (k LogKey) ID() ([]byte, error) {
	_, id, err := rekornote.KeyHash(k.Origin, k.Key)
	return id, err
}

// Verifier returns what verifies the log's signed notes.
func (k LogKey) Verifier() (note.Verifier, error) {
	v, err := k.signatures()
	if err != nil {
		return nil, fmt.Errorf("key of log %s: %w", k.Origin, err)
	}
	return rekornote.NewNoteVerifier(k.Origin, v)
}

func (k LogKey) signatures() (signature.Verifier, error) {
	switch key := k.Key.(type) {
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return nil, errors.New("not an Ed25519 key")
		}
		return signature.LoadED25519Verifier(key)
	case *ecdsa.PublicKey:
		return signature.LoadECDSAVerifier(key, crypto.SHA256)
	}
	return nil, fmt.Errorf("keys of type %T do not sign logs", k.Key)
}

// A Checkpoint is a log's signed word on its size and root (C2SP
// tlog-checkpoint). Only [OpenCheckpoint] makes one that says who signed it.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   []byte // the root hash, 32 bytes
	Raw    []byte // the signed note, evidence if the log ever says otherwise
}

// OpenCheckpoint returns the checkpoint in raw if one of the trusted logs
// signed it, and otherwise an error that wraps [ErrUnsigned]. Cosignatures of
// others are ignored.
func OpenCheckpoint(raw []byte, logs []LogKey) (*Checkpoint, error) {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	known := false
	for _, k := range logs {
		if k.Origin != string(line) {
			continue
		}
		known = true
		v, err := k.Verifier()
		if err != nil {
			return nil, err
		}
		c, err := rekorverify.VerifyCheckpoint(string(raw), v)
		if err != nil {
			continue
		}
		if c.Size > math.MaxInt64 || len(c.Hash) != 32 {
			return nil, fmt.Errorf("%w: size %d and a root of %d bytes are no log's", ErrTampered, c.Size, len(c.Hash))
		}
		return &Checkpoint{Origin: c.Origin, Size: c.Size, Root: c.Hash, Raw: bytes.Clone(raw)}, nil
	}
	if !known {
		return nil, fmt.Errorf("%w: none is called %.80q", ErrUnsigned, line)
	}
	return nil, fmt.Errorf("%w: no valid signature by the key of %s", ErrUnsigned, line)
}

// Precedes returns nil if next, a checkpoint of the same log, is no smaller
// than c, and equal where it is of the same size. That a larger one contains
// the smaller takes the leaves, or a proof.
func (c *Checkpoint) Precedes(next *Checkpoint) error {
	switch {
	case c.Origin != next.Origin:
		return fmt.Errorf("%w: it was %s and calls itself %s", ErrForked, c.Origin, next.Origin)
	case next.Size < c.Size:
		return fmt.Errorf("%w: %d entries now, %d before", ErrRolledBack, next.Size, c.Size)
	case next.Size == c.Size && !bytes.Equal(next.Root, c.Root):
		return fmt.Errorf("%w: two roots for %d entries, %x and %x", ErrForked, c.Size, c.Root, next.Root)
	}
	return nil
}
