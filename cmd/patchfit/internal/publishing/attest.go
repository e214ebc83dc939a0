package publishing

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
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
URI, or one of provenance, environment, base, livepatch, import, equivalence,
rebuild, adjudication; the predicate is JSON
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
	SinceIndex    *int64        `json:"sinceIndex,omitzero"` // of a key: from where in the log on; absent: all of it
	Payload       attest.Digest `json:"payload"`
	LogIndex      int64         `json:"logIndex"`
	Sequence      int64         `json:"sequence"` // of the journal record at which it took effect
}

func (a verbs) revokeCommand() *cobra.Command {
	var p publishFlags
	var r attest.Revocation
	var digest string
	var since int64
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
  builder-image  a builder image's manifest

A key that somebody else got hold of is revoked from the log entry on that was
the first not to be trusted: --since-index N. What the key said before, in the
log, stays good; what is at N or later counts no more, whatever its timestamp
says. Without it everything the key ever said is void.`,
		Args: shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			bounded := cmd.Flags().Changed("since-index")
			if bounded && r.Kind != attest.RevokeKey {
				return exit.BadUsage(fmt.Errorf("--since-index goes with --kind key, not with %s", r.Kind), "")
			}
			if r.Digest, err = shell.Digest(digest); err != nil {
				return err
			}
			_, pub, err := a.publishTo(cmd.Context(), &p, "revocation")
			if err != nil {
				return err
			}
			if bounded {
				if r.Since, err = a.since(cmd.Context(), pub, since); err != nil {
					return err
				}
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
	f.Int64Var(&since, "since-index", 0, "of a key: log index from which on it counts no more (default: all it said is void)")
	f.StringVar(&r.Reason, "reason", "", "why, in one line, for people")
	p.signing(cmd)
	shell.Required(cmd, "to", "kind", "digest", "reason", "key")
	return cmd
}

// since returns a place in the log the trust policy pinned at login names.
func (a verbs) since(ctx context.Context, pub *publish.Publisher, index int64) (*attest.Since, error) {
	s, err := a.Connect("")
	if err != nil {
		return nil, err
	}
	p, _, err := s.ServedPolicy(ctx)
	if err != nil {
		return nil, err
	}
	return pub.Since(ctx, p.TrustedRoot, index)
}

func (a verbs) revoked(product string, r attest.Revocation, s *publish.Statement, done *api.Revoked) error {
	v := Revoked{1, product, r.Kind, r.Digest, nil, s.Payload, s.LogIndex, done.Sequence}
	what := r.Kind + " " + string(r.Digest)
	if r.Since != nil {
		v.SinceIndex = &r.Since.LogIndex
		what += fmt.Sprintf(" from log index %d on", r.Since.LogIndex)
	}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "revoked %s: record %d, log index %d\n", what, done.Sequence, s.LogIndex)
	})
}
