package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/builder"
	"github.com/patchfit/patchfit/build/inventory"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Shown is the answer of builder show.
type Shown struct {
	SchemaVersion int                 `json:"schemaVersion"`
	Image         string              `json:"image"` // as it was named
	Packages      []inventory.Package `json:"packages"`
}

func (a verbs) showCommand() *cobra.Command {
	var spdx bool
	cmd := &cobra.Command{
		Use:     "show LAYOUT|REFERENCE",
		Short:   "list the packages in a builder image",
		Example: "  patchfit builder show demo/greet:builder",
		Long: `List the packages in a builder image: of a layout, as its own dpkg has them; of an
image in a repository, as the inventory attached to it says. --spdx writes that
inventory instead, an SPDX 2.3 document.`,
		Args: shell.Exactly("LAYOUT or REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd.Context(), args[0], spdx)
		},
	}
	cmd.Flags().BoolVar(&spdx, "spdx", false, "write the inventory as it is, an SPDX document")
	return cmd
}

func (a verbs) show(ctx context.Context, image string, spdx bool) error {
	var doc []byte
	v := Shown{SchemaVersion: 1, Image: image}
	_, err := os.Stat(image)
	if errors.Is(err, fs.ErrNotExist) {
		doc, v.Packages, err = a.remoteInventory(ctx, image)
	} else if err == nil {
		doc, v.Packages, err = localInventory(ctx, image, spdx)
	}
	if err != nil {
		return err
	}
	if spdx {
		_, err := a.Stdout.Write(append(doc, '\n'))
		return err
	}
	return a.Print(v, func(w io.Writer) { shownText(w, v) })
}

// localInventory reads a layout: the inventory of its papers, or its packages.
func localInventory(ctx context.Context, dir string, spdx bool) ([]byte, []inventory.Package, error) {
	l, err := build.OpenLayout(dir)
	if err != nil {
		return nil, nil, err
	}
	papers, err := builder.ReadPapers(l)
	if err != nil {
		return nil, nil, err
	}
	if papers != nil {
		list, err := inventory.ParseSPDX(papers.Inventory)
		return papers.Inventory, list, err
	}
	if spdx {
		return nil, nil, exit.Hint(fmt.Errorf("%s has no inventory: patchfit did not make it", dir), "make one of it that has: patchfit builder create --from-image "+dir+" --out LAYOUT")
	}
	list, err := builder.Packages(ctx, l, "")
	return nil, list, err
}

// remoteInventory reads what is attached to an image in a repository.
func (a verbs) remoteInventory(ctx context.Context, image string) ([]byte, []inventory.Package, error) {
	ref, err := shell.ParseReference(image)
	if err != nil || ref.Name() == "" {
		return nil, nil, exit.Hint(fmt.Errorf("%s is neither a layout nor a reference to one image", image), "name a directory, NAME:TAG or NAME@sha256:HEX")
	}
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, nil, err
	}
	doc, err := publish.FetchInventory(ctx, s.Client, ref.Repository, ref.Name())
	if err != nil {
		return nil, nil, err
	}
	list, err := inventory.ParseSPDX(doc)
	return doc, list, err
}

func shownText(w io.Writer, v Shown) {
	rows := [][]string{{"PACKAGE", "VERSION", "ARCHITECTURE", "LICENCE", "FILE"}}
	for _, p := range v.Packages {
		license, file := p.License, "-"
		if license == "" {
			license = "-"
		}
		if p.File != "" {
			file = p.File.Short()
		}
		rows = append(rows, []string{p.Name, p.Version, p.Architecture, license, file})
	}
	shell.Cells(w, rows)
	fmt.Fprintln(w, strconv.Itoa(len(v.Packages))+" packages")
}

func (a verbs) provenanceCommand() *cobra.Command {
	var product, by string
	cmd := &cobra.Command{
		Use:     "provenance LAYOUT --product ID",
		Short:   "write how a builder image was made, as the predicate of its provenance",
		Example: "  patchfit builder provenance builder --product 0b8f5d4e-… > provenance.json",
		Long: `Write how a builder image was made, as the predicate of a SLSA provenance v1: for
patchfit attest --type provenance, or another signer. patchfit publish builder-image
signs the same; with that, this is not needed.`,
		Args: shell.Exactly("LAYOUT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := shell.ID(product, "product", "patchfit admin product list"); err != nil {
				return err
			}
			return a.provenance(args[0], product, by)
		},
	}
	f := cmd.Flags()
	f.StringVar(&product, "product", "", "product id")
	f.StringVar(&by, "builder-id", publish.BuilderID, "URI of who made it")
	shell.Required(cmd, "product")
	return cmd
}

func (a verbs) provenance(dir, product, by string) error {
	l, err := build.OpenLayout(dir)
	if err != nil {
		return err
	}
	papers, err := builder.ReadPapers(l)
	if err != nil {
		return err
	}
	if papers == nil {
		return exit.Hint(fmt.Errorf("%s does not say how it was made: patchfit did not make it", dir), "make one of it that does: patchfit builder create --from-image "+dir+" --out LAYOUT")
	}
	p := papers.Provenance(product, by)
	if _, err := attest.NewStatement(attest.TypeProvenance, []attest.Subject{{Digest: l.Digest}}, p); err != nil {
		return err
	}
	b, err := strictjson.Canonical(p)
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(append(b, '\n'))
	return err
}
