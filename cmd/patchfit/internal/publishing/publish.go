// Package publishing has the verbs that say something about an artifact: publish
// takes one the whole way, attest makes one statement, revoke takes trust
// back, channel says what is offered.
// The work is in internal/publish.
package publishing

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/term"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.publishCommand(), a.attestCommand(), a.revokeCommand(), a.channelCommand()}
}

func (a verbs) publishCommand() *cobra.Command {
	cmd := shell.Group("publish", "take an artifact the whole way: push, sign, log, timestamp, attach",
		a.imageCommand(), a.baseCommand(), a.equivalenceCommand(), a.patchCommand())
	cmd.Long = `Take a builder image, a base or a live patch the whole way: push it, make its
statements, sign them, have them logged and timestamped, and attach the bundles.

A publish that was interrupted goes on where it was when it is run again, and
logs nothing twice: signed envelopes are kept in .patchfit next to the file, or
in the directory $PATCHFIT_STATE.`
	return cmd
}

// publishFlags are the flags of everything that signs.
type publishFlags struct {
	to      string
	key     string
	product string
	builder string
	capture string
	source  string
	// certificate is a file, "" with a bare key.
	certificate string
}

func (p *publishFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.to, "to", "", "repository of the product, and a tag if it shall have one: [HOST/]NAME[:TAG]")
	f.StringVar(&p.builder, "builder-id", "", "URI of who ran the build, for provenance (default: "+publish.BuilderID+")")
	p.signing(cmd)
	shell.Required(cmd, "to", "key")
}

// signing registers what making a statement needs.
func (p *publishFlags) signing(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.key, "key", "", "what signs statements: a private key file, pkcs11:…, SCHEME://KEY, or fulcio:URL")
	f.StringVar(&p.certificate, "certificate", "", "PEM file with the key's certificate, where the trust policy knows the signer by its name in one")
	f.StringVar(&p.product, "product", "", "product id (default: as the trust policy pinned at login has it)")
}

// publisher connects to the server of ref and prepares to publish. near is
// next to where the state is kept.
func (a verbs) publisher(ctx context.Context, p *publishFlags, ref shell.Reference, near string) (*publish.Publisher, error) {
	signer, err := shell.OpenSigner(ctx, p.key)
	if err != nil {
		return nil, err
	}
	certificate, err := shell.ReadCertificate(p.certificate)
	if err != nil {
		return nil, err
	}
	if signer.Certificate != nil {
		certificate = signer.Certificate
	}
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	product, err := s.Product(ctx, p.product, ref.Repository)
	if err != nil {
		return nil, err
	}
	state, err := stateDir(near)
	if err != nil {
		return nil, err
	}
	return publish.New(
		publish.Config{Server: s.Client, Repository: ref.Repository, Product: product, Signer: signer, Certificate: certificate, State: state},
		&publish.Options{BuilderID: p.builder, Progress: term.NewProgress(a.Stderr)},
	)
}

// stateDir returns where an interrupted publish of the file near leaves what
// it has.
func stateDir(near string) (string, error) {
	if dir := os.Getenv(shell.EnvState); dir != "" {
		return dir, nil
	}
	abs, err := filepath.Abs(near)
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(abs), ".patchfit"), nil
}

func (a verbs) imageCommand() *cobra.Command {
	var p publishFlags
	cmd := &cobra.Command{
		Use:     "builder-image DIR --to REPOSITORY --key FILE",
		Short:   "publish a builder image that builder create or env capture --pack made",
		Example: "  patchfit publish builder-image builder --to demo/greet:builder --key ci.pem",
		Args:    shell.Exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := build.OpenLayout(args[0])
			if err != nil {
				return err
			}
			ref, pub, err := a.publishTo(cmd.Context(), &p, args[0])
			if err != nil {
				return err
			}
			return a.published(pub.BuilderImage(cmd.Context(), l, ref.Tag))
		},
	}
	p.register(cmd)
	return cmd
}

func (a verbs) publishTo(ctx context.Context, p *publishFlags, near string) (shell.Reference, *publish.Publisher, error) {
	ref, err := shell.ParseReference(p.to)
	if err != nil {
		return ref, nil, err
	}
	if ref.Digest != "" {
		return ref, nil, exit.BadUsage(fmt.Errorf("--to %s has a digest; the digest is what publish makes", p.to), "leave the digest out; a tag may be there")
	}
	pub, err := a.publisher(ctx, p, ref, near)
	return ref, pub, err
}

// file reads the capture that belongs to a file.
func (p *publishFlags) file(path, tag string) (publish.File, error) {
	b, err := os.ReadFile(p.capture)
	if err != nil {
		return publish.File{}, fmt.Errorf("reading the capture: %w", err)
	}
	c, err := build.ParseCapture(b)
	if err != nil {
		return publish.File{}, fmt.Errorf("reading the capture %s: %w", p.capture, err)
	}
	f := publish.File{Path: path, Capture: c, Tag: tag}
	if c.Contained {
		if f.Source = p.source; f.Source == "" {
			f.Source = filepath.Join(filepath.Dir(p.capture), "source.tar") // where patchfit build leaves it
		}
	}
	return f, nil
}

func (p *publishFlags) captured(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.capture, "capture", "", "file that build or env capture wrote for the build")
	cmd.Flags().StringVar(&p.source, "source", "", "source archive of a contained build (default: source.tar next to the capture)")
	shell.Required(cmd, "capture")
}

func (a verbs) baseCommand() *cobra.Command {
	var p publishFlags
	cmd := &cobra.Command{
		Use:     "base FILE --capture FILE --to REPOSITORY --key FILE",
		Short:   "publish a base, its environment, and what its base authority says",
		Example: "  patchfit publish base lib.so --capture a.capture --to demo/greet:base-a --key ci.pem",
		Args:    shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, pub, err := a.publishTo(cmd.Context(), &p, args[0])
			if err != nil {
				return err
			}
			f, err := p.file(args[0], ref.Tag)
			if err != nil {
				return err
			}
			return a.published(pub.Base(cmd.Context(), f))
		},
	}
	p.captured(cmd)
	p.register(cmd)
	return cmd
}

func (a verbs) patchCommand() *cobra.Command {
	var p publishFlags
	var patch publish.Patch
	var replaces, requires, conflicts []string
	cmd := &cobra.Command{
		Use:     "patch FILE --capture FILE --base TAG|DIGEST --to REPOSITORY --key FILE",
		Short:   "publish a live patch for a base that is published already",
		Example: "  patchfit publish patch fix.so --capture fix.capture --base base-a --fixes CVE-2026-10001 --to demo/greet:fix-1 --key ci.pem",
		Args:    shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, list := range []struct {
				from []string
				to   *[]attest.Digest
			}{{replaces, &patch.Replaces}, {requires, &patch.Requires}, {conflicts, &patch.Conflicts}} {
				for _, s := range list.from {
					d, err := shell.Digest(s)
					if err != nil {
						return err
					}
					*list.to = append(*list.to, d)
				}
			}
			ref, pub, err := a.publishTo(cmd.Context(), &p, args[0])
			if err != nil {
				return err
			}
			if patch.File, err = p.file(args[0], ref.Tag); err != nil {
				return err
			}
			return a.published(pub.Patch(cmd.Context(), patch))
		},
	}
	f := cmd.Flags()
	f.StringVar(&patch.Base, "base", "", "tag or digest of the base in the repository")
	f.StringArrayVar(&patch.Fixes, "fixes", nil, "CVE id the patch fixes; repeat for each")
	f.StringArrayVar(&replaces, "replaces", nil, "digest of a patch this one replaces; repeat for each")
	f.StringArrayVar(&requires, "requires", nil, "digest of a patch this one needs; repeat for each")
	f.StringArrayVar(&conflicts, "conflicts", nil, "digest of a patch this one cannot go with; repeat for each")
	f.BoolVar(&patch.Revertible, "revertible", false, "the patch can be taken back without a restart")
	f.BoolVar(&patch.DryRun, "dry-run", false, "push and sign nothing; say which digest the patch will have, as to embargo it first")
	shell.Required(cmd, "base")
	p.captured(cmd)
	p.register(cmd)
	return cmd
}

// published prints what is on the server now.
func (a verbs) published(r *publish.Result, err error) error {
	if err != nil {
		return err
	}
	return a.Print(r, func(w io.Writer) { publishedText(w, term.Marks(w), r) })
}

func publishedText(w io.Writer, m term.Marker, r *publish.Result) {
	var rows [][]string
	for _, x := range r.Artifacts {
		name := r.Repository + "@" + string(x.Digest)
		if x.Tag != "" {
			name += "  (" + x.Tag + ")"
		}
		verb := "pushed"
		if r.DryRun {
			verb = "to push"
		}
		rows = append(rows, []string{verb, x.Role, name})
	}
	for _, s := range r.Statements {
		rows = append(rows, []string{"admitted", shell.TypeName(s.Type), "about " + s.Subject.Short() + ", log index " + strconv.FormatInt(s.LogIndex, 10)})
	}
	for _, row := range rows {
		fmt.Fprintf(w, "%s ", m.Tick)
		shell.Cells(w, [][]string{{fmt.Sprintf("%-9s", row[0]), fmt.Sprintf("%-15s", row[1]), row[2]}})
	}
}
