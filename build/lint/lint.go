// Package lint says what a live patch is, and what is wrong with it, from its
// bytes and those of its base: facts, and findings with stable ids.
// docs/spec/lint.md has the table.
//
//   - [Look] reads both files within limits (facts.go, look.go).
//   - The rules are in rules*.go, one table of ids in findings.go.
//
// A finding never comes from what could not be read: that is listed beside
// them as not checked, with the reason. The same two files and the same
// declared facts give the same report, byte for byte, wherever it is made; a
// report names the version of the rules that made it. Nothing here trusts what
// a patch says: that is what is examined.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Version is of the rules: it changes with what they find.
const Version = "patchfit-lint/1"

// SchemaVersion is in every report. It rises when a member changes its meaning
// or goes.
const SchemaVersion = 1

// MaxReport is the most bytes a report has in its canonical form.
const MaxReport = 4 << 20

// Limits of lists in a report; what is more is counted, not told.
const (
	maxListed   = 500 // functions, imports
	maxFindings = 200
	maxText     = 300 // bytes of a text that comes from a file
)

// A File is a file to look at.
type File struct {
	Reader io.ReaderAt
	Size   int64
}

// Declared is what somebody says of the base besides its file.
type Declared struct {
	Release string            // of the kernel, as uname -r
	Symbols *object.Table     // of the base; nil: those of its file
	Exports map[string]uint32 // checksums of exported symbols; nil: those of its file
}

// Options of [Look]. The zero Options are right.
type Options struct {
	Declared Declared
	// MaxDebug is how many bytes of the base's debug information are read to
	// find copies of a function; 0: 64 MiB.
	MaxDebug uint64
	NoBase   string // why no base is given; "": nobody says
}

// A Report is what a look found.
type Report struct {
	SchemaVersion int           `json:"schemaVersion"`
	Linter        string        `json:"linter"` // [Version] of the rules that made it
	Patch         attest.Digest `json:"patch"`  // digest of the file
	Base          attest.Digest `json:"base,omitzero"`
	Facts         Facts         `json:"facts"`
	Findings      []Finding     `json:"findings"`   // the gravest first
	NotChecked    []Unchecked   `json:"notChecked"` // in the order of their ids
}

// Unchecked says what could not be found out, and why.
type Unchecked struct {
	ID  string `json:"id"` // of the findings there might have been
	Why string `json:"why"`
}

// Has reports whether a finding with this id is there.
func (r *Report) Has(id ID) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == id })
}

// Contradiction returns the first finding that no base and patch that belong
// together can have; nil: none.
func (r *Report) Contradiction() *Finding {
	for i := range r.Findings {
		if r.Findings[i].Severity == Contradiction {
			return &r.Findings[i]
		}
	}
	return nil
}

// Look returns what patch is and what is wrong with it, beside base where that
// is given. It errs where a file cannot be read at all; what is no live patch
// is a report that says so.
func Look(patch File, base *File, o *Options) (*Report, error) {
	if o == nil {
		o = new(Options)
	}
	l := &look{options: *o, report: &Report{SchemaVersion: SchemaVersion, Linter: Version, Findings: []Finding{}, NotChecked: []Unchecked{}}}
	if err := l.patch(patch); err != nil {
		return nil, fmt.Errorf("reading the patch: %w", err)
	}
	switch d := o.Declared; {
	case base != nil:
		if err := l.readBase(*base); err != nil {
			return nil, fmt.Errorf("reading the base: %w", err)
		}
	case d.Symbols != nil || d.Exports != nil:
		l.base = newBase(d)
	}
	l.rules()
	return l.finish(), nil
}

// Knows reports whether a file begins as one that there is something to find
// in.
func Knows(r io.ReaderAt) bool {
	_, ok := object.ReadIdent(r)
	return ok || object.IsKpatch(r)
}

// finish sorts, so that no report depends on the order of the rules.
func (l *look) finish() *Report {
	r := l.report
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity.grade(), b.Severity.grade()), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Fact, b.Fact))
	})
	if more := len(r.Findings) - maxFindings; more > 0 {
		r.Findings = r.Findings[:maxFindings]
		r.Facts.MoreFindings = more
	}
	slices.SortStableFunc(r.NotChecked, func(a, b Unchecked) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Why, b.Why)) })
	r.NotChecked = slices.Compact(r.NotChecked)
	return r
}

// Parse reads a report strictly.
func Parse(raw []byte) (*Report, error) {
	r := new(Report)
	if err := strictjson.Unmarshal(raw, MaxReport, r); err != nil {
		return nil, err
	}
	if r.SchemaVersion != SchemaVersion {
		return nil, strictjson.Errorf("/schemaVersion", "%d, want %d", r.SchemaVersion, SchemaVersion)
	}
	for i, f := range r.Findings {
		if f.Severity.grade() < 0 {
			return nil, strictjson.Errorf(fmt.Sprintf("/findings/%d/severity", i), "%.40q", f.Severity)
		}
	}
	return r, nil
}

// unreadable reports whether err says that a file is not what it claims to be,
// and not that its bytes could not be had.
func unreadable(err error) bool {
	var bad *object.FormatError
	return errors.As(err, &bad)
}
