// Package repository is a server's side of the TUF repository: it answers
// reads of what was accepted, and says, by the one key a server has, which
// snapshot is the newest. docs/spec/tuf.md.
//
// A timestamp is good for a day and made again when half of that is over, when
// somebody asks. It is on the disk before it is sent; its version is above the
// one before it and at least the seconds since 1970, so that a server that was
// set back to a backup does not go back in the eyes of clients.
package repository

import (
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/internal/disk"
	"github.com/patchfit/patchfit/ledger/tuf"
)

// Lifetime is how long a timestamp is good for. A server that is cut off from
// its clients, or that somebody stands in front of, can hold back what is new
// for as long.
const Lifetime = 24 * time.Hour

const timestampPath = "timestamp.json"

// A Source says what was accepted.
type Source interface {
	// TUF returns the repository in effect, nil where there is none, and the
	// digests of all that is served, by path.
	TUF() (*tuf.Repository, map[string]attest.Digest)
}

// Blobs is where the bytes are.
type Blobs interface {
	// Get returns the bytes with this digest, hashed again.
	Get(d attest.Digest) ([]byte, error)
}

// Options may be nil.
type Options struct {
	Logger *slog.Logger // of failures that are the server's; nil: silent
}

// A Repository answers requests. It is safe for concurrent use.
type Repository struct {
	dir    string
	source Source
	blobs  Blobs
	keys   func() ([]crypto.Signer, error)
	logger *slog.Logger

	mu        sync.Mutex
	timestamp []byte // the last that was made durable; nil: none was yet
}

// New returns the repository of source. It keeps the last timestamp in dir,
// which exists. keys returns the timestamp keys the server has now: while one
// replaces another, both.
func New(dir string, source Source, blobs Blobs, keys func() ([]crypto.Signer, error), o *Options) *Repository {
	r := &Repository{dir: dir, source: source, blobs: blobs, keys: keys, logger: slog.New(slog.DiscardHandler)}
	if o != nil && o.Logger != nil {
		r.logger = o.Logger
	}
	return r
}

// CanSign returns an error unless the keys the server has now make timestamps
// that count under root.
func (r *Repository) CanSign(root []byte) error {
	keys, err := r.keysOf(root)
	if err != nil {
		return err
	}
	roles, err := tuf.RolesOf(root)
	if err != nil {
		return err
	}
	if role := roles[tuf.RoleTimestamp]; len(keys) < role.Threshold {
		return fmt.Errorf("this server has %d of the timestamp keys the root names, %d are needed", len(keys), role.Threshold)
	}
	return nil
}

// keysOf returns the server's keys that root names for timestamps, each once:
// the copy of a key in another file is no second key.
func (r *Repository) keysOf(root []byte) ([]crypto.Signer, error) {
	have, err := r.keys()
	if err != nil {
		return nil, err
	}
	roles, err := tuf.RolesOf(root)
	if err != nil {
		return nil, err
	}
	var keys []crypto.Signer
	taken := make(map[attest.Digest]bool)
	for _, signer := range have {
		k, err := attest.NewPublicKey(signer.Public())
		if err != nil {
			return nil, err
		}
		for _, named := range roles[tuf.RoleTimestamp].Keys {
			if named.ID() == k.ID() && !taken[k.ID()] {
				taken[k.ID()] = true
				keys = append(keys, signer)
			}
		}
	}
	return keys, nil
}

// ServeHTTP answers reads of paths under the repository's address. There are
// no listings.
func (r *Repository) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the repository is read here; patchfit trust tuf push writes it", http.StatusMethodNotAllowed)
		return
	}
	b, cache, err := r.read(strings.TrimPrefix(req.URL.Path, "/"), time.Now())
	switch {
	case errors.Is(err, errNone):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		r.logger.Error("reading the TUF repository", "err", err)
		http.Error(w, "the repository cannot be read now; the server's log says why", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("ETag", `"`+attest.DigestOf(b).Hex()+`"`)
	http.ServeContent(w, req, "", time.Time{}, strings.NewReader(string(b)))
}

var errNone = errors.New("not in the TUF repository")

// What is named by version or hash never changes; the timestamp may, any time.
const (
	forGood   = "public, max-age=31536000, immutable"
	askAlways = "public, no-cache"
)

func (r *Repository) read(path string, now time.Time) (b []byte, cache string, err error) {
	current, paths := r.source.TUF()
	if current == nil {
		return nil, "", fmt.Errorf("%w: this server has none yet", errNone)
	}
	if path == timestampPath {
		b, err = r.stamp(current, now)
		return b, askAlways, err
	}
	d, ok := paths[path]
	if !ok {
		return nil, "", errNone
	}
	b, err = r.blobs.Get(d)
	return b, forGood, err
}

// stamp returns the timestamp of the snapshot in effect: the one there is, or
// a new one where that is for another snapshot or root, or half over. Where a
// new one cannot be made durable, the old one is served while it is good.
func (r *Repository) stamp(current *tuf.Repository, now time.Time) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timestamp == nil {
		r.timestamp, _ = disk.OS{}.ReadFile(r.file()) // lost or unreadable: a new one is made
	}
	last, err := tuf.OpenTimestamp(current.Root(), r.timestamp)
	usable := err == nil && last.Snapshot == attest.DigestOf(current.Snapshot) && now.Before(last.Expires)
	if usable && last.Expires.Sub(now) > Lifetime/2 && last.Expires.Sub(now) <= Lifetime {
		return r.timestamp, nil
	}
	b, err := r.next(current, now)
	if err != nil && usable {
		r.logger.Error("making a timestamp; the last one is still good", "until", last.Expires, "err", err)
		return r.timestamp, nil
	}
	if err != nil {
		return nil, fmt.Errorf("making a timestamp: %w", err)
	}
	r.timestamp = b
	return b, nil
}

// next makes a timestamp and makes it durable.
func (r *Repository) next(current *tuf.Repository, now time.Time) ([]byte, error) {
	version := now.Unix()
	if h, err := tuf.ReadHeading(tuf.RoleTimestamp, r.timestamp); err == nil { // whoever signed it
		version = max(version, h.Version+1)
	}
	if err := r.CanSign(current.Root()); err != nil {
		return nil, err
	}
	keys, err := r.keysOf(current.Root())
	if err != nil {
		return nil, err
	}
	b, err := tuf.NewTimestamp(version, now.Add(Lifetime), current.Snapshot, keys)
	if err != nil {
		return nil, err
	}
	if _, err := tuf.OpenTimestamp(current.Root(), b); err != nil {
		return nil, err
	}
	return b, disk.WriteFile(disk.OS{}, r.file()+".new", r.file(), b)
}

func (r *Repository) file() string { return filepath.Join(r.dir, timestampPath) }
