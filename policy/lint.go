package policy

import (
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Lint is what the server found when it looked into a patch and its base
// (docs/spec/lint.md): its own computation, no claim of anybody's.
type Lint struct {
	Linter    string        // version of the rules
	Report    attest.Digest // all of it
	Patch     attest.Digest // file that was looked into
	Base      attest.Digest // file it was held to; zero: none
	Found     []LintFact    // each id once, sorted
	Unchecked []LintFact    // what could not be looked for
}

// A LintFact is a finding, or why it could not be looked for.
type LintFact struct{ ID, Fact string }

// maxLintFact is how many bytes of a fact are kept for answers.
const maxLintFact = 200

// NewLint returns what of a report decisions can ask for.
func NewLint(r *lint.Report, report attest.Digest) *Lint {
	l := &Lint{Linter: r.Linter, Report: report, Patch: r.Patch, Base: r.Base}
	for _, f := range r.Findings {
		l.Found = once(l.Found, string(f.ID), f.Fact)
	}
	for _, u := range r.NotChecked {
		l.Unchecked = once(l.Unchecked, u.ID, u.Why)
	}
	return l
}

func once(list []LintFact, id, fact string) []LintFact {
	if fact, there := about(list, id); there && fact != "" {
		return list
	}
	return append(list, LintFact{id, cut(fact, maxLintFact)})
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 { // inside a character
		most--
	}
	return s[:most]
}

func about(list []LintFact, id string) (string, bool) {
	i := slices.IndexFunc(list, func(f LintFact) bool { return f.ID == id })
	if i < 0 {
		return "", false
	}
	return list[i].Fact, true
}

// siteLint is what a site policy says of lint, as it is written.
type siteLint struct {
	Deny []string `json:"deny"`
}

// check refuses ids that no linter has: one that is written wrongly would deny
// nothing.
func (l *siteLint) check() error {
	if len(l.Deny) == 0 {
		return strictjson.Errorf("/lint/deny", "empty: leave lint out, or name what to deny")
	}
	for i, id := range l.Deny {
		if !slices.Contains(lint.IDs(), lint.ID(id)) {
			return strictjson.Errorf("/lint/deny", "%.40q is no finding of %s", id, lint.Version)
		}
		if slices.Contains(l.Deny[:i], id) {
			return strictjson.Errorf("/lint/deny", "%s is there twice", id)
		}
	}
	return nil
}

// LintIDs are ids of findings, each a bit at its place in lint.IDs.
type LintIDs uint64

func (l *siteLint) ids() (set LintIDs) {
	for i, id := range lint.IDs() {
		if slices.Contains(l.Deny, string(id)) {
			set |= 1 << i
		}
	}
	return set
}

// linted asks that nobody found in the patch what the site policy denies. What
// could not be looked for, and a patch that nobody looked into, is denied too.
func (f *view) linted() {
	if f.Site.DenyLint == 0 {
		return
	}
	l := f.Patch.Lint
	if l == nil {
		f.bySite(f.Site.Modes.Lint, ruleAssurance, "lint of the patch", "a report", "none")
		return
	}
	for i, kind := range lint.IDs() {
		id := string(kind)
		if f.Site.DenyLint&(1<<i) == 0 {
			continue
		}
		if fact, found := about(l.Found, id); found {
			f.bySite(f.Site.Modes.Lint, ruleAssurance, "lint "+id, "not found", fact)
		} else if why, unknown := about(l.Unchecked, id); unknown {
			f.bySite(f.Site.Modes.Lint, ruleAssurance, "lint "+id, "looked for", why)
		}
	}
}
