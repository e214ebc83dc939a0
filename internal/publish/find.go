package publish

import (
	"context"
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

// A Found is a manifest that a reference led to.
type Found struct {
	Manifest attest.Digest
	File     attest.Digest // its one file; zero where it has none
	Type     string        // artifactType
	Subject  attest.Digest // manifest it is attached to; zero where there is none
}

// Resolve asks a repository what a tag or digest is. The manifest's digest is
// of the bytes that were read.
func Resolve(ctx context.Context, server *api.Client, name, reference string) (*Found, error) {
	_, m, err := openAt(ctx, server, name, reference)
	if err != nil {
		return nil, err
	}
	return found(m), nil
}

// openAt opens a repository and reads the manifest that a reference names in it.
func openAt(ctx context.Context, server *api.Client, name, reference string) (*repository, *manifest, error) {
	r, err := open(server, name)
	if err != nil {
		return nil, nil, err
	}
	m, err := r.manifest(ctx, reference)
	if err != nil {
		return nil, nil, err
	}
	return r, m, nil
}

func found(m *manifest) *Found {
	f := &Found{Manifest: m.digest(), File: m.file(), Type: m.ArtifactType}
	if m.Subject != nil {
		f.Subject = attest.Digest(m.Subject.Digest)
	}
	return f
}

// FetchEnvironment returns the environment that a reference leads to: its own
// artifact's, or that of the base, or of the patch's base, it names. It is
// what the repository says; what a base authority signed is for package
// verify.
func FetchEnvironment(ctx context.Context, server *api.Client, name, reference string) (*attest.Environment, error) {
	r, err := open(server, name)
	if err != nil {
		return nil, err
	}
	at := reference
	for range 3 { // patch, base, environment
		m, err := r.manifest(ctx, at)
		if err != nil {
			return nil, err
		}
		if m.ArtifactType == attest.ArtifactEnv {
			raw, err := r.blob(ctx, m.Config, attest.MaxEnvironment)
			if err != nil {
				return nil, err
			}
			return attest.ParseEnvironment(raw)
		}
		if m.Subject == nil {
			break
		}
		at = string(m.Subject.Digest)
	}
	return nil, fmt.Errorf("%s in %s leads to no environment", reference, name)
}
