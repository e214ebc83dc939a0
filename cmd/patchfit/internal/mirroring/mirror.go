// Package mirroring has the verbs that carry repositories with their proofs to
// where their server cannot be reached (docs/spec/mirror.md). The work is in
// internal/mirror; answer.go is what they print.
package mirroring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/trust"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/internal/term"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.mirrorCommand()}
}

func (a verbs) mirrorCommand() *cobra.Command {
	cmd := shell.Group("mirror", "carry repositories with all their proofs to where their server cannot be reached",
		a.copyCommand(), a.pullCommand(), a.pushCommand(), a.verifyCommand(), a.trustCommand())
	cmd.Long = `Carry repositories with all that refers to them, their revocations, the signed
trust policy, and the log entries and checkpoint their proofs are for, into an
OCI image layout, a directory or one tar file, and from there into another
server; or from one server into another in one run, with copy. What is verified
behind the mirror is what was verified at the source.

A copy that was interrupted goes on where it was when it is run again.`
	return cmd
}

// mirrored gives what a mirror is refused for its exit code and next step.
func mirrored(err error) error {
	var p *mirror.Problem
	if !errors.As(err, &p) {
		return err
	}
	code := exit.Unproven
	if p.Code == mirror.Unfinished {
		code = exit.NotFound
	}
	return exit.With(code, err.Error(), p.Remedy)
}

func (a verbs) pullCommand() *cobra.Command {
	var output, roots string
	var o mirror.PullOptions
	cmd := &cobra.Command{
		Use:     "pull REPOSITORY[:TAG|@DIGEST]... --output DIR|FILE.tar",
		Example: "  patchfit mirror pull demo/greet -o greet.tar",
		Short:   "copy repositories, or single artifacts and all they stand on, into an OCI layout",
		Long: `Copy repositories with everything that refers to anything in them, or single
artifacts with what they are attached to and what is said about all of it, into
an OCI image layout: a directory, or one file where the name ends with .tar.
The same content makes the same bytes.

The trust policy that comes along has to have the roots that were pinned at
login, or those --roots names. A mirror that is there already is brought up to
date and never goes back. Everything is verified before the copy is finished.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.BadUsage(errors.New("REPOSITORY is missing"), "as in: patchfit mirror pull lib/greet -o mirror.tar")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, n := range o.Since {
				if n <= 0 {
					return exit.BadUsage(fmt.Errorf("--since %d is no size of a log", n), "patchfit mirror verify names the size to give")
				}
			}
			return a.pull(cmd.Context(), args, output, roots, &o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "directory, or file that ends with .tar")
	f.StringVar(&roots, "roots", "", "digest of the roots the trust policy has to have (default: as pinned at login)")
	f.Int64SliceVar(&o.Since, "since", nil, "prove that the log goes on from this size, which somebody saw before; repeat for each")
	f.BoolVar(&o.WithoutLog, "without-log", false, "copy no log entries: for a source that is a mirror itself and has another log")
	shell.Required(cmd, "output")
	return cmd
}

func (a verbs) pull(ctx context.Context, args []string, output, roots string, o *mirror.PullOptions) error {
	server, wants, err := wanted(args)
	if err != nil {
		return err
	}
	s, err := a.Connect(server)
	if err != nil {
		return err
	}
	src, err := source(ctx, s, roots)
	if err != nil {
		return err
	}
	o.Progress = term.NewProgress(a.Stderr)
	p, err := mirror.Pull(ctx, *src, wants, output, o)
	if err != nil {
		return mirrored(err)
	}
	if p.Damaged != nil {
		a.Note("what was there before is repaired and was not compared with: %v", p.Damaged)
	}
	v := newPulledAnswer(output, p)
	return a.Print(v, func(w io.Writer) { v.text(w, term.Marks(w)) })
}

// wanted reads what is to be copied, and from which server.
func wanted(args []string) (server string, wants []mirror.Want, err error) {
	for i, arg := range args {
		ref, err := shell.ParseReference(arg)
		if err != nil {
			return "", nil, err
		}
		if i > 0 && ref.Server != server {
			return "", nil, exit.BadUsage(fmt.Errorf("%s is on another server than %s", arg, args[0]), "a mirror is of one server: copy from each by itself")
		}
		server = ref.Server
		wants = append(wants, mirror.Want{Repository: ref.Repository, Reference: ref.Name()})
	}
	return server, wants, nil
}

// source returns the server to copy from, with its trust policy held to roots.
func source(ctx context.Context, s *shell.Session, roots string) (*mirror.Source, error) {
	if roots != "" {
		d, err := shell.Digest(roots)
		if err != nil {
			return nil, err
		}
		s.Server.Roots = d
	}
	p, err := s.PinnedPolicy(ctx)
	if err != nil {
		return nil, err
	}
	envelope, err := s.Client.TrustPolicy(ctx)
	if err != nil {
		return nil, err
	}
	again, err := succession.Open(ctx, s.Client, s.Server.Roots, envelope)
	if err != nil || again.Version != p.Version {
		return nil, exit.Hint(errors.New("the server's trust policy changed just now"), "run it again")
	}
	return &mirror.Source{Server: s.Client, Envelope: envelope, Policy: again.TrustPolicy}, nil
}

func (a verbs) pushCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "push DIR|FILE.tar",
		Example: "  patchfit mirror push greet.tar --server https://mirror.example",
		Short:   "bring a mirror into another server, which verifies all of it by its own trust policy",
		Long: `Bring a mirror into the server --server names, or the one you are logged in to,
as its publisher: revocations first, tags last. The server has to have the trust
policy the mirror was made under, or a later one (patchfit mirror trust, patchfit
trust push), and to serve its products (patchfit admin product).

What the server has is not sent again. What is revoked comes revoked. What was said
after its revocation, or by a signer who left the trust policy, counts for nothing
there either: it is skipped and listed.`,
		Args: shell.Exactly("DIR or FILE.tar"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.push(cmd.Context(), args[0]) },
	}
}

func (a verbs) push(ctx context.Context, path string) error {
	l, err := mirror.Open(path)
	if err != nil {
		return mirrored(err)
	}
	defer l.Close()
	s, err := a.Connect("")
	if err != nil {
		return err
	}
	p, err := mirror.Push(ctx, l, s.Client, &mirror.PushOptions{Progress: term.NewProgress(a.Stderr)})
	if err != nil {
		return mirrored(err)
	}
	v := newPushedAnswer(s.Client.Server(), p)
	return a.Print(v, func(w io.Writer) { v.text(w, term.Marks(w)) })
}

func (a verbs) verifyCommand() *cobra.Command {
	var policy, roots string
	cmd := &cobra.Command{
		Use:     "verify DIR|FILE.tar --roots DIGEST",
		Example: "  patchfit mirror verify greet.tar --roots sha256:5b0a3c4dd3b9a8c6f1e5b0a3c4dd3b9a8c6f1e5b0a3c4dd3b9a8c6f1e5b0a3c4",
		Short:   "verify a mirror and every statement in it, without a network",
		Long: `Hash everything in a mirror, and verify every statement and revocation in it:
signature, timestamp, log entry, subject, and that the signer has the role for it.
No network is used. The trust policy is the one in the mirror, if a threshold of
the roots --roots names signed it, or the one --trust-policy names.

What was verified is remembered, by roots, in the configuration directory: a
mirror that has less of the log, lacks a revocation, or has an older trust policy
than one you verified before is refused.`,
		Args: shell.Exactly("DIR or FILE.tar"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd.Context(), args[0], policy, roots)
		},
	}
	f := cmd.Flags()
	f.StringVar(&policy, "trust-policy", "", "signed trust policy file (default: the one in the mirror)")
	f.StringVar(&roots, "roots", "", "digest of the roots the trust policy has to have")
	shell.Required(cmd, "roots")
	return cmd
}

func (a verbs) verify(ctx context.Context, path, policyFile, roots string) error {
	pinned, err := shell.Digest(roots)
	if err != nil {
		return err
	}
	l, err := mirror.Open(path)
	if err != nil {
		return mirrored(err)
	}
	defer l.Close()
	p, err := mirrorPolicy(l, policyFile, pinned)
	if err != nil {
		return err
	}
	file, memory, err := mirrorMemory(pinned)
	if err != nil {
		return err
	}
	report, err := mirror.Verify(ctx, l, p, memory, time.Now())
	if err != nil {
		return err
	}
	v := newMirrorReport(path, report)
	if err := a.Print(v, func(w io.Writer) { v.text(w, term.Marks(w)) }); err != nil {
		return err
	}
	if err := mirrorOutcome(report); err != nil {
		return err
	}
	return rememberMirror(file, memory)
}

// mirrorPolicy returns the trust policy to go by.
func mirrorPolicy(l *mirror.Layout, file string, roots attest.Digest) (*attest.TrustPolicy, error) {
	envelope, err := l.TrustPolicy()
	name := "the mirror's trust policy"
	if file != "" {
		name = "trust policy " + file
		envelope, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, mirrored(fmt.Errorf("reading %s: %w", name, err))
	}
	p, err := attest.OpenTrustPolicy(envelope, roots)
	if err != nil {
		return nil, exit.With(exit.Unproven, fmt.Sprintf("%s: %v", name, err), "get the roots' digest from the product's owners; patchfit trust show prints it")
	}
	return p, nil
}

// mirrorOutcome turns a report that was printed into an exit code.
func mirrorOutcome(r *mirror.Report) error {
	switch {
	case len(r.Problems) > 0:
		return mirrored(&r.Problems[0])
	case len(r.Refused) > 0:
		return fmt.Errorf("bundle %s in %s: %w", r.Refused[0].Bundle, r.Refused[0].Repository, r.Refused[0].Refusal)
	case !r.Verified():
		return exit.With(exit.NotFound, "NO_ATTESTATION: the mirror holds no statement that counts", "pull again, from a server that has some")
	}
	return nil
}

// mirrorMemory returns what was verified under a set of roots before, and
// where that is kept.
func mirrorMemory(roots attest.Digest) (string, *mirror.Memory, error) {
	dir, err := config.Dir()
	if err != nil {
		return "", nil, err
	}
	path := filepath.Join(dir, "mirrors", roots.Hex()+".json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, &mirror.Memory{}, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("reading what was verified before: %w", err)
	}
	m, err := mirror.ParseMemory(b)
	if err != nil {
		return "", nil, fmt.Errorf("reading what was verified before, %s: %w", path, err)
	}
	return path, m, nil
}

func rememberMirror(path string, m *mirror.Memory) error {
	b, err := m.Encode()
	if err == nil {
		err = shell.Remember(path, b)
	}
	if err != nil {
		return fmt.Errorf("remembering what was verified: %w", err)
	}
	return nil
}

func (a verbs) trustCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "trust DIR|FILE.tar --output FILE",
		Example: "  patchfit mirror trust greet.tar -o policy.signed.json",
		Short:   "take the signed trust policy out of a mirror, to be pushed to another server",
		Args:    shell.Exactly("DIR or FILE.tar"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := mirror.Open(args[0])
			if err != nil {
				return mirrored(err)
			}
			defer l.Close()
			envelope, err := l.TrustPolicy()
			if err != nil {
				return mirrored(err)
			}
			if _, err := os.Lstat(output); err == nil {
				return &fs.PathError{Op: "writing", Path: output, Err: fs.ErrExist}
			}
			if err := shell.ReplaceFile(output, envelope); err != nil {
				return err
			}
			_, err = trust.Show(a.Shell, output)
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write; it must not exist")
	shell.Required(cmd, "output")
	return cmd
}
