package publish

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
)

// Save fetches a blob by its digest to a new file, which is there only where the
// bytes are that digest's.
func (c *Content) Save(ctx context.Context, d attest.Digest, path string, limit int64) (err error) {
	about, err := c.repo.Blobs().Resolve(ctx, string(d))
	if err != nil {
		return fmt.Errorf("blob %s: %w", d, translate(err))
	}
	if about.Size > limit {
		return fmt.Errorf("blob %s of %d bytes exceeds the limit of %d", d, about.Size, limit)
	}
	body, err := c.repo.Blobs().Fetch(ctx, about)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d, translate(err))
	}
	defer body.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path)
		}
	}()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(body, about.Size+1)); err != nil {
		return fmt.Errorf("blob %s: %w", d, err)
	}
	if got := attest.DigestFromSum(sum.Sum(nil)); got != d {
		return fmt.Errorf("the server answers %s where %s was asked for", got, d)
	}
	return nil
}

// Left is what a rebuild leaves behind.
type Left struct {
	Log    []byte
	Output string // file that came out, where it is another; "" for none
	Page   []byte // how it differs, as HTML; empty for nothing
}

// Rebuild pushes what a rebuild of a manifest left behind, and says what came of
// it. Where there is no log nothing is pushed.
func (p *Publisher) Rebuild(ctx context.Context, about attest.Digest, left Left, said *attest.Rebuild) (*Result, error) {
	defer p.progress.Clear()
	m, err := p.repo.manifest(ctx, string(about))
	if err != nil {
		return nil, err
	}
	r := p.result()
	if len(left.Log) > 0 {
		if said.Output, err = p.left(ctx, r, m, left); err != nil {
			return nil, err
		}
	}
	return r, p.say(ctx, r, m.descriptor, claim{attest.TypeRebuild, m.subjects(), said})
}

// left pushes the artifact of what a rebuild left behind.
func (p *Publisher) left(ctx context.Context, r *Result, subject *manifest, left Left) (attest.Digest, error) {
	var layers []ocispec.Descriptor
	add := func(name, mediaType string, b []byte) error {
		d := titled(descriptor(mediaType, b), name)
		layers = append(layers, d)
		return p.pushBytes(ctx, name, d, b)
	}
	if err := add(logTitle, "text/plain", left.Log); err != nil {
		return "", err
	}
	if left.Output != "" {
		d, size, err := digestOf(left.Output)
		if err != nil {
			return "", err
		}
		layer := titled(ocispec.Descriptor{MediaType: mediaFile, Digest: digest.Digest(d), Size: size}, outputTitle(left.Output))
		layers = append(layers, layer)
		if err := p.pushBlob(ctx, "what came out", layer, func() (io.ReadCloser, error) { return os.Open(left.Output) }); err != nil {
			return "", err
		}
	}
	if len(left.Page) > 0 {
		if err := add(pageTitle, "text/html", left.Page); err != nil {
			return "", err
		}
	}
	err := p.attachment(ctx, r, "rebuild", ocispec.Manifest{
		ArtifactType: attest.ArtifactRebuild, Config: emptyConfig(), Layers: layers, Subject: plain(subject.descriptor),
	}, emptyJSON())
	if err != nil {
		return "", err
	}
	return r.Artifacts[len(r.Artifacts)-1].Digest, nil
}

// The other files of what a rebuild leaves behind.
const (
	logTitle  = "rebuild.log"
	pageTitle = "difference.html"
)

// outputTitle is what a file that came out is called. Provenance gave it its name:
// one that registries refuse as a title, or that of another file here, would keep
// the rebuild from being said.
func outputTitle(path string) string {
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case name == "", name == ".", name == "..", name == logTitle, name == pageTitle,
		len(name) > 255, !utf8.ValidString(name), strings.Contains(name, `\`), strings.ContainsFunc(name, unicode.IsControl):
		return "output"
	}
	return name
}

func titled(d ocispec.Descriptor, title string) ocispec.Descriptor {
	d.Annotations = map[string]string{ocispec.AnnotationTitle: title}
	return d
}
