// Package quorum says when enough witnesses have seen a checkpoint.
//
// A log signs whatever its key's holder wants signed: two histories, if they
// like, for two people who never compare. A witness (C2SP tlog-witness) cosigns
// only a checkpoint that continues the last one it cosigned, so a checkpoint
// that enough of them cosigned is one history for everybody who asks for the
// same witnesses. A [Policy] (C2SP tlog-policy) names logs and witnesses and
// says how many are enough. docs/spec/witness.md.
//
// It is read strictly where the specification leaves a choice: what it does not
// allow is refused, and so is a checkpoint with a signature by a known key that
// does not verify. The package is pure: no input or output, and times, where a
// caller cares for them, are compared by the caller.
package quorum

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger"
)

// MaxPolicy is the most bytes a policy has; it has at most 64 logs, witnesses
// and groups each.
const (
	MaxPolicy = 64 << 10
	maxNames  = 64
)

// ErrQuorum reports a checkpoint that too few witnesses cosigned.
var ErrQuorum = errors.New("checkpoint is not cosigned by enough witnesses")

// A Policy is a C2SP tlog-policy, parsed. The zero Policy accepts nothing.
type Policy struct {
	Logs      []Log
	Witnesses []Witness
	groups    []group
	quorum    string          // the name of a witness or group, or none
	verifiers []note.Verifier // of all logs and witnesses
	vkeys     []string        // as they were written
}

// A Log is a log line.
type Log struct {
	VKey string // C2SP signed-note verifier key; its name is the log's origin
	URL  string // "" where there is none
	key  note.Verifier
}

// Origin returns the log's name, the first line of its checkpoints.
func (l Log) Origin() string { return l.key.Name() }

// A Witness is a witness line.
type Witness struct {
	Name string // inside this policy
	VKey string
	URL  string // its submission prefix (C2SP tlog-witness); "" where there is none
	key  note.Verifier
}

// Verifier returns what verifies the witness's cosignatures.
func (w Witness) Verifier() note.Verifier { return w.key }

type group struct {
	name    string
	least   int
	members []string
}

// None is the quorum that asks for no witness.
const None = "none"

// A Cosignature is a witness's word that a checkpoint continues the one it
// cosigned before.
type Cosignature struct {
	Witness string    // its name in the policy
	Time    time.Time // UTC; the witness's clock
}

// Asks reports whether the policy asks for any witness at all.
func (p *Policy) Asks() bool { return p != nil && p.quorum != None && p.quorum != "" }

// Check returns who cosigned the checkpoint in raw, oldest first, if one of the
// policy's logs signed it and enough of its witnesses cosigned it. Where the
// policy names no log, who signed is the caller's to check. Errors wrap
// [ledger.ErrUnsigned] or [ErrQuorum].
func (p *Policy) Check(raw []byte) ([]Cosignature, error) {
	if p == nil || p.quorum == "" {
		return nil, fmt.Errorf("%w: there is no policy", ErrQuorum)
	}
	signatures, err := p.open(raw)
	if err != nil {
		return nil, err
	}
	origin, _, _ := bytes.Cut(raw, []byte("\n"))
	if len(p.Logs) > 0 && !p.signedByLog(string(origin), signatures) {
		return nil, fmt.Errorf("%w: the tlog-policy's %d logs did not sign this checkpoint of %.80q", ledger.ErrUnsigned, len(p.Logs), origin)
	}
	seen := p.cosignatures(signatures)
	if !p.met(p.quorum, seen) {
		return nil, fmt.Errorf("%w: %s; cosigned by %s", ErrQuorum, p.wanted(p.quorum), names(seen))
	}
	return seen, nil
}

// open returns the signatures by keys of the policy. One that does not verify
// makes the note malformed (C2SP signed-note).
func (p *Policy) open(raw []byte) ([]note.Signature, error) {
	n, err := note.Open(raw, note.VerifierList(p.verifiers...))
	var unverified *note.UnverifiedNoteError
	switch {
	case err == nil:
		return n.Sigs, nil
	case errors.As(err, &unverified):
		return nil, nil
	}
	return nil, fmt.Errorf("%w: %v", ledger.ErrUnsigned, err)
}

func (p *Policy) signedByLog(origin string, signatures []note.Signature) bool {
	for _, l := range p.Logs {
		if l.key.Name() != origin {
			continue
		}
		if slices.ContainsFunc(signatures, func(s note.Signature) bool { return by(l.key, s) }) {
			return true
		}
	}
	return false
}

func by(v note.Verifier, s note.Signature) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() }

func (p *Policy) cosignatures(signatures []note.Signature) (all []Cosignature) {
	for _, w := range p.Witnesses {
		i := slices.IndexFunc(signatures, func(s note.Signature) bool { return by(w.key, s) })
		if i < 0 {
			continue
		}
		at, err := cosignature.CoSigV1Timestamp(signatures[i])
		if err != nil { // a verified cosignature has one
			continue
		}
		all = append(all, Cosignature{Witness: w.Name, Time: at.UTC()})
	}
	slices.SortStableFunc(all, func(a, b Cosignature) int { return a.Time.Compare(b.Time) })
	return all
}

// met reports whether name, a witness or a group, has witnessed.
func (p *Policy) met(name string, seen []Cosignature) bool {
	if name == None {
		return true
	}
	g := p.groupOf(name)
	if g == nil {
		return slices.ContainsFunc(seen, func(c Cosignature) bool { return c.Witness == name })
	}
	n := 0
	for _, m := range g.members {
		if p.met(m, seen) {
			n++
		}
	}
	return n >= g.least
}

func (p *Policy) groupOf(name string) *group {
	i := slices.IndexFunc(p.groups, func(g group) bool { return g.name == name })
	if i < 0 {
		return nil
	}
	return &p.groups[i]
}

// wanted says what name asks for, for people.
func (p *Policy) wanted(name string) string {
	if g := p.groupOf(name); g != nil {
		return fmt.Sprintf("%s asks for %d of %s", g.name, g.least, strings.Join(g.members, ", "))
	}
	return "the quorum is " + name
}

func names(seen []Cosignature) string {
	if len(seen) == 0 {
		return "none"
	}
	var list []string
	for _, c := range seen {
		list = append(list, c.Witness)
	}
	return strings.Join(list, ", ")
}
