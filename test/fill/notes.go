package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// notes are manifests of a type that is nobody's, and that differ in a number.
type notes struct {
	repository, by string
	number         int64
}

const writers = 512 // they share the journal's syncs

// put writes them all. The first failure ends it.
func (n *notes) put(ctx context.Context, l *books) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for i := next.Add(1); i <= n.number && ctx.Err() == nil; i = next.Add(1) {
				if err := n.putOne(ctx, l, i); err != nil {
					fail(err)
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// putOne is a push: bytes, the record of a manifest, that of its tag.
func (n *notes) putOne(ctx context.Context, l *books, i int64) error {
	raw, err := json.Marshal(note(i))
	if err != nil {
		return err
	}
	d := attest.DigestOf(raw)
	if err := os.WriteFile(l.file(d), raw, 0o600); err != nil {
		return err
	}
	if _, err := l.journal.Append(ctx, ledger.KindManifest, ledger.ManifestPut{Repository: n.repository, Digest: d, MediaType: v1.MediaTypeImageManifest, By: n.by}); err != nil {
		return err
	}
	_, err = l.journal.Append(ctx, ledger.KindTag, ledger.TagMoved{Repository: n.repository, Tag: fmt.Sprintf("n%06d", i), Digest: d, By: n.by})
	return err
}

// file is where the ledger store keeps the bytes of a digest
// (docs/spec/journal.md, "The ledger store").
func (l *books) file(d attest.Digest) string {
	return filepath.Join(l.store, "sha256", d.Hex()[:2], d.Hex())
}

func note(i int64) v1.Manifest {
	empty := v1.DescriptorEmptyJSON
	empty.Data = nil
	return v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, ArtifactType: "application/vnd.example.note.v1",
		Config: empty, Layers: []v1.Descriptor{empty}, Annotations: map[string]string{"org.example.number": fmt.Sprintf("%06d", i)},
	}
}
