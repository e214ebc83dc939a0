package builder

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/attest"
)

// A Store is a directory of inputs by their digest. It is a cache: what is lost
// is fetched again, and what was changed is found when it is used.
type Store struct{ dir string }

// OpenStore returns the store in dir, which is made.
func OpenStore(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir) // programs that work elsewhere are told of it
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("cache of inputs: %w", err)
	}
	return &Store{dir}, nil
}

func (s *Store) path(d attest.Digest) string { return filepath.Join(s.dir, d.Hex()) }

// Missing returns the inputs that are not in the store with their digest.
func (s *Store) Missing(inputs []Input) []Input {
	var list []Input
	for _, f := range inputs {
		if err := f.verify(s.path(f.Digest)); err != nil {
			list = append(list, f)
		}
	}
	return list
}

// Take reads an input into the store.
func (s *Store) Take(f Input, r io.Reader) error {
	temp, err := s.temp()
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	at := filepath.Join(temp, f.Digest.Hex())
	out, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(r, f.Size+1))
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return s.take(at, f)
}

// take moves a file into the store, if it is the input.
func (s *Store) take(at string, f Input) error {
	if err := f.verify(at); err != nil {
		return err
	}
	if err := os.Chmod(at, 0o644); err != nil {
		return err
	}
	return os.Rename(at, s.path(f.Digest))
}

func (s *Store) temp() (string, error) { return os.MkdirTemp(s.dir, ".partial-*") }

// Open opens an input that was checked.
func (s *Store) Open(f Input) (io.ReadCloser, error) { return os.Open(s.path(f.Digest)) }

// put gives an input another name, as a copy where it cannot be the same file.
func (s *Store) put(f Input, to string) error {
	err := os.Link(s.path(f.Digest), to)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in, err := s.Open(f)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// verify refuses a file that is not the input.
func (f Input) verify(at string) error {
	in, err := os.Open(at)
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, in)
	if err != nil {
		return err
	}
	if got := attest.DigestFromSum(sum.Sum(nil)); n != f.Size || got != f.Digest {
		return fmt.Errorf("%s is %s of %d bytes, want %s of %d", f.Name, got, n, f.Digest, f.Size)
	}
	return nil
}
