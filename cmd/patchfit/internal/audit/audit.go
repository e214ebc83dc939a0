// Package audit has the verbs that ask: the ledger, who built what and who got it;
// the log, whether it is the one seen before; the gate, what it would answer.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.whyCommand(), a.auditCommand()}
}

func (a verbs) auditCommand() *cobra.Command {
	return shell.Group("audit", "ask the ledger who built what and who got it, and verify it (role auditor)",
		a.whoBuiltCommand(), a.decisionsCommand(), a.channelCommand(), a.receiptCommand(), a.rebuildsCommand(), a.verifyCommand(), a.proveCommand())
}

// The parts of the audit API's answers that text shows; --format json has the
// server's answer whole (docs/spec/index.md).
type (
	lineage struct {
		AsOf  asOf   `json:"asOf"`
		Chain []link `json:"chain"`
	}
	asOf struct {
		Sequence int64     `json:"sequence"`
		Time     time.Time `json:"time,omitzero"`
	}
	link struct {
		Role        string        `json:"role"`
		Manifest    attest.Digest `json:"manifest"`
		Published   *event        `json:"published,omitzero"`
		Deleted     *event        `json:"deleted,omitzero"`
		Statements  []statement   `json:"statements"`
		Revocations []statement   `json:"revocations"`
		Lint        *shell.Linted `json:"lint,omitzero"`
	}
	event struct {
		Sequence int64     `json:"sequence"`
		Time     time.Time `json:"time"`
		By       string    `json:"by"`
	}
	statement struct {
		Type       string        `json:"type"`
		Signer     attest.Digest `json:"signer"`
		SignerName string        `json:"signerName"`
		BuilderID  string        `json:"builderId,omitzero"`
		Signed     time.Time     `json:"signed"`
		LogIndex   int64         `json:"logIndex"`
	}
	decisions struct {
		AsOf      asOf       `json:"asOf"`
		Decisions []decision `json:"decisions"`
		Cursor    string     `json:"cursor,omitzero"`
	}
	decision struct {
		Sequence   int64            `json:"sequence"`
		Time       time.Time        `json:"time"`
		HostName   string           `json:"hostName"`
		Host       string           `json:"host"`
		Repository string           `json:"repository"`
		Artifact   attest.Digest    `json:"artifact"`
		Decision   string           `json:"decision"`
		Allow      bool             `json:"allow"`
		Basis      string           `json:"basis"`
		Reasons    []ledger.Finding `json:"reasons"`
		Warnings   []ledger.Finding `json:"warnings,omitzero"`
		LaterUses  int64            `json:"laterUses"`
	}
)

// ask sends an audit query; v is what text needs of the answer.
func (a verbs) ask(ctx context.Context, server, path string, q url.Values, v any) (jsontext.Value, error) {
	s, err := a.Connect(server)
	if err != nil {
		return nil, err
	}
	for name, list := range q {
		if list[0] == "" {
			delete(q, name)
		}
	}
	var raw jsontext.Value
	if err := s.Client.Get(ctx, path, q, &raw); err != nil {
		return nil, err
	}
	return raw, strictjson.UnmarshalForeign(raw, len(raw), v)
}

func (a verbs) whoBuiltCommand() *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:     "who-built REFERENCE",
		Short:   "list who built an artifact and everything it stands on",
		Example: "  patchfit audit who-built demo/greet@sha256:1f2e…",
		Args:    shell.Exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := shell.ParseReference(args[0])
			if err != nil {
				return err
			}
			if ref.Digest == "" {
				return exit.BadUsage(fmt.Errorf("reference %s has no digest", args[0]), "a tag moves; name the digest: "+ref.Repository+"@sha256:…")
			}
			var v lineage
			raw, err := a.ask(cmd.Context(), ref.Server, "/v1/audit/who-built", url.Values{"repository": {ref.Repository}, "digest": {string(ref.Digest)}, "as-of": {at}}, &v)
			if err != nil {
				return err
			}
			return a.Print(raw, func(w io.Writer) { lineageText(w, &v) })
		},
	}
	cmd.Flags().StringVar(&at, "as-of", "", "answer as of this time (RFC 3339)")
	return cmd
}

func lineageText(w io.Writer, v *lineage) {
	for i, l := range v.Chain {
		fmt.Fprintf(w, "%s%s %s\n", strings.Repeat("  ", i), l.Role, l.Manifest)
		indent := strings.Repeat("  ", i+1)
		if l.Published != nil {
			fmt.Fprintf(w, "%spublished %s by %s, record %d\n", indent, l.Published.Time.Format(time.RFC3339), term.Printable(l.Published.By), l.Published.Sequence)
		}
		if l.Deleted != nil {
			fmt.Fprintf(w, "%shidden since %s, record %d\n", indent, l.Deleted.Time.Format(time.RFC3339), l.Deleted.Sequence)
		}
		for _, s := range l.Statements {
			statementText(w, indent, "", s)
		}
		if l.Lint != nil {
			l.Lint.Text(w, indent)
		}
		for _, s := range l.Revocations {
			statementText(w, indent, "REVOKED ", s)
		}
	}
	asOfText(w, v.AsOf)
}

func statementText(w io.Writer, indent, prefix string, s statement) {
	by := cmp.Or(s.SignerName, "a stranger")
	if s.BuilderID != "" {
		by += ", builder " + s.BuilderID
	}
	fmt.Fprintf(w, "%s%s%s by %s, key %s, %s, log index %d\n", indent, prefix, term.Printable(shell.TypeName(s.Type)), term.Printable(by), s.Signer.Short(), s.Signed.Format(time.RFC3339), s.LogIndex)
}

func asOfText(w io.Writer, v asOf) {
	if v.Sequence == 0 {
		fmt.Fprintln(w, "as of before the first journal record")
		return
	}
	fmt.Fprintf(w, "as of journal record %d, %s\n", v.Sequence, v.Time.Format(time.RFC3339))
}

func (a verbs) decisionsCommand() *cobra.Command {
	var product, repository, host, artifact string
	var allowed, denied bool
	var page pageFlags
	cmd := &cobra.Command{
		Use:     "decisions",
		Short:   "list which host was told what, and why, the newest first",
		Example: "  patchfit audit decisions --denied --repository demo/greet --limit 20",
		Args:    shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := shell.OneOf(cmd, "allowed", "denied"); err != nil {
				return err
			}
			if err := checkProduct(product); err != nil {
				return err
			}
			q := page.of(url.Values{"product": {product}, "repository": {repository}, "host": {host}, "artifact": {artifact}, "allow": {""}})
			if allowed || denied {
				q.Set("allow", strconv.FormatBool(allowed))
			}
			var v decisions
			raw, err := a.ask(cmd.Context(), "", "/v1/audit/decisions", q, &v)
			if err != nil {
				return err
			}
			return a.Print(raw, func(w io.Writer) { a.decisionsText(w, &v) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&product, "product", "", "of this product id")
	f.StringVar(&repository, "repository", "", "of this repository")
	f.StringVar(&host, "host", "", "about this host id")
	f.StringVar(&artifact, "artifact", "", "about this manifest digest")
	f.BoolVar(&allowed, "allowed", false, "only what was allowed")
	f.BoolVar(&denied, "denied", false, "only what was denied")
	page.register(cmd, "at most so many")
	return cmd
}

func (a verbs) decisionsText(w io.Writer, v *decisions) {
	m := term.Marks(w)
	for _, d := range v.Decisions {
		word := "allowed, fit basis " + d.Basis
		if !d.Allow {
			word = "denied"
		}
		fmt.Fprintf(w, "%s %s  %s  host %s (%s)  %s@%s  %s\n", m.Check(d.Allow), d.Time.Format(time.RFC3339), d.Decision,
			term.Printable(d.HostName), d.Host, d.Repository, d.Artifact.Short(), word)
		for _, f := range d.Reasons {
			fmt.Fprintf(w, "    %s: want %s, got %s\n", f.Reason, term.Printable(f.Want), term.Printable(f.Got))
		}
		for _, f := range d.Warnings {
			fmt.Fprintf(w, "    %s %s: want %s, got %s; it only warns\n", m.Bang, f.Reason, term.Printable(f.Want), term.Printable(f.Got))
		}
		if d.LaterUses > 0 {
			fmt.Fprintf(w, "    used %d times more\n", d.LaterUses)
		}
	}
	a.pageEnd(w, v.AsOf, v.Cursor)
}
