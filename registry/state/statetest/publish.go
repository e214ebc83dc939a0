package statetest

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify/verifytest"
)

type descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    attest.Digest `json:"digest"`
	Size      int64         `json:"size"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType,omitzero"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
	Subject       *descriptor  `json:"subject,omitzero"`
}

const emptyConfig = "application/vnd.oci.empty.v1+json"

// Manifest returns the bytes of an OCI manifest of one layer.
func Manifest(artifactType string, file attest.File, subject attest.Digest) []byte {
	m := manifest{
		SchemaVersion: 2, MediaType: state.MediaManifest, ArtifactType: artifactType,
		Config: descriptor{emptyConfig, attest.DigestOf([]byte("{}")), 2},
		Layers: []descriptor{{"application/octet-stream", file.Digest, file.Size}},
	}
	if artifactType == attest.ArtifactEnv {
		m.Config, m.Layers = descriptor{attest.MediaEnvironment, file.Digest, file.Size}, []descriptor{m.Config}
	}
	if subject != "" {
		m.Subject = &descriptor{state.MediaManifest, subject, 1}
	}
	b, err := strictjson.Canonical(m)
	if err != nil {
		panic(err) // a type of this file, which no input reaches
	}
	return b
}

// Link journals that the blobs a manifest is made of are in the repository, as
// large as it says, where they are not yet.
func (h *House) Link(raw []byte) {
	h.t.Helper()
	m, err := state.ParseManifest(raw, state.MediaManifest)
	if err != nil {
		return // nobody puts it
	}
	for _, part := range append(m.Layers, *m.Config) {
		if _, ok := h.State.Blob(h.Product.Repository, part.Digest); !ok && part.Digest != "" {
			h.Must(ledger.KindBlob, ledger.BlobPut{Repository: h.Product.Repository, Digest: part.Digest, Size: part.Size, By: h.Admin})
		}
	}
}

// PutManifest journals a manifest and the blobs it is made of.
func (h *House) PutManifest(raw []byte) attest.Digest {
	h.t.Helper()
	h.Link(raw)
	d := h.Put(raw)
	h.Must(ledger.KindManifest, ledger.ManifestPut{Repository: h.Product.Repository, Digest: d, MediaType: state.MediaManifest, By: h.Admin})
	return d
}

// World puts the manifests of a patch and all it stands on, and returns what
// is to be said about them. Nothing is said yet.
func (h *House) World(name string) *verifytest.World {
	h.t.Helper()
	w := h.Authority.World(h.Product, name)
	file := func(what string) attest.File {
		return attest.File{Digest: attest.DigestOf([]byte(what + name)), Size: 3}
	}
	w.Builder = h.PutManifest(Manifest("", file("builder layer of "), ""))
	w.Environment.BuilderImage = w.Builder
	w.Link(h.t)
	environment, err := w.Environment.Canonical()
	if err != nil {
		h.t.Fatalf("environment: %v", err)
	}
	w.EnvManifest = h.PutManifest(Manifest(attest.ArtifactEnv, attest.File{Digest: w.Base.Environment, Size: int64(len(environment))}, w.Builder))
	w.BaseManifest = h.PutManifest(Manifest(attest.ArtifactBase, w.Base.File, w.EnvManifest))
	w.Patch.Base = w.BaseManifest
	w.PatchManifest = h.PutManifest(Manifest(attest.ArtifactPatch, w.Patch.File, w.BaseManifest))
	return w
}

// Admit journals a bundle about a manifest, carried by a referrer.
func (h *House) Admit(bundle []byte, subject attest.Digest, typ string) attest.Digest {
	h.t.Helper()
	d := h.Put(bundle)
	referrer := h.PutManifest(Manifest(attest.ArtifactBundle, attest.File{Digest: d, Size: int64(len(bundle))}, subject))
	h.Must(ledger.KindStatement, ledger.StatementAdmitted{Repository: h.Product.Repository, Subject: subject, Referrer: referrer, Bundle: d, Type: typ, By: h.Admin})
	return d
}

// SayIt journals one statement of a world.
func (h *House) SayIt(s verifytest.Said) attest.Digest {
	h.t.Helper()
	return h.Admit(h.Say(s), s.About.Manifest, s.Type)
}

// Publish puts a patch with everything that has to be said about it.
func (h *House) Publish(name string) *verifytest.World {
	h.t.Helper()
	w := h.World(name)
	for _, s := range w.Said() {
		h.SayIt(s)
	}
	return w
}

// RevokeIt journals a revocation.
func (h *House) RevokeIt(kind string, d attest.Digest) attest.Digest {
	h.t.Helper()
	bundle := h.Put(h.Revoke(h.Product.ID, kind, d))
	h.Must(ledger.KindStatement, ledger.StatementAdmitted{Repository: h.Product.Repository, Subject: d, Bundle: bundle, Type: attest.TypeRevocation, By: h.Admin})
	return bundle
}

// Rebuild returns the state that the journal's records make again.
func (h *House) Rebuild() (*state.State, error) {
	s := state.New(h.Blobs, h.Site())
	for _, r := range h.Journal.Records() {
		if err := s.Apply(r); err != nil {
			return nil, err
		}
	}
	return s, s.SetReady()
}
