package examining

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
)

// against is what a patch is held to.
type against struct {
	base, symbols, exports, release string
	maxDebug                        uint64
}

func (a verbs) lintCommand() *cobra.Command {
	var to against
	cmd := &cobra.Command{
		Use:     "lint FILE|REFERENCE",
		Short:   "say what a live patch is, and what is wrong with it beside its base",
		Example: "  patchfit lint fix.ko --base vmlinux --symbols System.map",
		Long: `Read a live patch (a kernel module, a libpulp library, a libcare file) and say what
it is: the functions it replaces, what it takes from elsewhere, the release it was
built for; and what is wrong with it: symbols its base does not have or has twice,
checksums that differ, a vermagic that its build salt contradicts, another byte
order, copies of a function that stay as they were.

--base is the base's file, or a reference to it; of a patch in a repository it is
what the patch is attached to. A kernel as it is booted tells little of itself:
give its System.map and Module.symvers. What could not be looked for is listed.
Exit code 6 where a finding is an error or a contradiction.`,
		Args: shell.Exactly("FILE or REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.lint(cmd.Context(), args[0], to) },
	}
	f := cmd.Flags()
	f.StringVar(&to.base, "base", "", "file of the base, or a reference to it")
	f.StringVar(&to.symbols, "symbols", "", "the base's System.map, or a copy of /proc/kallsyms")
	f.StringVar(&to.exports, "exports", "", "the base's Module.symvers")
	f.StringVar(&to.release, "release", "", "the base's release, as uname -r says it")
	f.Uint64Var(&to.maxDebug, "max-debug", 1<<30, "bytes of the base's debug information to look for copies in")
	return cmd
}

func (a verbs) lint(ctx context.Context, name string, to against) error {
	patch, err := a.open(ctx, name)
	if err != nil {
		return err
	}
	defer patch.close()
	o, err := to.options()
	if err != nil {
		return err
	}
	if to.base == "" {
		to.base = patch.base
	}
	var base *lint.File
	if to.base != "" {
		f, err := a.open(ctx, to.base)
		if err != nil {
			return fmt.Errorf("the base: %w", err)
		}
		defer f.close()
		base = &lint.File{Reader: f, Size: f.size}
	}
	r, err := lint.Look(lint.File{Reader: patch, Size: patch.size}, base, o)
	if err != nil {
		return err
	}
	err = a.Print(r, func(w io.Writer) { lintText(w, r) })
	if err == nil && slices.ContainsFunc(r.Findings, grave) {
		err = exit.With(exit.Unproven, "", "")
	}
	return err
}

func grave(f lint.Finding) bool { return f.Severity == lint.Error || f.Severity == lint.Contradiction }

func (to against) options() (*lint.Options, error) {
	o := &lint.Options{MaxDebug: to.maxDebug, Declared: lint.Declared{Release: to.release}}
	err := read(to.symbols, func(r io.Reader) (err error) {
		o.Declared.Symbols, err = object.ReadTable(r)
		return err
	})
	if err != nil {
		return nil, exit.Hint(err, "some distributions ship a System.map without symbols (Debian's is in linux-image-…-dbg); a host that runs the kernel tells root in /proc/kallsyms")
	}
	err = read(to.exports, func(r io.Reader) (err error) {
		o.Declared.Exports, err = object.ReadExports(r)
		return err
	})
	return o, err
}

func read(path string, parse func(io.Reader) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := parse(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func lintText(w io.Writer, r *lint.Report) {
	shell.Cells(w, factRows(r))
	marks := term.Marks(w)
	for _, f := range r.Findings {
		mark := ""
		if grave(f) {
			mark = marks.Cross + " "
		}
		fmt.Fprintf(w, "%s%s %s: %s\n", mark, f.Severity, f.ID, term.Printable(f.Fact))
		fmt.Fprintf(w, "  %s\n", term.Printable(f.Next))
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(w, "%s nothing found\n", marks.Tick)
	}
	for _, u := range r.NotChecked {
		fmt.Fprintf(w, "not checked: %s: %s\n", u.ID, term.Printable(u.Why))
	}
}

// factRows says what a patch is, in rows.
func factRows(r *lint.Report) [][]string {
	f := &r.Facts
	rows := [][]string{{"patch", string(r.Patch)}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("base", string(r.Base))
	add("kind", f.Kind)
	add("name", f.Name)
	if t := f.Target; t != nil {
		add("machine", fmt.Sprintf("%s, %s bits, %s endian", t.Machine, t.Class, t.ByteOrder))
	}
	if f.For != nil {
		add("for", strings.TrimSpace(f.For.Name+"  "+f.For.BuildID))
	}
	add("build-id", f.BuildID)
	add("compiler", strings.Join(f.Compilers, ", "))
	add("vermagic", f.Vermagic)
	add("build salt", f.BuildSalt)
	if f.Replace != nil {
		add("replace", fmt.Sprint(*f.Replace))
	}
	for _, fn := range f.Functions {
		add("replaces", functionText(fn))
	}
	if f.MoreFunctions > 0 {
		add("", fmt.Sprintf("and %d functions more", f.MoreFunctions))
	}
	if n := len(f.Imports) + f.MoreImports; n > 0 {
		add("imports", fmt.Sprintf("%d symbols", n))
	}
	if d := f.Digests; d != nil {
		add("code", string(d.Code))
	}
	return rows
}

func functionText(f lint.Function) string {
	s := f.Name
	if f.Object != "" {
		s = f.Object + ":" + s
	}
	if f.Position > 0 {
		s += fmt.Sprintf(",%d", f.Position)
	}
	if f.Address != "" {
		s += " at " + f.Address
	}
	if f.New != "" {
		s += "  by " + f.New
	}
	return s
}
