package building

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/rebuild"
	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/source"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/term"
)

// rebuilderID names who ran a rebuild where nothing else is said.
const rebuilderID = "https://github.com/patchfit/patchfit/builder/rebuild/v1"

// maxArtifact is how large the file of an artifact is at most.
const maxArtifact = 1 << 30

// rebuilding is what every rebuild goes by.
type rebuilding struct {
	places
	limits
	signing
	parsed sandbox.Limits
	run    sandbox.Runner
	out    string
	sign   bool
	tidy   string // NAME=FILE of a normaliser; "" for none
	state  string // directory for pushes that were interrupted; "" is the user's
}

func (r *rebuilding) register(cmd *cobra.Command) {
	r.places.register(cmd)
	r.limits.register(cmd)
	r.signing.register(cmd)
	cmd.Flags().StringVar(&r.tidy, "normaliser", "", "NAME=FILE of a program that takes away what may differ: what is alike after it is equivalent, never reproduced")
}

func (r *rebuilding) ready() (err error) {
	if r.parsed, err = r.limits.parse(); err != nil {
		return err
	}
	if r.run, err = r.openRunner(); err != nil {
		return err
	}
	_, err = r.normaliser()
	return err
}

func (r *rebuilding) normaliser() (*rebuild.Normaliser, error) {
	if r.tidy == "" {
		return nil, nil
	}
	name, path, _ := strings.Cut(r.tidy, "=")
	odd := func(c rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-", c) }
	if info, err := os.Stat(path); name == "" || len(name) > 64 || name[0] == '-' || strings.ContainsFunc(name, odd) || err != nil || !info.Mode().IsRegular() {
		return nil, exit.BadUsage(fmt.Errorf("--normaliser %q names no program", r.tidy), "as in: --normaliser strip-times=./strip-times")
	}
	return &rebuild.Normaliser{Name: name, Path: path}, nil
}

func (a verbs) rebuildCommand() *cobra.Command {
	var r rebuilding
	cmd := &cobra.Command{
		Use:   "rebuild REFERENCE",
		Short: "build a base or live patch again, from the registry alone, and compare",
		Example: `  patchfit rebuild demo/greet:fix-1
  patchfit rebuild demo/greet:fix-1 --sign --key rebuilder.pem --builder-id https://rebuilds.example/north`,
		Long: `Build a base or a live patch again, from what the registry has of it: its verified
provenance says the builder image, the source archive, the command and how the
build was set up, each by digest. It is built in the sandbox, and what comes out is
compared with the artifact's file.

What comes of it is one of reproduced, equivalent, differs, build-failed and
not-attempted, with why. Nothing is said to anybody unless --sign is given: then the
log and, where it differs, what came out and how, are attached to the artifact, and
a rebuild statement about it is signed, logged and attached (docs/spec/rebuild.md).

Exit code 0 is for reproduced alone. --out keeps the log, what came out, and
difference.html.`,
		Args: shell.Exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.rebuild(cmd.Context(), &r, args[0])
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.sign, "sign", false, "say what came of it: sign, log and attach a rebuild statement")
	f.StringVarP(&r.out, "out", "o", "", "directory to make for the log, what came out, and how it differs")
	r.register(cmd)
	return cmd
}

func (a verbs) rebuild(ctx context.Context, r *rebuilding, what string) error {
	ref, err := shell.ParseOne(what)
	if err != nil {
		return err
	}
	if r.sign != (r.key != "") {
		return exit.BadUsage(errors.New("--sign and --key go together"), "with neither nothing is said to anybody")
	}
	if err := r.ready(); err != nil {
		return err
	}
	if _, err := os.Lstat(r.out); r.out != "" && !errors.Is(err, os.ErrNotExist) {
		return exit.Hint(fmt.Errorf("%s is there already", r.out), "name a directory with --out that is not, or remove it")
	}
	x, err := a.findArtifact(ctx, ref)
	if err != nil {
		return err
	}
	pub, err := a.rebuilder(ctx, r, x) // a key that cannot be opened is found out before hours of building
	if err != nil {
		return err
	}
	scratch, done, err := r.openScratch()
	if err != nil {
		return err
	}
	defer done()
	o, err := a.carryOut(ctx, r, x, scratch)
	if err != nil {
		return err
	}
	answer := newRebuilt(x, o)
	if err := r.keep(o); err != nil {
		return err
	}
	if pub != nil {
		if answer.Statement, err = r.say(ctx, pub, x, o); err != nil {
			return err
		}
	}
	if err := a.Print(answer, func(w io.Writer) { answer.text(w, term.Marks(w)) }); err != nil {
		return err
	}
	return answer.outcome()
}

// carryOut gets what a rebuild needs, and does it. What is missing is a result:
// nobody can build it again.
func (a verbs) carryOut(ctx context.Context, r *rebuilding, x *artifact, scratch string) (*rebuild.Outcome, error) {
	order, err := x.order(ctx)
	if u := (*rebuild.Unfit)(nil); errors.As(err, &u) {
		return rebuild.NotAttempted(rebuild.CategoryProvenance, u.Error()), nil
	}
	if err != nil {
		return nil, err
	}
	progress := term.NewProgress(a.Stderr)
	defer progress.Clear()
	content, err := publish.OpenContent(x.session.Client, x.repository)
	if err != nil {
		return nil, err
	}
	p := &rebuild.Place{
		Source: filepath.Join(scratch, "source.tar"), Wanted: filepath.Join(scratch, "artifact"), Scratch: scratch,
		To: filepath.Join(scratch, "out"), Runner: r.run, Limits: r.parsed,
	}
	if p.Normaliser, err = r.normaliser(); err != nil {
		return nil, err
	}
	if o, err := fetch(ctx, content, order, p, progress); o != nil || err != nil {
		return o, err
	}
	cache, err := r.openCache()
	if err != nil {
		return nil, err
	}
	progress.Step("builder image %s", order.Environment.BuilderImage)
	image, err := content.Describe(ctx, string(order.Environment.BuilderImage))
	if gone(err) {
		return rebuild.NotAttempted(rebuild.CategoryBuilder, fmt.Sprintf("the builder image %s is not in the repository", order.Environment.BuilderImage)), nil
	}
	if err != nil {
		return nil, err
	}
	root, err := cache.Unpack(ctx, content, image)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	p.Root = root.Dir
	progress.Step("building %s", x.Manifest)
	o, err := rebuild.Run(ctx, order, p)
	if err != nil {
		return nil, err
	}
	return o, lookCloser(ctx, o, p.Wanted, scratch)
}

// fetch gets the source and the artifact's file.
func fetch(ctx context.Context, content *publish.Content, order *rebuild.Order, p *rebuild.Place, progress *term.Progress) (*rebuild.Outcome, error) {
	progress.Step("source %s", order.Source)
	if err := content.Save(ctx, order.Source, p.Source, source.MaxBytes); gone(err) {
		return rebuild.NotAttempted(rebuild.CategorySource, fmt.Sprintf("the source archive %s is not in the repository", order.Source)), nil
	} else if err != nil {
		return nil, err
	}
	return nil, content.Save(ctx, order.File, p.Wanted, maxArtifact)
}

// keep writes what a rebuild left to the directory that --out names.
func (r *rebuilding) keep(o *rebuild.Outcome) error {
	if r.out == "" {
		return nil
	}
	if err := os.Mkdir(r.out, 0o755); err != nil {
		return fmt.Errorf("writing what came out: %w", err)
	}
	files := map[string][]byte{"rebuild.log": o.Log, "difference.html": o.Page}
	if o.Output != "" {
		raw, err := os.ReadFile(o.Output)
		if err != nil {
			return fmt.Errorf("reading what came out: %w", err)
		}
		name := filepath.Base(o.Output)
		if _, taken := files[name]; taken { // provenance names it, and may name it so
			name = "output-" + name
		}
		files[name] = raw
	}
	for name, raw := range files {
		if len(raw) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(r.out, name), raw, 0o644); err != nil {
			return fmt.Errorf("writing what came out: %w", err)
		}
	}
	return nil
}

// say signs what came of a rebuild and pushes it, with what it left behind.
func (r *rebuilding) say(ctx context.Context, pub *publish.Publisher, x *artifact, o *rebuild.Outcome) (*publish.Statement, error) {
	said := o.Statement(x.product, x.environment, attest.Run{ID: uuid.NewString(), Builder: r.id})
	left := publish.Left{Log: o.Log, Page: o.Page}
	if o.Result == attest.Differs || o.Result == attest.Equivalent {
		left.Output = o.Output
	}
	result, err := pub.Rebuild(ctx, x.Manifest, left, said)
	if err != nil {
		return nil, err
	}
	return &result.Statements[len(result.Statements)-1], nil
}
