package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// emptyBlob is the config of artifacts that have none: the two bytes {}.
const emptyBlob = attest.Digest("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")

// named reports whether the request itself names a manifest by a digest.
func (x *exchange) named() (digest.Digest, bool) {
	_, _, err := state.ParseName(x.reference)
	return digest.Digest(x.reference), err == nil
}

// mayRead refuses a manifest that is not there, or that who asks may not have.
// For a host this is the decision, made and recorded once per exchange.
func (x *exchange) mayRead(ctx context.Context, d attest.Digest) error {
	_, err := x.readable(ctx, d)
	return err
}

// readable returns a manifest that who asks may have.
func (x *exchange) readable(ctx context.Context, d attest.Digest) (*state.Manifest, error) {
	if err := x.must(read, x.repository); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(x.decided, func(have decided) bool { return have.digest == d })
	if at < 0 {
		if x.decided == nil {
			x.decided = x.first[:0]
		}
		at = len(x.decided)
		m, ok := x.registry.State.Manifest(x.repository, d)
		x.decided = append(x.decided, decided{d, m, x.judge(ctx, d, m, ok)})
	}
	if e := x.decided[at].refusal; e != nil {
		return nil, x.refuse(e)
	}
	return x.decided[at].manifest, nil
}

func (x *exchange) judge(ctx context.Context, d attest.Digest, m *state.Manifest, there bool) *api.Error {
	switch {
	case !there && x.gated && x.registry.State.Condemned(x.repository, d) != nil:
		return condemned(d, x.registry.State.Condemned(x.repository, d))
	case !there:
		return api.Errorf(http.StatusNotFound, codeNoManifest, "manifest %s is not in %s", d, x.repository)
	case !x.gated:
		return nil
	case isAdmitted(m) && x.withheld(m):
		return denied(verify.Embargoed, fmt.Sprintf("%s is about a patch that is not handed out to host %s yet", d, x.principal.ID), verify.Embargoed.Remedy())
	case isAdmitted(m):
		return nil
	case m.Type != attest.ArtifactPatch:
		return denied(verify.ForbiddenRole, fmt.Sprintf("%s, of type %.80q, is for publishers and auditors of the product", d, m.Type), askForPatch)
	}
	v, err := x.registry.Gate.Decide(ctx, x.principal.ID, x.repository, d)
	if err != nil {
		return x.undecided(err)
	}
	if !v.Allow {
		return verdict(v)
	}
	x.answer.warnings = v.Warnings
	return nil
}

// isAdmitted reports whether m carries a bundle that admission verified.
// What a manifest says of itself opens nothing.
func isAdmitted(m *state.Manifest) bool { return m.Bundle != "" && m.File == m.Bundle }

// undecided is for an allow that could not be recorded: it is none.
func (x *exchange) undecided(err error) *api.Error {
	if !errors.Is(err, context.Canceled) {
		x.registry.Logger.Error("a decision could not be recorded", "host", x.principal.ID, "repository", x.repository, "error", err)
	}
	return api.Errorf(http.StatusServiceUnavailable, api.CodeUnavailable, "the server cannot record its decision now, and so makes none").Hint("try again")
}

// mayReadBlob refuses a blob that who asks may not have. A host may have the
// one file of a patch that it may have, and admitted bundles; it matters what
// references the blob in this product, now, and nothing else.
func (x *exchange) mayReadBlob(ctx context.Context, d attest.Digest) error {
	if err := x.must(read, x.repository); err != nil {
		return err
	}
	if !x.gated || d == emptyBlob {
		return nil
	}
	var room [4]*state.Manifest // for those of most files
	patch := attest.Digest("")
	for _, m := range x.registry.State.AppendReferencing(room[:0], x.repository, d) {
		switch {
		case m.File != d:
		case isAdmitted(m):
			return x.mayRead(ctx, m.Artifact.Manifest)
		case m.Type != attest.ArtifactPatch:
		case patch == "" || x.visible(m):
			patch = m.Artifact.Manifest
		}
	}
	if patch == "" {
		return x.refuse(denied(verify.ForbiddenRole, fmt.Sprintf("no patch in %s consists of blob %s", x.repository, d), askForPatch))
	}
	return x.mayRead(ctx, patch)
}

// askForPatch is the next step of a host that asked for what no host gets.
const askForPatch = "ask for a patch: patchfit-agent status lists what this host may have"

// visible reports whether who asks may see a manifest in a list. Lists record
// no decisions.
func (x *exchange) visible(m *state.Manifest) bool {
	if !x.gated || isAdmitted(m) {
		return !x.gated || !x.withheld(m)
	}
	return m.Type == attest.ArtifactPatch && x.registry.Gate.Evaluate(x.principal.ID, x.repository, m.Artifact.Manifest).Allow
}

// maxFacts bounds the facts that a denial tells, in bytes.
const maxFacts = 1500

// verdict is the 403 of a denial: one line with the leading reason, its facts,
// the next step, and the decision it is recorded under.
func verdict(v gate.Verdict) *api.Error {
	if len(v.Reasons) == 0 { // not made by the rules
		return forbidden("denied")
	}
	lead := v.Reasons[0]
	recorded := "this denial could not be recorded"
	if v.ID != "" {
		recorded = "decision " + v.ID
	}
	e := denied(lead.Reason, facts(v.Reasons), fmt.Sprintf("%s (%s)", lead.Remedy, recorded))
	e.Decision = v.ID
	return e
}

// facts tells every finding of the leading reason and names the other reasons.
func facts(all []policy.Finding) string {
	var told, others []string
	size, left := 0, 0
	for _, f := range all {
		switch fact := fmt.Sprintf("want %s, got %s", f.Want, f.Got); {
		case f.Reason != all[0].Reason:
			others = addReason(others, f.Reason)
		case size+len(fact) > maxFacts:
			left++
		default:
			told, size = append(told, fact), size+len(fact)
		}
	}
	text := strings.Join(told, ", ")
	if left > 0 {
		text += fmt.Sprintf(" and %d more", left)
	}
	if len(others) > 0 {
		text += "; also " + strings.Join(others, " ")
	}
	return text
}

func addReason(list []string, r verify.Reason) []string {
	for _, have := range list {
		if have == string(r) {
			return list
		}
	}
	return append(list, string(r))
}
