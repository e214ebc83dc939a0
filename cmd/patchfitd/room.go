package main

import (
	"context"
	"fmt"
	"time"

	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/content"
)

// What stays free on a disk where the configuration does not say: the journal
// is on it, too. A small disk, as of a test machine, is left most of its room.
const (
	freePercent = 5
	freeBytes   = 1 << 30
	freeOfSmall = 10 // percent: freeBytes are never more of the disk
)

// openContent opens the blobs. In a bucket there is always room.
func (h *house) openContent() (*content.Store, error) {
	backend, err := h.blobs(context.Background())
	if err != nil {
		return nil, err
	}
	_, all, err := backend.Free()
	if err != nil {
		return nil, fmt.Errorf("asking how much room there is for blobs: %w", err)
	}
	return content.New(backend, room(&h.config.Registry, all)), nil
}

// room is what has to stay free on a disk of so many bytes.
func room(c *serverconfig.Registry, all int64) *content.Options {
	if c.Free != nil {
		return &content.Options{MinFree: int64(c.Free.Bytes), MinFreePercent: int64(c.Free.Percent)}
	}
	return &content.Options{MinFree: min(freeBytes, all/100*freeOfSmall), MinFreePercent: freePercent}
}

// quotas are the registry's own limits.
func quotas(c *serverconfig.Quotas) registry.Limits {
	return registry.Limits{
		Blob: int64(c.Blob), Uploads: c.Uploads, OwnUploads: c.OwnUploads, OwnPending: int64(c.OwnPending), Pending: int64(c.Pending), UploadTTL: time.Duration(c.UploadTTL),
		RepositoryBytes: int64(c.Repository), PublisherBytes: int64(c.Publisher),
	}
}
