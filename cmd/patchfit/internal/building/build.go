package building

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/source"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/env"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Names in the directory that a build leaves.
const (
	captureFile     = "capture.json"
	environmentFile = "environment.json"
	provenanceFile  = "provenance.json"
	sourceFile      = "source.tar"
	filesDir        = "files"
)

// building is one build under way.
type building struct {
	places
	limits
	job      build.Job
	builder  string
	from     source.Origin
	patchOf  string
	out      string
	product  string
	identity string // of who builds
}

func (a verbs) buildCommand() *cobra.Command {
	var b building
	cmd := &cobra.Command{
		Use:   "build --builder LAYOUT|REFERENCE --out DIR -- COMMAND...",
		Short: "run a build in its builder image and capture its environment from inside",
		Example: `  patchfit build --builder builder --out out -- gcc -g -O2 -shared -fPIC -o lib.so lib.c
  patchfit build --builder kernel/demo:builder --source lp.tar --artifact lp.ko --out out -- make -C /usr/src/linux-headers-6.1.0-56-amd64 M=/build modules`,
		Long: `Run COMMAND, which has to be gcc or make, in a builder image, and write to DIR what
it made and in which environment: capture.json and environment.json, source.tar,
and below files/ the linked output and what --output names. With --product there
is provenance.json too, as patchfit publish says it.

The source is in /build: a directory, a tar or a git bundle. The image is read-only
around it; there is no network and nothing else of this machine. Compiler,
assembler, linker, flags and libraries are those that were seen to be used; what
was declared, what was seen and what the output says of itself have to agree.

It needs no rights. What a build may use up are the --max flags.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.BadUsage(errors.New("COMMAND is missing"), "as in: patchfit build --builder builder --out out -- gcc -O2 -shared -fPIC -o lib.so lib.c")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			b.job.Command = args
			return a.build(cmd.Context(), &b)
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.builder, "builder", "", "builder image: an OCI image layout, or [HOST/]NAME:TAG or @DIGEST")
	f.StringVar(&b.from.Path, "source", ".", "source tree: a directory, a tar, or a git bundle")
	f.StringVar(&b.from.Revision, "revision", "", "commit of the bundle (default: its HEAD)")
	f.StringVar(&b.job.Dir, "directory", "", "directory of the source to run COMMAND in (default: its root)")
	f.StringVar(&b.job.Artifact, "artifact", "", "the linked output (default: what gcc's -o says; needed with make)")
	f.StringArrayVar(&b.job.Outputs, "output", nil, "other files to collect, by pattern; repeat for each")
	f.StringVar(&b.job.Config, "config", "", "configuration file the build is made from")
	f.StringVar(&b.patchOf, "patch-of", "", "capture, environment, or a base in a repository that this build is a patch for")
	f.Int64Var(&b.job.Epoch, "source-date-epoch", build.DefaultEpoch, "SOURCE_DATE_EPOCH of the build, and the time of all its sources")
	f.StringVarP(&b.out, "out", "o", "", "directory to make for what comes out")
	f.StringVar(&b.product, "product", "", "product id, to write provenance.json for it")
	f.StringVar(&b.identity, "builder-id", "", "URI of who runs the build, for provenance (default: "+publish.ContainedID+")")
	b.places.register(cmd)
	b.limits.register(cmd)
	shell.Required(cmd, "builder", "out")
	return cmd
}

// build makes the output directory aside and gives it its name when it is whole.
func (a verbs) build(ctx context.Context, b *building) error {
	if err := a.prepare(ctx, b); err != nil {
		return err
	}
	scratch, done, err := b.openScratch()
	if err != nil {
		return err
	}
	defer done()
	b.job.Scratch = scratch
	aside, err := os.MkdirTemp(filepath.Dir(filepath.Clean(b.out)), ".patchfit-out-")
	if err != nil {
		return fmt.Errorf("making the output directory: %w", err)
	}
	defer os.RemoveAll(aside)
	root, err := a.image(ctx, &b.places, b.builder)
	if err != nil {
		return err
	}
	defer root.Close()
	b.job.Root, b.job.Image = root.Dir, root.Manifest
	b.from.Except = []string{aside, scratch} // --out is in the source, where that is the working directory
	if b.job.Source, err = source.Pack(ctx, b.from, filepath.Join(aside, sourceFile), scratch); err != nil {
		return exit.Hint(err, "name a directory, a tar or a git bundle with --source")
	}
	c, err := build.Contain(ctx, &b.job, filepath.Join(aside, filesDir))
	if err != nil {
		return hinted(err)
	}
	if err := b.write(aside, c); err != nil {
		return err
	}
	if err := os.Rename(aside, b.out); err != nil {
		return fmt.Errorf("writing what was built: %w", err)
	}
	return a.Print(c, func(w io.Writer) { env.CaptureText(w, c, filepath.Join(b.out, captureFile)) })
}

// prepare reads what the flags name, before anything is unpacked.
func (a verbs) prepare(ctx context.Context, b *building) error {
	if _, err := os.Lstat(b.out); !errors.Is(err, os.ErrNotExist) {
		return exit.Hint(fmt.Errorf("%s is there already", b.out), "name a directory with --out that is not, or remove it")
	}
	var err error
	if b.job.Limits, err = b.limits.parse(); err != nil {
		return err
	}
	if b.job.Runner, err = b.openRunner(); err != nil {
		return err
	}
	if b.product != "" {
		if err := shell.ID(b.product, "product", "patchfit admin product list"); err != nil {
			return err
		}
	}
	if b.patchOf != "" {
		if b.job.Base, err = env.Find(ctx, a.Shell, b.patchOf); err != nil {
			return err
		}
	}
	b.job.Stdout, b.job.Stderr = a.Stderr, a.Stderr // standard output is for data
	return nil
}

// write writes what is known of the build.
func (b *building) write(dir string, c *build.Capture) error {
	capture, err := c.Marshal()
	if err != nil {
		return err
	}
	environment, err := c.Environment.Canonical()
	if err != nil {
		return err
	}
	files := map[string][]byte{captureFile: append(capture, '\n'), environmentFile: environment}
	if b.product != "" {
		p := publish.Provenance(b.product, b.identity, c)
		if files[provenanceFile], err = strictjson.Canonical(p); err != nil {
			return err
		}
	}
	for name, raw := range files {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			return fmt.Errorf("writing what was built: %w", err)
		}
	}
	return os.Chmod(dir, 0o755)
}

// hinted says what to do about a build that did not come to its end.
func hinted(err error) error {
	var limit *sandbox.LimitError
	var mismatch *build.MismatchError
	var contradiction *build.ContradictionError
	switch {
	case errors.As(err, &limit):
		return exit.Hint(err, "if the build needs more, say so with --max-"+limitFlag(limit.Limit))
	case errors.Is(err, sandbox.ErrUnavailable):
		return exit.Hint(err, "docs/spec/build.md says what a machine has to have")
	case errors.As(err, &mismatch):
		return exit.Hint(err, "build the patch as its base was built, or for another base")
	case errors.As(err, &contradiction):
		return exit.Hint(err, "start from a clean tree, and let COMMAND say every flag")
	}
	if failed := (*sandbox.ExitError)(nil); errors.As(err, &failed) {
		return exit.Hint(err, "what the build said is above")
	}
	if errors.Is(err, build.ErrCommand) {
		return exit.Hint(err, "let COMMAND be gcc, or make that runs gcc")
	}
	return exit.Hint(err, "docs/building.md says how builds are captured: is the program in the builder image, and the output named with --artifact?")
}

func limitFlag(name string) string {
	return map[string]string{
		sandbox.LimitCPU: "cpu", sandbox.LimitWall: "time", sandbox.LimitMemory: "memory",
		sandbox.LimitProcesses: "processes", sandbox.LimitDisk: "disk", sandbox.LimitOutput: "output",
	}[name]
}
