// Package builder has the verbs that make builder images and say what is in them
// (docs/builders.md). The work is in build/builder and internal/publish.
package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/builder"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{shell.Group("builder", "make builder images that come out the same every time, and see what is in them",
		a.createCommand(), a.lockCommand(), a.showCommand(), a.provenanceCommand())}
}

// making are the flags of what makes an image.
type making struct {
	lock, out    string
	rootfs       string
	image        string
	inputs       string
	architecture string
	epoch        int64
	cache        string
	push         string
}

func (a verbs) createCommand() *cobra.Command {
	var m making
	cmd := &cobra.Command{
		Use:   "create [RECIPE] --out LAYOUT",
		Short: "make a builder image: from a recipe, from kept inputs, or from a root file system there is",
		Example: `  patchfit builder create c-library.yaml --lock c-library.lock --out builder
  patchfit builder create --from-inputs demo/greet:builder --out builder
  patchfit builder create --from-rootfs rootfs.tar --architecture amd64 --out builder`,
		Long: `Make a builder image in LAYOUT, an OCI image layout. It comes out the same, bit
for bit, from the same lock; no time, host name or owner of this machine is in it.

RECIPE is looked up in its mirrors or, where it names none, in the sources of this
machine's apt. --lock FILE is what was found: it is written where it is not there,
and where it is, exactly what it names is installed. mmdebstrap installs.

--from-inputs makes an image again from what its recipe kept in a repository, and
needs no archive; it fails where another image comes out. --from-image and
--from-rootfs take a file system that something else made.

Beside the image LAYOUT holds its lock, its inventory (SPDX) and what it was made
of; patchfit publish builder-image signs that as its provenance. --push only
pushes: image, inventory and kept inputs, without a word about them.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			recipe := ""
			if len(args) == 1 {
				recipe = args[0]
			}
			if err := m.check(cmd, recipe); err != nil {
				return err
			}
			return a.create(cmd.Context(), &m, recipe)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&m.out, "out", "o", "", "directory to make the image in")
	f.StringVar(&m.lock, "lock", "", "file of the lock: used where it is there, else written")
	f.StringVar(&m.inputs, "from-inputs", "", "image in a repository whose kept inputs to make it from again: [HOST/]NAME:TAG or @DIGEST")
	f.StringVar(&m.image, "from-image", "", "image to take the root file system of: a layout, or [HOST/]NAME:TAG or @DIGEST")
	f.StringVar(&m.rootfs, "from-rootfs", "", "root file system to take: a directory or a tar")
	f.StringVar(&m.architecture, "architecture", "", "with --from-rootfs: what it is for, as amd64")
	f.Int64Var(&m.epoch, "source-date-epoch", 0, "with --from-image or --from-rootfs: no file is newer (default: $SOURCE_DATE_EPOCH, else 0)")
	f.StringVar(&m.cache, "cache", "", "directory for fetched files (default: patchfit/inputs in your cache directory)")
	f.StringVar(&m.push, "push", "", "repository to push it to: [HOST/]NAME")
	shell.Required(cmd, "out")
	return cmd
}

// check refuses flags that do not go together, and takes the time from the
// environment where none is given.
func (m *making) check(cmd *cobra.Command, recipe string) error {
	if err := shell.OneOf(cmd, "from-inputs", "from-image", "from-rootfs"); err != nil {
		return err
	}
	from := m.inputs + m.image + m.rootfs
	switch {
	case (recipe == "") == (from == ""):
		return exit.BadUsage(errors.New("one of RECIPE, --from-inputs, --from-image and --from-rootfs is needed, and one alone"), "see: "+cmd.CommandPath()+" --help")
	case recipe == "" && m.lock != "":
		return exit.BadUsage(errors.New("--lock goes with RECIPE"), "leave it out: kept inputs have their own lock, and a root file system has none")
	case (m.rootfs != "") != (m.architecture != ""):
		return exit.BadUsage(errors.New("--from-rootfs and --architecture go together"), "name what the programs in it run on, as --architecture amd64")
	case cmd.Flags().Changed("source-date-epoch") && m.image+m.rootfs == "":
		return exit.BadUsage(errors.New("--source-date-epoch goes with --from-image and --from-rootfs"), "the recipe has it: sourceDateEpoch")
	}
	if value, ok := os.LookupEnv("SOURCE_DATE_EPOCH"); ok && !cmd.Flags().Changed("source-date-epoch") && m.image+m.rootfs != "" {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return exit.BadUsage(fmt.Errorf("SOURCE_DATE_EPOCH is %.40q, not a number of seconds", value), "unset it, or give --source-date-epoch")
		}
		m.epoch = n
	}
	return nil
}

// store opens the cache of inputs.
func store(dir string) (*builder.Store, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, exit.Hint(err, "name a directory with --cache")
		}
		dir = filepath.Join(cache, "patchfit", "inputs")
	}
	return builder.OpenStore(dir)
}

func (a verbs) builder(cache string) (*builder.Builder, *builder.Store, error) {
	s, err := store(cache)
	if err != nil {
		return nil, nil, err
	}
	progress := term.NewProgress(a.Stderr)
	return builder.New(&builder.Debian{Progress: progress}, s, &builder.Options{Progress: progress}), s, nil
}

func readRecipe(path string) (*builder.Recipe, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the recipe: %w", err)
	}
	r, err := builder.ParseRecipe(b)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("%s: %w", path, err), "docs/spec/builder.md says what a recipe has")
	}
	return r, nil
}

// advised adds the next step where a program of Debian's could not do its part.
func advised(err error) error {
	var (
		missing *builder.MissingError
		gone    *builder.GoneError
		step    *builder.StepError
	)
	switch {
	case errors.As(err, &missing):
		return exit.Hint(err, "on Debian: apt-get install mmdebstrap")
	case errors.As(err, &gone):
		return exit.Hint(err, "archives drop what is old: name a snapshot among the recipe's mirrors, make it --from-inputs that were kept, or remove the lock to take newer packages")
	case errors.As(err, &step) && errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &step) && step.Step == builder.StepLookUp:
		return exit.Hint(err, "see that package, version and mirror are right; an archive whose key this machine's apt does not have names its keyring: deb [signed-by=/FILE] …")
	case errors.As(err, &step):
		return exit.Hint(err, "run it as root, or as a user with subordinate ids (/etc/subuid, /etc/subgid) and the package uidmap; else the words above are a package's own")
	}
	return err
}

func (a verbs) create(ctx context.Context, m *making, recipe string) error {
	if list, err := os.ReadDir(m.out); err == nil && len(list) > 0 { // said now, and not after minutes of work
		return exit.Hint(fmt.Errorf("there is something in %s already", m.out), "name another directory with --out, or remove it")
	}
	b, s, err := a.builder(m.cache)
	if err != nil {
		return err
	}
	var made *builder.Made
	switch {
	case recipe != "":
		made, err = a.fromRecipe(ctx, b, m, recipe)
	default:
		made, err = a.fromElsewhere(ctx, b, s, m)
	}
	if err != nil {
		return advised(err)
	}
	v := created(made)
	if m.push != "" {
		if v.Pushed, err = a.push(ctx, m.push, made.Layout); err != nil {
			return err
		}
	}
	return a.Print(v, func(w io.Writer) { createdText(w, v) })
}

// fromRecipe makes the image of a recipe, with the lock that is there or a new
// one.
func (a verbs) fromRecipe(ctx context.Context, b *builder.Builder, m *making, path string) (*builder.Made, error) {
	r, err := readRecipe(path)
	if err != nil {
		return nil, err
	}
	l, err := readLock(m.lock)
	if err != nil {
		return nil, err
	}
	if l == nil {
		if l, err = b.Lock(ctx, r); err != nil {
			return nil, err
		}
		if err := writeLock(m.lock, l); err != nil {
			return nil, err
		}
	}
	return b.Create(ctx, r, l, m.out)
}

// readLock returns the lock in a file; nil where there is no such file.
func readLock(path string) (*builder.Lock, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	l, err := builder.ParseLock(b)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("%s: %w", path, err), "remove it, and it is made again from the recipe")
	}
	return l, nil
}

func writeLock(path string, l *builder.Lock) error {
	if path == "" {
		return nil
	}
	b, err := l.Canonical()
	if err != nil {
		return err
	}
	if err := shell.ReplaceFile(path, append(b, '\n')); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

// A Created is the answer of builder create.
type Created struct {
	SchemaVersion int           `json:"schemaVersion"`
	Layout        string        `json:"layout"`
	Image         attest.Digest `json:"image"` // its manifest
	Size          int64         `json:"size"`  // of its layer, in bytes
	Lock          attest.Digest `json:"lock,omitzero"`
	Packages      int           `json:"packages"`
	Kept          int           `json:"kept"` // files
	Pushed        string        `json:"pushed,omitzero"`
}

func created(m *builder.Made) *Created {
	v := &Created{SchemaVersion: 1, Layout: m.Layout.Dir, Image: m.Layout.Digest, Packages: len(m.Packages)}
	for _, l := range m.Layout.Layers {
		v.Size += l.Size
	}
	if m.Lock != nil {
		v.Kept = len(m.Lock.Kept())
		if b, err := m.Lock.Canonical(); err == nil {
			v.Lock = attest.DigestOf(b)
		}
	}
	return v
}

func createdText(w io.Writer, v *Created) {
	rows := [][]string{
		{"builder image", string(v.Image)},
		{"layout", v.Layout + "  " + term.Size(v.Size)},
	}
	if v.Lock != "" {
		rows = append(rows, []string{"lock", string(v.Lock)})
	}
	rows = append(rows, []string{"packages", strconv.Itoa(v.Packages)})
	if v.Kept > 0 {
		rows = append(rows, []string{"kept inputs", strconv.Itoa(v.Kept) + " files"})
	}
	if v.Pushed != "" {
		rows = append(rows, []string{"pushed", v.Pushed})
	}
	shell.Cells(w, rows)
}

func (a verbs) lockCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "lock RECIPE --output FILE",
		Short:   "look up which packages a recipe is today, and write their digests to a file",
		Example: "  patchfit builder lock c-library.yaml -o c-library.lock",
		Args:    shell.Exactly("RECIPE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := readRecipe(args[0])
			if err != nil {
				return err
			}
			progress := term.NewProgress(a.Stderr)
			b := builder.New(&builder.Debian{Progress: progress}, nil, &builder.Options{Progress: progress})
			l, err := b.Lock(cmd.Context(), r)
			if err != nil {
				return advised(err)
			}
			if err := writeLock(output, l); err != nil {
				return err
			}
			return a.Print(l, func(w io.Writer) { lockText(w, output, l) })
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write the lock to")
	shell.Required(cmd, "output")
	return cmd
}

func lockText(w io.Writer, path string, l *builder.Lock) {
	var size int64
	for _, f := range l.Inputs() {
		size += f.Size
	}
	shell.Cells(w, [][]string{
		{"lock", path},
		{"suite", l.Suite + ", " + l.Architecture + ", " + l.Variant},
		{"packages", strconv.Itoa(len(l.Packages))},
		{"source packages", strconv.Itoa(len(l.Sources))},
		{"files", term.Size(size)},
	})
}
