package rootfs

import (
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
)

// The root of one image is not given out for another one, whose words read like
// its own: a line within a media type, or within a digest.
func TestAttackAnImageThatReadsLikeAnother(t *testing.T) {
	first, second := layer(t, reg("first")), layer(t, reg("second"))
	a, b := digest.Digest(attest.DigestOf(first)), digest.Digest(attest.DigestOf(second))
	line := "\n" + ocispec.MediaTypeImageLayer + " "
	for name, l := range map[string]struct {
		layer ocispec.Descriptor
		diff  digest.Digest
	}{
		"media type": {ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer + " " + string(a) + " " + string(a) + "\n" + ocispec.MediaTypeImageLayer, Digest: b}, b},
		"digest":     {ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: a + " " + a + digest.Digest(line) + b}, b},
		"content":    {ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: a}, a + digest.Digest(line) + b + " " + b},
	} {
		t.Run(name, func(t *testing.T) {
			var s store
			c := openCache(t, nil)
			whole, err := c.Unpack(t.Context(), &s, s.image(t, first, second))
			if err != nil {
				t.Fatal(err)
			}
			defer whole.Close()
			l.layer.Size = int64(len(first))
			other := s.manifest(t, ocispec.Manifest{Layers: []ocispec.Descriptor{l.layer}}, []digest.Digest{l.diff})
			if r, err := c.Unpack(t.Context(), &s, other); err == nil {
				_ = r.Close()
				t.Errorf("an image of one layer has the root of one of two: %s", r.Dir)
			}
		})
	}
}
