package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"sync/atomic"
	"time"
)

// A row is one thing that servers are compared in.
type row struct {
	name    string
	clients int
	window  time.Duration
	times   int64 // requests in one window; 0: what the window lets
	bytes   int64 // of one request's payload: throughput is told in bytes too
	unread  bool
	settle  time.Duration // what the server still does after its answer belongs to the row
	rounds  int           // at most; 0: all
	turns   int           // in each round; 0: one
	ratio   bool          // entrants are one server in two states
	work    func(ctx context.Context, e entrant) (func(*client) error, error)
}

// An entrant is a server in a row.
type entrant struct {
	label string
	endpoint
}

// A sample is one window of one entrant.
type sample struct {
	cpu  float64 // of the server, µs a request
	rate float64 // requests a second
}

// pull asks for one page again and again.
func pull(method string, page func(e entrant) string, size int64) func(context.Context, entrant) (func(*client) error, error) {
	return func(ctx context.Context, e entrant) (func(*client) error, error) {
		header, err := e.server.headers(ctx, e.role)
		if err != nil {
			return nil, err
		}
		header.Set("Accept", mediaManifest)
		head := requestHead(method, e.path(page(e)), e.server.address, header, -1)
		return func(c *client) error {
			a, err := c.do(method, head)
			if err != nil {
				return err
			}
			if size > 0 && a.size != size {
				return fmt.Errorf("a body of %d bytes, want %d: status %d: %s", a.size, size, a.status, a.said)
			}
			return a.expect(http.StatusOK)
		}, nil
	}
}

// fixed is a page that has the same path everywhere.
func fixed(page string) func(entrant) string { return func(entrant) string { return page } }

// A press makes blobs that are all different and cost their pusher nothing:
// only the last bytes change, and the hash of the others is kept.
type press struct {
	body   []byte
	prefix hash.Cloner
	count  atomic.Int64
}

const serial = 64 // bytes at the end of a blob that are its own

func newPress(size int64, seed string) (*press, error) {
	p := &press{body: make([]byte, size-serial)}
	fill(p.body, seed)
	h, ok := sha256.New().(hash.Cloner)
	if !ok {
		return nil, errors.New("this sha256 does not give its state away")
	}
	h.Write(p.body)
	p.prefix = h
	return p, nil
}

// next returns the end of a blob nobody has seen, and the blob's descriptor.
func (p *press) next() (number int64, end []byte, d descriptor, err error) {
	number = p.count.Add(1)
	end = fmt.Appendf(nil, "%0*d", serial, number)
	h, err := p.prefix.Clone()
	if err != nil {
		return 0, nil, d, err
	}
	h.Write(end)
	return number, end, descriptor{"application/octet-stream", "sha256:" + hex.EncodeToString(h.Sum(nil)), int64(len(p.body) + serial)}, nil
}

// push uploads a new blob and tags a manifest that consists of it.
func (p *press) push(ctx context.Context, e entrant) (func(*client) error, error) {
	header, err := e.server.headers(ctx, e.role)
	if err != nil {
		return nil, err
	}
	blobHeader, manifestHeader := header.Clone(), header.Clone()
	blobHeader.Set("Content-Type", "application/octet-stream")
	manifestHeader.Set("Content-Type", mediaManifest)
	begin := requestHead(http.MethodPost, e.path("blobs/uploads/"), e.server.address, header, 0)
	return func(c *client) error {
		n, end, d, err := p.next()
		if err != nil {
			return err
		}
		a, err := c.do(http.MethodPost, begin)
		if err == nil {
			err = a.expect(http.StatusAccepted)
		}
		if err != nil {
			return err
		}
		path, err := uploadPath(a.location, d.Digest)
		if err != nil {
			return err
		}
		if a, err = c.do(http.MethodPut, requestHead(http.MethodPut, path, e.server.address, blobHeader, d.Size), p.body, end); err == nil {
			err = a.expect(http.StatusCreated)
		}
		if err != nil {
			return err
		}
		return putNamed(c, e, manifestHeader, fmt.Sprintf("push-%d-%d", d.Size, n), d)
	}, nil
}

func putNamed(c *client, e entrant, header http.Header, tag string, layer descriptor) error {
	raw, err := json.Marshal(manifest{
		SchemaVersion: 2, MediaType: mediaManifest, ArtifactType: "application/vnd.example.payload.v1",
		Config: descriptor{"application/vnd.oci.empty.v1+json", emptyDigest, 2}, Layers: []descriptor{layer},
	})
	if err != nil {
		return err
	}
	a, err := c.do(http.MethodPut, requestHead(http.MethodPut, e.path("manifests/"+tag), e.server.address, header, int64(len(raw))), raw)
	if err != nil {
		return err
	}
	return a.expect(http.StatusCreated)
}

// measure takes one sample: the processor time the server's process used, over
// what it answered.
func (r row) measure(ctx context.Context, e entrant) (sample, error) {
	work, err := r.work(ctx, e)
	if err != nil {
		return sample{}, err
	}
	before, err := cpuTime(e.server.pid())
	if err != nil {
		return sample{}, err
	}
	t, err := load{clients: r.clients, unread: r.unread, secure: e.server.secure, window: r.window, times: r.times, work: work}.drive(ctx, e.server.address)
	if err != nil {
		return sample{}, err
	}
	time.Sleep(r.settle)
	after, err := cpuTime(e.server.pid())
	if err != nil {
		return sample{}, err
	}
	return sample{cpu: float64((after - before).Nanoseconds()) / 1e3 / float64(t.done), rate: t.rate()}, nil
}
