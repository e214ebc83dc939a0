package browse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/term"
)

func (a verbs) rmCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "rm REPOSITORY:TAG|REPOSITORY@DIGEST",
		Short:   "take a tag away, or hide a manifest; erases no evidence",
		Example: "  patchfit rm demo/greet:fix-1",
		Long: `Take a tag away, and nothing else; or hide a manifest, with the tags that name it.

Nothing is erased: the bytes, what was said about them, and every decision stay
in the ledger, and publishing the same again shows it again. Whoever may not be
given something any more needs patchfit revoke.

A manifest that others refer to (tags, artifacts attached to it, attestations) is
hidden with --yes only; without it they are listed, and the exit code is 2.`,
		Args: shell.Exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := shell.ParseReference(args[0])
			if err != nil {
				return err
			}
			switch {
			case ref.Name() == "":
				return ref.Named()
			case ref.Tag != "" && ref.Digest != "":
				return exit.BadUsage(fmt.Errorf("%s names a tag and a digest", args[0]), "a tag is taken away alone; a digest is hidden with all its tags: name one of them")
			case ref.Tag != "":
				return a.untag(cmd.Context(), ref)
			}
			return a.hide(cmd.Context(), ref, yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "hide it though others refer to it")
	return cmd
}

// A removal is what was, or would be, taken out of sight.
type removal struct {
	SchemaVersion int           `json:"schemaVersion"`
	Repository    string        `json:"repository"`
	Tag           string        `json:"tag,omitzero"` // "": the manifest
	Digest        attest.Digest `json:"digest"`
	Removed       bool          `json:"removed"`
	Tags          []string      `json:"tags"`      // that name the manifest and go with it
	Referrers     []attached    `json:"referrers"` // that stay, attached to what is hidden
}

type attached struct {
	Digest attest.Digest `json:"digest"`
	Kind   string        `json:"kind"`
	Type   string        `json:"predicateType,omitzero"` // of an attestation
}

func (a verbs) untag(ctx context.Context, ref shell.Reference) error {
	_, shelf, err := a.open(ref)
	if err != nil {
		return err
	}
	v := removal{SchemaVersion: 1, Repository: ref.Repository, Tag: ref.Tag, Tags: []string{}, Referrers: []attached{}}
	if v.Digest, err = shelf.Resolve(ctx, ref.Tag); err != nil {
		return err
	}
	if err := shelf.Remove(ctx, ref.Tag); err != nil {
		return err
	}
	v.Removed = true
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s took away tag %s of %s; what it named stays: %s@%s\n", term.Marks(w).Tick, ref.Tag, ref.Repository, ref.Repository, v.Digest)
	})
}

func (a verbs) hide(ctx context.Context, ref shell.Reference, yes bool) error {
	_, shelf, err := a.open(ref)
	if err != nil {
		return err
	}
	v, err := referring(ctx, shelf, ref)
	if err != nil {
		return err
	}
	others := len(v.Tags) + len(v.Referrers)
	if others > 0 && !yes {
		err := a.Print(v, func(w io.Writer) { referringText(w, v) })
		return errors.Join(err, exit.BadUsage(fmt.Errorf("%s@%s is referred to by %d others", ref.Repository, ref.Digest.Short(), others), "nothing was hidden; hide it all the same with --yes"))
	}
	if err := shelf.Remove(ctx, string(ref.Digest)); err != nil {
		return err
	}
	v.Removed = true
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s hid %s@%s\n", term.Marks(w).Tick, ref.Repository, ref.Digest)
		if others > 0 {
			referringText(w, v)
		}
		fmt.Fprintln(w, "nothing is erased: its bytes, what was said about it and every decision stay in the ledger")
	})
}

// referring finds who refers to a manifest.
func referring(ctx context.Context, shelf *publish.Shelf, ref shell.Reference) (*removal, error) {
	v := &removal{SchemaVersion: 1, Repository: ref.Repository, Digest: ref.Digest, Tags: []string{}, Referrers: []attached{}}
	if _, err := shelf.Item(ctx, string(ref.Digest)); err != nil {
		return nil, err
	}
	tags, err := tagsByDigest(ctx, shelf)
	if err != nil {
		return nil, err
	}
	v.Tags = append(v.Tags, tags[ref.Digest]...)
	list, err := shelf.Referrers(ctx, ref.Digest)
	for _, r := range list {
		v.Referrers = append(v.Referrers, attached{r.Manifest, r.Kind, r.Predicate})
	}
	return v, err
}

func referringText(w io.Writer, v *removal) {
	if len(v.Tags) > 0 {
		fmt.Fprintf(w, "tags that name it, and go with it: %s\n", term.Printable(strings.Join(v.Tags, ", ")))
	}
	if len(v.Referrers) == 0 {
		return
	}
	fmt.Fprintln(w, "attached to it, and stays:")
	var rows [][]string
	for _, r := range v.Referrers {
		what := r.Kind
		if r.Type != "" {
			what += " " + shell.TypeName(r.Type)
		}
		rows = append(rows, []string{"  " + what, string(r.Digest)})
	}
	shell.Cells(w, rows)
}
