package damage

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// TestKilledBesideAnUnreadableBook: a server that is killed while it puts an
// unreadable book aside loses no alarm: the next start tells of it.
func TestKilledBesideAnUnreadableBook(t *testing.T) {
	dir, raw := t.TempDir(), []byte("no book")
	if err := os.WriteFile(filepath.Join(dir, bookName), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	killed := &Book{dir: dir, logger: slog.New(slog.DiscardHandler)}
	if _, err := killed.copyAside(raw); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b, err := OpenBook(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := b.Report()
		if f := r.Open(); len(f) != 1 || f[0].Kind != Notes || f[0].Digest != attest.DigestOf(raw) {
			t.Errorf("the next start says %+v", f)
		}
	}
}
