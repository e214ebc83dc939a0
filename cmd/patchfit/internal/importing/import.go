package importing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors"
	"github.com/patchfit/patchfit/build/vendors/unpack"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/publishing"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/strictjson"
)

func (a verbs) importCommand() *cobra.Command {
	cmd := shell.Group("import", "take in a base or a patch that others built, by their own chain of signatures",
		a.debCommand(), a.rpmCommand(), a.moduleCommand(), a.dirCommand())
	cmd.Long = `Take in a kernel, a module, a library, an executable or a live patch that others built.
The vendor's own chain of signatures is verified, from a key that you name down to the
file, and signed as an import/v1 statement: this file is what that vendor made. Nobody
here saw the build, so no environment is claimed, and the base counts as imported.

With --to it is published in one go; with --output it is written to a directory, the
file and its predicate, for publishing later (patchfit attest --type import). --list
shows what is in the package.`
	return cmd
}

// importFlags are the flags of every import.
type importFlags struct {
	dest                         publishing.Destination
	file, output                 string
	vendor, word                 string
	list                         bool
	base                         string
	fixes                        []string
	replaces, requires, conflict []string
	revertible                   bool
}

// register adds the flags to a command; said is what the package says of itself
// where nothing is given, "" where there is no package.
func (f *importFlags) register(cmd *cobra.Command, said string) {
	fl := cmd.Flags()
	fl.BoolVar(&f.list, "list", false, "verify the chain, list the files, import nothing")
	fl.StringVarP(&f.output, "output", "o", "", "directory to write the file and its predicate to, in place of publishing")
	fl.StringVar(&f.vendor, "vendor", "", "a word for the vendor: base and patch have to have the same"+said)
	fl.StringVar(&f.word, "word", "imported by patchfit import", "what you say of it, one line for people")
	fl.StringVar(&f.base, "base", "", "it is a live patch, for the base with this tag or digest in the repository")
	fl.StringArrayVar(&f.fixes, "fixes", nil, "CVE id the patch fixes; repeat for each")
	fl.StringArrayVar(&f.replaces, "replaces", nil, "digest of a patch this one replaces; repeat for each")
	fl.StringArrayVar(&f.requires, "requires", nil, "digest of a patch this one needs; repeat for each")
	fl.StringArrayVar(&f.conflict, "conflicts", nil, "digest of a patch this one cannot go with; repeat for each")
	fl.BoolVar(&f.revertible, "revertible", false, "the patch can be taken back without a restart")
	f.dest.Register(cmd)
}

// packaged adds the flags of what comes in a package.
func (f *importFlags) packaged(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "file", "", "path of the file in the package (default: the one kernel in it)")
	f.register(cmd, " (default: what the package says)")
}

func (f *importFlags) check() error {
	switch {
	case f.list:
		return nil
	case f.dest.Given() == (f.output != ""):
		return exit.BadUsage(errors.New("want one of --to, --output and --list"), "to publish: --to REPOSITORY --key FILE; to look first: --list")
	case f.output != "" && f.dest.Product() == "":
		return exit.BadUsage(errors.New("--output needs --product: every statement is about one"), "patchfit trust show lists the products")
	case f.output != "" && f.base != "":
		return exit.BadUsage(errors.New("--base names a base in a repository, so it goes with --to"), "leave --output out, and say --to REPOSITORY --key FILE")
	}
	return nil
}

// run takes in a file of an opened package.
func (a verbs) run(ctx context.Context, f *importFlags, p *vendors.Package, near string) error {
	for _, note := range p.Notes {
		a.Note("%s", note)
	}
	if f.list {
		return a.listed(f, p)
	}
	name, err := f.choose(p)
	if err != nil {
		return err
	}
	found, err := p.Find(name)
	if err != nil {
		return exit.Hint(err, "--list shows what is there")
	}
	if f.output != "" {
		return a.written(f, p, found)
	}
	ref, pub, err := f.dest.Open(ctx, a.Shell, near)
	if err != nil {
		return err
	}
	c, err := f.claim(ctx, pub)
	if err != nil {
		return err
	}
	i, err := f.describe(p, found, c)
	if err != nil {
		return err
	}
	r, err := pub.Import(ctx, publish.Imported{Bytes: found.Bytes, Import: i, Tag: ref.Tag})
	return publishing.Print(a.Shell, r, err)
}

// choose returns the path that was asked for, else of the one kernel there is.
func (f *importFlags) choose(p *vendors.Package) (string, error) {
	if f.file != "" {
		return strings.TrimPrefix(f.file, "/"), nil
	}
	all, err := p.List()
	if err != nil {
		return "", err
	}
	if len(all) == 1 {
		return all[0].Path, nil
	}
	var kernels []string
	for _, e := range all {
		if strings.HasPrefix(e.Path, "boot/vmlinuz") {
			kernels = append(kernels, e.Path)
		}
	}
	if len(kernels) != 1 {
		return "", exit.BadUsage(fmt.Errorf("the package has %d files and %d kernels: which one is to be imported?", len(all), len(kernels)), "name it with --file; --list shows what is there")
	}
	return kernels[0], nil
}

// claim is what is said beside what was found; of a patch, for which base.
func (f *importFlags) claim(ctx context.Context, pub *publish.Publisher) (vendors.Claim, error) {
	c := vendors.Claim{Product: pub.Product(), Vendor: f.vendor, Word: f.word}
	if f.base == "" {
		return c, nil
	}
	base, err := pub.Target(ctx, f.base)
	if err != nil {
		return c, err
	}
	c.Patch = &vendors.Patch{Base: base.Manifest, BaseFile: base.File, Fixes: f.fixes, Revertible: f.revertible}
	for _, list := range []struct {
		from []string
		to   *[]attest.Digest
	}{{f.replaces, &c.Patch.Replaces}, {f.requires, &c.Patch.Requires}, {f.conflict, &c.Patch.Conflicts}} {
		for _, s := range list.from {
			d, err := shell.Digest(s)
			if err != nil {
				return c, err
			}
			*list.to = append(*list.to, d)
		}
	}
	return c, nil
}

func (f *importFlags) describe(p *vendors.Package, found *vendors.Found, c vendors.Claim) (*attest.Import, error) {
	i, err := p.Import(found, c)
	switch {
	case errors.Is(err, vendors.ErrNoVendor):
		return nil, exit.BadUsage(err, "say it with --vendor, one word in lower case")
	case err != nil:
		return nil, exit.Hint(err, "bases are kernels, modules, shared libraries and executables, and with --base a live patch of the same vendor; --list shows what is there")
	}
	return i, nil
}

// A Listing is what is in a package whose chain was verified.
type Listing struct {
	SchemaVersion int                 `json:"schemaVersion"`
	Package       attest.Package      `json:"package"`
	Method        string              `json:"method"`
	Vendor        string              `json:"vendor"`
	Chain         []attest.ImportStep `json:"chain"`
	Files         []ListedFile        `json:"files"`
}

// A ListedFile is a regular file in a package.
type ListedFile struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

func (a verbs) listed(f *importFlags, p *vendors.Package) error {
	all, err := p.List()
	if err != nil {
		return err
	}
	v := Listing{1, p.Package, p.Method, cmp.Or(f.vendor, p.Vendor), p.Chain, []ListedFile{}}
	for _, e := range all {
		v.Files = append(v.Files, ListedFile{e.Path, e.Size})
	}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s (%s)\n", p.Name, p.Version, p.Architecture)
		for _, s := range p.Chain {
			fmt.Fprintf(w, "  %-11s %s%s\n", s.What, s.Digest, stepText(s))
		}
		rows := make([][]string, 0, len(all))
		for _, e := range all {
			rows = append(rows, []string{strconv.FormatInt(e.Size, 10), e.Path})
		}
		shell.Cells(w, rows)
	})
}

func stepText(s attest.ImportStep) string {
	text := ""
	if s.Key != "" {
		text += "  signed by " + s.Key
	}
	if !s.Time.IsZero() {
		text += "  " + s.Time.Format(time.RFC3339)
	}
	return text
}

// A Written is what --output left.
type Written struct {
	SchemaVersion int           `json:"schemaVersion"`
	File          string        `json:"file"`
	Predicate     string        `json:"predicate"`
	Digest        attest.Digest `json:"digest"`
	Kind          string        `json:"kind"`
	BuildID       string        `json:"buildId"`
}

// written leaves the file and the predicate of its import in a directory.
func (a verbs) written(f *importFlags, p *vendors.Package, found *vendors.Found) error {
	i, err := f.describe(p, found, vendors.Claim{Product: f.dest.Product(), Vendor: f.vendor, Word: f.word})
	if err != nil {
		return err
	}
	raw, err := strictjson.Canonical(i)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.output, 0o755); err != nil {
		return fmt.Errorf("writing what was imported: %w", err)
	}
	v := Written{1, filepath.Join(f.output, filepath.Base(found.Path)), "", i.File.Digest, i.Kind, i.Measurements[0].BuildID}
	v.Predicate = v.File + ".import.json"
	for path, b := range map[string][]byte{v.File: found.Bytes, v.Predicate: append(raw, '\n')} {
		if err := shell.ReplaceFile(path, b); err != nil {
			return fmt.Errorf("writing what was imported: %w", err)
		}
	}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s\n  file       %s\n  predicate  %s\n  digest     %s\n  build-id   %s\n", i.Kind, i.Path, v.File, v.Predicate, v.Digest, v.BuildID)
	})
}

// readFile reads a file of at most limit bytes that a person named.
func readFile(path, what string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s %s is no regular file of at most %d bytes", what, path, limit)
	}
	return os.ReadFile(path)
}

const maxFile = unpack.MaxFile
