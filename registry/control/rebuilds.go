package control

import (
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

// rebuilds lists what there is to rebuild in a product, or what waits for it.
// Nothing is decided by it.
func (c *call) rebuilds() (answer, error) {
	q, err := c.query("product", "which")
	if err != nil {
		return nil, err
	}
	if q["which"] != api.RebuildsWaiting && q["which"] != api.RebuildsAll {
		return nil, invalid(fmt.Errorf("query: which %.40q is not %s or %s", q["which"], api.RebuildsWaiting, api.RebuildsAll))
	}
	if err := c.inProduct(q["product"]); err != nil {
		return nil, err
	}
	repository, ok := c.s.State.Repository(q["product"])
	if !ok {
		return nil, notFound("no product %.100q", q["product"])
	}
	v := api.Rebuilds{SchemaVersion: api.SchemaVersion, Product: q["product"], Repository: repository, Artifacts: []api.ToRebuild{}}
	for _, kind := range []struct{ name, typ string }{{"base", attest.ArtifactBase}, {"live-patch", attest.ArtifactPatch}} {
		for _, r := range c.s.State.ToRebuild(repository, kind.typ) {
			if r.Missing != "" || q["which"] == api.RebuildsAll {
				v.Artifacts = append(v.Artifacts, api.ToRebuild{Kind: kind.name, Manifest: r.Manifest.Artifact.Manifest, File: r.Manifest.File, Missing: r.Missing})
			}
		}
	}
	return answered(v, nil)
}
