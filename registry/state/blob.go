package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// A Blob is one that is in a repository.
type Blob struct {
	Digest attest.Digest
	Size   int64     // bytes
	By     string    // principal id of who put it there first
	Since  time.Time // when it was put there, or put there again
	SHA512 string    // what it was pushed under; "": its digest
}

const sha512Prefix = "sha512:"

// ParseName reads a digest as clients may name a blob or a manifest by: our
// own form, or a sha512, which is an alias and never an identity. Exactly one
// of the two is set.
func ParseName(s string) (d attest.Digest, sha512 string, err error) {
	if !strings.HasPrefix(s, sha512Prefix) {
		d, err = attest.ParseDigest(s)
		return d, "", err
	}
	if err := checkAlias(s); err != nil {
		return "", "", err
	}
	return "", s, nil
}

// checkAlias refuses what is neither "" nor the one form of a sha512.
func checkAlias(s string) error {
	if s == "" {
		return nil
	}
	h, ok := strings.CutPrefix(s, sha512Prefix)
	if sum, err := hex.DecodeString(h); !ok || err != nil || len(sum) != 64 || strings.ToLower(h) != h {
		return fmt.Errorf("digest %.200q is not sha512: and 128 lower-case hex digits", s)
	}
	return nil
}

// blobPut puts a blob into a repository. The same again counts as new for
// collection, and changes nothing else.
func (s *State) blobPut(r ledger.Record, b *ledger.BlobPut) (change, error) {
	repo := s.repositories[b.Repository]
	switch {
	case repo == nil:
		return nil, fmt.Errorf("repository %q is not known", b.Repository)
	case b.Digest == "":
		return nil, errors.New("no digest")
	case b.Size < 0:
		return nil, fmt.Errorf("size %d is negative", b.Size)
	}
	if have, ok := repo.blobs[b.Digest]; ok && have.Size != b.Size {
		return nil, fmt.Errorf("blob %s has %d bytes, and had %d", b.Digest, b.Size, have.Size)
	}
	if err := checkAlias(b.SHA512); err != nil {
		return nil, err
	}
	return func() {
		repo.alias(b.SHA512, b.Digest)
		have, ok := repo.blobs[b.Digest]
		if !ok {
			have = Blob{Digest: b.Digest, Size: b.Size, By: b.By}
			s.copies[b.Digest]++
			repo.size += b.Size
			repo.sizes[b.By] += b.Size
		}
		have.Since, have.SHA512 = r.Time, b.SHA512
		repo.blobs[b.Digest] = have
	}, nil
}

// blobRemoved takes a blob out of a repository.
func (s *State) blobRemoved(_ ledger.Record, b *ledger.BlobRemoved) (change, error) {
	repo := s.repositories[b.Repository]
	if repo == nil {
		return nil, fmt.Errorf("repository %q is not known", b.Repository)
	}
	have, ok := repo.blobs[b.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s is not in %s", b.Digest, b.Repository)
	}
	return func() {
		delete(repo.blobs, b.Digest)
		repo.size -= have.Size
		if repo.sizes[have.By] -= have.Size; repo.sizes[have.By] == 0 {
			delete(repo.sizes, have.By)
		}
		if s.copies[b.Digest]--; s.copies[b.Digest] == 0 {
			delete(s.copies, b.Digest)
		}
	}, nil
}

// alias notes that a digest was pushed under a sha512. Manifests that name it
// so and came first, as those with a foreign layer may, hold it from here on.
func (repo *repository) alias(sha512 string, d attest.Digest) {
	if sha512 == "" {
		return
	}
	repo.aliases[sha512] = d
	for _, holder := range repo.holders[attest.Digest(sha512)] {
		repo.holders[d] = addOnce(repo.holders[d], holder)
	}
}

// resolved returns the digest that something is named by; a name of nothing
// known stays what it is.
func (repo *repository) resolved(name string) attest.Digest {
	if d, ok := repo.aliases[name]; ok {
		return d
	}
	return attest.Digest(name)
}

// Resolve returns the digest of what is known in a repository under a sha512.
func (s *State) Resolve(repository, sha512 string) (attest.Digest, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return "", false
	}
	d, ok := repo.aliases[sha512]
	return d, ok
}

// Blob returns a blob that is in a repository.
func (s *State) Blob(repository string, d attest.Digest) (Blob, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return Blob{}, false
	}
	b, ok := repo.blobs[d]
	return b, ok
}

// Blobs returns the blobs that are in a repository, sorted by digest.
func (s *State) Blobs(repository string) []Blob {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return nil
	}
	all := make([]Blob, 0, len(repo.blobs))
	for _, b := range repo.blobs {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Blob) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return all
}

// Stored reports whether a blob is in any repository, served or not: then its
// bytes have to stay.
func (s *State) Stored(d attest.Digest) bool { return s.Copies(d) > 0 }

// Copies returns how many repositories, served or not, a blob is in.
func (s *State) Copies(d attest.Digest) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.copies[d]
}

// Usage returns the bytes of the blobs in a repository, in all and those that
// one principal put there. A blob counts once, for who put it there first.
func (s *State) Usage(repository, principal string) (all, own int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return 0, 0
	}
	return repo.size, repo.sizes[principal]
}
