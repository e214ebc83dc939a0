// Package policy decides whether a host may have a live patch, and why.
//
// [Facts] go in, a [Decision] with every reason comes out. The facts are
// gathered when evidence arrives ([Pool], [GatherBase], [GatherPatch],
// [NewRevocations], [NewTrust]); deciding is then a walk over one table of
// rules, without a signature, a lookup elsewhere or, where the answer is yes,
// a single allocation. [Explain] walks the same table and tells what each rule
// asked and found.
//
// How a patch fits: the host's newest record lists measurements. Those of this
// product have to be measurements of exactly one base, as that base's
// authority states them. The patch has to be for that base, and the one
// environment digest has to be named alike by the patch's provenance, its
// livepatch/v1, the base's provenance and its base/v1, and to be the digest of
// the environment/v1 that the base authority signed; and so on down to the
// builder image. Everything has to be there; each statement has to be proven,
// about its artifact, and by a signer who had the role for it when it was
// timestamped; nothing may be contested or revoked.
//
// No rule has a switch, and every rule denies what it cannot see: the zero
// Facts fail every one of them. The [Site] policy can ask for more, never for
// less.
//
// The package is pure: the time is a fact, and there is no context, logger,
// clock, disk or network in it. Server, agent and command line decide alike.
package policy

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// A rule is one thing that has to hold.
type rule struct {
	id        string
	reason    verify.Reason
	criterion string
}

// The rules by number, in the order in which they lead: who asks, what is
// proven, by whom, about what, and last whether it fits. The environment comes
// before the base, because where both differ it is the environment that
// explains it.
const (
	ruleHostActive = iota
	ruleHostKeyUnique
	ruleHostProduct
	ruleTrustPolicyCurrent
	ruleAttested
	ruleLogged
	ruleSignersTrusted
	ruleNotRevoked
	ruleNotContested
	ruleProvenance
	ruleSubjectsMatch
	ruleRecordFresh
	ruleRecordNewest
	ruleBaseKnown
	ruleEnvironmentMatch
	ruleBaseMatch
	ruleFitBasis
	ruleAssurance
)

var rules = [...]rule{
	ruleHostActive:         {"host-active", verify.HostNotActive, "the host is enrolled and active"},
	ruleHostKeyUnique:      {"host-key-unique", verify.ClonedKey, "the host's key is in use by one machine"},
	ruleHostProduct:        {"host-product", verify.ForbiddenRole, "the host may have patches of the product"},
	ruleTrustPolicyCurrent: {"trust-policy-current", verify.Expired, "the trust policy has not expired"},
	ruleAttested:           {"attested", verify.NoAttestation, "patch, base and environment each have their statement"},
	ruleLogged:             {"logged", verify.NotLogged, "every statement used is verified, logged and timestamped"},
	ruleSignersTrusted:     {"signers-trusted", verify.UntrustedSigner, "every statement used is by a signer who had the role for it at its time"},
	ruleNotRevoked:         {"not-revoked", verify.Revoked, "no trusted revocation names anything used"},
	ruleNotContested:       {"not-contested", verify.Contested, "no two trusted live statements disagree"},
	ruleProvenance:         {"provenance", verify.NoProvenance, "patch, base and builder image each have provenance"},
	ruleSubjectsMatch:      {"subjects-match", verify.SubjectMismatch, "every statement is about its artifact, in this product"},
	ruleRecordFresh:        {"record-fresh", verify.StaleHostRecord, "the host's record is no older than the site policy asks"},
	ruleRecordNewest:       {"record-newest", verify.Rollback, "the host's record is the newest one taken from it"},
	ruleBaseKnown:          {"base-known", verify.UnknownBase, "what the host measured is a base of the product"},
	ruleEnvironmentMatch:   {"environment-match", verify.EnvMismatch, "patch, base and host name the same environment, target and builder image"},
	ruleBaseMatch:          {"base-match", verify.BaseMismatch, "the patch is for the one base the host runs"},
	ruleFitBasis:           {"fit-basis", verify.LowAssurance, "the product accepts the basis of fit"},
	ruleAssurance:          {"assurance", verify.LowAssurance, "host record and base are as assured as the site policy asks"},
}

// check evaluates the rule with this number: it appends what is wrong to found
// and reports whether the rule is passed. A rule that lacks what it would look
// at is not passed; it has nothing to tell then, because another rule tells
// that the thing is missing.
func (f *view) check(index int, found []Finding) (passed bool, all []Finding) {
	switch index {
	case ruleHostActive:
		return f.hostActive(found)
	case ruleHostKeyUnique:
		return f.hostKeyUnique(found)
	case ruleHostProduct:
		return f.hostProduct(found)
	case ruleTrustPolicyCurrent:
		return f.trustCurrent(found)
	case ruleAttested:
		return f.attested(found)
	case ruleLogged:
		return f.logged(found)
	case ruleSignersTrusted:
		return f.signersTrusted(found)
	case ruleNotRevoked:
		return f.notRevoked(found)
	case ruleNotContested:
		return f.notContested(found)
	case ruleProvenance:
		return f.provenance(found)
	case ruleSubjectsMatch:
		return f.subjectsMatch(found)
	case ruleRecordFresh:
		return f.recordFresh(found)
	case ruleRecordNewest:
		return f.recordNewest(found)
	case ruleBaseKnown:
		return f.baseKnown(found)
	case ruleEnvironmentMatch:
		return f.environmentMatch(found)
	case ruleBaseMatch:
		return f.baseMatch(found)
	case ruleFitBasis:
		return f.fitBasis(found)
	case ruleAssurance:
		return f.assurance(found)
	}
	return false, found // a rule nobody wrote is not passed
}

// apply evaluates a rule and signs what it found with the rule's name.
func (f *view) apply(index int, found []Finding) (bool, []Finding) {
	n := len(found)
	passed, found := f.check(index, found)
	for i := n; i < len(found); i++ {
		found[i].Rule, found[i].Reason = rules[index].id, rules[index].reason
		found[i].Remedy = rules[index].reason.Remedy()
	}
	return passed && len(found) == n, found
}

// Decide answers for f, with every reason. An allow allocates nothing.
func Decide(f *Facts) Decision {
	if f == nil {
		f = new(Facts)
	}
	var v view
	v.look(f)
	var found []Finding
	allow := true
	for i := range rules {
		passed, all := v.apply(i, found)
		allow, found = allow && passed, all
	}
	if allow && len(found) == 0 {
		return Decision{Allow: true, Basis: attest.FitEnvironment}
	}
	return Decision{Reasons: found}
}

// Explain returns the outcome of every rule for f, in the order of Decide. A
// rule that is not passed and has no findings lacked what it would look at.
func Explain(f *Facts) []Check {
	if f == nil {
		f = new(Facts)
	}
	var v view
	v.look(f)
	checks := make([]Check, len(rules))
	for i := range rules {
		passed, found := v.apply(i, nil)
		checks[i] = Check{Rule: rules[i].id, Criterion: rules[i].criterion, Passed: passed, Findings: found}
	}
	return checks
}
