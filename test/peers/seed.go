package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
)

// note is the n-th of many manifests that differ in a number. Nobody's type:
// hosts never see one.
func note(n int64, subject *descriptor) ([]byte, error) {
	empty := descriptor{"application/vnd.oci.empty.v1+json", emptyDigest, 2}
	return json.Marshal(manifest{
		SchemaVersion: 2, MediaType: mediaManifest, ArtifactType: "application/vnd.example.note.v1",
		Config: empty, Layers: []descriptor{empty}, Subject: subject,
		Annotations: map[string]string{"org.example.number": fmt.Sprintf("%06d", n)},
	})
}

// putEmpty pushes the blob that notes consist of.
func (e endpoint) putEmpty(ctx context.Context) error {
	return e.putBlob(ctx, emptyDigest, bytes.NewReader([]byte("{}")), 2)
}

// seedReferrers gives one subject its referrers, and returns its digest.
func seedReferrers(ctx context.Context, e endpoint, number int64) (string, error) {
	if err := e.putEmpty(ctx); err != nil {
		return "", err
	}
	raw, err := note(0, nil)
	if err != nil {
		return "", err
	}
	if err := e.putManifest(ctx, "subject", mediaManifest, raw); err != nil {
		return "", err
	}
	subject := descriptor{mediaManifest, digestOf(raw), int64(len(raw))}
	err = e.seed(ctx, number, func(n int64) (string, []byte, error) {
		raw, err := note(n, &subject)
		return digestOf(raw), raw, err
	})
	if err != nil {
		return "", err
	}
	b, err := e.get(ctx, "referrers/"+subject.Digest)
	var list manifest
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err == nil && int64(len(list.Manifests)) != number {
		err = fmt.Errorf("%s lists %d referrers, want %d", e.server.name, len(list.Manifests), number)
	}
	return subject.Digest, err
}

// seedFew tags a number of manifests.
func seedFew(ctx context.Context, e endpoint, number int64) error {
	if err := e.putEmpty(ctx); err != nil {
		return err
	}
	return e.seed(ctx, number, func(n int64) (string, []byte, error) {
		raw, err := note(n, nil)
		return fmt.Sprintf("n%06d", n), raw, err
	})
}

// seed puts so many manifests, which next makes.
func (e endpoint) seed(ctx context.Context, number int64, next func(n int64) (reference string, raw []byte, err error)) error {
	header, err := e.server.headers(ctx, e.role)
	if err != nil {
		return err
	}
	header.Set("Content-Type", mediaManifest)
	var counter atomic.Int64
	l := load{clients: 16, times: number, work: func(c *client) error {
		reference, raw, err := next(counter.Add(1))
		if err != nil {
			return err
		}
		a, err := c.do(http.MethodPut, requestHead(http.MethodPut, e.path("manifests/"+reference), e.server.address, header, int64(len(raw))), raw)
		if err != nil {
			return err
		}
		return a.expect(http.StatusCreated)
	}}
	_, err = l.drive(ctx, e.server.address)
	return err
}
