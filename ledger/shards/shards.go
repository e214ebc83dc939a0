// Package shards keeps the list of a server's logs. A server begins with one.
// When its key has to change, or it has grown enough, that log is frozen at its
// last checkpoint and another, of another origin and key, takes the entries:
// each is a shard. Frozen ones are read for ever, because evidence rests on
// them; docs/log-backends.md, "Shards".
//
// The list is one file, replaced whole: replacing it is the one step by which a
// log is frozen and the next begins. Keys and directories of shards are named
// in it and never renamed. A server with one log has no file.
package shards

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// Names in a data directory.
const (
	listFile = "shards.json"
	nextFile = "next-shard.json"
)

const (
	maxSize   = 1 << 20
	maxShards = 256
)

// External is where a log is kept whose key somebody else has: in their Rekor,
// with a mirror in its directory.
const External = "rekor"

// A Shard is one log of a server.
type Shard struct {
	Origin  string    `json:"origin"`
	Key     []byte    `json:"key"` // SPKI DER, Ed25519
	Start   time.Time `json:"start"`
	Dir     string    `json:"directory"` // of its files, below the data directory
	KeyFile string    `json:"keyFile"`   // of its private key, in the directory of keys
	// Kept says where its files are: "" for the disk.
	Kept string `json:"kept,omitzero"`
	// Final is the last checkpoint, for ever, of a shard that is frozen.
	Final string `json:"final,omitzero"`
}

// A List is all logs of a server, oldest first. All but the last are frozen;
// the last takes the entries.
type List struct {
	Shards []Shard `json:"shards"`
}

// New returns the shard of an origin and key that begins at start, with the
// names that are its own.
func New(origin string, key crypto.PublicKey, start time.Time) (Shard, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Shard{}, fmt.Errorf("key of log %s: %w", origin, err)
	}
	s := Shard{
		Origin: origin, Key: der, Start: start.UTC().Truncate(time.Second),
		Dir: "log-" + origin, KeyFile: KeyFile(origin),
	}
	return s, s.check()
}

// KeyFile is the name of the private key of a shard that is not the first.
func KeyFile(origin string) string { return "log-" + origin + ".pem" }

// LogKey is what others trust of a shard.
func (s *Shard) LogKey() (ledger.LogKey, error) {
	k, err := x509.ParsePKIXPublicKey(s.Key)
	if err != nil {
		return ledger.LogKey{}, fmt.Errorf("key of log %s: %w", s.Origin, err)
	}
	if _, ok := k.(ed25519.PublicKey); !ok && s.Kept != External {
		return ledger.LogKey{}, fmt.Errorf("key of log %s is not an Ed25519 key", s.Origin)
	}
	key := ledger.LogKey{Origin: s.Origin, Key: k, Start: s.Start}
	_, err = key.Verifier()
	return key, err
}

// Checkpoint is the final one of a frozen shard.
func (s *Shard) Checkpoint() (*ledger.Checkpoint, error) {
	k, err := s.LogKey()
	if err != nil {
		return nil, err
	}
	return ledger.OpenCheckpoint([]byte(s.Final), []ledger.LogKey{k})
}

// name matches what a shard's directory and key file can be called.
var name = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

func (s *Shard) check() error {
	if err := ledger.CheckOrigin(s.Origin); err != nil {
		return err
	}
	if !name.MatchString(s.Dir) || !name.MatchString(s.KeyFile) {
		return fmt.Errorf("log %s: %.80q and %.80q are no names of a directory and a file", s.Origin, s.Dir, s.KeyFile)
	}
	if s.Start.IsZero() {
		return fmt.Errorf("log %s has no start", s.Origin)
	}
	if _, err := s.LogKey(); err != nil || s.Final == "" {
		return err
	}
	_, err := s.Checkpoint()
	return err
}

// Current is the shard that takes entries.
func (l *List) Current() *Shard { return &l.Shards[len(l.Shards)-1] }

// Frozen are the others.
func (l *List) Frozen() []Shard { return l.Shards[:len(l.Shards)-1] }

// LogKeys are the logs whose evidence counts, oldest first.
func (l *List) LogKeys() ([]ledger.LogKey, error) {
	var keys []ledger.LogKey
	for i := range l.Shards {
		k, err := l.Shards[i].LogKey()
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Freeze returns the list in which the current log ends with final, and next
// takes the entries. What is in l stays as it is.
func (l *List) Freeze(final *ledger.Checkpoint, next Shard) (*List, error) {
	all := append(append([]Shard(nil), l.Shards...), next)
	all[len(all)-2].Final = string(final.Raw)
	n := &List{Shards: all}
	return n, n.check()
}

// check reports an error unless every log but the last is frozen, and no two
// share an origin, a key, or a name.
func (l *List) check() error {
	if len(l.Shards) == 0 || len(l.Shards) > maxShards {
		return fmt.Errorf("%d logs, want 1 to %d", len(l.Shards), maxShards)
	}
	seen := make(map[string]string)
	for i := range l.Shards {
		s := &l.Shards[i]
		if err := s.check(); err != nil {
			return err
		}
		if frozen := s.Final != ""; frozen != (i < len(l.Shards)-1) {
			return fmt.Errorf("log %s, number %d of %d: every log but the last is frozen, and has a final checkpoint", s.Origin, i+1, len(l.Shards))
		}
		for _, own := range []string{"origin " + s.Origin, "key " + string(s.Key), "directory " + s.Dir, "key file " + s.KeyFile} {
			if other, taken := seen[own]; taken {
				return fmt.Errorf("logs %s and %s share origin, key, directory or key file", other, s.Origin)
			}
			seen[own] = s.Origin
		}
	}
	return nil
}

// Load returns the list kept in a data directory, or nil if there is none: then
// there was never more than one log. What is returned survives a power cut, also
// where whoever stored it was killed before it did.
func Load(data string) (*List, error) { return loadList(disk.OS{}, data) }

func loadList(fsys disk.FS, data string) (*List, error) {
	l := &List{}
	if ok, err := load(fsys, filepath.Join(data, listFile), l); !ok || err != nil {
		return nil, err
	}
	if err := fsys.SyncDir(data); err != nil {
		return nil, fmt.Errorf("making the list of logs durable: %w", err)
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("list of logs %s: %w", filepath.Join(data, listFile), err)
	}
	return l, nil
}

// Store replaces the list in a data directory, durably.
func (l *List) Store(data string) error { return l.store(disk.OS{}, data) }

func (l *List) store(fsys disk.FS, data string) error {
	if err := l.check(); err != nil {
		return fmt.Errorf("list of logs: %w", err)
	}
	return store(fsys, filepath.Join(data, listFile), l)
}

// Next returns the shard that was prepared to be the next one, or nil.
func Next(data string) (*Shard, error) {
	s := &Shard{}
	if ok, err := load(disk.OS{}, filepath.Join(data, nextFile), s); !ok || err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("next log %s: %w", filepath.Join(data, nextFile), err)
	}
	return s, nil
}

// Prepare remembers the shard that will be the next one. Another that was
// prepared stays (fs.ErrExist): others may have been told of it.
func (s *Shard) Prepare(data string) error {
	if err := s.check(); err != nil {
		return err
	}
	b, err := strictjson.Canonical(s)
	if err == nil {
		err = keyfile.WriteNew(filepath.Join(data, nextFile), b)
	}
	if err != nil {
		return fmt.Errorf("preparing the next log: %w", err)
	}
	return nil
}

// Begun forgets what was prepared, because it has begun.
func Begun(data string) error {
	if err := os.Remove(filepath.Join(data, nextFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the next log: %w", err)
	}
	return nil
}

func load(fsys disk.FS, path string, v any) (ok bool, err error) {
	b, err := fsys.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = strictjson.Unmarshal(b, maxSize, v)
	}
	if err != nil {
		return false, fmt.Errorf("reading the list of logs %s: %w", path, err)
	}
	return true, nil
}

func store(fsys disk.FS, path string, v any) error {
	b, err := strictjson.Canonical(v)
	if err == nil && len(b) > maxSize {
		err = fmt.Errorf("%d bytes, and no more than %d are read again", len(b), maxSize)
	}
	if err == nil {
		err = disk.WriteFile(fsys, path+".new", path, b)
	}
	if err != nil {
		return fmt.Errorf("writing the list of logs: %w", err)
	}
	return nil
}
