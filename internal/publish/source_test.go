package publish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
)

// An archive that changes after it was checked is not attached as the source of
// what another one made.
func TestAttackSourceChangesOnItsWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "source.tar")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	f := File{Source: path, Capture: &build.Capture{Contained: true, Source: attest.DigestOf([]byte("one"))}}
	if err := f.checkSource(); err != nil {
		t.Fatal(err)
	}
	write("two")
	p := &Publisher{} // reaches nobody
	err := p.source(t.Context(), nil, ocispec.Descriptor{}, f)
	if err == nil || !strings.Contains(err.Error(), "is not the source of the captured build") {
		t.Errorf("error %v, want the archive refused before anything is pushed", err)
	}
}
