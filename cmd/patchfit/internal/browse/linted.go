package browse

import (
	"context"
	"net/http"
	"net/url"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/strictjson"

	"github.com/go-json-experiment/json/jsontext"
)

// linted adds what the server found in the patch that was asked for. It tells
// auditors; to others the tree is as it was.
func (g *grower) linted(ctx context.Context, s *shell.Session, v *Tree) error {
	var raw jsontext.Value
	err := s.Client.Get(ctx, "/v1/audit/who-built", url.Values{"repository": {v.Repository}, "digest": {string(v.Digest)}}, &raw)
	if isStatus(err, http.StatusForbidden) || isStatus(err, http.StatusNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var lineage struct {
		Chain []struct {
			Manifest attest.Digest `json:"manifest"`
			Lint     *shell.Linted `json:"lint,omitzero"`
		} `json:"chain"`
	}
	if err := strictjson.UnmarshalForeign(raw, len(raw), &lineage); err != nil {
		return err
	}
	for _, link := range lineage.Chain {
		if n := v.Root.find(v.Digest); n != nil && link.Manifest == v.Digest {
			n.Lint = link.Lint
		}
	}
	return nil
}

func (n *treeNode) find(d attest.Digest) *treeNode {
	if n.Digest == d {
		return n
	}
	for _, c := range n.Children {
		if found := c.find(d); found != nil {
			return found
		}
	}
	return nil
}
