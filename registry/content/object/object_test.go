package object_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/content/object"
)

// drivers are distribution's own.
func drivers(t *testing.T) map[string]storagedriver.StorageDriver {
	return map[string]storagedriver.StorageDriver{
		"inmemory":   inmemory.New(),
		"filesystem": filesystem.New(filesystem.DriverParameters{RootDirectory: t.TempDir(), MaxThreads: 100}),
	}
}

func open(t *testing.T, d storagedriver.StorageDriver) *content.Store {
	t.Helper()
	b, err := object.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return content.New(b, nil)
}

func put(t *testing.T, s *content.Store, pieces ...[]byte) attest.Digest {
	t.Helper()
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := u.ReadFrom(iotest.HalfReader(bytes.NewReader(p))); err != nil {
			t.Fatal(err)
		}
		if err := u.Rest(); err != nil {
			t.Fatal(err)
		}
	}
	d := attest.DigestOf(bytes.Join(pieces, nil))
	if err := u.Commit(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func read(s *content.Store, d attest.Digest) ([]byte, error) {
	b, err := s.Open(context.Background(), d)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

// TestObjects: what came in goes out, in ranges too, is listed, and goes away.
func TestObjects(t *testing.T) {
	for name, driver := range drivers(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, driver)
			large := bytes.Repeat([]byte("object "), 20_000)
			for _, pieces := range [][][]byte{{nil}, {[]byte("a"), []byte("b")}, {large, []byte("end")}, {large, large}} {
				d, want := put(t, s, pieces...), bytes.Join(pieces, nil)
				for range 2 {
					if got, err := read(s, d); err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%d bytes, want %d: %v", len(got), len(want), err)
					}
				}
				b, err := s.Open(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				if len(want) > 10 {
					if _, err := b.Seek(-5, io.SeekEnd); err != nil {
						t.Fatal(err)
					}
					if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, want[len(want)-5:]) {
						t.Errorf("the end is %q, %v", got, err)
					}
				}
				b.Close()
				if err := s.Check(t.Context(), d, nil); err != nil {
					t.Error(err)
				}
			}
			var all []attest.Digest
			for l, err := range s.List(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, l.Digest)
			}
			if len(all) != 4 {
				t.Errorf("listed %v", all)
			}
			for _, d := range all {
				if err := s.Remove(t.Context(), d); err != nil {
					t.Error(err)
				}
				if _, err := read(s, d); !errors.Is(err, content.ErrNotFound) {
					t.Errorf("after it was removed: %v", err)
				}
			}
		})
	}
}

// TestUnfinished: what was cancelled, or left by an earlier process, is gone.
func TestUnfinished(t *testing.T) {
	for name, driver := range drivers(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, driver)
			for _, rest := range []bool{true, false} {
				u, err := s.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := u.ReadFrom(strings.NewReader("half")); err != nil {
					t.Fatal(err)
				}
				if rest {
					if err := u.Rest(); err != nil {
						t.Fatal(err)
					}
				}
				if err := u.Cancel(t.Context()); err != nil {
					t.Errorf("rest %v: %v", rest, err)
				}
			}
			u, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.ReadFrom(strings.NewReader("half")); err != nil {
				t.Fatal(err)
			}
			if err := u.Rest(); err != nil {
				t.Fatal(err)
			}
			open(t, driver)
			if left, err := driver.List(t.Context(), "/uploads"); len(left) != 0 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

// TestDamage: objects that changed are found, and repaired by the right bytes.
func TestDamage(t *testing.T) {
	for name, driver := range drivers(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, driver)
			b := bytes.Repeat([]byte("object "), 20_000)
			d := put(t, s, b)
			if _, err := read(s, d); err != nil {
				t.Fatal(err)
			}
			p := "/blobs/sha256/" + d.Hex()[:2] + "/" + d.Hex()
			if err := driver.PutContent(t.Context(), p, bytes.ToUpper(b)); err != nil {
				t.Fatal(err)
			}
			if _, err := read(s, d); !errors.Is(err, content.ErrDamaged) {
				t.Errorf("%v", err)
			}
			put(t, s, b)
			if got, err := read(s, d); err != nil || !bytes.Equal(got, b) {
				t.Errorf("after the repair: %v", err)
			}
		})
	}
}

// TestSHA512: bytes that cannot be read again have both digests.
func TestSHA512(t *testing.T) {
	s := open(t, inmemory.New())
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	if got, err := u.SHA512(t.Context()); err != nil || !strings.HasPrefix(got, "sha512:ddaf35a1") {
		t.Errorf("%s, %v", got, err)
	}
	if err := u.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
}

// A failing driver fails to move.
type failing struct{ storagedriver.StorageDriver }

var errFailing = errors.New("503 slow down")

func (failing) Move(context.Context, string, string) error { return errFailing }

// TestMoveFails: what has no name yet is not acknowledged.
func TestMoveFails(t *testing.T) {
	s := open(t, failing{inmemory.New()})
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	d := attest.DigestOf([]byte("x"))
	if err := u.Commit(t.Context(), d); !errors.Is(err, errFailing) {
		t.Errorf("%v", err)
	}
	if _, err := read(s, d); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := u.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
}
