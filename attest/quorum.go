package attest

import (
	"cmp"
	"slices"
)

// Rebuilds say of a product what has to be reproduced before it goes out. An
// artifact of a kind without a quorum goes out unasked.
type Rebuilds struct {
	Base  *Quorum `json:"base,omitzero"`
	Patch *Quorum `json:"patch,omitzero"`
}

// A Quorum asks for so many rebuilders that reproduced an artifact, each of
// another operator, and of another class of each that is named.
type Quorum struct {
	Reproduced int      `json:"reproduced"`
	Differ     []string `json:"differ"` // classes beside the operator: "hosting", "toolchain"
}

// MaxRebuilders is how many signers of a product have role rebuilder at most.
const MaxRebuilders = 16

// Of returns the quorum of an artifact of this type; nil: none is asked for.
func (r Rebuilds) Of(artifactType string) *Quorum {
	switch artifactType {
	case ArtifactBase:
		return r.Base
	case ArtifactPatch:
		return r.Patch
	}
	return nil
}

// checkRebuilds asks that every quorum can be met, and that what it asks of
// rebuilders is known of each.
func checkRebuilds(at spot, p *TrustPolicy) error {
	signers := make(map[string]Signer)
	for i, s := range p.Signers {
		signers[s.Name] = s
		if err := s.Independence.check(at.member("signers").index(i).member("independence")); err != nil {
			return err
		}
	}
	for i, product := range p.Products {
		at := at.member("products").index(i)
		if n := len(product.Authorities[RoleRebuilder]); n > MaxRebuilders {
			return at.member("authorities").member(string(RoleRebuilder)).errorf("%d signers, want at most %d", n, MaxRebuilders)
		}
		var rebuilders []Signer
		for _, name := range product.Authorities[RoleRebuilder] {
			rebuilders = append(rebuilders, signers[name])
		}
		at = at.member("rebuilds")
		if err := cmp.Or(
			product.Rebuilds.Base.check(at.member("base"), rebuilders),
			product.Rebuilds.Patch.check(at.member("patch"), rebuilders),
		); err != nil {
			return err
		}
	}
	return nil
}

func (q *Quorum) check(at spot, rebuilders []Signer) error {
	if q == nil {
		return nil
	}
	differ := at.member("differ")
	if err := cmp.Or(
		each(differ, q.Differ, func(at spot, v string) error { return at.oneOf(v, ClassHosting, ClassToolchain) }),
		unique(differ, q.Differ, self),
	); err != nil {
		return err
	}
	if q.Reproduced < 1 {
		return at.member("reproduced").errorf("%d, want at least 1", q.Reproduced)
	}
	classes := append([]string{ClassOperator}, q.Differ...)
	for _, class := range classes {
		if err := q.reachable(at, class, rebuilders); err != nil {
			return err
		}
	}
	return nil
}

// reachable asks that there are as many rebuilders as are asked for that differ
// in a class, and that each says what it is in it.
func (q *Quorum) reachable(at spot, class string, rebuilders []Signer) error {
	var values []string
	for _, s := range rebuilders {
		v := s.Independence.Of(class)
		if v == "" {
			return at.errorf("signer %q has role %s and no %s", s.Name, RoleRebuilder, class)
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	if len(values) < q.Reproduced {
		return at.member("reproduced").errorf("%d, and the signers with role %s are of %d different %ss: nothing would ever go out", q.Reproduced, RoleRebuilder, len(values), class)
	}
	return nil
}
