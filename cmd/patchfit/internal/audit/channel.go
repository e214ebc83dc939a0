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

// The parts of a channel's history that text shows.
type (
	channelHistory struct {
		AsOf     asOf             `json:"asOf"`
		Versions []channelVersion `json:"versions"`
		Cursor   string           `json:"cursor,omitzero"`
	}
	channelVersion struct {
		Name        string            `json:"name"`
		Version     int64             `json:"version"`
		Expires     time.Time         `json:"expires"`
		Before      int64             `json:"before,omitzero"`
		Statement   admittedStatement `json:"statement"`
		Added       []channelPatch    `json:"added"`
		Withdrawn   []channelPatch    `json:"withdrawn"`
		Revocations int               `json:"revocations"`
		Revoked     []attest.Digest   `json:"revoked"`
		Forgotten   []attest.Digest   `json:"forgotten"`
		Voids       []statement       `json:"voids"`
	}
	admittedStatement struct {
		Admitted   event         `json:"admitted"`
		Signer     attest.Digest `json:"signer"`
		SignerName string        `json:"signerName"`
		Signed     time.Time     `json:"signed"`
		LogIndex   int64         `json:"logIndex"`
	}
	channelPatch struct {
		Base       attest.Digest `json:"base"`
		Patch      attest.Digest `json:"patch"`
		Superseded bool          `json:"superseded,omitzero"`
	}
)

func (a verbs) channelCommand() *cobra.Command {
	var name string
	var page pageFlags
	cmd := &cobra.Command{
		Use:   "channel REPOSITORY",
		Short: "list the versions of a product's channels: who signed each, when, and what it changed",
		Example: `  patchfit audit channel demo/greet
  patchfit audit channel demo/greet --channel stable --as-of 2026-09-30T00:00:00Z`,
		Args: shell.Exactly("REPOSITORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := shell.ParseReference(args[0])
			if err != nil {
				return err
			}
			q := page.of(url.Values{"repository": {ref.Repository}, "name": {name}})
			var v channelHistory
			raw, err := a.ask(cmd.Context(), ref.Server, "/v1/audit/channels", q, &v)
			if err != nil {
				return err
			}
			return a.Print(raw, func(w io.Writer) { a.channelText(w, ref.Repository, &v) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "channel", "", "of the channel of this name (default: all)")
	page.register(cmd, "at most so many")
	return cmd
}

func (a verbs) channelText(w io.Writer, repository string, v *channelHistory) {
	if len(v.Versions) == 0 {
		fmt.Fprintf(w, "repository %s had no version of such a channel\n", repository)
	}
	for _, c := range v.Versions {
		versionText(w, c)
	}
	a.pageEnd(w, v.AsOf, v.Cursor)
}

func versionText(w io.Writer, c channelVersion) {
	s := c.Statement
	fmt.Fprintf(w, "channel %s version %d, taken %s from %s, record %d\n", term.Printable(c.Name), c.Version,
		s.Admitted.Time.Format(time.RFC3339), term.Printable(s.Admitted.By), s.Admitted.Sequence)
	fmt.Fprintf(w, "    signed by %s, key %s, %s, log index %d, good until %s\n", term.Printable(cmp.Or(s.SignerName, "a stranger")),
		s.Signer.Short(), s.Signed.Format(time.RFC3339), s.LogIndex, c.Expires.Format(time.RFC3339))
	for _, p := range c.Added {
		fmt.Fprintf(w, "    offers %s for base %s\n", p.Patch, p.Base.Short())
	}
	for _, p := range c.Withdrawn {
		word := "no longer lists"
		if p.Superseded {
			word = "supersedes"
		}
		fmt.Fprintf(w, "    %s %s for base %s\n", word, p.Patch, p.Base.Short())
	}
	for _, d := range c.Revoked {
		fmt.Fprintf(w, "    names revocation %s\n", d)
	}
	for _, d := range c.Forgotten {
		fmt.Fprintf(w, "    no longer names revocation %s\n", d)
	}
	if len(c.Added)+len(c.Withdrawn)+len(c.Revoked)+len(c.Forgotten) == 0 {
		fmt.Fprintf(w, "    changes nothing but version and expiry\n")
	}
	for _, r := range c.Voids {
		statementText(w, "    ", "REVOKED ", r)
	}
}
