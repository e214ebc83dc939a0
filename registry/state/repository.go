package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
)

// A repository is one product's: its manifests, tags and evidence.
type repository struct {
	name    string
	product string

	blobs     map[attest.Digest]Blob
	size      int64                       // of all blobs, in bytes
	sizes     map[string]int64            // of the blobs each principal put there first
	aliases   map[string]attest.Digest    // sha512 a blob or manifest was pushed under -> its digest
	manifests map[attest.Digest]*Manifest // every one that was put; a value is replaced, never changed
	visible   map[attest.Digest]bool
	tags      map[string]attest.Digest
	named     map[string]string                 // tag -> the sha512 it answers with; of most there is none
	tagged    map[string]time.Time              // tag -> when it came to name what it names
	idle      map[attest.Digest]time.Time       // manifest -> when it was put, or lost a tag since
	holders   map[attest.Digest][]attest.Digest // blob or manifest -> manifests that reference it
	referrers map[string][]attest.Digest        // subject, as it was named -> manifests with that subject
	carriers  map[attest.Digest]attest.Digest   // manifest -> the admitted bundle it carries
	lints     map[attest.Digest]*policy.Lint    // manifest of a patch -> what was found in it last

	statements []*statement
	admitted   map[attest.Digest]bool // bundles among statements
	pool       *policy.Pool
	rebuilt    map[attest.Digest]bool            // bases and patches that somebody rebuilt
	measured   map[attest.Digest][]attest.Digest // measurement digest -> bases said to have it
	revoked    *policy.Revocations
	channels   *policy.Channels

	sorted      atomic.Pointer[tagList]
	embargoes   map[attest.Digest]*Embargo // by patch; "": of the product
	unembargoed *policy.Embargoes          // of a patch that has none of its own

	changed int64                   // newest record that changed what lists show
	all     int64                   // newest record that every decision of the product could depend on
	touched map[attest.Digest]int64 // newest record that only this patch's could

	gathered gathered
}

func newRepository(name, product string) *repository {
	return &repository{
		name: name, product: product,
		blobs: make(map[attest.Digest]Blob), sizes: make(map[string]int64), aliases: make(map[string]attest.Digest),
		manifests: make(map[attest.Digest]*Manifest), visible: make(map[attest.Digest]bool),
		tags: make(map[string]attest.Digest), named: make(map[string]string), tagged: make(map[string]time.Time), idle: make(map[attest.Digest]time.Time),
		holders:   make(map[attest.Digest][]attest.Digest),
		referrers: make(map[string][]attest.Digest), carriers: make(map[attest.Digest]attest.Digest), lints: make(map[attest.Digest]*policy.Lint),
		pool: &policy.Pool{}, rebuilt: make(map[attest.Digest]bool), measured: make(map[attest.Digest][]attest.Digest),
		admitted: make(map[attest.Digest]bool), touched: make(map[attest.Digest]int64),
		embargoes: make(map[attest.Digest]*Embargo), unembargoed: policy.NewEmbargoes(nil, nil),
	}
}

// manifestPut makes a manifest visible. The same again changes nothing.
func (s *State) manifestPut(r ledger.Record, b *ledger.ManifestPut) (change, error) {
	repo := s.repositories[b.Repository]
	if repo == nil {
		return nil, fmt.Errorf("repository %q is not known", b.Repository)
	}
	raw, err := s.blobs.Get(b.Digest)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	m, err := ParseManifest(raw, b.MediaType)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", b.Digest, err)
	}
	m.Repository, m.By = repo.name, b.By
	if err := checkAlias(b.SHA512); err != nil {
		return nil, err
	}
	return func() {
		repo.alias(b.SHA512, b.Digest)
		repo.put(m, r)
	}, nil
}

func (repo *repository) put(m *Manifest, r ledger.Record) {
	d, sequence := m.Artifact.Manifest, r.Sequence
	repo.changed, repo.idle[d] = sequence, r.Time
	if repo.visible[d] {
		return
	}
	if repo.manifests[d] == nil {
		for _, named := range m.References {
			blob := repo.resolved(named)
			if held := repo.holders[blob]; len(held) == 0 || held[len(held)-1] != d { // it may name a blob twice
				repo.holders[blob] = append(held, d)
			}
		}
		if m.SubjectName != "" {
			repo.referrers[m.SubjectName] = append(repo.referrers[m.SubjectName], d)
		}
	}
	m.Bundle = repo.carriers[d]
	repo.manifests[d], repo.visible[d] = m, true
	switch m.Type {
	case attest.ArtifactPatch:
		repo.touchPatch(d, sequence)
	case attest.ArtifactBase:
		repo.all = sequence
	}
}

// addOnce returns list with d; what was handed out of list stays as it is. It
// looks at all of list: it is for short ones.
func addOnce(list []attest.Digest, d attest.Digest) []attest.Digest {
	if slices.Contains(list, d) {
		return list
	}
	return append(list, d)
}

func (s *State) tagMoved(r ledger.Record, b *ledger.TagMoved) (change, error) {
	repo := s.repositories[b.Repository]
	switch {
	case repo == nil:
		return nil, fmt.Errorf("repository %q is not known", b.Repository)
	case b.Tag == "":
		return nil, fmt.Errorf("no tag")
	case repo.manifests[b.Digest] == nil:
		return nil, fmt.Errorf("manifest %s is not known in %s", b.Digest, b.Repository)
	case b.SHA512 != "" && repo.aliases[b.SHA512] != b.Digest:
		return nil, fmt.Errorf("manifest %s was not put under %.200s", b.Digest, b.SHA512)
	}
	return func() {
		repo.untag(b.Tag, r.Time)
		if b.SHA512 != "" {
			repo.named[b.Tag] = b.SHA512
		}
		repo.tags[b.Tag], repo.tagged[b.Tag] = b.Digest, r.Time
		repo.changed = r.Sequence
	}, nil
}

// untag takes a tag away, if it is there.
func (repo *repository) untag(tag string, at time.Time) {
	if d, ok := repo.tags[tag]; ok {
		repo.idle[d] = at
		delete(repo.tags, tag)
		delete(repo.named, tag)
		delete(repo.tagged, tag)
	}
}

// deleted hides a manifest with the tags that name it, or a tag alone. What is
// hidden already stays so.
func (s *State) deleted(r ledger.Record, b *ledger.Deleted) (change, error) {
	repo := s.repositories[b.Repository]
	switch {
	case repo == nil:
		return nil, fmt.Errorf("repository %q is not known", b.Repository)
	case (b.Tag == "") == (b.Digest == ""):
		return nil, fmt.Errorf("a tag or a manifest is deleted, and not both")
	case b.Tag != "":
		return func() {
			repo.untag(b.Tag, r.Time)
			repo.changed = r.Sequence
		}, nil
	case repo.manifests[b.Digest] == nil:
		return nil, fmt.Errorf("manifest %s is not known in %s", b.Digest, b.Repository)
	}
	return func() {
		delete(repo.visible, b.Digest)
		repo.changed = r.Sequence
		for tag, d := range repo.tags {
			if d == b.Digest {
				repo.untag(tag, r.Time)
			}
		}
		if repo.manifests[b.Digest].Type == attest.ArtifactPatch {
			repo.touchPatch(b.Digest, r.Sequence)
		}
	}, nil
}

// touch notes that what is known about a manifest changed. What is known of a
// patch matters to that patch alone; anything else may be what other patches
// and the records of hosts stand on.
func (repo *repository) touch(about attest.Digest, sequence int64) {
	if m := repo.manifests[about]; m != nil && m.Type == attest.ArtifactPatch {
		repo.touchPatch(about, sequence)
		return
	}
	repo.all = sequence
}

func (repo *repository) touchPatch(d attest.Digest, sequence int64) {
	repo.touched[d] = sequence
	repo.gathered.forgetPatch(d)
}

func (repo *repository) touchAll(sequence int64) { repo.all = sequence }

func (repo *repository) epoch(d attest.Digest) int64 { return max(repo.all, repo.touched[d]) }

// Epoch returns the evidence epoch of an artifact: the sequence of the newest
// record that changed what is known about it, its base, its environment, its
// builder image, or the product's trust and revocations; 0: not known.
func (s *State) Epoch(repository string, d attest.Digest) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return 0
	}
	return repo.epoch(d)
}

// Changed returns the sequence of the newest record that changed which
// manifests and tags a repository shows, or what one carries; 0: none.
func (s *State) Changed(repository string) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return 0
	}
	return repo.changed
}

// Manifest returns a manifest that is visible: journaled, and not deleted.
func (s *State) Manifest(repository string, d attest.Digest) (*Manifest, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil || !repo.visible[d] {
		return nil, false
	}
	return repo.manifests[d], true
}

// Tag returns the visible manifest a tag names.
func (s *State) Tag(repository, tag string) (attest.Digest, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil || !repo.visible[repo.tags[tag]] {
		return "", false
	}
	return repo.tags[tag], true
}

// PlainTag is Tag for tags that answer with the digest: not for one that was
// set under a sha512, whose answers name that.
func (s *State) PlainTag(repository, tag string) (attest.Digest, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil || !repo.visible[repo.tags[tag]] || repo.named[tag] != "" {
		return "", false
	}
	return repo.tags[tag], true
}

// Named returns the sha512 that a tag answers with; "": with the digest.
func (s *State) Named(repository, tag string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if repo := s.served(repository); repo != nil {
		return repo.named[tag]
	}
	return ""
}

// Repositories returns the repositories of the products that are served, sorted.
func (s *State) Repositories() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	for name := range s.repositories {
		if s.served(name) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Manifests returns the visible manifests of a repository of one artifact
// type, sorted by digest.
func (s *State) Manifests(repository, artifactType string) []*Manifest {
	return s.some(repository, func(m *Manifest) bool { return m.Type == artifactType })
}

// Visible returns every visible manifest of a repository, sorted by digest.
func (s *State) Visible(repository string) []*Manifest {
	return s.some(repository, func(*Manifest) bool { return true })
}

func (s *State) some(repository string, wanted func(*Manifest) bool) []*Manifest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return nil
	}
	var all []*Manifest
	for d := range repo.visible {
		if m := repo.manifests[d]; wanted(m) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, byDigest)
	return all
}

// Idle returns when a manifest was put, or a tag was taken from it, whichever
// was later.
func (s *State) Idle(repository string, d attest.Digest) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return time.Time{}
	}
	return repo.idle[d]
}

// Tagged returns when a tag came to name what it names.
func (s *State) Tagged(repository, tag string) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return time.Time{}
	}
	return repo.tagged[tag]
}

// Referencing returns the visible manifests of a repository that reference a
// blob or manifest, sorted by digest.
func (s *State) Referencing(repository string, blob attest.Digest) []*Manifest {
	return s.AppendReferencing(nil, repository, blob)
}

// AppendReferencing appends the same to list: where there is room, nothing is
// made for it.
func (s *State) AppendReferencing(list []*Manifest, repository string, blob attest.Digest) []*Manifest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return list
	}
	return repo.pick(list, repo.holders[blob])
}

// Referrers returns the visible manifests of a repository whose subject is
// this one, named by its sha256 or its sha512, and those that a client listed
// under its tag, sorted by digest. The subject itself may be unknown.
func (s *State) Referrers(repository, subject string) []*Manifest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return nil
	}
	all := repo.referrers[subject]
	if d, ok := repo.aliases[subject]; ok {
		all = slices.Concat(all, repo.referrers[string(d)])
	}
	if listed := repo.listed(subject); listed != nil {
		all = slices.Concat(all, listed)
		slices.Sort(all)
		all = slices.Compact(all)
	}
	return repo.pick(nil, all)
}

// listed returns what a client that does not know the referrers API lists as
// attached to a subject: the manifests of the index under the tag that is made
// of the subject's digest (OCI distribution spec v1.1, Referrers Tag Schema).
func (repo *repository) listed(subject string) []attest.Digest {
	index := repo.manifests[repo.tags[fallbackTag(subject)]]
	if index == nil || !repo.visible[index.Artifact.Manifest] {
		return nil
	}
	var all []attest.Digest
	for _, child := range index.Manifests {
		all = append(all, repo.resolved(child.Name))
	}
	return all
}

// maxTag is how many characters of a tag are made of a digest.
const maxTag = 128

// fallbackTag is the tag that lists the referrers of a subject.
func fallbackTag(subject string) string {
	tag := strings.Replace(subject, ":", "-", 1)
	return tag[:min(len(tag), maxTag)]
}

// pick appends the visible ones of digests to list, sorted.
func (repo *repository) pick(list []*Manifest, digests []attest.Digest) []*Manifest {
	before := len(list)
	for _, d := range digests {
		if repo.visible[d] {
			list = append(list, repo.manifests[d])
		}
	}
	slices.SortFunc(list[before:], byDigest)
	return list
}

func byDigest(a, b *Manifest) int { return cmp.Compare(a.Artifact.Manifest, b.Artifact.Manifest) }
