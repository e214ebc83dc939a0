package verifying

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/quorum"
	"github.com/patchfit/patchfit/verify"
)

// A ProofAnswer is the outcome for a tlog-proof file.
type ProofAnswer struct {
	File      string   `json:"file"`
	Verified  bool     `json:"verified"`
	Origin    string   `json:"origin,omitzero"`
	Index     uint64   `json:"index"`
	Size      uint64   `json:"size,omitzero"`      // of the log, as the proof has it
	Witnesses []string `json:"witnesses,omitzero"` // that cosigned, as the log policy calls them
	Fact      string   `json:"fact,omitzero"`      // why it is not verified
}

// proofFlags name a tlog-proof, and the log policy it is held to.
type proofFlags struct {
	file   string
	policy string
}

func (f *proofFlags) check(v *flags) error {
	switch {
	case f.file == "" && f.policy != "":
		return exit.BadUsage(errors.New("--log-policy goes with --proof"), "what a bundle's own checkpoint is held to is in the trust policy")
	case f.file != "" && len(v.bundles) != 1:
		return exit.BadUsage(fmt.Errorf("--proof is of one bundle, and %d are named", len(v.bundles)), "name the one with --bundle")
	case f.file != "" && v.root.file != "" && v.root.key == "":
		return exit.BadUsage(errors.New("--proof is of an entry by a key"), "name it with --key")
	}
	return nil
}

// A pinned is what a proof is held to.
type pinned struct {
	root   []byte // trusted_root.json
	policy string // tlog-policy; "" where only a file names it
	keys   []*attest.PublicKey
}

// byPolicy takes it from a trust policy.
func byPolicy(p *attest.TrustPolicy) pinned {
	to := pinned{root: p.TrustedRoot, policy: p.LogPolicy}
	for _, s := range p.Signers {
		for _, k := range s.Keys {
			if key, err := attest.ParsePublicKey(k.Key); err == nil {
				to.keys = append(to.keys, key)
			}
		}
	}
	return to
}

// byRoot takes it from files.
func (f *rootFlags) pinned() (pinned, error) {
	b, err := os.ReadFile(f.file)
	if err != nil {
		return pinned{}, fmt.Errorf("reading the trusted root: %w", err)
	}
	pem, err := os.ReadFile(f.key)
	if err != nil {
		return pinned{}, fmt.Errorf("reading the key: %w", err)
	}
	key, err := attest.ParsePublicKeyPEM(pem)
	if err != nil {
		return pinned{}, fmt.Errorf("reading the key: %w", err)
	}
	return pinned{root: b, keys: []*attest.PublicKey{key}}, nil
}

// answer verifies the proof of a bundle's entry; nil where none is asked for.
func (f *proofFlags) answer(bundle []byte, to pinned) (*ProofAnswer, error) {
	if f.file == "" {
		return nil, nil
	}
	raw, err := readLimited(f.file, ledger.MaxProof)
	if err != nil {
		return nil, fmt.Errorf("reading the proof: %w", err)
	}
	if f.policy != "" {
		b, err := readLimited(f.policy, quorum.MaxPolicy)
		if err != nil {
			return nil, fmt.Errorf("reading the log policy: %w", err)
		}
		to.policy = string(b)
	}
	if to.policy == "" {
		return nil, exit.BadUsage(errors.New("--log-policy is missing"), "the trust policy has none: name the tlog-policy that says which witnesses have to have cosigned")
	}
	policy, err := quorum.Parse([]byte(to.policy))
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("reading the log policy: %w", err), "see docs/spec/witness.md")
	}
	a := &ProofAnswer{File: f.file}
	if err := a.prove(raw, bundle, policy, to); err != nil {
		a.Fact = err.Error()
	}
	a.Verified = a.Fact == ""
	return a, nil
}

// prove asks that the proof is of the bundle's entry, in a log that is trusted,
// as enough witnesses have it.
func (a *ProofAnswer) prove(raw, bundle []byte, policy *quorum.Policy, to pinned) error {
	p, err := ledger.ParseProof(raw)
	if err != nil {
		return err
	}
	a.Index = p.Index
	logs, err := ledger.LogKeys(to.root)
	if err != nil {
		return err
	}
	cp, err := ledger.OpenCheckpoint(p.Checkpoint, logs)
	if err != nil {
		return err
	}
	a.Origin, a.Size = cp.Origin, cp.Size
	seen, err := policy.Check(p.Checkpoint)
	if err != nil {
		return err
	}
	for _, c := range seen {
		a.Witnesses = append(a.Witnesses, c.Witness)
	}
	leaf, err := leafOf(bundle, to.keys)
	if err != nil {
		return err
	}
	return cp.Includes(p.Index, leaf, p.Hashes)
}

// leafOf makes the leaf of a bundle's envelope again, by the one of the keys
// that signed it.
func leafOf(bundle []byte, keys []*attest.PublicKey) ([]byte, error) {
	b, err := attest.ParseBundle(bundle)
	if err != nil {
		return nil, fmt.Errorf("the bundle: %w", err)
	}
	if c := b.Certificate; c != nil { // whose it is, is verified with the bundle
		if err := b.Envelope.Verify(c.SigningKey()); err != nil {
			return nil, err
		}
		return ledger.EntryBody(b.Envelope, c)
	}
	for _, key := range keys {
		if b.Envelope.Verify(key) == nil {
			return ledger.EntryBody(b.Envelope, key)
		}
	}
	return nil, errors.New("no trusted key signed the bundle's statement")
}

func (a *ProofAnswer) text(w io.Writer, m term.Marker) {
	switch {
	case a == nil:
	case !a.Verified:
		fmt.Fprintf(w, "%s %s  %s: %s\n", m.Cross, term.Printable(a.File), verify.NotLogged, term.Printable(a.Fact))
	default:
		fmt.Fprintf(w, "%s %s: entry %d of %d in log %s, cosigned by %d witnesses", m.Tick, term.Printable(a.File), a.Index, a.Size, a.Origin, len(a.Witnesses))
		for _, name := range a.Witnesses {
			fmt.Fprintf(w, " %s", term.Printable(name))
		}
		fmt.Fprintln(w)
	}
}

// outcome is how the program ends because of a proof.
func (a *ProofAnswer) outcome() error {
	if a == nil || a.Verified {
		return nil
	}
	return exit.With(exit.Unproven, string(verify.NotLogged)+": "+a.Fact, "make a proof of this entry in a checkpoint that is cosigned: patchfit audit prove --fresh")
}
