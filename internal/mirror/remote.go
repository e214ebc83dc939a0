package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

// A repository is one of a server's. Lists and pushes are oras's; what is
// copied is read here, so that nothing is longer than it was said to be.
type repository struct {
	*remote.Repository
	client *api.Client
	name   string
	pages  *pager // what oras asks with
}

// A pager sends requests. While a list is read it lets it have so many pages: a
// source whose pages never end, or are empty, is not a long list.
type pager struct {
	client *http.Client
	left   int // of the list; negative: no list is read
}

// Do sends a request.
func (p *pager) Do(req *http.Request) (*http.Response, error) {
	if p.left == 0 {
		return nil, problem(Corrupt, "the source lists %s in more than %d pages", req.URL.Path, maxPages)
	}
	if p.left > 0 {
		p.left--
	}
	return p.client.Do(req)
}

// list reads a list.
func (p *pager) list(read func() error) error {
	p.left = maxPages
	defer func() { p.left = -1 }()
	return read()
}

func openRepository(server *api.Client, name string) (*repository, error) {
	u, err := url.Parse(server.Server())
	if err != nil {
		return nil, err
	}
	if !repositoryName.MatchString(name) {
		return nil, problem(Unsafe, "%.80q is no repository's name", name)
	}
	r, err := remote.NewRepository(u.Host + "/" + name)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", name, err)
	}
	pages := &pager{server.HTTP(), -1}
	r.Client = pages
	r.PlainHTTP = u.Scheme == "http"
	r.MaxMetadataBytes = maxIndex
	return &repository{r, server, name, pages}, r.SetReferrersCapability(true)
}

// tags lists the repository's tags.
func (r *repository) tags(ctx context.Context) ([]string, error) {
	var all []string
	err := r.pages.list(func() error {
		return r.Tags(ctx, "", func(some []string) error {
			for _, t := range some {
				if !tagName.MatchString(t) {
					return problem(Unsafe, "the source has a tag %.200q, which is no tag", t)
				}
			}
			if all = append(all, some...); len(all) > maxTags || len(some) == 0 && len(all) > 0 {
				return problem(Corrupt, "the source lists more than %d tags, or pages without any", maxTags)
			}
			return nil
		})
	})
	return all, translate(err)
}

// referrers lists the manifests whose subject is d, by digest and the type the
// source says they are of.
func (r *repository) referrers(ctx context.Context, d Descriptor) ([]Descriptor, error) {
	var all []Descriptor
	subject := ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size}
	err := r.pages.list(func() error {
		return r.Referrers(ctx, subject, "", func(some []ocispec.Descriptor) error {
			for _, s := range some {
				next, err := attest.ParseDigest(string(s.Digest))
				if err != nil {
					return problem(Corrupt, "the source lists a referrer of %s: %v", d.Digest, err)
				}
				all = append(all, Descriptor{Digest: next, ArtifactType: s.ArtifactType})
			}
			if len(all) > maxManifests {
				return problem(Corrupt, "the source lists more than %d referrers of %s", maxManifests, d.Digest)
			}
			return nil
		})
	})
	return all, translate(err)
}

// manifest fetches a manifest by tag or digest.
func (r *repository) manifest(ctx context.Context, reference string) (*manifest, []byte, error) {
	resp, err := r.get(ctx, "manifests/"+reference, http.Header{"Accept": manifestTypes})
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, nil, fmt.Errorf("fetching manifest %s: %w", reference, err)
	}
	if len(raw) > maxManifest {
		return nil, nil, problem(Corrupt, "manifest %s is longer than %d bytes", reference, maxManifest)
	}
	if want, err := attest.ParseDigest(reference); err == nil && attest.DigestOf(raw) != want {
		return nil, nil, problem(Corrupt, "asked for manifest %s, the source sent %s", want, attest.DigestOf(raw))
	}
	typ, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return nil, nil, problem(Corrupt, "manifest %s comes as %.80q", reference, resp.Header.Get("Content-Type"))
	}
	m, err := parseManifest(raw, typ)
	return m, raw, err
}

// blob opens a blob of the repository from an offset on.
func (r *repository) blob(d attest.Digest) fetcher {
	return func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		h := http.Header{"Accept-Encoding": {"identity"}}
		if offset > 0 {
			h.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
		resp, err := r.get(ctx, "blobs/"+string(d), h)
		if err != nil {
			return nil, 0, err
		}
		if resp.StatusCode != http.StatusPartialContent {
			return resp.Body, 0, nil
		}
		from, err := rangeStart(resp.Header.Get("Content-Range"))
		if err != nil {
			return nil, 0, errors.Join(err, resp.Body.Close())
		}
		return resp.Body, from, nil
	}
}

// rangeStart reads the first number of "bytes 10-19/20" (RFC 9110, 14.4).
func rangeStart(s string) (int64, error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	first, _, cut := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	if !ok || !cut || err != nil || n < 0 {
		return 0, problem(Corrupt, "the source sends a part of a blob as %.80q", s)
	}
	return n, nil
}

// get asks for a path of the repository. Any answer but a good one is an
// *api.Error.
func (r *repository) get(ctx context.Context, path string, h http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.client.Server()+"/v2/"+r.name+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header = h
	resp, err := r.client.HTTP().Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the source: %w", err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent && h.Get("Range") != "" {
		return resp, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxCheckpoint))
	if err != nil {
		return nil, fmt.Errorf("asking the source: %w", err)
	}
	return nil, api.ReadError(resp, b)
}

// translate makes what a registry answered an [*api.Error], the form in which
// the rest of the server answers.
func translate(err error) error {
	var resp *errcode.ErrorResponse
	switch {
	case errors.As(err, &resp) && len(resp.Errors) > 0:
		e := &api.Error{Status: resp.StatusCode, Code: resp.Errors[0].Code, Message: resp.Errors[0].Message}
		if i := strings.LastIndex(e.Message, "; "); i >= 0 { // one line: fact; next step
			e.Message, e.Remedy = e.Message[:i], e.Message[i+len("; "):]
		}
		return e
	case errors.As(err, &resp):
		return api.Errorf(resp.StatusCode, "", "%s %s: the server answered %s", resp.Method, resp.URL.Path, http.StatusText(resp.StatusCode))
	case errors.Is(err, errdef.ErrNotFound):
		return api.Errorf(http.StatusNotFound, api.CodeNotFound, "%v", err)
	}
	return err
}
