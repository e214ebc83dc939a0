package mirror

import (
	"fmt"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// What a rebuild left behind comes before the statement that names it: admission
// asks for it.
func TestRebuildsComeBeforeWhatIsSaidOfThem(t *testing.T) {
	for i := range 16 { // whatever their digests are
		patch := made(t, attest.ArtifactPatch, "patch", "")
		left := made(t, attest.ArtifactRebuild, fmt.Sprint("left ", i), patch.digest())
		said := made(t, attest.ArtifactBundle, fmt.Sprint("said ", i), patch.digest())
		list := inOrder(map[attest.Digest]*manifest{patch.digest(): patch, left.digest(): left, said.digest(): said})
		if list[0] != patch || list[1] != left || list[2] != said {
			t.Errorf("%d: sent in the order %s, %s, %s", i, list[0].typ(), list[1].typ(), list[2].typ())
		}
	}
}

func made(t *testing.T, typ, content string, subject attest.Digest) *manifest {
	t.Helper()
	m := &manifest{ArtifactType: typ, descriptor: Descriptor{Digest: attest.DigestOf([]byte(content))}}
	if subject != "" {
		m.Subject = &part{Descriptor: Descriptor{Digest: subject}}
	}
	return m
}
