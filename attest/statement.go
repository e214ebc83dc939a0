package attest

import (
	"cmp"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Subject is a thing a statement is about, by the sha256 of its bytes.
type Subject struct {
	Name   string // for people; "_" where there is none
	Digest Digest
}

// A Statement is an in-toto Statement v1, parsed. Reading one proves nothing.
type Statement struct {
	Subjects []Subject // at least one; what it is about first, then that thing's one file
	Type     string    // predicate type
	// Predicate is a *Environment, *Base, *LivePatch, *HostRecord, *Revocation,
	// *Channel, *Import, *Equivalence, *Rebuild, *Adjudication or *Provenance by
	// Type, or an Unknown where Type is none of ours.
	Predicate any
}

// Unknown is the JSON of a predicate whose type this version does not know.
// It is kept, and is never evidence.
type Unknown []byte

// A predicate is one of the types this version reads.
type predicate interface {
	// check returns what is wrong in itself.
	check(at spot) error
	// about returns what is wrong with the subjects a statement of it has.
	about(at spot, subjects []Subject) error
}

type wireStatement struct {
	Type          string         `json:"_type"`
	Subject       []wireSubject  `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     jsontext.Value `json:"predicate"`
}

type wireSubject struct {
	Name   string     `json:"name"`
	Digest wireDigest `json:"digest"`
}

// A wireDigest is in-toto's DigestSet with the one algorithm we read.
type wireDigest struct {
	SHA256 string `json:"sha256"`
}

// NewStatement returns the bytes to sign: an in-toto Statement v1 in canonical
// JSON, at most [MaxStatement] bytes. predicate is of a type that
// [Statement.Predicate] lists and belongs to typ. A subject without a name
// gets "_". What [ParseStatement] would refuse is an error.
func NewStatement(typ string, subjects []Subject, predicate any) ([]byte, error) {
	if u, ok := predicate.(Unknown); ok {
		predicate = jsontext.Value(u)
	}
	raw, err := strictjson.Canonical(predicate)
	if err != nil {
		return nil, err
	}
	w := wireStatement{Type: StatementType, PredicateType: typ, Predicate: raw}
	for _, s := range subjects {
		w.Subject = append(w.Subject, wireSubject{cmp.Or(s.Name, "_"), wireDigest{s.Digest.Hex()}})
	}
	b, err := strictjson.Canonical(w)
	if err != nil {
		return nil, err
	}
	if _, err := ParseStatement(b); err != nil {
		return nil, fmt.Errorf("statement would be refused: %w", err)
	}
	return b, nil
}

// ParseStatement reads a statement of at most [MaxStatement] bytes. Its
// subjects have to be those its predicate type asks for (docs/spec/statement.md).
func ParseStatement(b []byte) (*Statement, error) {
	var w wireStatement
	if err := strictjson.Unmarshal(b, MaxStatement, &w); err != nil {
		return nil, err
	}
	if err := spot("/_type").oneOf(w.Type, statementTypes(w.PredicateType)...); err != nil {
		return nil, err
	}
	if err := spot("/predicateType").line(w.PredicateType); err != nil {
		return nil, err
	}
	subjects, err := readSubjects("/subject", w.Subject)
	if err != nil {
		return nil, err
	}
	p, err := readPredicate("/predicate", w.PredicateType, w.Predicate)
	if err != nil {
		return nil, err
	}
	s := &Statement{Subjects: subjects, Type: w.PredicateType, Predicate: p}
	if known, ok := p.(predicate); ok {
		return sound(s, known.about("/subject", subjects))
	}
	return s, nil
}

// statementTypes returns the headers a statement may have. cosign attest writes
// the older one, of the same form: what is evidence says which it is in, and
// says it one way; what is only kept may be either.
func statementTypes(predicateType string) []string {
	if newPredicate(predicateType) != nil {
		return []string{StatementType}
	}
	return []string{StatementType, statementTypeV01}
}

func readSubjects(at spot, list []wireSubject) ([]Subject, error) {
	if n := len(list); n == 0 || n > maxSubjects {
		return nil, at.errorf("%d subjects, want 1 to %d", n, maxSubjects)
	}
	subjects := make([]Subject, len(list))
	for i, w := range list {
		at := at.index(i)
		d, err := ParseDigest(digestPrefix + w.Digest.SHA256)
		if err != nil {
			return nil, at.member("digest").member("sha256").errorf("%.80q is not 64 lower-case hex digits", w.Digest.SHA256)
		}
		if err := at.member("name").line(w.Name); err != nil {
			return nil, err
		}
		subjects[i] = Subject{Name: w.Name, Digest: d}
	}
	return subjects, unique(at, subjects, func(s Subject) Digest { return s.Digest })
}

func readPredicate(at spot, typ string, raw []byte) (any, error) {
	p := newPredicate(typ)
	if p == nil {
		return Unknown(raw), nil
	}
	read := strictjson.Unmarshal
	if typ == TypeProvenance {
		read = strictjson.UnmarshalForeign
	}
	if err := read(raw, MaxStatement, p); err != nil {
		return nil, strictjson.Under(string(at), err)
	}
	if typ == TypeEnvironment {
		if err := strictjson.RequireCanonical(raw); err != nil {
			return nil, strictjson.Under(string(at), err)
		}
	}
	if err := p.check(at); err != nil {
		return nil, err
	}
	return p, nil
}

func newPredicate(typ string) predicate {
	switch typ {
	case TypeEnvironment:
		return new(Environment)
	case TypeBase:
		return new(Base)
	case TypeLivePatch:
		return new(LivePatch)
	case TypeHostRecord:
		return new(HostRecord)
	case TypeRevocation:
		return new(Revocation)
	case TypeChannel:
		return new(Channel)
	case TypeImport:
		return new(Import)
	case TypeEquivalence:
		return new(Equivalence)
	case TypeRebuild:
		return new(Rebuild)
	case TypeAdjudication:
		return new(Adjudication)
	case TypeProvenance:
		return new(Provenance)
	}
	return nil
}

// Product returns the id of the product the predicate names; "" where its type
// names none (environment/v1, host-record/v1, unknown types).
func (s *Statement) Product() string {
	switch p := s.Predicate.(type) {
	case *Base:
		return p.Product
	case *LivePatch:
		return p.Product
	case *Revocation:
		return p.Product
	case *Channel:
		return p.Product
	case *Import:
		return p.Product
	case *Equivalence:
		return p.Product
	case *Rebuild:
		return p.Product
	case *Adjudication:
		return p.Product
	case *Provenance:
		return p.BuildDefinition.ExternalParameters.Product
	}
	return ""
}
