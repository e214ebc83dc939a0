package gate_test

import (
	"fmt"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// rebuildFalls are things of rebuilds that make it another answer.
func rebuildFalls() map[string]fall {
	asked := func(s *scene) { s.takes(s.quorum(1)) }
	reproduced := func(s *scene) { asked(s); s.rebuilt("north", attest.Reproduced) }
	disputed := func(s *scene) { reproduced(s); s.rebuilt("south", attest.Differs); s.rebuilt("south", attest.Differs) }
	return map[string]fall{
		"a rebuild is asked for":         {nothing, asked},
		"a rebuild is no longer asked":   {asked, func(s *scene) { s.takes(func(*attest.TrustPolicy) {}) }},
		"it is reproduced":               {asked, func(s *scene) { s.rebuilt("north", attest.Reproduced) }},
		"one more has to reproduce it":   {reproduced, func(s *scene) { s.takes(s.quorum(2)) }},
		"and one more does":              {func(s *scene) { s.takes(s.quorum(2)); s.rebuilt("north", attest.Reproduced) }, func(s *scene) { s.rebuilt("south", attest.Reproduced) }},
		"the rebuilder's key is revoked": {reproduced, func(s *scene) { s.RevokeIt(attest.RevokeKey, s.Signer("north").Key.ID()) }},
		"it came out otherwise since":    {reproduced, func(s *scene) { s.rebuilt("north", attest.Differs) }},
		"a second run came out otherwise": {func(s *scene) { reproduced(s); s.rebuilt("south", attest.Differs) },
			func(s *scene) { s.rebuilt("south", attest.Differs) }},
		"the pause is over": {func(s *scene) {
			disputed(s)
			time.Sleep(policy.Pause - time.Minute)
			s.says(s.fits, s.fits.Record.BootID)
		}, nothing},
		"dissent is dismissed":  {disputed, func(s *scene) { s.adjudicated(attest.DissentDismissed) }},
		"dissent is withdrawn":  {disputed, func(s *scene) { s.rebuilt("south", attest.Reproduced) }},
		"dissent is upheld":     {reproduced, func(s *scene) { s.adjudicated(attest.DissentUpheld) }},
		"somebody else agrees":  {func(s *scene) { disputed(s); time.Sleep(policy.Pause); s.says(s.fits, s.fits.Record.BootID) }, func(s *scene) { s.rebuilt("west", attest.Differs) }},
		"a rebuild of the base": {func(s *scene) { s.takes(s.quorumOfBase) }, func(s *scene) { s.rebuiltBase("north") }},
	}
}

// quorum returns a change that asks for n rebuilds of patches.
func (s *scene) quorum(n int) func(*attest.TrustPolicy) {
	return func(p *attest.TrustPolicy) {
		s.rebuilders(p)
		p.Products[0].Rebuilds.Patch = &attest.Quorum{Reproduced: n, Differ: []string{}}
	}
}

func (s *scene) quorumOfBase(p *attest.TrustPolicy) {
	s.rebuilders(p)
	p.Products[0].Rebuilds.Base = &attest.Quorum{Reproduced: 1, Differ: []string{}}
}

// rebuilders gives the roles of this page to signers of their own.
func (s *scene) rebuilders(p *attest.TrustPolicy) {
	names := []string{"north", "south", "west"}
	for _, name := range names {
		s.Signer(name).Independence = attest.Independence{Operator: name}
	}
	s.Signer("panel")
	all := s.TrustPolicy(s.Product)
	p.Signers = all.Signers
	p.Products[0].Authorities[attest.RoleRebuilder] = names
	p.Products[0].Authorities[attest.RoleAdjudicator] = []string{"panel"}
}

func (s *scene) rebuilt(who, result string) {
	s.rebuildOf(who, result, verify.Artifact{Manifest: s.fits.PatchManifest, File: s.fits.PatchFile.Digest})
}

func (s *scene) rebuiltBase(who string) {
	s.rebuildOf(who, attest.Reproduced, verify.Artifact{Manifest: s.fits.BaseManifest, File: s.fits.BaseFile.Digest})
}

func (s *scene) rebuildOf(who, result string, about verify.Artifact) {
	pair := attest.Pair{Wanted: about.File, Got: about.File}
	r := &attest.Rebuild{
		Product: s.Product.ID, Environment: s.fits.EnvFile, Result: result, Log: attest.DigestOf(nil),
		Run: attest.Run{ID: fmt.Sprint("run ", len(s.Journal.Records())), Builder: "https://rebuilder.example"},
	}
	if result == attest.Differs {
		r.Category, r.Output, pair.Got = "code", attest.DigestOf(nil), attest.DigestOf([]byte("otherwise"))
	}
	r.Compared = &attest.Compared{File: pair}
	s.SayIt(verifytest.Said{Role: attest.Role(who), Type: attest.TypeRebuild, About: about, Predicate: r})
}

func (s *scene) adjudicated(verdict string) {
	about := verify.Artifact{Manifest: s.fits.PatchManifest, File: s.fits.PatchFile.Digest}
	a := &attest.Adjudication{Product: s.Product.ID, Verdict: verdict, Outputs: []attest.Digest{attest.DigestOf([]byte("otherwise"))}, Reason: "looked at"}
	s.SayIt(verifytest.Said{Role: "panel", Type: attest.TypeAdjudication, About: about, Predicate: a})
}
