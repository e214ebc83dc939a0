package web

import (
	"net/http"

	"github.com/patchfit/patchfit/ledger/index"
)

// rebuilds answers with the rebuild matrix.
func (s *server) rebuilds(r *http.Request, p *params) (any, error) {
	q := index.RebuildQuery{
		Within:     s.products(r),
		Product:    p.text("product"),
		Repository: p.text("repository"),
		Artifact:   p.digest("artifact"),
		Range:      p.pages(),
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	return s.reader.Rebuilds(r.Context(), q)
}
