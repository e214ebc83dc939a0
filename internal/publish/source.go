package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
)

// mediaSource is the media type of a source archive.
const mediaSource = "application/x-tar"

// checkSource holds the source archive to the capture. A contained build has
// one: without it nobody could build again.
func (f File) checkSource() error {
	if !f.Capture.Contained {
		return nil
	}
	_, err := f.archive()
	return err
}

// archive describes the source archive. It is read again on its way, and has to
// be the one the build began with then, too.
func (f File) archive() (layer ocispec.Descriptor, err error) {
	if f.Source == "" {
		return layer, errors.New("the source archive of the build is missing: whoever builds again needs it")
	}
	d, size, err := digestOf(f.Source)
	if err == nil && d != f.Capture.Source {
		err = fmt.Errorf("%s is not the source of the captured build: it is %s, that began with %s", f.Source, d, f.Capture.Source)
	}
	return ocispec.Descriptor{
		MediaType: mediaSource, Digest: digest.Digest(d), Size: size,
		Annotations: map[string]string{ocispec.AnnotationTitle: "source.tar"},
	}, err
}

func digestOf(path string) (attest.Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	sum := digest.SHA256.Digester()
	n, err := io.Copy(sum.Hash(), f)
	return attest.Digest(sum.Digest()), n, err
}

// source pushes the archive that a build started from, attached to what it made.
func (p *Publisher) source(ctx context.Context, r *Result, subject ocispec.Descriptor, f File) error {
	if !f.Capture.Contained {
		return nil
	}
	layer, err := f.archive()
	if err != nil {
		return err
	}
	if err := p.pushBlob(ctx, "source", layer, func() (io.ReadCloser, error) { return os.Open(f.Source) }); err != nil {
		return err
	}
	return p.attachment(ctx, r, "source", ocispec.Manifest{
		ArtifactType: attest.ArtifactSource, Config: emptyConfig(), Layers: []ocispec.Descriptor{layer}, Subject: plain(subject),
	}, emptyJSON())
}
