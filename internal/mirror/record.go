package mirror

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Descriptor names bytes of the layout (OCI image spec, Descriptor).
type Descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    attest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	// ArtifactType is that of a manifest that has one.
	ArtifactType string `json:"artifactType,omitzero"`
}

// describe returns the descriptor of b.
func describe(mediaType string, b []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: attest.DigestOf(b), Size: int64(len(b))}
}

// A Record says what a mirror holds. Its lists are sorted, so that the same
// content makes the same record.
type Record struct {
	SchemaVersion int          `json:"schemaVersion"`
	Repositories  []Repository `json:"repositories"`
	// TrustPolicy is the envelope in effect at the source, as it was signed;
	// TrustedRoot what it says of logs and timestamp authorities.
	TrustPolicy Descriptor `json:"trustPolicy"`
	TrustedRoot Descriptor `json:"trustedRoot"`
	Log         *Log       `json:"log,omitzero"` // absent: bundles stand on the proof each has itself
}

// A Repository is what a mirror holds of one repository.
type Repository struct {
	Repository string   `json:"repository"`
	Product    string   `json:"product"`
	Selection  []string `json:"selection,omitzero"` // tags and digests that were asked for; absent: all of it
	Tags       []Tag    `json:"tags"`
	// Manifests are sorted by digest.
	Manifests []Descriptor `json:"manifests"`
	// Detached are admitted bundles that no manifest carries any more: evidence
	// all the same.
	Detached []Detached `json:"detached"`
	// Revocations are the bundles of the product's revocations, in the order
	// in which they took effect.
	Revocations []Descriptor `json:"revocations"`
	// Channels are the bundles of the newest versions of the product's channels,
	// by name; absent: the source has none.
	Channels []Descriptor `json:"channels,omitzero"`
	// Void are bundles that count for nothing by the trust policy: their signer
	// left it.
	Void []attest.Digest `json:"void"`
}

// A Tag is a name for a manifest.
type Tag struct {
	Tag    string        `json:"tag"`
	Digest attest.Digest `json:"digest"`
}

// A Detached bundle and the manifest it is about.
type Detached struct {
	Subject attest.Digest `json:"subject"`
	Bundle  Descriptor    `json:"bundle"`
}

// A Log is the state of the source's log that the mirror's proofs are for.
type Log struct {
	Origin     string     `json:"origin"`
	Size       int64      `json:"size"`
	Root       []byte     `json:"root"`
	Checkpoint Descriptor `json:"checkpoint"` // a signed note
	Entries    Descriptor `json:"entries"`    // Entries
}

// Entries are the log's leaves of a mirror's bundles, sorted by index, and
// proofs that the log continues what was seen before, sorted by size.
type Entries struct {
	SchemaVersion int     `json:"schemaVersion"`
	Entries       []Entry `json:"entries"`
	Since         []Since `json:"since"`
}

// An Entry is a leaf and its inclusion proof for the mirror's checkpoint.
type Entry struct {
	Index int64    `json:"index"`
	Leaf  []byte   `json:"leaf"`
	Proof [][]byte `json:"proof"`
}

// A Since is a consistency proof from the log's first Size entries to the
// mirror's checkpoint.
type Since struct {
	Size  int64    `json:"size"`
	Proof [][]byte `json:"proof"`
}

const schemaVersion = 1

// ParseRecord reads a record in its one form: canonical JSON, sorted lists,
// and no name that could be anything but a name.
func ParseRecord(b []byte) (*Record, error) {
	r := &Record{}
	if err := strictjson.Unmarshal(b, maxRecord, r); err != nil {
		return nil, err
	}
	if err := strictjson.RequireCanonical(b); err != nil {
		return nil, err
	}
	if r.SchemaVersion != schemaVersion {
		return nil, strictjson.Errorf("/schemaVersion", "%d, want %d", r.SchemaVersion, schemaVersion)
	}
	if len(r.Repositories) == 0 {
		return nil, strictjson.Errorf("/repositories", "none")
	}
	for i := range r.Repositories {
		at := fmt.Sprintf("/repositories/%d", i)
		if i > 0 && r.Repositories[i-1].Repository >= r.Repositories[i].Repository {
			return nil, strictjson.Errorf(at, "not sorted, or twice")
		}
		if err := r.Repositories[i].check(at); err != nil {
			return nil, err
		}
	}
	return r, r.checkTrust()
}

func (r *Record) checkTrust() error {
	err := cmp.Or(
		r.TrustPolicy.check("/trustPolicy", MediaPolicy, attest.MaxEnvelope),
		r.TrustedRoot.check("/trustedRoot", MediaRoot, attest.MaxTrustPolicy),
	)
	if err != nil || r.Log == nil {
		return err
	}
	if r.Log.Size < 0 || len(r.Log.Root) != 32 {
		return strictjson.Errorf("/log", "size %d and a root of %d bytes are no log's", r.Log.Size, len(r.Log.Root))
	}
	return cmp.Or(
		r.Log.Checkpoint.check("/log/checkpoint", MediaCheckpoint, maxCheckpoint),
		r.Log.Entries.check("/log/entries", MediaEntries, maxEntries),
	)
}

func (d Descriptor) check(at, mediaType string, limit int64) error {
	switch {
	case mediaType != "" && d.MediaType != mediaType:
		return strictjson.Errorf(at+"/mediaType", "%.80q, want %s", d.MediaType, mediaType)
	case d.Digest == "":
		return strictjson.Errorf(at+"/digest", "missing")
	case d.Size < 0 || d.Size > limit:
		return strictjson.Errorf(at+"/size", "%d, want at most %d", d.Size, limit)
	}
	return nil
}

// Name and tag as the OCI distribution spec (v1.1, Pulling manifests) has them.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

func (r *Repository) check(at string) error {
	if len(r.Repository) > 255 || !repositoryName.MatchString(r.Repository) {
		return strictjson.Errorf(at+"/repository", "%.80q is no repository's name", r.Repository)
	}
	if len(r.Manifests) > maxManifests || len(r.Tags) > maxTags {
		return strictjson.Errorf(at, "%d manifests and %d tags are too many", len(r.Manifests), len(r.Tags))
	}
	for i, m := range r.Manifests {
		spot := fmt.Sprintf("%s/manifests/%d", at, i)
		if !isManifest(m.MediaType) || m.Size > maxManifest {
			return strictjson.Errorf(spot, "%.80q of %d bytes is no manifest", m.MediaType, m.Size)
		}
		if i > 0 && r.Manifests[i-1].Digest >= m.Digest {
			return strictjson.Errorf(spot, "not sorted, or twice")
		}
	}
	return cmp.Or(r.checkTags(at), r.checkBundles(at))
}

func (r *Repository) checkTags(at string) error {
	for i, t := range r.Tags {
		spot := fmt.Sprintf("%s/tags/%d", at, i)
		switch {
		case !tagName.MatchString(t.Tag):
			return strictjson.Errorf(spot+"/tag", "%.80q is no tag", t.Tag)
		case i > 0 && r.Tags[i-1].Tag >= t.Tag:
			return strictjson.Errorf(spot, "not sorted, or twice")
		case r.manifest(t.Digest) == nil:
			return strictjson.Errorf(spot+"/digest", "%s is not among the manifests", t.Digest)
		}
	}
	return nil
}

func (r *Repository) checkBundles(at string) error {
	for i, d := range r.Detached {
		spot := fmt.Sprintf("%s/detached/%d", at, i)
		if err := d.Bundle.check(spot+"/bundle", attest.ArtifactBundle, attest.MaxBundle); err != nil {
			return err
		}
		if r.manifest(d.Subject) == nil {
			return strictjson.Errorf(spot+"/subject", "%s is not among the manifests", d.Subject)
		}
		if i > 0 && byBundle(r.Detached[i-1], d) >= 0 {
			return strictjson.Errorf(spot, "not sorted, or twice")
		}
	}
	for i, d := range r.Revocations {
		if err := d.check(fmt.Sprintf("%s/revocations/%d", at, i), attest.ArtifactBundle, attest.MaxBundle); err != nil {
			return err
		}
	}
	for i, d := range r.Channels {
		if err := d.check(fmt.Sprintf("%s/channels/%d", at, i), attest.ArtifactBundle, attest.MaxBundle); err != nil {
			return err
		}
	}
	if !slices.IsSorted(r.Void) {
		return strictjson.Errorf(at+"/void", "not sorted")
	}
	return nil
}

func byBundle(a, b Detached) int { return cmp.Compare(a.Bundle.Digest, b.Bundle.Digest) }

func byDigest(a, b Descriptor) int { return cmp.Compare(a.Digest, b.Digest) }

// manifest returns the descriptor of a manifest, nil where the mirror has none.
func (r *Repository) manifest(d attest.Digest) *Descriptor {
	i, ok := slices.BinarySearchFunc(r.Manifests, d, func(m Descriptor, d attest.Digest) int { return cmp.Compare(m.Digest, d) })
	if !ok {
		return nil
	}
	return &r.Manifests[i]
}

func (r *Repository) isVoid(bundle attest.Digest) bool {
	_, found := slices.BinarySearch(r.Void, bundle)
	return found
}

// parseEntries reads the log entries of a mirror.
func parseEntries(b []byte) (*Entries, error) {
	e := &Entries{}
	if err := strictjson.Unmarshal(b, maxEntries, e); err != nil {
		return nil, err
	}
	if e.SchemaVersion != schemaVersion {
		return nil, strictjson.Errorf("/schemaVersion", "%d, want %d", e.SchemaVersion, schemaVersion)
	}
	for i := 1; i < len(e.Entries); i++ {
		if e.Entries[i-1].Index >= e.Entries[i].Index {
			return nil, strictjson.Errorf(fmt.Sprintf("/entries/%d", i), "not sorted, or twice")
		}
	}
	for i := 1; i < len(e.Since); i++ {
		if e.Since[i-1].Size >= e.Since[i].Size {
			return nil, strictjson.Errorf(fmt.Sprintf("/since/%d", i), "not sorted, or twice")
		}
	}
	return e, strictjson.RequireCanonical(b)
}

func (e *Entries) entry(index int64) *Entry {
	i, ok := slices.BinarySearchFunc(e.Entries, index, func(e Entry, i int64) int { return cmp.Compare(e.Index, i) })
	if !ok {
		return nil
	}
	return &e.Entries[i]
}

func (e *Entries) since(size int64) [][]byte {
	for _, s := range e.Since {
		if s.Size == size {
			return s.Proof
		}
	}
	return nil
}
