package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/term"
)

func (a *app) rmCommand() *cobra.Command {
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
		Args: exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := parseReference(args[0])
			if err != nil {
				return err
			}
			switch {
			case ref.name() == "":
				return ref.named()
			case ref.tag != "" && ref.digest != "":
				return usageError{fmt.Errorf("%s names a tag and a digest", args[0]), "a tag is taken away alone; a digest is hidden with all its tags: name one of them"}
			case ref.tag != "":
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

func (a *app) shelf(ref reference) (*publish.Shelf, error) {
	s, err := a.connect(ref.server)
	if err != nil {
		return nil, err
	}
	return publish.Browse(s.client, ref.repository)
}

func (a *app) untag(ctx context.Context, ref reference) error {
	shelf, err := a.shelf(ref)
	if err != nil {
		return err
	}
	v := removal{SchemaVersion: 1, Repository: ref.repository, Tag: ref.tag, Tags: []string{}, Referrers: []attached{}}
	if v.Digest, err = shelf.Resolve(ctx, ref.tag); err != nil {
		return err
	}
	if err := shelf.Remove(ctx, ref.tag); err != nil {
		return err
	}
	v.Removed = true
	return a.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s took away tag %s of %s; what it named stays: %s@%s\n", term.Marks(w).Tick, ref.tag, ref.repository, ref.repository, v.Digest)
	})
}

func (a *app) hide(ctx context.Context, ref reference, yes bool) error {
	shelf, err := a.shelf(ref)
	if err != nil {
		return err
	}
	v, err := referring(ctx, shelf, ref)
	if err != nil {
		return err
	}
	others := len(v.Tags) + len(v.Referrers)
	if others > 0 && !yes {
		err := a.print(v, func(w io.Writer) { referringText(w, v) })
		return errors.Join(err, usageError{fmt.Errorf("%s@%s is referred to by %d others", ref.repository, ref.digest.Short(), others), "nothing was hidden; hide it all the same with --yes"})
	}
	if err := shelf.Remove(ctx, string(ref.digest)); err != nil {
		return err
	}
	v.Removed = true
	return a.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s hid %s@%s\n", term.Marks(w).Tick, ref.repository, ref.digest)
		if others > 0 {
			referringText(w, v)
		}
		fmt.Fprintln(w, "nothing is erased: its bytes, what was said about it and every decision stay in the ledger")
	})
}

// referring finds who refers to a manifest.
func referring(ctx context.Context, shelf *publish.Shelf, ref reference) (*removal, error) {
	v := &removal{SchemaVersion: 1, Repository: ref.repository, Digest: ref.digest, Tags: []string{}, Referrers: []attached{}}
	if _, err := shelf.Item(ctx, string(ref.digest)); err != nil {
		return nil, err
	}
	tags, err := tagsByDigest(ctx, shelf)
	if err != nil {
		return nil, err
	}
	v.Tags = append(v.Tags, tags[ref.digest]...)
	list, err := shelf.Referrers(ctx, ref.digest)
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
			what += " " + typeName(r.Type)
		}
		rows = append(rows, []string{"  " + what, string(r.Digest)})
	}
	cells(w, rows)
}
