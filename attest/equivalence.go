package attest

import (
	"cmp"
	"slices"
)

// Equivalence is the predicate of environment-equivalence/v1: the base
// authority's word that patches built in one environment fit one base all the
// same, although it was built in another, or in one that nobody saw. It names
// each difference. docs/spec/environment-equivalence.md.
type Equivalence struct {
	Product  string `json:"product"` // product id, a UUID
	BaseFile Digest `json:"baseFile"`
	// BaseEnvironment is the one base/v1 names; "": the base was imported.
	BaseEnvironment Digest `json:"baseEnvironment,omitzero"`
	Environment     Digest `json:"environment"` // of the patches
	// Differences are all that differ, in the order of [Environment.Diff].
	Differences []VouchedDifference `json:"differences"`
	// Unobserved lists the fields of the base's environment nobody could
	// observe, as [Observed.Unobserved] has them.
	Unobserved []string `json:"unobserved"`
	Reason     string   `json:"reason"` // for people, one line
}

// A VouchedDifference is one field in which two environments differ.
type VouchedDifference struct {
	Field string `json:"field"`
	Base  string `json:"base"`
	Patch string `json:"patch"`
}

// Vouch returns what an equivalence has to say of d, all of it.
func Vouch(d []Difference) []VouchedDifference {
	all := make([]VouchedDifference, 0, len(d))
	for _, one := range d {
		all = append(all, VouchedDifference{one.Field, one.Want, one.Got})
	}
	return all
}

// Names reports whether e names every one of these differences, in the same
// words, and no other.
func (e *Equivalence) Names(d []Difference) bool { return slices.Equal(e.Differences, Vouch(d)) }

const maxVouched = 256

func (e *Equivalence) check(at spot) error {
	if err := cmp.Or(
		at.member("product").uuid(e.Product),
		at.member("baseFile").digest(e.BaseFile),
		at.member("environment").digest(e.Environment),
		at.member("reason").line(e.Reason),
		each(at.member("differences"), e.Differences, checkVouched),
		unique(at.member("differences"), e.Differences, func(d VouchedDifference) string { return d.Field }),
		at.member("unobserved").lines(e.Unobserved),
	); err != nil {
		return err
	}
	if n := len(e.Differences); n > maxVouched {
		return at.member("differences").errorf("%d, want at most %d", n, maxVouched)
	}
	return e.checkSides(at)
}

// checkSides asks for a base whose environment is known, and differences from
// it, or for one that was imported, and what nobody saw of it.
func (e *Equivalence) checkSides(at spot) error {
	known := e.BaseEnvironment != ""
	if known {
		if err := at.member("baseEnvironment").digest(e.BaseEnvironment); err != nil {
			return err
		}
	}
	switch {
	case known && e.BaseEnvironment == e.Environment:
		return at.member("environment").errorf("%s is the base's own: there is nothing to vouch for", e.Environment)
	case known && len(e.Differences) == 0:
		return at.member("differences").errorf("two environments differ in something")
	case known && len(e.Unobserved) > 0:
		return at.member("unobserved").errorf("the environment of a base that was built here is known")
	case !known && len(e.Differences) > 0:
		return at.member("differences").errorf("there is no base environment to differ from")
	case !known && !slices.IsSorted(e.Unobserved):
		return at.member("unobserved").errorf("not sorted")
	case !known && len(e.Unobserved) == 0:
		return at.member("unobserved").errorf("of an imported base something was not observed")
	}
	return nil
}

func checkVouched(at spot, d VouchedDifference) error {
	if d.Base == d.Patch {
		return at.errorf("%.80q is alike on both sides", d.Field)
	}
	return cmp.Or(
		at.member("field").line(d.Field),
		at.member("base").argument(d.Base),
		at.member("patch").argument(d.Patch),
	)
}

func (e *Equivalence) about(at spot, subjects []Subject) error {
	return cmp.Or(count(at, subjects, 2), secondIs(at, subjects, e.BaseFile, "the base's file"))
}
