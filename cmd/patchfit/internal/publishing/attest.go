package publishing

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
)

func (a verbs) attestCommand() *cobra.Command {
	var p publishFlags
	var typ, predicate string
	cmd := &cobra.Command{
		Use:     "attest REFERENCE --type TYPE --predicate FILE --key FILE",
		Short:   "make one statement about an artifact: sign, log, timestamp, attach",
		Example: "  patchfit attest demo/greet:fix-1 --type https://example.org/tested/v1 --predicate tested.json --key ci.pem",
		Long: `Make one statement about an artifact in a repository. TYPE is a predicate type's
URI, or one of provenance, environment, base, livepatch; the predicate is JSON
and is checked strictly where the type is one of these. A type nobody knows is
kept and shown to publishers and auditors, and is never evidence.`,
		Args: shell.Exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := shell.ParseOne(args[0])
			if err != nil {
				return err
			}
			b, err := os.ReadFile(predicate)
			if err != nil {
				return fmt.Errorf("reading the predicate: %w", err)
			}
			if b, err = strictjson.Canonicalize(b); err != nil {
				return fmt.Errorf("reading the predicate %s: %w", predicate, err)
			}
			if full, ok := shell.TypeNames()[typ]; ok {
				typ = full
			}
			pub, err := a.publisher(cmd.Context(), &p, ref, predicate)
			if err != nil {
				return err
			}
			return a.published(pub.Attest(cmd.Context(), ref.Name(), typ, b))
		},
	}
	f := cmd.Flags()
	f.StringVar(&typ, "type", "", "predicate type: a URI or a short name")
	f.StringVar(&predicate, "predicate", "", "file with the predicate's JSON")
	p.signing(cmd)
	shell.Required(cmd, "type", "predicate", "key")
	return cmd
}

type Revoked struct {
	SchemaVersion int           `json:"schemaVersion"`
	Product       string        `json:"product"`
	Kind          string        `json:"kind"`
	Digest        attest.Digest `json:"digest"`
	Payload       attest.Digest `json:"payload"`
	LogIndex      int64         `json:"logIndex"`
	Sequence      int64         `json:"sequence"` // of the journal record at which it took effect
}

func (a verbs) revokeCommand() *cobra.Command {
	var p publishFlags
	var r attest.Revocation
	var digest string
	cmd := &cobra.Command{
		Use:     "revoke --to REPOSITORY --kind KIND --digest DIGEST --reason TEXT --key FILE",
		Short:   "revoke a statement, an artifact, a key, an environment or a builder image",
		Example: "  patchfit revoke --to demo/greet --kind subject --digest sha256:1f2e… --reason 'loses data' --key ci.pem",
		Long: `Revoke something in a product, for ever. It takes effect with the server's record
of it. KIND says what DIGEST is of:

  payload        a statement's bytes
  subject        an artifact's manifest
  key            a signing key's SPKI DER
  environment    an environment
  builder-image  a builder image's manifest`,
		Args: shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if r.Digest, err = shell.Digest(digest); err != nil {
				return err
			}
			_, pub, err := a.publishTo(cmd.Context(), &p, "revocation")
			if err != nil {
				return err
			}
			s, done, err := pub.Revoke(cmd.Context(), r)
			if err != nil {
				return err
			}
			return a.revoked(pub.Product(), r, s, done)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.to, "to", "", "repository of the product: [HOST/]NAME")
	f.StringVar(&r.Kind, "kind", "", "payload, subject, key, environment or builder-image")
	f.StringVar(&digest, "digest", "", "what is revoked")
	f.StringVar(&r.Reason, "reason", "", "why, in one line, for people")
	p.signing(cmd)
	shell.Required(cmd, "to", "kind", "digest", "reason", "key")
	return cmd
}

func (a verbs) revoked(product string, r attest.Revocation, s *publish.Statement, done *api.Revoked) error {
	v := Revoked{1, product, r.Kind, r.Digest, s.Payload, s.LogIndex, done.Sequence}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "revoked %s %s: record %d, log index %d\n", r.Kind, r.Digest, done.Sequence, s.LogIndex)
	})
}
