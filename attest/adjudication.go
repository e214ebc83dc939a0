package attest

import "cmp"

// How a dispute about a rebuild ends.
const (
	DissentDismissed = "dismissed" // the artifact may go out
	DissentUpheld    = "upheld"    // it stays in
)

// Adjudication is the predicate of adjudication/v1: somebody whom the trust
// policy names looked at what rebuilds of an artifact came to, and decides. It is
// about outputs, not about rebuilders: whoever else builds the same is answered
// too, and another output is another dispute. docs/spec/adjudication.md.
type Adjudication struct {
	Product string   `json:"product"`
	Verdict string   `json:"verdict"`
	Outputs []Digest `json:"outputs"` // files that came out instead of the artifact's, sorted
	Reason  string   `json:"reason"`  // for people, one line
}

func (a *Adjudication) check(at spot) error {
	outputs := at.member("outputs")
	if len(a.Outputs) == 0 {
		return outputs.errorf("none: what is decided?")
	}
	return cmp.Or(
		at.member("product").uuid(a.Product),
		at.member("verdict").oneOf(a.Verdict, DissentDismissed, DissentUpheld),
		each(outputs, a.Outputs, spot.digest),
		ascending(outputs, a.Outputs, self),
		at.member("reason").line(a.Reason),
	)
}

func (a *Adjudication) about(at spot, subjects []Subject) error {
	if err := count(at, subjects, 2); err != nil {
		return err
	}
	for i, d := range a.Outputs {
		if d == subjects[1].Digest {
			return at.index(1).errorf("%s, the artifact's own file, is output %d", d, i)
		}
	}
	return nil
}
