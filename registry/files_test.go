package registry

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/patchfit/patchfit/attest"
)

func newFiles(t *testing.T, content string) (*files, attest.Digest) {
	t.Helper()
	f := &files{dir: t.TempDir(), whole: make(map[attest.Digest]identity)}
	d := attest.DigestOf([]byte(content))
	if err := os.MkdirAll(filepath.Dir(f.path(d)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path(d), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return f, d
}

// TestTrustIsInTheFile: a file that was found whole is not hashed again, and is
// hashed again once anything about it has changed.
func TestTrustIsInTheFile(t *testing.T) {
	f, d := newFiles(t, "content")
	file, id, err := f.find(d)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	if id.inode == 0 || id.size != 7 || id.changed.IsZero() || id.written.IsZero() {
		t.Fatalf("identity %+v", id)
	}
	changes := map[string]func(*identity){
		"device": func(i *identity) { i.device++ }, "inode": func(i *identity) { i.inode++ }, "size": func(i *identity) { i.size++ },
		"written": func(i *identity) { i.written = i.written.Add(1) }, "changed": func(i *identity) { i.changed = i.changed.Add(1) },
	}
	f.remember(d, id)
	if !f.trusted(d, id) || f.trusted(attest.DigestOf(nil), id) {
		t.Error("a file that was found whole is not remembered, or another is")
	}
	for name, change := range changes {
		other := id
		change(&other)
		if f.trusted(d, other) {
			t.Errorf("%s changed, and the file is still trusted", name)
		}
	}
	if err := os.WriteFile(f.path(d), []byte("Content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.open(d); !errors.Is(err, errDamaged) {
		t.Errorf("a file that changed after it was trusted: %v", err)
	}
}

// TestFreshFilesAreHashedAgain: what was changed just now could be changed once
// more without showing.
func TestFreshFilesAreHashedAgain(t *testing.T) {
	f, d := newFiles(t, "content")
	for range 2 {
		file, err := f.open(d)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(file)
		if err != nil || string(b) != "content" {
			t.Errorf("%q, %v", b, err)
		}
		file.Close()
	}
	if len(f.whole) != 0 {
		t.Error("a file changed less than a second ago is trusted")
	}
}

func TestFileErrors(t *testing.T) {
	f, d := newFiles(t, "content")
	if _, err := f.open(attest.DigestOf(nil)); !errors.Is(err, errNoFile) {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, bad := range []attest.Digest{"", "sha256:../../x", "sha512:00"} {
		if _, err := f.open(bad); err == nil || errors.Is(err, errNoFile) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := f.read(d, 3); err == nil {
		t.Error("a file above the limit is read")
	}
	if b, err := f.read(d, 7); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
	if err := f.persist(d); err != nil {
		t.Error(err)
	}
	if cleared, err := f.clear(d); cleared || err != nil {
		t.Errorf("a whole file is cleared away: %v, %v", cleared, err)
	}
	if err := os.WriteFile(f.path(d), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if cleared, err := f.clear(d); !cleared || err != nil {
		t.Errorf("a damaged file stays: %v", err)
	}
}

func TestMemoryOfFilesIsBounded(t *testing.T) {
	f := &files{whole: make(map[attest.Digest]identity)}
	for i := range maxWhole + 10 {
		f.remember(attest.DigestFromSum([]byte{byte(i >> 16), byte(i >> 8), byte(i)}), identity{})
	}
	if len(f.whole) > maxWhole {
		t.Errorf("%d files remembered", len(f.whole))
	}
}

// A plainDriver stores nothing and fails where the directory is missing.
type plainDriver struct {
	storagedriver.StorageDriver
	root   string
	moved  string
	vanish bool // what was moved, and its directory, are gone again
}

func (d *plainDriver) Move(_ context.Context, from, to string) error {
	d.moved = to
	if d.vanish {
		return os.RemoveAll(filepath.Dir(filepath.Join(d.root, to)))
	}
	return os.Rename(filepath.Join(d.root, from), filepath.Join(d.root, to))
}

// TestDurableMakesDirectories: every directory on the way is there before the
// driver is asked, and a failure to sync is an error.
func TestDurableMakesDirectories(t *testing.T) {
	root := t.TempDir()
	inner := &plainDriver{root: root}
	d := &durable{StorageDriver: inner, root: root}
	if err := os.WriteFile(filepath.Join(root, "from"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Move(t.Context(), "/from", "/a/b/c/to"); err != nil || inner.moved != "/a/b/c/to" {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "a/b/c/to")); err != nil {
		t.Error(err)
	}
	if err := d.Move(t.Context(), "/a/b/c/to", "/a/b/c/to/under/a/file"); err == nil {
		t.Error("a directory was made below a file")
	}
	inner.vanish = true
	if err := d.Move(t.Context(), "/a/b/c/to", "/x/to"); err == nil {
		t.Error("a directory that could not be synced is no error")
	}
	if err := syncDir(filepath.Join(root, "nothing")); err == nil {
		t.Error("a directory that is not there was synced")
	}
}

// TestPatientBody: each read gets its time, and the connection has no deadline
// once the body is over.
func TestPatientBody(t *testing.T) {
	var deadlines []time.Time
	p := &patient{io.NopCloser(strings.NewReader("body")), func(at time.Time) error {
		deadlines = append(deadlines, at)
		return nil
	}}
	before := time.Now()
	if b, err := io.ReadAll(p); err != nil || string(b) != "body" {
		t.Fatalf("%q, %v", b, err)
	}
	if n := len(deadlines); n < 3 || !deadlines[n-1].IsZero() {
		t.Fatalf("deadlines %v", deadlines)
	}
	if got := deadlines[0].Sub(before); got < BodyStall || got > BodyStall+time.Minute {
		t.Errorf("the first read may take %v", got)
	}
}
