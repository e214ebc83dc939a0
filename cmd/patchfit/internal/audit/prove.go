package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

// proveFlags say of which entry a proof is made, and where it goes.
type proveFlags struct {
	output      string
	typ         string
	fresh       bool
	trustedRoot string
}

func (a verbs) proveCommand() *cobra.Command {
	var f proveFlags
	cmd := &cobra.Command{
		Use:   "prove BUNDLE|REFERENCE [-o FILE]",
		Short: "write a C2SP tlog-proof that a statement is in the log",
		Example: `  patchfit audit prove fix.sigstore.json -o fix.tlog-proof
  patchfit audit prove lib/greet:fix-1 --type livepatch --fresh -o fix.tlog-proof`,
		Long: `Write a tlog-proof (c2sp.org/tlog-proof) of a bundle's log entry: its index, the
hashes that lead to the root, and the checkpoint with its cosignatures. It is
the proof inside the bundle, and no network is asked; of a reference, the bundle
is fetched from the server.

With --fresh the proof leads to the checkpoint the log has now, which is read
and verified: for statements that were logged before witnesses were asked.

patchfit verify --proof checks it against a pinned tlog-policy.`,
		Args: shell.Exactly("BUNDLE or REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.prove(cmd.Context(), &f, args[0]) },
	}
	s := cmd.Flags()
	s.StringVarP(&f.output, "output", "o", "", "file to write (default: standard output)")
	s.StringVar(&f.typ, "type", "", "of a reference, the statement of this type: a URI or a short name")
	s.BoolVar(&f.fresh, "fresh", false, "prove it in the log as it is now")
	s.StringVar(&f.trustedRoot, "trusted-root", "", "trusted_root.json with the log's key (with --fresh)")
	return cmd
}

func (a verbs) prove(ctx context.Context, f *proveFlags, what string) error {
	b, err := a.bundle(ctx, f, what)
	if err != nil {
		return err
	}
	entry := b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0]
	p := &ledger.Proof{
		Index: uint64(entry.GetLogIndex()), Hashes: entry.GetInclusionProof().GetHashes(),
		Checkpoint: []byte(entry.GetInclusionProof().GetCheckpoint().GetEnvelope()),
	}
	if f.fresh {
		if p, err = a.freshProof(ctx, f, entry); err != nil {
			return err
		}
	}
	text := p.Text()
	if _, err := ledger.ParseProof(text); err != nil {
		return fmt.Errorf("the bundle's proof: %w", err)
	}
	if f.output == "" {
		_, err = a.Stdout.Write(text)
	} else {
		err = shell.ReplaceFile(f.output, text)
	}
	if err != nil {
		return fmt.Errorf("writing the proof: %w", err)
	}
	return nil
}

// bundle reads the bundle of that name, or fetches the one a reference has.
func (a verbs) bundle(ctx context.Context, f *proveFlags, what string) (*attest.Bundle, error) {
	raw, err := os.ReadFile(what)
	if err == nil {
		b, err := attest.ParseBundle(raw)
		if err != nil {
			return nil, exit.With(exit.Unproven, fmt.Sprintf("reading %s: %v", what, err), "name a Sigstore bundle v0.3 of a DSSE envelope")
		}
		return b, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	ref, err := shell.ParseOne(what)
	if err != nil {
		return nil, err
	}
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	return one(ctx, s, ref, f.typ)
}

// one returns the one bundle about an artifact, of a type.
func one(ctx context.Context, s *shell.Session, ref shell.Reference, typ string) (*attest.Bundle, error) {
	found, err := publish.Resolve(ctx, s.Client, ref.Repository, ref.Name())
	if err != nil {
		return nil, err
	}
	e, err := s.Client.Evidence(ctx, ref.Repository, found.Manifest)
	if err != nil {
		return nil, err
	}
	if full, ok := shell.TypeNames()[typ]; ok {
		typ = full
	}
	var all []*attest.Bundle
	for _, raw := range e.Bundles {
		b, err := attest.ParseBundle(raw)
		if err == nil && b.Statement.Subjects[0].Digest == found.Manifest && (typ == "" || b.Statement.Type == typ) {
			all = append(all, b)
		}
	}
	switch len(all) {
	case 1:
		return all[0], nil
	case 0:
		return nil, exit.With(exit.NotFound, "NO_ATTESTATION: there is no such statement about "+ref.Repository+"@"+string(found.Manifest), "patchfit tree shows what there is")
	}
	return nil, exit.BadUsage(fmt.Errorf("there are %d statements about it", len(all)), "say which with --type, or name its bundle's file")
}

// freshProof proves an entry in its log as that is now. entry is what the bundle
// says of it.
func (a verbs) freshProof(ctx context.Context, f *proveFlags, entry *rekor.TransparencyLogEntry) (*ledger.Proof, error) {
	s, err := a.Reach()
	if err != nil {
		return nil, err
	}
	trusted, err := trustOf(ctx, s, f.trustedRoot)
	if err != nil {
		return nil, err
	}
	log, err := client.New(s.Client.Server(), s.Client.HTTP())
	if err != nil {
		return nil, err
	}
	logs, err := log.Shards(ctx, trusted.root)
	if err != nil {
		return nil, err
	}
	shard, err := logOf(logs, entry.GetLogId().GetKeyId())
	if err != nil {
		return nil, err
	}
	cp, err := shard.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	index := uint64(entry.GetLogIndex())
	leaf, hashes, err := shard.Log.Proofs(ctx, cp).Entry(ctx, index)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(leaf, entry.GetCanonicalizedBody()) {
		return nil, fmt.Errorf("%w: entry %d is not the one of the bundle", ledger.ErrTampered, index)
	}
	return &ledger.Proof{Index: index, Hashes: hashes, Checkpoint: cp.Raw}, nil
}

// logOf returns the log a server shows that has an id.
func logOf(logs *client.Shards, id []byte) (*client.Shard, error) {
	for _, l := range logs.Shown() {
		for _, k := range l.Keys {
			if own, err := k.ID(); err == nil && bytes.Equal(own, id) {
				return &l, nil
			}
		}
	}
	return nil, exit.With(exit.Unproven, fmt.Sprintf("the statement is in a log, %x, that this server does not show, or that is not trusted", id), "ask the server it was published to, with the trusted root of its trust policy")
}
