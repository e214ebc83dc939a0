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
	switch {
	case !f.Capture.Contained:
		return nil
	case f.Source == "":
		return errors.New("the source archive of the build is missing: whoever builds again needs it")
	}
	d, _, err := digestOf(f.Source)
	if err == nil && d != f.Capture.Source {
		err = fmt.Errorf("%s is not the source of the captured build: it is %s, that began with %s", f.Source, d, f.Capture.Source)
	}
	return err
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
	d, size, err := digestOf(f.Source)
	if err != nil {
		return err
	}
	layer := ocispec.Descriptor{
		MediaType: mediaSource, Digest: digest.Digest(d), Size: size,
		Annotations: map[string]string{ocispec.AnnotationTitle: "source.tar"},
	}
	if err := p.pushBlob(ctx, "source", layer, func() (io.ReadCloser, error) { return os.Open(f.Source) }); err != nil {
		return err
	}
	return p.attachment(ctx, r, "source", ocispec.Manifest{
		ArtifactType: attest.ArtifactSource, Config: emptyConfig(), Layers: []ocispec.Descriptor{layer}, Subject: plain(subject),
	}, emptyJSON())
}
