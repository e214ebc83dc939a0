package audit

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/term"
)

// The parts of the answer that text shows.
type (
	matrix struct {
		AsOf      asOf      `json:"asOf"`
		Artifacts []rebuilt `json:"artifacts"`
		Cursor    string    `json:"cursor,omitzero"`
	}
	rebuilt struct {
		Role          string        `json:"role"`
		Repository    string        `json:"repository"`
		Manifest      attest.Digest `json:"manifest"`
		Published     event         `json:"published"`
		Deleted       *event        `json:"deleted,omitzero"`
		Publisher     string        `json:"publisher,omitzero"`
		Results       []result      `json:"results"`
		Adjudications []verdict     `json:"adjudications"`
		Regression    *regression   `json:"regression,omitzero"`
		Pulled        []puller      `json:"pulled,omitzero"`
	}
	result struct {
		Rebuilder       string        `json:"rebuilder"`
		Signer          attest.Digest `json:"signer"`
		Result          string        `json:"result"`
		Category        string        `json:"category,omitzero"`
		Explanation     string        `json:"explanation,omitzero"`
		Environment     attest.Digest `json:"environment"`
		SameEnvironment bool          `json:"sameEnvironment"`
		Revoked         bool          `json:"revoked"`
		Got             attest.Digest `json:"got,omitzero"`
		Output          attest.Digest `json:"output,omitzero"`
		Normaliser      string        `json:"normaliser,omitzero"`
		Runs            int           `json:"runs"`
		Agreeing        int           `json:"agreeing"`
		Signed          time.Time     `json:"signed"`
		LogIndex        int64         `json:"logIndex"`
	}
	verdict struct {
		Adjudicator string        `json:"adjudicator"`
		Signer      attest.Digest `json:"signer"`
		Verdict     string        `json:"verdict"`
		Reason      string        `json:"reason"`
		Revoked     bool          `json:"revoked"`
		Signed      time.Time     `json:"signed"`
	}
	regression struct {
		Before attest.Digest `json:"before"`
	}
	puller struct {
		Host     string        `json:"host"`
		HostName string        `json:"hostName"`
		Artifact attest.Digest `json:"artifact"`
		Decision string        `json:"decision"`
		Time     time.Time     `json:"time"`
	}
)

func (a verbs) rebuildsCommand() *cobra.Command {
	var product, repository, artifact string
	var page pageFlags
	cmd := &cobra.Command{
		Use:     "rebuilds",
		Short:   "list what came of building bases and patches again, by artifact and rebuilder",
		Example: "  patchfit audit rebuilds --repository demo/greet",
		Long: `List bases and patches, the one published last first, and the newest result of
each rebuilder. Where one came out otherwise, the hosts that were allowed to
have it are listed, and whether that is a regression: nobody reproduced it, and
the publisher's one before it was reproduced.

Who said what is listed, whether it counts or not; patchfit why says what the
gate makes of it.`,
		Args: shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkProduct(product); err != nil {
				return err
			}
			if artifact != "" {
				if _, err := shell.Digest(artifact); err != nil {
					return err
				}
			}
			q := page.of(url.Values{"product": {product}, "repository": {repository}, "artifact": {artifact}})
			var v matrix
			raw, err := a.ask(cmd.Context(), "", "/v1/audit/rebuilds", q, &v)
			if err != nil {
				return err
			}
			return a.Print(raw, func(w io.Writer) { a.matrixText(w, &v) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&product, "product", "", "of this product id")
	f.StringVar(&repository, "repository", "", "of this repository")
	f.StringVar(&artifact, "artifact", "", "of this manifest digest")
	page.register(cmd, "at most so many artifacts")
	return cmd
}

func (a verbs) matrixText(w io.Writer, v *matrix) {
	for _, r := range v.Artifacts {
		rebuiltText(w, &r)
	}
	a.pageEnd(w, v.AsOf, v.Cursor)
}

func rebuiltText(w io.Writer, r *rebuilt) {
	m := term.Marks(w)
	fmt.Fprintf(w, "%s %s@%s, published %s by %s\n", r.Role, r.Repository, r.Manifest, r.Published.Time.Format(time.RFC3339), term.Printable(cmp.Or(r.Publisher, "a stranger")))
	if r.Deleted != nil {
		fmt.Fprintf(w, "    hidden since %s\n", r.Deleted.Time.Format(time.RFC3339))
	}
	if len(r.Results) == 0 {
		fmt.Fprintln(w, "    nobody rebuilt it")
	}
	for i := range r.Results {
		b := &r.Results[i]
		mark := m.Bang
		if b.SameEnvironment && !b.Revoked && (b.Result == attest.Reproduced || b.Result == attest.Differs) {
			mark = m.Check(b.Result == attest.Reproduced)
		}
		fmt.Fprintf(w, "    %s %s\n", mark, resultText(b))
	}
	for _, d := range r.Adjudications {
		revoked := ""
		if d.Revoked {
			revoked = " (revoked)"
		}
		fmt.Fprintf(w, "    adjudicated %s: dissent %s by %s: %s%s\n", d.Signed.Format(time.RFC3339), d.Verdict, term.Printable(cmp.Or(d.Adjudicator, "a stranger")), term.Printable(d.Reason), revoked)
	}
	if r.Regression != nil {
		fmt.Fprintf(w, "    %s a regression: %s of the same publisher was reproduced\n", m.Bang, r.Regression.Before.Short())
	}
	for _, p := range r.Pulled {
		fmt.Fprintf(w, "    pulled by %s (%s) %s, %s\n", term.Printable(p.HostName), p.Host, p.Time.Format(time.RFC3339), p.Decision)
	}
}

func resultText(b *result) string {
	s := fmt.Sprintf("%s: %s", term.Printable(cmp.Or(b.Rebuilder, "a stranger, key "+b.Signer.Short())), b.Result)
	if b.Category != "" {
		s += ", " + b.Category
	}
	if b.Normaliser != "" {
		s += ", under " + term.Printable(b.Normaliser)
	}
	s += fmt.Sprintf(", %s, log index %d", b.Signed.Format(time.RFC3339), b.LogIndex)
	if b.Result == attest.Differs {
		s += fmt.Sprintf("; %d of %d runs got %s", b.Agreeing, b.Runs, b.Got)
	}
	if b.Result == attest.Differs && b.Output == "" {
		s += ", which is not here"
	}
	if !b.SameEnvironment {
		s += "; in another environment, " + string(b.Environment)
	}
	if b.Revoked {
		s += "; revoked"
	}
	if b.Explanation != "" {
		s += ": " + term.Printable(b.Explanation)
	}
	return s
}
