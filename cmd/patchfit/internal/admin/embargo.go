package admin

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/registry/api"
)

// An embargo is what admin embargo was asked to do.
type embargo struct {
	product, patch, until string
	hosts                 []string
	lift, list            bool
}

func (a verbs) embargoCommand() *cobra.Command {
	var e embargo
	cmd := &cobra.Command{
		Use:   "embargo PRODUCT",
		Short: "keep a product, or one patch of it, from every host that is not named",
		Long: `Keep a product, or with --patch one patch of it, from every host that --allow-host
does not name, until a time or until it is lifted. For those hosts an embargoed
product does not exist; an embargoed patch is refused with EMBARGOED. Publishers,
rebuilders, auditors and admins of the product go on as before. A new embargo
stands in the place of the one before: name every host again.

A patch can be embargoed before it is pushed, by the digest its manifest will have.`,
		Example: `  patchfit admin embargo 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11 --until 2026-12-01T12:00:00Z --allow-host 9a3c1f62-90a8-4a43-8d2b-64a1f1c0b7d2
  patchfit admin embargo 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11 --patch sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  patchfit admin embargo 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11 --lift
  patchfit admin embargo 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11 --list`,
		Args: shell.OneID("product ID", "product", "patchfit trust show POLICY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.product = args[0]
			q, err := e.request()
			if err != nil {
				return err
			}
			s, err := a.Connect("")
			if err != nil {
				return err
			}
			if !e.list {
				if err := s.Client.Embargo(cmd.Context(), q); err != nil {
					return err
				}
			}
			v, err := s.Client.Embargoes(cmd.Context(), q.Product)
			if err != nil {
				return err
			}
			return a.Print(v, func(w io.Writer) { embargoesText(w, v) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.patch, "patch", "", "digest of the manifest of one patch (default: the whole product)")
	f.StringVar(&e.until, "until", "", "when it ends by itself, RFC 3339 (default: when it is lifted)")
	f.StringArrayVar(&e.hosts, "allow-host", nil, "id of a host it is not kept from; repeat for each")
	f.BoolVar(&e.lift, "lift", false, "end it now")
	f.BoolVar(&e.list, "list", false, "change nothing")
	return cmd
}

// request reads the flags.
func (e embargo) request() (api.NewEmbargo, error) {
	q := api.NewEmbargo{Product: e.product, Patch: attest.Digest(e.patch), Hosts: e.hosts, Lift: e.lift}
	if e.patch != "" {
		if _, err := attest.ParseDigest(e.patch); err != nil {
			return q, exit.BadUsage(fmt.Errorf("--patch: %w", err), "it is the digest of the patch's manifest: patchfit ls REPOSITORY")
		}
	}
	if e.until != "" {
		var err error
		if q.Until, err = time.Parse(time.RFC3339, e.until); err != nil {
			return q, exit.BadUsage(fmt.Errorf("--until %q is no time", e.until), "as in: --until 2026-12-01T12:00:00Z")
		}
	}
	if said := len(e.hosts) > 0 || e.until != ""; e.lift && said || e.list && (said || e.lift || e.patch != "") {
		return q, exit.BadUsage(errors.New("--lift goes with --patch alone, and --list with nothing"), "patchfit admin embargo --help")
	}
	return q, nil
}

func embargoesText(w io.Writer, v *api.Embargoes) {
	if len(v.Embargoes) == 0 {
		fmt.Fprintf(w, "nothing is embargoed in product %s\n", v.Product)
		return
	}
	var rows [][]string
	for _, e := range v.Embargoes {
		what, end, hosts := "the product", "until it is lifted", "no host"
		if e.Patch != "" {
			what = string(e.Patch)
		}
		switch {
		case e.Over:
			end = "over since " + e.Until.Format(time.RFC3339)
		case !e.Until.IsZero():
			end = "until " + e.Until.Format(time.RFC3339)
		}
		if len(e.Hosts) > 0 {
			hosts = strings.Join(e.Hosts, ", ")
		}
		rows = append(rows, []string{what, end, "but to " + hosts})
	}
	shell.Cells(w, rows)
}
