package examining

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/build/compare"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
)

func (a verbs) diffCommand() *cobra.Command {
	var page string
	cmd := &cobra.Command{
		Use:     "diff A B",
		Short:   "say what differs between two builds of a base or patch, and why; exit code 6 if anything does",
		Example: "  patchfit diff mine.ko demo/kernel:fix-1 --html diff.html",
		Long: `Compare two files, or the files of two bases or patches in repositories. First comes
the reason, with the digests that are the same: a signature, debug information, the
directory of the build, other options, another compiler, or code. Then what
differs: functions with their sizes and relocations, sections, imports with
checksums, what a module says of itself, notes, compilers.

Environments are compared by patchfit env diff.`,
		Args: shell.Exactly("A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.diff(cmd.Context(), args, page) },
	}
	cmd.Flags().StringVar(&page, "html", "", "file to write the report to, as a page without scripts")
	return cmd
}

func (a verbs) diff(ctx context.Context, names []string, page string) error {
	var files []compare.File
	for _, name := range names {
		f, err := a.open(ctx, name)
		if err != nil {
			return err
		}
		defer f.close()
		files = append(files, compare.File{Reader: f, Size: f.size})
	}
	r, err := compare.Files(files[0], files[1])
	if err != nil {
		return err
	}
	r.A.Name, r.B.Name = names[0], names[1]
	if page != "" {
		var html strings.Builder
		if err := r.Page(&html, fmt.Sprintf("%s and %s", names[0], names[1])); err != nil {
			return err
		}
		if err := shell.ReplaceFile(page, []byte(html.String())); err != nil {
			return fmt.Errorf("writing the page: %w", err)
		}
	}
	var lines strings.Builder
	if err := r.Text(&lines); err != nil {
		return err
	}
	err = a.Print(r, func(w io.Writer) { io.WriteString(w, lines.String()) })
	if err == nil && r.Explanation.Category != compare.Identical {
		err = exit.With(exit.Unproven, "", "")
	}
	return err
}
