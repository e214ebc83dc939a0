package audit

import (
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
)

// pageFlags say which part of a list is asked for, and as of when.
type pageFlags struct {
	at, cursor string
	limit      int
}

func (p *pageFlags) register(cmd *cobra.Command, limit string) {
	f := cmd.Flags()
	f.StringVar(&p.at, "as-of", "", "answer as of this time (RFC 3339)")
	f.IntVar(&p.limit, "limit", 0, limit)
	f.StringVar(&p.cursor, "cursor", "", "where the page before ended")
}

// of adds to a query which part of its answer is meant.
func (p *pageFlags) of(q url.Values) url.Values {
	q.Set("as-of", p.at)
	q.Set("cursor", p.cursor)
	if p.limit != 0 {
		q.Set("limit", strconv.Itoa(p.limit))
	}
	return q
}

// pageEnd says of when a list is, and where it goes on.
func (a verbs) pageEnd(w io.Writer, v asOf, cursor string) {
	asOfText(w, v)
	if cursor != "" {
		a.Note("there are more: --cursor %s", cursor)
	}
}

// checkProduct asks that what a list is narrowed to, if it is, is a product id.
func checkProduct(product string) error {
	if product == "" {
		return nil
	}
	return shell.ID(product, "product", "patchfit trust show POLICY; or name a --repository")
}
