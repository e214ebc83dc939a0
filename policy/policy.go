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
// builder image. (Where a product accepts other bases of fit: bases.go.)
// Everything has to be there; each statement has to be proven,
// about its artifact, and by a signer who had the role for it when it was
// timestamped; nothing may be contested or revoked.
//
// No core rule has a switch, and every rule denies what it cannot see: the zero
// Facts fail every one of them. The [Site] policy can ask for more, never for
// less.
//
// The package is pure: the time is a fact, and there is no context, logger,
// clock, disk or network in it. Server, agent and command line decide alike.
package policy

import (
	"cmp"

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
	ruleNotEmbargoed
	ruleTrustPolicyCurrent
	ruleAttested
	ruleLogged
	ruleSignersTrusted
	ruleNotRevoked
	ruleNotContested
	ruleRebuildsAgree
	ruleChannelListed
	ruleNotSuperseded
	ruleChannelCurrent
	ruleProvenance
	ruleSubjectsMatch
	ruleRecordFresh
	ruleRecordNewest
	ruleBaseKnown
	ruleEnvironmentMatch
	ruleBaseMatch
	ruleFitBasis
	ruleRebuildQuorum
	ruleAssurance
)

var rules = [...]rule{
	ruleHostActive:         {"host-active", verify.HostNotActive, "the host is enrolled and active"},
	ruleHostKeyUnique:      {"host-key-unique", verify.ClonedKey, "the host's key is in use by one machine"},
	ruleHostProduct:        {"host-product", verify.ForbiddenRole, "the host may have patches of the product"},
	ruleNotEmbargoed:       {"not-embargoed", verify.Embargoed, "no embargo keeps the product or the patch from the host"},
	ruleTrustPolicyCurrent: {"trust-policy-current", verify.Expired, "the trust policy has not expired"},
	ruleAttested:           {"attested", verify.NoAttestation, "patch, base and environment each have their statement"},
	ruleLogged:             {"logged", verify.NotLogged, "every statement used is verified, logged and timestamped"},
	ruleSignersTrusted:     {"signers-trusted", verify.UntrustedSigner, "every statement used is by a signer who had the role for it at its time"},
	ruleNotRevoked:         {"not-revoked", verify.Revoked, "no trusted revocation names anything used"},
	ruleNotContested:       {"not-contested", verify.Contested, "no two trusted live statements disagree"},
	ruleChannelListed:      {"channel-listed", verify.NoAttestation, "where trust policy or site policy asks for channels, one of the product's lists the patch for its base"},
	ruleNotSuperseded:      {"not-superseded", verify.Superseded, "where one asks for channels, the patch is not one that they offered once and do no more"},
	ruleChannelCurrent:     {"channel-current", verify.Expired, "where one asks for channels, one that offers the patch has not expired"},
	ruleRebuildsAgree:      {"rebuilds-agree", verify.Contested, "where the trust policy asks for rebuilds, no credible one came out otherwise and is undecided"},
	ruleProvenance:         {"provenance", verify.NoProvenance, "patch, base and builder image each have provenance"},
	ruleSubjectsMatch:      {"subjects-match", verify.SubjectMismatch, "every statement is about its artifact, in this product"},
	ruleRecordFresh:        {"record-fresh", verify.StaleHostRecord, "the host's record is no older than the site policy asks"},
	ruleRecordNewest:       {"record-newest", verify.Rollback, "the host's record is the newest one taken from it"},
	ruleBaseKnown:          {"base-known", verify.UnknownBase, "what the host measured is a base of the product"},
	ruleEnvironmentMatch:   {"environment-match", verify.EnvMismatch, "patch, base and host name the same environment, target and builder image, or what the basis of fit has in their place"},
	ruleBaseMatch:          {"base-match", verify.BaseMismatch, "the patch is for the one base the host runs"},
	ruleFitBasis:           {"fit-basis", verify.LowAssurance, "the product accepts the basis of fit"},
	ruleRebuildQuorum:      {"rebuild-quorum", verify.RebuildQuorum, "where the trust policy asks for rebuilds, enough independent rebuilders reproduced patch and base"},
	ruleAssurance:          {"assurance", verify.LowAssurance, "host record and base are as assured as the site policy asks"},
}

// allRules is what passed is when every rule is.
const allRules = 1<<len(rules) - 1

// walk evaluates every rule, in order. A rule it leaves out is not passed: all
// after an embargo, so that none tells of what is withheld.
func (f *view) walk() {
	f.after(ruleHostActive, f.hostActive())
	f.after(ruleHostKeyUnique, f.hostKeyUnique())
	f.after(ruleHostProduct, f.hostProduct())
	held, complete := f.embargoed()
	f.after(ruleNotEmbargoed, complete)
	if held {
		return
	}
	f.after(ruleTrustPolicyCurrent, f.trustCurrent())
	f.after(ruleAttested, f.attested())
	f.after(ruleLogged, f.logged())
	f.after(ruleSignersTrusted, f.signersTrusted())
	f.after(ruleNotRevoked, f.notRevoked())
	f.after(ruleNotContested, f.notContested())
	f.after(ruleRebuildsAgree, f.rebuildsAgree())
	f.after(ruleChannelListed, f.channelListed())
	f.after(ruleNotSuperseded, f.notSuperseded())
	f.after(ruleChannelCurrent, f.channelCurrent())
	f.after(ruleProvenance, f.provenance())
	f.after(ruleSubjectsMatch, f.subjectsMatch())
	f.after(ruleRecordFresh, f.recordFresh())
	f.after(ruleRecordNewest, f.recordNewest())
	f.after(ruleBaseKnown, f.baseKnown())
	f.after(ruleEnvironmentMatch, f.environmentMatch())
	f.after(ruleBaseMatch, f.baseMatch())
	f.after(ruleFitBasis, f.fitBasis())
	f.after(ruleRebuildQuorum, f.rebuildQuorum())
	f.after(ruleAssurance, f.assurance())
}

// after notes how a rule came out: it is passed where it had all it looks at,
// and told of nothing wrong. What it lacks without telling, another rule tells.
func (f *view) after(index int, complete bool) {
	f.ev = nil
	if complete && len(f.found) == f.told {
		f.passed |= 1 << index
		return
	}
	f.sign(index)
}

// sign puts the rule's name under what it told.
func (f *view) sign(index int) {
	by := &rules[index]
	for i := f.told; i < len(f.found); i++ {
		f.found[i].Rule, f.found[i].Reason, f.found[i].Remedy = by.id, by.reason, cmp.Or(f.found[i].Remedy, by.reason.Remedy())
	}
	f.told = len(f.found)
}

// Decide answers for f, with every reason. An allow on gathered facts allocates
// nothing.
func Decide(f *Facts) Decision {
	if f == nil {
		f = new(Facts)
	}
	var v view
	v.look(f)
	v.walk()
	if v.passed == allRules && len(v.found) == 0 {
		return Decision{Allow: true, Basis: v.basis.name, Warnings: v.warned}
	}
	return Decision{Reasons: v.found}
}

// Explain returns the outcome of every rule for f, in the order of Decide. A
// rule that is not passed and has no findings lacked what it would look at.
func Explain(f *Facts) []Check {
	if f == nil {
		f = new(Facts)
	}
	var v view
	v.look(f)
	v.walk()
	checks := make([]Check, len(rules))
	for i, r := range rules {
		checks[i] = Check{Rule: r.id, Criterion: r.criterion, Passed: v.passed&(1<<i) != 0}
		for len(v.found) > 0 && v.found[0].Rule == r.id {
			checks[i].Findings = append(checks[i].Findings, v.found[0])
			v.found = v.found[1:]
		}
		for _, w := range v.warned {
			if w.Rule == r.id {
				checks[i].Warnings = append(checks[i].Warnings, w)
			}
		}
	}
	return checks
}
