package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// Pulled is a live patch this host verified and kept. Nothing was applied.
type Pulled struct {
	Product    string
	Repository string
	Digest     attest.Digest // of the manifest
	File       attest.Digest
	Size       int64
	Path       string
	Patch      *attest.LivePatch
	Basis      string          // fit basis
	Checks     []policy.Check  // every rule this host asked
	Evidence   []attest.Digest // payloads of the statements it stands on
}

// Pull gets the live patch ref names, or that a channel offers last for what
// this host runs, and keeps it at path, if the server
// allows it and this host, asking everything again, allows it too.
//
// The file appears whole, verified and durable, or not at all: bytes go to a
// temporary file beside it, and the last thing that happens is its renaming.
// A crash before leaves a .patchfit-*.partial file at most.
func (a *Agent) Pull(ctx context.Context, ref Reference, path string) (*Pulled, error) {
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory to keep a file in", filepath.Dir(path))
	}
	t, product, err := a.prepare(ctx, ref.Repository)
	if err != nil {
		return nil, err
	}
	running, err := a.measured(product)
	if err != nil {
		return nil, err
	}
	if ref.Channel != "" {
		if ref, err = a.newest(ctx, t, product, ref, running); err != nil {
			return nil, err
		}
	}
	art, err := a.patch(ctx, ref)
	if err != nil {
		return nil, err
	}
	q, err := a.ask(ctx, t, product, art, running)
	if err != nil {
		return nil, err
	}
	if err := q.decide(); err != nil {
		return nil, err
	}
	if err := a.keep(ctx, q, path); err != nil {
		return nil, err
	}
	a.logger.InfoContext(ctx, "kept a live patch", "digest", art.Manifest, "file", art.File)
	return &Pulled{
		Product: product, Repository: art.Repository, Digest: art.Manifest,
		File: art.File, Size: art.FileSize, Path: path,
		Patch: q.facts.Patch.LivePatch(),
		Basis: policy.Decide(q.facts).Basis, Checks: policy.Explain(q.facts), Evidence: q.facts.Evidence(),
	}, nil
}

// prepare brings the trust policy up to date and finds the product that lives
// in a repository.
func (a *Agent) prepare(ctx context.Context, repository string) (*trust, string, error) {
	if err := a.updatePolicy(ctx); err != nil {
		return nil, "", err
	}
	t, err := prepare(a.pinned)
	if err != nil {
		return nil, "", err
	}
	p, ok := t.ProductFor(repository)
	if !ok {
		return nil, "", refuse(verify.ForbiddenRole, "repository %s belongs to no product of trust policy version %d", repository, a.pinned.Version)
	}
	return t, p.ID, nil
}

// keep downloads the patch's file and, if it is what was decided on and this
// host still runs what it did, puts it at path.
func (a *Agent) keep(ctx context.Context, q *question, path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".patchfit-*.partial")
	if err != nil {
		return fmt.Errorf("keeping the patch: %w", err)
	}
	defer os.Remove(f.Name()) // gone already once it was renamed
	defer f.Close()
	if err := a.download(ctx, q.facts.Patch.Artifact, f); err != nil {
		return err
	}
	if _, err := a.measured(q.facts.Product); err != nil {
		return err
	}
	if err := durable.Commit(f, path); err != nil {
		return fmt.Errorf("keeping the patch: %w", err)
	}
	return nil
}

// download writes the patch's file to w and checks that it is that file.
func (a *Agent) download(ctx context.Context, art policy.Artifact, w io.Writer) error {
	body, err := a.fetch(ctx, "/v2/"+art.Repository+"/blobs/"+string(art.File), "application/octet-stream")
	if err != nil {
		return err
	}
	defer body.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(body, art.FileSize+1))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("downloading the patch: %w", err)
	}
	if got := attest.DigestFromSum(sum.Sum(nil)); got != art.File {
		return refuse(verify.Corrupt, "the server sent file %s, of the %d bytes asked for %d; want %s", got, art.FileSize, n, art.File)
	}
	return nil
}
