package host

import (
	"fmt"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// askForRebuilds signs a trust policy of that version, which asks for a rebuild
// of patches and one of bases.
func (s *server) askForRebuilds(version int64) {
	for _, name := range []string{"north", "south"} {
		s.authority.Signer(name).Independence = attest.Independence{Operator: name}
		s.product.Authorities[attest.RoleRebuilder] = append(s.product.Authorities[attest.RoleRebuilder], name)
	}
	s.product.Rebuilds = attest.Rebuilds{
		Base:  &attest.Quorum{Reproduced: 1, Differ: []string{}},
		Patch: &attest.Quorum{Reproduced: 1, Differ: []string{}},
	}
	s.signPolicy(version, s.root)
}

// rebuilt has the server send what somebody says of a rebuild.
func (s *server) rebuilt(who, result string, manifest, file attest.Digest) {
	pair := attest.Pair{Wanted: file, Got: file}
	r := &attest.Rebuild{
		Product: s.product.ID, Environment: s.world.EnvFile, Result: result, Log: attest.DigestOf(nil),
		Run: attest.Run{ID: fmt.Sprint("run ", len(s.rebuilds)), Builder: "https://rebuilder.example"},
	}
	if result == attest.Differs {
		r.Category, r.Output, pair.Got = "code", attest.DigestOf(nil), attest.DigestOf(nil)
	}
	r.Compared = &attest.Compared{File: pair}
	s.rebuilds = append(s.rebuilds, s.authority.Bundle(s.authority.Statement(attest.TypeRebuild, manifest, file, r), s.authority.Signer(who)))
}

// A host counts rebuilds itself, by the trust policy it pinned: whatever the
// server would hand out.
func TestHostCountsRebuilds(t *testing.T) {
	m := enrolled(t)
	s, w := m.server, m.server.world
	s.rebuilt("base", attest.Reproduced, w.PatchManifest, w.PatchFile.Digest)
	if _, err := m.pull(); err != nil {
		t.Fatalf("nobody asks for rebuilds: %v", err)
	}
	m = enrolled(t)
	s, w = m.server, m.server.world
	s.askForRebuilds(2)
	_, err := m.pull()
	if reasonOf(err) != verify.RebuildQuorum || !strings.Contains(err.Error(), "rebuilders that reproduced the patch") || !strings.Contains(err.Error(), "rebuilders that reproduced the base") {
		t.Errorf("of nothing reproduced: %v", err)
	}
	s.rebuilt("north", attest.Reproduced, w.PatchManifest, w.PatchFile.Digest)
	m.refused(verify.RebuildQuorum)
	s.rebuilt("patch", attest.Reproduced, w.BaseManifest, w.BaseFile.Digest)
	m.refused(verify.RebuildQuorum)
	s.rebuilt("north", attest.Reproduced, w.BaseManifest, w.BaseFile.Digest)
	for range 2 {
		s.rebuilt("south", attest.Differs, w.PatchManifest, w.PatchFile.Digest)
	}
	m.refused(verify.Contested)
	dissent := len(s.rebuilds) - 1
	s.rebuilds = s.rebuilds[:dissent] // one run says little
	p, err := m.pull()
	if err != nil || len(p.Evidence) != 8 {
		t.Errorf("patch and base are reproduced: %v, %+v", err, p)
	}
}
