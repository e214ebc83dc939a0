package control

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

// rebuilds lists what waits for rebuilders in a product. Nothing is decided by it.
func (c *call) rebuilds() (answer, error) {
	q, err := c.query("product")
	if err != nil {
		return nil, err
	}
	if err := c.inProduct(q["product"]); err != nil {
		return nil, err
	}
	repository, ok := c.s.State.Repository(q["product"])
	if !ok {
		return nil, notFound("no product %.100q", q["product"])
	}
	v := api.Rebuilds{SchemaVersion: api.SchemaVersion, Product: q["product"], Repository: repository, Waiting: []api.Waiting{}}
	for _, kind := range []struct{ name, typ string }{{"base", attest.ArtifactBase}, {"live-patch", attest.ArtifactPatch}} {
		for _, w := range c.s.State.Waiting(repository, kind.typ) {
			v.Waiting = append(v.Waiting, api.Waiting{Kind: kind.name, Manifest: w.Manifest.Artifact.Manifest, File: w.Manifest.File, Missing: w.Missing})
		}
	}
	return answered(v, nil)
}
