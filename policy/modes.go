package policy

import (
	"slices"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// Modes say of each site rule whether what it finds denies or only warns. The
// zero Modes enforce. Core rules have no mode.
type Modes struct {
	MaxRecordAge   Mode
	MinimumHost    Mode
	MinimumBase    Mode
	RequireChannel Mode
	Lint           Mode
}

// A Mode is how a site rule is meant. All but Warn enforces.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Warn    Mode = "warn" // an allow carries what it found
)

// read reads the modes of a site policy. A site rule is called by the field
// that sets it; any other name is an error, that of a core rule by its own.
func (m *Modes) read(written map[string]string) error {
	*m = Modes{Enforce, Enforce, Enforce, Enforce, Enforce}
	site := map[string]*Mode{
		"maxRecordAge": &m.MaxRecordAge, "minimumAssurance.host": &m.MinimumHost, "minimumAssurance.base": &m.MinimumBase,
		"requireChannel": &m.RequireChannel,
		"lint":           &m.Lint,
	}
	for name, mode := range written {
		field := site[name]
		isRule := slices.ContainsFunc(rules[:], func(r rule) bool { return r.id == name })
		switch {
		case field == nil && isRule:
			return strictjson.Errorf("/modes/"+name, "a core rule has no mode: it is always enforced")
		case field == nil:
			return strictjson.Errorf("/modes", "%.40q is no site rule; they are maxRecordAge, minimumAssurance.host, minimumAssurance.base, requireChannel and lint", name)
		case mode != string(Enforce) && mode != string(Warn):
			return strictjson.Errorf("/modes/"+name, "%.40q is not enforce or warn", mode)
		}
		*field = Mode(mode)
	}
	return nil
}

// bySite tells what a site rule found: as a reason to deny, or as a warning
// where the site policy says so.
func (f *view) bySite(mode Mode, rule int, field, want, got string) {
	f.differs(field, want, got)
	if mode == Warn {
		f.warnOf(rule)
	}
}

// warnOf makes a warning of what was found last.
func (f *view) warnOf(rule int) {
	last := len(f.found) - 1
	w := f.found[last]
	w.Rule, w.Reason, w.Remedy = rules[rule].id, rules[rule].reason, rules[rule].reason.Remedy()
	f.warned = append(f.warned, w)
	f.found = f.found[:last]
}
