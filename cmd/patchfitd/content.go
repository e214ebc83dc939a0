package main

import (
	"context"
	"fmt"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/content/object"
	"github.com/patchfit/patchfit/registry/content/s3"
)

// blobs opens where the bytes of blobs are: a disk, or a bucket.
func (h *house) blobs(ctx context.Context) (content.Backend, error) {
	if h.config.Storage.Kind != serverconfig.Bucket {
		return content.OpenDisk(h.path(registryDir))
	}
	c := h.config.Storage.S3
	driver, err := s3.New(ctx, s3.Config{
		Endpoint: c.Endpoint, Region: c.Region, Bucket: c.Bucket, Prefix: c.Prefix, VirtualHost: c.VirtualHost,
		AccessKeyFile: c.AccessKeyFile, SecretKeyFile: c.SecretKeyFile, CAFile: c.CAFile,
	}, &s3.Options{Log: h.logger})
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("opening the bucket: %w", err), "check storage.s3 in the configuration, and that the bucket is there")
	}
	h.closers = append(h.closers, func() error { driver.Close(); return nil })
	b, err := object.Open(ctx, driver)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket: %w", err)
	}
	return b, nil
}
