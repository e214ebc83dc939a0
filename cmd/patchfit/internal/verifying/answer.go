package verifying

import (
	"fmt"
	"io"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// An Answer is the outcome for every statement. docs/spec/schema/verify-answer.json.
type Answer struct {
	SchemaVersion int           `json:"schemaVersion"`
	Subject       string        `json:"subject"`
	Manifest      attest.Digest `json:"manifest,omitzero"`
	File          attest.Digest `json:"file,omitzero"`
	Product       string        `json:"product"`
	PolicyVersion int64         `json:"policyVersion"`
	Offline       bool          `json:"offline"`
	Revocations   Revocations   `json:"revocations"`
	Criteria      []string      `json:"criteria"`
	Statements    []Result      `json:"statements"`
	Fit           *Fit          `json:"fit,omitzero"`
	Proof         *ProofAnswer  `json:"proof,omitzero"` // with --proof
	VSA           *Summary      `json:"vsa,omitzero"`
	Verified      bool          `json:"verified"`
}

// Revocations say what is known of them.
type Revocations struct {
	Known bool   `json:"known"`
	From  string `json:"from,omitzero"`
	Count int    `json:"count"` // that are verified and count
}

// A Result is what one statement came to.
type Result struct {
	Bundle   string        `json:"bundle"` // where it is from
	Verified bool          `json:"verified"`
	Type     string        `json:"type,omitzero"`
	Signer   string        `json:"signer,omitzero"` // as the trust policy calls it
	Key      attest.Digest `json:"key,omitzero"`
	Signed   time.Time     `json:"signed,omitzero"`
	LogIndex int64         `json:"logIndex"` // of the statement's leaf; -1 where it was not verified
	Payload  attest.Digest `json:"payload,omitzero"`
	Checks   []check       `json:"checks"`
	Reason   string        `json:"reason,omitzero"`
	Fact     string        `json:"fact,omitzero"`
	Remedy   string        `json:"remedy,omitzero"`
}

// A check is one criterion and what was found.
type check struct {
	Check   string         `json:"check"`
	Outcome verify.Outcome `json:"outcome"`
	Found   string         `json:"found,omitzero"`
	Reason  string         `json:"reason,omitzero"`
}

// What is asked beyond what package verify asks of a bundle by itself.
const (
	checkRole        = "role"
	checkRevocations = "revocations"

	notAsked verify.Outcome = "not-asked" // nothing to compare with was given
)

// A Fit is whether the patch fits a base, or a host by its record.
type Fit struct {
	To     string      `json:"to"`
	Allow  bool        `json:"allow"`
	Basis  string      `json:"basis,omitzero"`
	Checks []api.Check `json:"checks"` // rules of the gate (docs/spec/reasons.md, Rules)
}

func criteria() []string {
	var all []string
	for _, c := range verify.Criteria() {
		all = append(all, c.Name+": "+c.Asks)
	}
	return append(all,
		checkRole+": its signer has the role for it, in this product, which it names",
		checkRevocations+": no revocation that counts names it, its key, its subject or its environment",
	)
}

func verifyText(w io.Writer, m term.Marker, v *Answer) {
	fmt.Fprintf(w, "%s\nOf every statement about it is asked:\n", term.Printable(v.Subject))
	for _, c := range v.Criteria {
		fmt.Fprintf(w, "  - %s\n", c)
	}
	fmt.Fprintf(w, "by trust policy version %d, in product %s\n\n", v.PolicyVersion, v.Product)
	for i := range v.Statements {
		v.Statements[i].text(w, m)
	}
	if len(v.Statements) == 0 {
		fmt.Fprintf(w, "%s no statement\n", m.Cross)
	}
	if v.Fit != nil {
		v.Fit.text(w, m)
	}
	v.Proof.text(w, m)
	if v.VSA != nil {
		v.VSA.text(w)
	}
	if !v.Revocations.Known {
		fmt.Fprintf(w, "%s nothing is known of revocations here: whether one names it was not asked\n", m.Bang)
	}
	if !v.Verified {
		fmt.Fprintln(w, "NOT verified")
		return
	}
	fmt.Fprintln(w, "verified")
}

func (r *Result) text(w io.Writer, m term.Marker) {
	if r.Verified {
		fmt.Fprintf(w, "%s %s by %s, %s, log index %d\n", m.Tick, shell.TypeName(r.Type), term.Printable(r.Signer), r.Signed.Format(time.RFC3339), r.LogIndex)
	} else {
		fmt.Fprintf(w, "%s %s  %s: %s\n", m.Cross, term.Printable(r.Bundle), r.Reason, term.Printable(r.Fact))
	}
	for _, c := range r.Checks {
		found := string(c.Outcome)
		if c.Found != "" {
			found += ": " + c.Found
		}
		if c.Reason != "" {
			found = string(c.Outcome) + ": " + c.Reason + ": " + c.Found
		}
		fmt.Fprintf(w, "    %-11s %s\n", c.Check, term.Printable(found))
	}
	if r.Remedy != "" {
		fmt.Fprintf(w, "    next: %s\n", term.Printable(r.Remedy))
	}
}

func (f *Fit) text(w io.Writer, m term.Marker) {
	answer := "fits"
	if !f.Allow {
		answer = "does not fit"
	}
	fmt.Fprintf(w, "%s it %s %s\n", m.Check(f.Allow), answer, term.Printable(f.To))
	for _, c := range f.Checks {
		fmt.Fprintf(w, "    %s %s\n", m.Check(c.Passed), term.Printable(c.Criterion))
		for _, found := range c.Findings {
			fmt.Fprintf(w, "        %s: want %s, got %s\n", found.Reason, term.Printable(found.Want), term.Printable(found.Got))
		}
		for _, found := range c.Warnings {
			fmt.Fprintf(w, "        %s %s: want %s, got %s; it only warns\n", m.Bang, found.Reason, term.Printable(found.Want), term.Printable(found.Got))
		}
	}
	if f.Basis != "" {
		fmt.Fprintf(w, "    by fit basis %s\n", f.Basis)
	}
	if f.Allow {
		return
	}
	for _, c := range f.Checks {
		if len(c.Findings) > 0 {
			fmt.Fprintf(w, "    next: %s\n", term.Printable(c.Findings[0].Remedy))
			return
		}
	}
}
