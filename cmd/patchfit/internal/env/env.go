// Package env has the verbs that capture, show and compare the environments of
// builds (docs/spec/environment.md). The work is in package build.
package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.envCommand()}
}

func (a verbs) envCommand() *cobra.Command {
	return shell.Group("env", "capture, show and compare the environments of builds",
		a.captureCommand(), a.showCommand(), a.diffCommand())
}

func (a verbs) captureCommand() *cobra.Command {
	var r build.Request
	var output, base string
	cmd := &cobra.Command{
		Use:     "capture --output FILE (--pack DIR | --builder DIR) -- COMMAND...",
		Short:   "run a build and record in which environment it ran",
		Example: "  patchfit env capture -o a.capture --pack builder -- gcc -O2 -shared -fPIC -o lib.so lib.c",
		Long: `Run COMMAND, which has to be gcc or make, under strace, and write to FILE what it
did and in which environment: the tools that ran, the flags in the order they
were given, the libraries the link resolved, the target, and the builder image.

--pack makes the builder image, an OCI image layout of every file that was
opened outside the source tree; --builder holds the build to one made before
and fails, naming the first file that is not in it. --patch-of holds the build
of a patch to the environment of its base.

The build gets PATH, HOME, TMPDIR and SOURCE_DATE_EPOCH and no other variable
of yours, so that none of them becomes a flag nobody recorded. It is watched,
not contained, and its provenance says so.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.BadUsage(errors.New("COMMAND is missing"), "as in: patchfit env capture -o capture.json --pack builder -- gcc -O2 -shared -fPIC -o lib.so lib.c")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Command = args
			if (r.Pack == "") == (r.Builder == "") {
				return exit.BadUsage(errors.New("one of --pack and --builder is needed"), "--pack DIR makes a builder image, --builder DIR uses one")
			}
			return a.capture(cmd.Context(), &r, output, base)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "file to write the capture to")
	f.StringVar(&r.Pack, "pack", "", "directory to make the builder image in")
	f.StringArrayVar(&r.Include, "include", nil, "file or tree to pack besides; repeat for each")
	f.StringVar(&r.Builder, "builder", "", "directory of the builder image to hold the build to")
	f.StringVar(&r.Source, "source", "", "root of the source tree (default: the current directory)")
	f.StringVar(&r.Artifact, "artifact", "", "the linked output (default: what gcc's -o says; needed with make)")
	f.StringVar(&r.Config, "config", "", "configuration file the build was made from")
	f.StringVar(&base, "patch-of", "", "capture or environment of the base this build is a patch for")
	shell.Required(cmd, "output")
	return cmd
}

func (a verbs) capture(ctx context.Context, r *build.Request, output, base string) error {
	if base != "" {
		env, err := readEnvironment(base)
		if err != nil {
			return err
		}
		r.Base = env.environment
	}
	r.Stdout, r.Stderr = a.Stderr, a.Stderr // standard output is for data
	c, err := build.Run(ctx, r)
	if err != nil {
		return err
	}
	b, err := c.Marshal()
	if err != nil {
		return err
	}
	if err := shell.ReplaceFile(output, append(b, '\n')); err != nil {
		return fmt.Errorf("writing the capture: %w", err)
	}
	return a.Print(c, func(w io.Writer) { CaptureText(w, c, output) })
}

// CaptureText says what a capture, which is in the file output, holds.
func CaptureText(w io.Writer, c *build.Capture, output string) {
	rows := append([][]string{{"capture", output}, {"artifact", c.Artifact.Name + "  " + string(c.Artifact.Digest)}}, environmentRows(c.EnvironmentDigest, c.Environment)...)
	if len(c.ExtraFlags) > 0 {
		rows = append(rows, []string{"extra flags", strings.Join(c.ExtraFlags, " ") + "  (change no code)"})
	}
	what := fmt.Sprintf("%d files, ", len(c.Sources))
	if c.Contained {
		what = "archive, "
	}
	shell.Cells(w, append(rows, []string{"source", what + string(c.Source)}))
}

func environmentRows(d attest.Digest, e *attest.Environment) [][]string {
	rows := [][]string{
		{"environment", string(d)},
		{"builder image", string(e.BuilderImage)},
		{"compiler", e.Compiler.Version + "  " + e.Compiler.Digest.Short()},
		{"assembler", e.Assembler.Version + "  " + e.Assembler.Digest.Short()},
		{"linker", e.Linker.Version + "  " + e.Linker.Digest.Short()},
		{"flags", quoteAll(e.Flags)},
	}
	for _, v := range e.MakeVariables {
		rows = append(rows, []string{"make variable", v.String()})
	}
	rows = append(rows, []string{"configuration", string(e.Configuration)})
	for _, l := range e.Libraries {
		rows = append(rows, []string{"library", l.Soname + "  " + l.String()})
	}
	t := e.Target
	return append(rows, []string{"target", fmt.Sprintf("%s, %s endian, %d bit, %s", t.Architecture, t.ByteOrder, t.WordSize, t.ABI)})
}

// quoteAll joins arguments as a shell would have to be given them.
func quoteAll(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%", r)
		}) {
			quoted[i] = strconv.Quote(a)
		}
	}
	return strings.Join(quoted, " ")
}

// A foundEnvironment is an environment and where it is from.
type foundEnvironment struct {
	environment *attest.Environment
	digest      attest.Digest
}

const maxCaptureFile = 64 << 20

// readEnvironment reads an environment in its canonical form, or the one of a
// capture.
func readEnvironment(path string) (*foundEnvironment, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCaptureFile {
		return nil, fmt.Errorf("%s: %d bytes are no environment", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if c, err := build.ParseCapture(b); err == nil {
		return &foundEnvironment{c.Environment, c.EnvironmentDigest}, nil
	}
	b = []byte(strings.TrimSuffix(string(b), "\n"))
	e, err := attest.ParseEnvironment(b)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("%s is neither a capture nor an environment: %w", path, err), "make one: patchfit env capture")
	}
	return &foundEnvironment{e, attest.DigestOf(b)}, nil
}

// findEnvironment reads an environment from a file or, where there is no such
// file, from a repository.
func (a verbs) findEnvironment(ctx context.Context, name string) (*foundEnvironment, error) {
	found, err := readEnvironment(name)
	if !errors.Is(err, os.ErrNotExist) {
		return found, err
	}
	ref, refErr := shell.ParseReference(name)
	if refErr != nil || ref.Name() == "" {
		return nil, exit.Hint(fmt.Errorf("%s is neither a file nor a reference to one artifact", name), "name a capture (patchfit env capture makes one), NAME:TAG or NAME@sha256:HEX")
	}
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	e, err := publish.FetchEnvironment(ctx, s.Client, ref.Repository, ref.Name())
	if err != nil {
		return nil, err
	}
	d, err := e.Digest()
	return &foundEnvironment{e, d}, err
}

// Find returns the environment that a file, or a reference, leads to.
func Find(ctx context.Context, sh *shell.Shell, name string) (*attest.Environment, error) {
	e, err := verbs{sh}.findEnvironment(ctx, name)
	if err != nil {
		return nil, err
	}
	return e.environment, nil
}

type Answer struct {
	SchemaVersion int                 `json:"schemaVersion"`
	Digest        attest.Digest       `json:"digest"`
	Environment   *attest.Environment `json:"environment"`
}

func (a verbs) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE|REFERENCE",
		Short:   "show an environment: of a capture, a file, or of an environment, base or patch in a repository",
		Example: "  patchfit env show demo/greet:base-a",
		Args:    shell.Exactly("FILE or REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.findEnvironment(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			v := Answer{1, e.digest, e.environment}
			return a.Print(v, func(w io.Writer) { shell.Cells(w, environmentRows(e.digest, e.environment)) })
		},
	}
}

// A diffAnswer lists every field in which two environments differ.
type diffAnswer struct {
	SchemaVersion int           `json:"schemaVersion"`
	Want          attest.Digest `json:"want"`
	Got           attest.Digest `json:"got"`
	Differences   []difference  `json:"differences"`
}

type difference struct {
	Field string `json:"field"`
	Want  string `json:"want"`
	Got   string `json:"got"`
}

func (a verbs) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "diff A B",
		Short:   "list every field in which two environments differ; exit code 6 if any",
		Example: "  patchfit env diff a.capture demo/greet:base-b",
		Args:    shell.Exactly("A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := a.findEnvironment(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			got, err := a.findEnvironment(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			return a.diff(want, got)
		},
	}
}

func (a verbs) diff(want, got *foundEnvironment) error {
	v := diffAnswer{1, want.digest, got.digest, []difference{}}
	for _, d := range want.environment.Diff(got.environment) {
		v.Differences = append(v.Differences, difference(d))
	}
	err := a.Print(v, func(w io.Writer) { diffText(w, v) })
	if err == nil && len(v.Differences) > 0 {
		err = exit.With(exit.Unproven, "", "")
	}
	return err
}

func diffText(w io.Writer, v diffAnswer) {
	if len(v.Differences) == 0 {
		fmt.Fprintf(w, "the same environment: %s\n", v.Want)
		return
	}
	rows := [][]string{{"FIELD", "A " + v.Want.Short(), "B " + v.Got.Short()}}
	for _, d := range v.Differences {
		rows = append(rows, []string{d.Field, d.Want, d.Got})
	}
	shell.Cells(w, slices.Clip(rows))
}
