package host

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// Limits of what is fetched, in bytes.
const (
	maxManifest = 1 << 20
	maxPatch    = 256 << 20
)

const mediaManifest = "application/vnd.oci.image.manifest.v1+json"

// A Reference names an artifact of the agent's server: a repository, and a tag,
// a digest, or a channel, which offers one.
type Reference struct {
	Repository string
	Tag        string        // or ""
	Digest     attest.Digest // or ""
	Channel    string        // or ""
}

// Name and tag as the OCI distribution spec (v1.1, Pulling manifests) has them.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// ParseReference reads REPOSITORY:TAG or REPOSITORY@DIGEST, with or without
// the host of the agent's server before it. There is no default tag.
func (a *Agent) ParseReference(text string) (Reference, error) {
	_, host, _ := strings.Cut(a.me.Server, "://")
	rest := strings.TrimPrefix(text, host+"/")
	if name, digest, ok := strings.Cut(rest, "@"); ok {
		d, err := attest.ParseDigest(digest)
		if err != nil || !repositoryName.MatchString(name) {
			return Reference{}, fmt.Errorf("%.300q is not REPOSITORY@DIGEST: %w", text, err)
		}
		return Reference{Repository: name, Digest: d}, nil
	}
	name, tag, ok := strings.Cut(rest, ":")
	if !ok || !repositoryName.MatchString(name) || !tagName.MatchString(tag) {
		return Reference{}, fmt.Errorf("%.300q is not REPOSITORY:TAG or REPOSITORY@DIGEST of %s", text, host)
	}
	return Reference{Repository: name, Tag: tag}, nil
}

// DefaultChannel is the channel that a repository alone names.
const DefaultChannel = "stable"

// Find reads what [Agent.ParseReference] reads, or a repository alone, which
// names what a channel of its product offers; "" is the default one.
func (a *Agent) Find(text, channel string) (Reference, error) {
	_, host, _ := strings.Cut(a.me.Server, "://")
	if name := strings.TrimPrefix(text, host+"/"); repositoryName.MatchString(name) {
		return Reference{Repository: name, Channel: cmp.Or(channel, DefaultChannel)}, nil
	}
	ref, err := a.ParseReference(text)
	if err == nil && channel != "" {
		return ref, fmt.Errorf("%s names one artifact, and a channel is for a repository alone", ref)
	}
	return ref, err
}

func (r Reference) String() string {
	if r.Channel != "" {
		return r.Repository + ", channel " + r.Channel
	}
	if r.Digest != "" {
		return r.Repository + "@" + string(r.Digest)
	}
	return r.Repository + ":" + r.Tag
}

// name is the tag or the digest.
func (r Reference) name() string { return r.Tag + string(r.Digest) }

// patch fetches the manifest of a live patch.
func (a *Agent) patch(ctx context.Context, ref Reference) (policy.Artifact, error) {
	raw, err := a.fetch(ctx, "/v2/"+ref.Repository+"/manifests/"+ref.name(), mediaManifest)
	if err != nil {
		return policy.Artifact{}, err
	}
	defer raw.Close()
	b, err := io.ReadAll(io.LimitReader(raw, maxManifest+1))
	if err != nil {
		return policy.Artifact{}, fmt.Errorf("fetching the manifest of %s: %w", ref, err)
	}
	if got := attest.DigestOf(b); ref.Digest != "" && got != ref.Digest {
		return policy.Artifact{}, refuse(verify.Corrupt, "asked for manifest %s, the server sent %s", ref.Digest, got)
	}
	art, refusal := parsePatch(b)
	if refusal != nil {
		return policy.Artifact{}, refusal
	}
	art.Repository = ref.Repository
	return art, nil
}

// fetch asks for a path of the registry. Any answer but 200 is an *api.Error.
func (a *Agent) fetch(ctx context.Context, path, accept string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.me.Server+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := a.client.HTTP().Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest))
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	return nil, api.ReadError(resp, b)
}

// A manifest is what matters of an OCI image manifest here.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType"`
	Layers        []descriptor `json:"layers"`
	Subject       descriptor   `json:"subject"`
}

type descriptor struct {
	Digest attest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// parsePatch reads the manifest of a live patch: that type, one layer, one base.
func parsePatch(b []byte) (policy.Artifact, *verify.Refusal) {
	var m manifest
	if err := strictjson.UnmarshalForeign(b, maxManifest, &m); err != nil {
		return policy.Artifact{}, refuse(verify.Corrupt, "the manifest: %v", err)
	}
	switch {
	case m.SchemaVersion != 2 || m.MediaType != mediaManifest:
		return policy.Artifact{}, refuse(verify.Corrupt, "the manifest is version %d of %.80q, want 2 of %s", m.SchemaVersion, m.MediaType, mediaManifest)
	case m.ArtifactType != attest.ArtifactPatch:
		return policy.Artifact{}, refuse(verify.SubjectMismatch, "the artifact is %.80q, want %s", m.ArtifactType, attest.ArtifactPatch)
	case len(m.Layers) != 1 || m.Layers[0].Digest == "":
		return policy.Artifact{}, refuse(verify.Corrupt, "the live patch has %d layers, want 1", len(m.Layers))
	case m.Layers[0].Size <= 0 || m.Layers[0].Size > maxPatch:
		return policy.Artifact{}, refuse(verify.Corrupt, "the live patch has %d bytes, want 1 to %d", m.Layers[0].Size, maxPatch)
	}
	return policy.Artifact{
		Manifest: attest.DigestOf(b), Type: m.ArtifactType, Subject: m.Subject.Digest,
		File: m.Layers[0].Digest, FileSize: m.Layers[0].Size,
	}, nil
}
