package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A bench is a patch that fits, of a product that asks for rebuilds, and people
// who rebuild. The patch's publisher is of operator publishers.
type bench struct {
	*scene
	t    *testing.T
	w    *verifytest.World
	runs int
}

// rebuilders are who rebuilds on a bench: name, operator, hosting, toolchain.
var rebuilders = [][4]string{
	{"north", "acme", "hall-1", "debian"},
	{"south", "initech", "hall-2", "debian"},
	{"west", "umbrella", "hall-1", "debian"},
	{"east", "acme", "hall-3", "debian"},
	{"friend", "publishers", "hall-4", "nix"},
}

// newBench returns a bench with these quorums; nil: none is asked for.
func newBench(t *testing.T, base, patch *attest.Quorum) *bench {
	t.Helper()
	s := newScene(t)
	for _, r := range rebuilders {
		s.Signer(r[0]).Independence = attest.Independence{Operator: r[1], Hosting: r[2], Toolchain: r[3]}
		s.product.Authorities[attest.RoleRebuilder] = append(s.product.Authorities[attest.RoleRebuilder], r[0])
	}
	s.Signer("patch").Independence = attest.Independence{Operator: "publishers", Hosting: "hall-9", Toolchain: "guix"}
	s.Signer("base").Independence = attest.Independence{Operator: "baseworks", Hosting: "hall-9", Toolchain: "guix"}
	s.Signer("panel")
	s.product.Authorities[attest.RoleAdjudicator] = []string{"panel"}
	s.product.Rebuilds = attest.Rebuilds{Base: base, Patch: patch}
	s.reload(t)
	x := &bench{scene: s, t: t, w: s.World(s.product, "one")}
	s.publish(t, x.w)
	return x
}

func wanted(n int, differ ...string) *attest.Quorum {
	return &attest.Quorum{Reproduced: n, Differ: append([]string{}, differ...)}
}

func (x *bench) patch() verify.Artifact {
	return verify.Artifact{Manifest: x.w.PatchManifest, File: x.w.PatchFile.Digest}
}

func (x *bench) base() verify.Artifact {
	return verify.Artifact{Manifest: x.w.BaseManifest, File: x.w.BaseFile.Digest}
}

// rebuild returns what it says that a rebuild of about came to this.
func (x *bench) rebuild(about verify.Artifact, result string) *attest.Rebuild {
	x.runs++
	r := &attest.Rebuild{
		Product: x.product.ID, Environment: x.w.EnvFile, Result: result, Log: attest.DigestOf([]byte("log")),
		Run: attest.Run{ID: fmt.Sprint("run ", x.runs), Builder: "https://rebuilder.example"},
	}
	got := about.File
	switch result {
	case attest.Differs:
		got, r.Category, r.Output = attest.DigestOf([]byte("otherwise")), "code", attest.DigestOf([]byte("output"))
	case attest.Equivalent:
		got, r.Normaliser = attest.DigestOf([]byte("otherwise")), &attest.Normaliser{Name: "strip", Digest: attest.DigestOf(nil)}
	case attest.BuildFailed, attest.NotAttempted:
		r.Category = "timeout"
		return r
	}
	r.Compared = &attest.Compared{File: attest.Pair{Wanted: about.File, Got: got}}
	return r
}

// says has somebody say r of an artifact, and has it admitted.
func (x *bench) says(who string, about verify.Artifact, r any) *verify.Evidence {
	x.t.Helper()
	typ := attest.TypeRebuild
	if _, ok := r.(*attest.Adjudication); ok {
		typ = attest.TypeAdjudication
	}
	return x.admit(x.t, x.Bundle(x.Statement(typ, about.Manifest, about.File, r), x.Signer(who)), about)
}

// finds has people say that the patch came to this, with what is changed of it.
func (x *bench) finds(result string, who ...string) {
	x.t.Helper()
	for _, name := range who {
		x.says(name, x.patch(), x.rebuild(x.patch(), result))
	}
}

func (x *bench) findsWith(who, result string, change func(*attest.Rebuild)) *verify.Evidence {
	x.t.Helper()
	r := x.rebuild(x.patch(), result)
	change(r)
	return x.says(who, x.patch(), r)
}

func (x *bench) decides(who, verdict string, outputs ...string) {
	x.t.Helper()
	a := &attest.Adjudication{Product: x.product.ID, Verdict: verdict, Reason: "the panel looked at it"}
	for _, o := range outputs {
		a.Outputs = append(a.Outputs, attest.DigestOf([]byte(o)))
	}
	slices.Sort(a.Outputs)
	x.says(who, x.patch(), a)
}

// answer decides as of so long after the epoch.
func (x *bench) answer(after time.Duration) policy.Decision {
	x.t.Helper()
	f := x.facts(x.t, x.w, x.w)
	f.Now = verifytest.Epoch.Add(after)
	received(f, f.Now)
	d := policy.Decide(f)
	if d2 := policy.Decide(policy.Anew(f)); d2.Allow != d.Allow || len(d2.Reasons) != len(d.Reasons) {
		x.t.Errorf("counted when it was gathered %+v, and anew %+v", d, d2)
	}
	return d
}

// merge gives the key of one signer to another.
func (x *bench) merge(from, to string) {
	p := x.TrustPolicy(x.product)
	at := func(name string) int {
		return slices.IndexFunc(p.Signers, func(s attest.Signer) bool { return s.Name == name })
	}
	p.Signers[at(to)].Keys = append(p.Signers[at(to)].Keys, p.Signers[at(from)].Keys...)
	p.Signers = slices.Delete(p.Signers, at(from), at(from)+1)
	rebuilders := p.Products[0].Authorities[attest.RoleRebuilder]
	p.Products[0].Authorities[attest.RoleRebuilder] = slices.DeleteFunc(slices.Clone(rebuilders), func(n string) bool { return n == from })
	x.trust = policy.NewTrust(p, attest.DigestOf([]byte("trust policy")))
}

// TestQuorum: what counts for a quorum of two, and what does not. Each row that
// is denied has one thing too little.
func TestQuorum(t *testing.T) {
	good := func(x *bench) { x.finds(attest.Reproduced, "north", "south") }
	for name, tt := range map[string]struct {
		quorum *attest.Quorum // nil: two
		does   func(x *bench)
		says   string // "": it is allowed
	}{
		"two of two operators": {nil, good, ""},
		"nobody":               {nil, func(*bench) {}, "0 of 2 wanted; missing: a rebuilder who reproduced it"},
		"one":                  {nil, func(x *bench) { x.finds(attest.Reproduced, "north") }, "1 of 2 wanted: north; missing: another operator"},
		"one, twice":           {nil, func(x *bench) { x.finds(attest.Reproduced, "north", "north") }, "1 of 2 wanted: north; missing: another operator"},
		"one run, logged twice": {nil, func(x *bench) {
			r := x.rebuild(x.patch(), attest.Reproduced)
			x.says("north", x.patch(), r)
			x.says("north", x.patch(), r)
		}, "1 of 2 wanted: north"},
		"two keys of one signer": {nil, func(x *bench) { good(x); x.merge("south", "north") }, "1 of 2 wanted: north"},
		"two of one operator":    {nil, func(x *bench) { x.finds(attest.Reproduced, "north", "east") }, "1 of 2 wanted: east; missing: another operator; not counted: north (operator acme counts already)"},
		"two of one hosting":     {nil, func(x *bench) { x.finds(attest.Reproduced, "north", "west") }, ""},
		"two of one hosting, where that counts": {wanted(2, attest.ClassHosting), func(x *bench) { x.finds(attest.Reproduced, "north", "west") },
			"1 of 2 wanted: north; missing: another hosting; not counted: west (hosting hall-1 counts already)"},
		"of two hostings, where that counts":     {wanted(2, attest.ClassHosting), good, ""},
		"two of one toolchain":                   {wanted(2, attest.ClassHosting, attest.ClassToolchain), good, "missing: another toolchain"},
		"a third makes two that differ in all":   {wanted(2, attest.ClassHosting), func(x *bench) { x.finds(attest.Reproduced, "north", "west", "east") }, ""},
		"the publisher's operator":               {nil, func(x *bench) { x.finds(attest.Reproduced, "north", "friend") }, "friend (of the publisher's own)"},
		"the publisher itself":                   {nil, publisherRebuilds, "north (publishes such artifacts)"},
		"another who may publish":                {nil, mayPublish, "south (publishes such artifacts)"},
		"somebody of who may publish":            {nil, colleague, "north (of the publisher's own)"},
		"equivalent":                             {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.finds(attest.Equivalent, "south") }, "south (equivalent)"},
		"it differs":                             {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.finds(attest.Differs, "south") }, "south (differs)"},
		"the build failed":                       {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.finds(attest.BuildFailed, "south") }, "south (build-failed: timeout)"},
		"not attempted":                          {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.finds(attest.NotAttempted, "south") }, "south (not-attempted: timeout)"},
		"reproduced once, and otherwise since":   {nil, func(x *bench) { good(x); x.finds(attest.Differs, "south") }, "south (differs)"},
		"otherwise once, and reproduced since":   {nil, func(x *bench) { x.finds(attest.Differs, "south"); good(x) }, ""},
		"reproduced, and failed since":           {nil, func(x *bench) { good(x); x.finds(attest.BuildFailed, "south") }, ""},
		"in another environment":                 {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.elsewhere("south") }, "south (environment sha256:"},
		"of another product":                     {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.foreign("south") }, "south (no role rebuilder"},
		"by one without the role":                {nil, func(x *bench) { x.finds(attest.Reproduced, "north", "revocation") }, "revocation (no role rebuilder"},
		"before its key counts":                  {nil, func(x *bench) { good(x); x.Signer("south").From = verifytest.Epoch.Add(time.Second); x.reload(x.t) }, "south (no role rebuilder"},
		"after its key counts":                   {nil, func(x *bench) { good(x); x.Signer("south").Until = verifytest.Epoch; x.reload(x.t) }, "south (no role rebuilder"},
		"by one who has lost the role":           {nil, func(x *bench) { good(x); x.dismiss("south") }, "1 of 2 wanted: north"},
		"key revoked":                            {nil, func(x *bench) { good(x); x.revoke(x.t, attest.RevokeKey, x.Signer("south").Key.ID()) }, "south (revoked)"},
		"statement revoked":                      {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.revoked1("south") }, "south (revoked)"},
		"without the signature of another patch": {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.unsigned("south", attest.DigestOf(nil)) }, "south (another file without its signature)"},
		"without the signature of this patch":    {nil, func(x *bench) { x.finds(attest.Reproduced, "north"); x.unsigned("south", x.w.Patch.Unsigned) }, ""},
		"of the base, and the patch was asked for": {nil, func(x *bench) {
			for _, who := range []string{"north", "south"} {
				x.says(who, x.base(), x.rebuild(x.base(), attest.Reproduced))
			}
		}, "0 of 2 wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			q := tt.quorum
			if q == nil {
				q = wanted(2)
			}
			x := newBench(t, nil, q)
			tt.does(x)
			d := x.answer(time.Hour)
			switch {
			case tt.says == "":
				if !d.Allow {
					t.Errorf("denied: %v", d.Reasons)
				}
			case d.Allow || len(d.Reasons) != 1 || d.Reasons[0].Reason != verify.RebuildQuorum || d.Reasons[0].Rule != "rebuild-quorum":
				t.Errorf("allowed, or for another reason: %+v", d)
			case !strings.Contains(d.Reasons[0].Got, tt.says):
				t.Errorf("got %q, want it to say %q", d.Reasons[0].Got, tt.says)
			}
		})
	}
}

// publisherRebuilds has who signs the patch rebuild it, too.
func publisherRebuilds(x *bench) {
	x.t.Helper()
	x.product.Authorities[attest.RolePatch] = []string{"patch", "north"}
	x.reload(x.t)
	x.finds(attest.Reproduced, "north", "south")
}

// mayPublish has one rebuild who never published anything, and may.
func mayPublish(x *bench) {
	x.product.Authorities[attest.RolePatch] = []string{"patch", "south"}
	x.reload(x.t)
	x.finds(attest.Reproduced, "north", "south")
}

// colleague has one rebuild whose operator may publish by another signer.
func colleague(x *bench) {
	x.product.Authorities[attest.RolePatch] = []string{"patch", "east"}
	x.reload(x.t)
	x.finds(attest.Reproduced, "north", "south")
}

func (x *bench) elsewhere(who string) {
	x.findsWith(who, attest.Reproduced, func(r *attest.Rebuild) { r.Environment = attest.DigestOf([]byte("another")) })
}

func (x *bench) foreign(who string) {
	x.findsWith(who, attest.Reproduced, func(r *attest.Rebuild) { r.Product = "3b241101-e2bb-4255-8caf-4136c566a962" })
}

func (x *bench) unsigned(who string, wanted attest.Digest) {
	x.findsWith(who, attest.Reproduced, func(r *attest.Rebuild) {
		r.Compared.WithoutSignature = &attest.Pair{Wanted: wanted, Got: wanted}
	})
}

func (x *bench) revoked1(who string) {
	e := x.findsWith(who, attest.Reproduced, func(*attest.Rebuild) {})
	x.revoke(x.t, attest.RevokePayload, e.Payload())
}

func (x *bench) dismiss(who string) {
	all := x.product.Authorities[attest.RoleRebuilder]
	x.product.Authorities[attest.RoleRebuilder] = slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == who })
	x.reload(x.t)
}

// Rebuilds are counted anew where the artifact is another than was gathered: of
// that one nobody said anything.
func TestQuorumIsOfTheArtifact(t *testing.T) {
	for name, change := range map[string]func(f *policy.Facts){
		"another manifest": func(f *policy.Facts) { f.Patch.Artifact.Manifest = attest.DigestOf(nil) },
		"another file":     func(f *policy.Facts) { f.Patch.Artifact.File = attest.DigestOf(nil) },
		"no file":          func(f *policy.Facts) { f.Patch.Artifact.File = "" },
	} {
		x := newBench(t, nil, wanted(1))
		x.finds(attest.Reproduced, "north")
		f := x.facts(t, x.w, x.w)
		if d := policy.Decide(f); !d.Allow {
			t.Fatal(d.Reasons)
		}
		change(f)
		if !denies(policy.Decide(f), "rebuild-quorum") {
			t.Errorf("%s: rebuilds of another artifact count", name)
		}
	}
}

func denies(d policy.Decision, rule string) bool {
	return slices.ContainsFunc(d.Reasons, func(r policy.Finding) bool { return r.Rule == rule })
}

// Whoever signed what the decision stands on does not count, whether or not they
// had the role for it.
func TestSignersOfTheArtifactDoNotCount(t *testing.T) {
	x := newBench(t, nil, wanted(1))
	x.pool = new(policy.Pool)
	x.publish(t, x.w, "patch provenance")
	provenance := x.w.Said()[1]
	provenance.Role = "north"
	x.admit(t, x.Say(provenance), provenance.About)
	x.finds(attest.Reproduced, "north")
	if d := x.answer(time.Hour); !denies(d, "signers-trusted") || !denies(d, "rebuild-quorum") {
		t.Errorf("%+v", d)
	}
}

// TestQuorumOfEither: base and patch are asked for by themselves.
func TestQuorumOfEither(t *testing.T) {
	for _, tt := range []struct {
		base, patch           *attest.Quorum
		baseFound, patchFound bool
		missing               []string // in what order
	}{
		{nil, nil, false, false, nil},
		{wanted(1), nil, false, true, []string{"the base"}},
		{wanted(1), nil, true, false, nil},
		{nil, wanted(1), true, false, []string{"the patch"}},
		{wanted(1), wanted(1), false, false, []string{"the patch", "the base"}},
		{wanted(1), wanted(1), true, true, nil},
	} {
		x := newBench(t, tt.base, tt.patch)
		if tt.baseFound {
			x.says("north", x.base(), x.rebuild(x.base(), attest.Reproduced))
		}
		if tt.patchFound {
			x.finds(attest.Reproduced, "north")
		}
		d := x.answer(time.Hour)
		if len(d.Reasons) != len(tt.missing) || d.Allow != (tt.missing == nil) {
			t.Errorf("%+v: %+v", tt, d)
			continue
		}
		for i, what := range tt.missing {
			if !strings.HasPrefix(d.Reasons[i].Want, "rebuilders that reproduced "+what+" = 1, each of another operator") {
				t.Errorf("%+v: finding %d wants %q", tt, i, d.Reasons[i].Want)
			}
		}
	}
}

// A decision names the rebuilds it stands on, and no others.
func TestQuorumIsEvidence(t *testing.T) {
	x := newBench(t, nil, wanted(1))
	x.finds(attest.Differs, "south")
	e := x.findsWith("north", attest.Reproduced, func(*attest.Rebuild) {})
	all := x.facts(t, x.w, x.w).Evidence()
	if all[len(all)-1] != e.Payload() || len(all) != 7 {
		t.Errorf("stands on %v, want %s last", all, e.Payload())
	}
}

// A base that somebody else reproduced is as assured as can be asked for.
func TestReproducedIsAssurance(t *testing.T) {
	x := newBench(t, nil, nil)
	ask := func() policy.Decision {
		f := x.facts(t, x.w, x.w)
		site := *f.Site
		site.MinimumAssurance.Base = policy.BaseReproduced
		f.Site = &site
		return policy.Decide(f)
	}
	if d := ask(); d.Allow || d.Reasons[0].Reason != verify.LowAssurance {
		t.Errorf("nobody reproduced it: %+v", d)
	}
	x.says("base", x.base(), x.rebuild(x.base(), attest.Reproduced))
	if d := ask(); d.Allow {
		t.Error("its own publisher reproduced it")
	}
	x.says("north", x.base(), x.rebuild(x.base(), attest.Reproduced))
	if d := ask(); !d.Allow {
		t.Errorf("north reproduced it: %v", d.Reasons)
	}
}

// An importer that also rebuilds does not count for what it imported, whether or
// not the trust policy says who its operator is.
func TestAttackImporterReproducesItsOwn(t *testing.T) {
	x := newBench(t, nil, nil)
	x.product.Authorities[attest.RoleRebuilder] = append(x.product.Authorities[attest.RoleRebuilder], string(attest.RoleImport))
	x.reload(t)
	said, _ := x.w.ImportedBase()
	x.admit(t, x.Say(said), said.About)
	x.says(string(attest.RoleImport), x.base(), x.rebuild(x.base(), attest.Reproduced))
	f := x.facts(t, x.w, x.w)
	site := *f.Site
	site.MinimumAssurance.Base = policy.BaseReproduced
	f.Site = &site
	if d := policy.Decide(f); d.Allow {
		t.Error("whoever imported the base is its rebuilder")
	}
	x.says("north", x.base(), x.rebuild(x.base(), attest.Reproduced))
	f = x.facts(t, x.w, x.w)
	f.Site = &site
	if d := policy.Decide(f); !d.Allow {
		t.Errorf("north reproduced it, too: %v", d.Reasons)
	}
}

// TestQuorumAgainstEverySet: at random, who is counted is what somebody finds who
// tries every set of rebuilders.
func TestQuorumAgainstEverySet(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	results := []string{attest.Reproduced, attest.Reproduced, attest.Differs, attest.Equivalent, attest.BuildFailed}
	met := 0
	for range 40 {
		q := wanted(1 + r.IntN(3))
		for _, class := range []string{attest.ClassHosting, attest.ClassToolchain} {
			if r.IntN(3) == 0 {
				q.Differ = append(q.Differ, class)
			}
		}
		if slices.Contains(q.Differ, attest.ClassToolchain) {
			q.Reproduced = min(q.Reproduced, 2) // they are of two
		}
		x := newBench(t, nil, q)
		last := make(map[int]string)
		for range r.IntN(7) {
			who, result := r.IntN(len(rebuilders)), results[r.IntN(len(results))]
			x.findsWith(rebuilders[who][0], result, func(b *attest.Rebuild) { b.Output = "" }) // nothing credible
			if result != attest.BuildFailed {
				last[who] = result
			}
		}
		want := everySet(last, q)
		if got := x.answer(time.Hour); got.Allow != want {
			t.Errorf("%+v of %v: allowed %t, want %t: %v", q, last, got.Allow, want, got.Reasons)
		}
		if want {
			met++
		}
	}
	if met < 5 || met > 35 {
		t.Errorf("%d quorums of 40 were met", met)
	}
}

// everySet looks through all sets of rebuilders for one that is a quorum.
func everySet(last map[int]string, q *attest.Quorum) bool {
	for set := range 1 << len(rebuilders) {
		members, classes := 0, map[string]bool{}
		for i, r := range rebuilders {
			if set&(1<<i) == 0 {
				continue
			}
			members++
			if last[i] != attest.Reproduced || r[1] == "publishers" {
				classes["not one"] = true
			}
			classes["operator "+r[1]] = true
			if slices.Contains(q.Differ, attest.ClassHosting) {
				classes["hosting "+r[2]] = true
			}
			if slices.Contains(q.Differ, attest.ClassToolchain) {
				classes["toolchain "+r[3]] = true
			}
		}
		if members == q.Reproduced && len(classes) == members*(1+len(q.Differ)) && !classes["not one"] {
			return true
		}
	}
	return false
}
