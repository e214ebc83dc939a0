package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// rebuilds are what was said about rebuilds of one artifact, and what it came to
// when it was gathered.
type rebuilds struct {
	said  []said
	tally tally
}

// A said is a rebuild/v1 or an adjudication/v1, and when it took effect.
type said struct {
	*verify.Evidence
	at time.Time
}

// A rebuilt is what a rebuild is held against: the artifact and what its own
// publishers say of it.
type rebuilt struct {
	kind                  string // artifactType
	manifest, file        attest.Digest
	environment, unsigned attest.Digest // unsigned: of a patch
	by                    [3]attest.Digest
}

// rebuilt returns what rebuilds of the base are held against.
func (b *Base) rebuilt() rebuilt {
	r := rebuilt{kind: attest.ArtifactBase, manifest: b.Artifact.Manifest, file: b.Artifact.File, by: [3]attest.Digest{b.Statement.Signer(), b.Provenance.Signer(), b.Import.Signer()}}
	if s := verify.As[attest.Base](b.Statement); s != nil {
		r.environment = s.Environment
	}
	return r
}

// rebuilt returns the same of a patch.
func (p *Patch) rebuilt() rebuilt {
	r := rebuilt{kind: attest.ArtifactPatch, manifest: p.Artifact.Manifest, file: p.Artifact.File, by: [3]attest.Digest{p.Statement.Signer(), p.Provenance.Signer(), p.Import.Signer()}}
	if s := verify.As[attest.LivePatch](p.Statement); s != nil {
		r.environment, r.unsigned = s.Environment, s.Unsigned
	}
	return r
}

// rebuilds gathers what p has about r.
func (g *gathering) rebuilds(r rebuilt, p *Pool) (all rebuilds) {
	for _, e := range p.About(r.manifest) {
		if isAboutRebuild(e) {
			all.said = append(all.said, said{e, p.effective(e)})
		}
	}
	all.tally = g.tally(r, all.said)
	return all
}

// Missing says who counts of those who reproduced the patch, and what is missing,
// where a quorum is asked for and not reached; "" elsewhere.
func (p *Patch) Missing() string {
	if p == nil {
		return ""
	}
	return p.rebuilds.tally.got
}

// Missing says the same of a base.
func (b *Base) Missing() string {
	if b == nil {
		return ""
	}
	return b.rebuilds.tally.got
}

// A tally is what rebuilds of an artifact come to, under one gathering.
type tally struct {
	of      rebuilt
	enough  bool               // as many as the product asks for; true where it asks for none
	counted []*verify.Evidence // those who reproduced it, one a principal; where a quorum is asked for, those it is met by
	got     string             // for people: who counts, what is missing
	dispute dispute
}

// A voice is what one principal says of an artifact.
type voice struct {
	who    *principal
	newest said   // of the results that say something of the artifact
	runs   []said // all of those
	unsaid string // why the last of the others do not count
}

// tally counts. What is not proven, of another artifact, or by somebody else, it
// does not hear.
func (g *gathering) tally(r rebuilt, all []said) tally {
	t := tally{of: r}
	if g.trust == nil {
		return t
	}
	q := g.trust.Rebuilds.Of(r.kind)
	if t.enough = q == nil; t.enough && len(all) == 0 {
		return t
	}
	voices := g.hear(r, all)
	t.dispute = g.disputed(r, voices, all)
	want := 1
	if q != nil {
		want = q.Reproduced
	}
	candidates, heard := g.reproducers(r, voices)
	met := independent(candidates, counting(q), want)
	for _, who := range met {
		t.counted = append(t.counted, heard[who].newest.Evidence)
	}
	t.enough = q == nil || len(met) >= q.Reproduced
	if !t.enough {
		t.got = g.shortfall(r, q, met, candidates, voices)
	}
	return t
}

// hear sorts what was said by who said it, in the order of their names.
func (g *gathering) hear(r rebuilt, all []said) []*voice {
	byName := make(map[*principal]*voice)
	for _, s := range all {
		said := verify.As[attest.Rebuild](s.Evidence)
		who := g.trust.signer(s.Signer())
		if said == nil || who == nil {
			continue
		}
		v := byName[who]
		if v == nil {
			v = &voice{who: who}
			byName[who] = v
		}
		if why := g.unheard(r, s, said); why != "" {
			v.unsaid = why
			continue
		}
		v.runs = append(v.runs, s)
		if v.newest.Evidence == nil || later(s.Evidence, v.newest.Evidence) {
			v.newest = s
		}
	}
	var voices []*voice
	for _, v := range byName {
		voices = append(voices, v)
	}
	slices.SortFunc(voices, func(a, b *voice) int { return strings.Compare(a.who.name, b.who.name) })
	return voices
}

// unheard returns why a rebuild says nothing of an artifact; "": it does.
func (g *gathering) unheard(r rebuilt, s said, said *attest.Rebuild) string {
	c := said.Compared
	switch {
	case !g.trusts(attest.RoleRebuilder, s.Evidence):
		return "no role rebuilder at " + s.Time().Format(time.RFC3339)
	case g.revoked.evidence(s.Evidence) != nil:
		return "revoked"
	case s.Subject() != r.manifest || s.File() != r.file || r.file == "":
		return "another artifact"
	case said.Result == attest.BuildFailed || said.Result == attest.NotAttempted:
		return strings.TrimSuffix(said.Result+": "+said.Category, ": ")
	case said.Environment != r.environment || r.environment == "":
		return "environment " + string(said.Environment)
	case c == nil:
		return "nothing compared"
	case c.WithoutSignature != nil && c.WithoutSignature.Wanted != r.unsigned && r.kind == attest.ArtifactPatch:
		return "another file without its signature"
	}
	return ""
}

// later reports whether a was said after b: by their proven times, then by
// their places in the log.
func later(a, b *verify.Evidence) bool {
	return cmp.Or(a.Time().Compare(b.Time()), cmp.Compare(a.LogIndex(), b.LogIndex()), cmp.Compare(a.Payload(), b.Payload())) > 0
}

func (v *voice) result() string {
	if r := verify.As[attest.Rebuild](v.newest.Evidence); r != nil {
		return r.Result
	}
	return ""
}

// reproducers are those whose newest word is that the artifact is reproduced, and
// who may say so of it.
func (g *gathering) reproducers(r rebuilt, voices []*voice) (all []*principal, heard map[*principal]*voice) {
	heard = make(map[*principal]*voice)
	for _, v := range voices {
		heard[v.who] = v
		if v.result() == attest.Reproduced && g.partial(r, v.who) == "" {
			all = append(all, v.who)
		}
	}
	return all, heard
}

// partial returns why somebody's word does not count for an artifact: it is
// their own.
func (g *gathering) partial(r rebuilt, who *principal) string {
	if who.roles[publishing(r.kind)] {
		return "publishes such artifacts"
	}
	for _, id := range r.by {
		if g.trust.signer(id) == who {
			return "signed for it"
		}
	}
	for id, other := range g.trust.who {
		own := slices.Contains(r.by[:], id) || other.roles[publishing(r.kind)]
		if own && other.Operator != "" && other.Operator == who.Operator {
			return "of the publisher's own"
		}
	}
	return ""
}

const maxNotes = 4

// shortfall says what is there, what is missing, and why others do not count.
func (g *gathering) shortfall(r rebuilt, q *attest.Quorum, met, candidates []*principal, voices []*voice) string {
	var names, notes []string
	for _, p := range met {
		names = append(names, p.name)
	}
	var clashes []string
	for _, v := range voices {
		if slices.Contains(met, v.who) {
			continue
		}
		why := v.unsaid
		if result := v.result(); result != "" {
			why = result
		}
		if p := g.partial(r, v.who); p != "" {
			why = p
		}
		if slices.Contains(candidates, v.who) {
			class := clashing(v.who, met, counting(q))
			clashes = append(clashes, class)
			why = class + " " + v.who.Of(class) + " counts already"
		}
		notes = append(notes, v.who.name+" ("+why+")")
	}
	text := fmt.Sprintf("%d of %d wanted", len(met), q.Reproduced)
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	text += "; missing: " + missing(met, clashes, counting(q))
	if more := len(notes) - maxNotes; more > 0 {
		notes = append(notes[:maxNotes], fmt.Sprintf("%d more", more))
	}
	if len(notes) > 0 {
		text += "; not counted: " + strings.Join(notes, ", ")
	}
	return text
}

// clashing returns the class in which one who reproduced it is like one of those
// who count.
func clashing(who *principal, met []*principal, classes []string) string {
	for _, other := range met {
		if class := who.clash(other, classes); class != "" {
			return class
		}
	}
	return classes[0] // no single one: all of them together
}

// missing names the next one who would count.
func missing(met []*principal, clashes, classes []string) string {
	if len(met) == 0 {
		return "a rebuilder who reproduced it"
	}
	if len(clashes) == 0 {
		clashes = classes
	}
	slices.Sort(clashes)
	var all []string
	for _, class := range slices.Compact(clashes) {
		all = append(all, "another "+class)
	}
	return strings.Join(all, " and ")
}
