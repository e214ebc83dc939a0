package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/builder"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/term"
)

// fromElsewhere makes an image without a recipe.
func (a verbs) fromElsewhere(ctx context.Context, b *builder.Builder, s *builder.Store, m *making) (*builder.Made, error) {
	switch {
	case m.inputs != "":
		return a.fromInputs(ctx, b, s, m)
	case m.rootfs != "":
		return b.From(ctx, builder.Origin{Rootfs: m.rootfs, Architecture: m.architecture, Epoch: m.epoch}, m.out)
	}
	return a.fromImage(ctx, b, m)
}

// fromInputs makes an image again, and compares.
func (a verbs) fromInputs(ctx context.Context, b *builder.Builder, s *builder.Store, m *making) (*builder.Made, error) {
	ref, err := shell.ParseOne(m.inputs)
	if err != nil {
		return nil, err
	}
	session, err := a.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	in, err := publish.FindInputs(ctx, session.Client, ref.Repository, ref.Name())
	if err != nil {
		return nil, err
	}
	if err := in.Fetch(ctx, s, term.NewProgress(a.Stderr)); err != nil {
		return nil, err
	}
	made, err := b.FromInputs(ctx, in.Lock, m.out)
	if err != nil {
		return nil, err
	}
	if made.Layout.Digest != in.Image {
		return nil, exit.With(exit.Unproven,
			fmt.Sprintf("another image came out: %s in %s; the inputs are attached to %s", made.Layout.Digest, m.out, in.Image),
			"compare the two: an mmdebstrap or dpkg of another version is the first to suspect")
	}
	return made, nil
}

// fromImage takes the root file system of an image, in a layout or in a
// repository.
func (a verbs) fromImage(ctx context.Context, b *builder.Builder, m *making) (*builder.Made, error) {
	if _, err := os.Stat(m.image); err == nil || !errors.Is(err, fs.ErrNotExist) {
		l, err := build.OpenLayout(m.image)
		if err != nil {
			return nil, err
		}
		return a.again(ctx, b, m, l)
	}
	var made *builder.Made
	err := a.fetched(ctx, m.image, func(l *build.Layout) (err error) {
		made, err = a.again(ctx, b, m, l)
		return err
	})
	return made, err
}

func (a verbs) again(ctx context.Context, b *builder.Builder, m *making, l *build.Layout) (*builder.Made, error) {
	architecture, err := l.Architecture()
	if err != nil {
		return nil, err
	}
	return b.From(ctx, builder.Origin{Image: l, Architecture: architecture, Epoch: m.epoch}, m.out)
}

// fetched runs work on an image of a repository, fetched into a layout that is
// gone afterwards.
func (a verbs) fetched(ctx context.Context, reference string, work func(*build.Layout) error) error {
	ref, err := shell.ParseOne(reference)
	if err != nil {
		return exit.Hint(fmt.Errorf("%s is neither a layout nor a reference to one image", reference), "name a directory, NAME:TAG or NAME@sha256:HEX")
	}
	session, err := a.Connect(ref.Server)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "patchfit-image-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	l, err := publish.FetchImage(ctx, session.Client, ref.Repository, ref.Name(), temp, term.NewProgress(a.Stderr))
	if err != nil {
		return err
	}
	if l.Config.MediaType != ocispec.MediaTypeImageConfig {
		return fmt.Errorf("%s is no image: its config is %.80q", reference, l.Config.MediaType)
	}
	return work(l)
}

// push pushes an image to a repository and returns where it is.
func (a verbs) push(ctx context.Context, to string, l *build.Layout) (string, error) {
	ref, err := shell.ParseReference(to)
	if err != nil {
		return "", err
	}
	if ref.Name() != "" {
		return "", exit.BadUsage(fmt.Errorf("--push %s names more than a repository", to), "a tag is for an image with provenance: patchfit publish builder-image "+l.Dir+" --to "+to+" --key FILE")
	}
	session, err := a.Connect(ref.Server)
	if err != nil {
		return "", err
	}
	r, err := publish.PushBuilderImage(ctx, session.Client, ref.Repository, l, term.NewProgress(a.Stderr))
	if err != nil {
		return "", err
	}
	return r.Repository + "@" + string(l.Digest), nil
}
