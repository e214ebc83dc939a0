package policy

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// A Decision is the answer for one host and one artifact, with every reason.
// The zero Decision denies.
type Decision struct {
	Allow   bool
	Basis   string    // the fit basis that carried an allow
	Reasons []Finding // why not, the leading one first; empty on allow
	// Warnings ride on an allow: what site rules found that only warn.
	Warnings []Finding
}

// A Finding is one failed rule.
type Finding struct {
	Reason   verify.Reason
	Rule     string // the rule's id, as "environment-match"
	Want     string // with the field's name where one field differs
	Got      string
	Evidence attest.Digest // payload digest of the statement at fault; may be zero
	Remedy   string
}

// String returns the finding in one line.
func (f Finding) String() string {
	return string(f.Reason) + ": want " + f.Want + ", got " + f.Got
}

// A Check is one rule's outcome, for people: Explain lists all, passed or not.
type Check struct {
	Rule      string
	Criterion string // what the rule asks, in words
	Passed    bool
	Findings  []Finding
	Warnings  []Finding // of a site rule that only warns; it passed
}
