package mirror

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
)

// A Memory is what somebody has verified of mirrors under one set of roots:
// what a later mirror has to continue. The zero Memory has seen nothing.
type Memory struct {
	SchemaVersion int           `json:"schemaVersion"`
	PolicyVersion int64         `json:"policyVersion"`
	Logs          []SeenLog     `json:"logs"`
	Products      []SeenProduct `json:"products"`
}

// A SeenLog is the largest checkpoint seen of a log.
type SeenLog struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   []byte `json:"root"`
}

// A SeenProduct is what was revoked in a product: payload digests, sorted.
type SeenProduct struct {
	Product     string          `json:"product"`
	Revocations []attest.Digest `json:"revocations"`
}

const maxMemory = 16 << 20

// ParseMemory reads what Encode wrote.
func ParseMemory(b []byte) (*Memory, error) {
	m := &Memory{}
	if err := strictjson.Unmarshal(b, maxMemory, m); err != nil {
		return nil, err
	}
	if m.SchemaVersion != schemaVersion {
		return nil, strictjson.Errorf("/schemaVersion", "%d, want %d", m.SchemaVersion, schemaVersion)
	}
	return m, nil
}

// Encode returns m as JSON.
func (m *Memory) Encode() ([]byte, error) {
	out := *m
	out.SchemaVersion = schemaVersion
	if out.Logs == nil {
		out.Logs = []SeenLog{}
	}
	if out.Products == nil {
		out.Products = []SeenProduct{}
	}
	return strictjson.Canonical(out)
}

func (m *Memory) log(origin string) *SeenLog {
	i := slices.IndexFunc(m.Logs, func(l SeenLog) bool { return l.Origin == origin })
	if i < 0 {
		return nil
	}
	return &m.Logs[i]
}

func (m *Memory) product(id string) *SeenProduct {
	i := slices.IndexFunc(m.Products, func(p SeenProduct) bool { return p.Product == id })
	if i < 0 {
		return nil
	}
	return &m.Products[i]
}

// A sight is what one mirror shows of what a Memory keeps.
type sight struct {
	policy     int64
	log        *ledger.Checkpoint // nil: none
	since      func(size int64) [][]byte
	revocation map[string][]attest.Digest // by product: payloads
}

// compare returns why a mirror does not continue what was seen.
func (m *Memory) compare(s sight) []*Problem {
	var all []*Problem
	if s.policy < m.PolicyVersion {
		all = append(all, problem(RolledBack, "trust policy version %d, and version %d was seen before", s.policy, m.PolicyVersion).
			hint("get a newer mirror"))
	}
	if p := m.compareLog(s); p != nil {
		all = append(all, p)
	}
	for _, seen := range m.Products {
		shown, ok := s.revocation[seen.Product]
		if !ok {
			continue // this mirror is of other products
		}
		for _, d := range seen.Revocations {
			if !slices.Contains(shown, d) {
				all = append(all, problem(RolledBack, "revocation %s of product %s was seen before and is not in this mirror", d, seen.Product).
					hint("get a newer mirror; if there is none, ask where the revocation went: nothing takes one back"))
			}
		}
	}
	return all
}

func (m *Memory) compareLog(s sight) *Problem {
	if s.log == nil && len(m.Logs) > 0 {
		return problem(Unshown, "the mirror has no checkpoint, and one of log %s was seen before", m.Logs[0].Origin).hint("get a mirror with the log's entries")
	}
	if s.log == nil {
		return nil
	}
	seen := m.log(s.log.Origin)
	if seen == nil {
		return nil
	}
	before := &ledger.Checkpoint{Origin: seen.Origin, Size: uint64(seen.Size), Root: seen.Root}
	proof := s.since(seen.Size)
	err := before.Precedes(s.log)
	switch {
	case err == nil && seen.Size < int64(s.log.Size) && seen.Size > 0 && proof == nil:
		return problem(Unshown, "the mirror has the log with %d entries and no proof that it goes on from the %d that were seen before", s.log.Size, seen.Size).
			hint("have the proof come along: patchfit mirror pull --since %d", seen.Size)
	case err == nil:
		err = s.log.Continues(before, proof)
	}
	switch {
	case errors.Is(err, ledger.ErrRolledBack):
		p := problem(RolledBack, "the checkpoint of log %s has %d entries, and %d were seen before", seen.Origin, s.log.Size, seen.Size).hint("get a newer mirror")
		p.Err = err
		return p
	case err != nil:
		p := problem(Forked, "%v", err).hint("keep this mirror and what you have of the log as evidence, and ask whoever runs it")
		p.Err = err
		return p
	}
	return nil
}

// learn adds what a mirror that was found good shows.
func (m *Memory) learn(s sight) {
	m.PolicyVersion = max(m.PolicyVersion, s.policy)
	if s.log != nil {
		if m.log(s.log.Origin) == nil {
			m.Logs = append(m.Logs, SeenLog{Origin: s.log.Origin})
		}
		l := m.log(s.log.Origin)
		l.Size, l.Root = int64(s.log.Size), bytes.Clone(s.log.Root)
	}
	for product, shown := range s.revocation {
		if m.product(product) == nil {
			m.Products = append(m.Products, SeenProduct{Product: product})
		}
		p := m.product(product)
		p.Revocations = append(p.Revocations, shown...)
		slices.Sort(p.Revocations)
		p.Revocations = slices.Compact(p.Revocations)
		if p.Revocations == nil {
			p.Revocations = []attest.Digest{}
		}
	}
	slices.SortFunc(m.Products, func(a, b SeenProduct) int { return strings.Compare(a.Product, b.Product) })
}
