package attest

import (
	"cmp"
	"net/url"
	"time"
)

// What came of a rebuild. The last two are about the rebuilder, and say nothing
// of the artifact.
const (
	Reproduced   = "reproduced"    // bit for bit
	Equivalent   = "equivalent"    // alike after a named normaliser; never merged into reproduced
	Differs      = "differs"       // it came out otherwise
	BuildFailed  = "build-failed"  // nothing came out
	NotAttempted = "not-attempted" // it was not tried
)

// Rebuild is the predicate of rebuild/v1: somebody built an artifact again, in
// the environment it names, and this is what came of it. Its subjects are the
// artifact, a base or a live patch, and its one file. docs/spec/rebuild.md.
type Rebuild struct {
	Product     string `json:"product"`
	Environment Digest `json:"environment"` // it was rebuilt in
	Result      string `json:"result"`
	Category    string `json:"category,omitzero"`    // one word for why, as "build-path" or "timeout"; of what is not reproduced
	Explanation string `json:"explanation,omitzero"` // for people, one line
	// Compared is there where something came out.
	Compared   *Compared   `json:"compared,omitzero"`
	Normaliser *Normaliser `json:"normaliser,omitzero"` // of equivalent, and of nothing else
	Log        Digest      `json:"log,omitzero"`        // sha256 of the build's log
	// Output is the manifest of what the rebuild left behind, of type
	// [ArtifactRebuild]: its log and what came out.
	Output Digest `json:"output,omitzero"`
	Run    Run    `json:"run"`
	// Independence is what the rebuilder says of itself, for people. Policy asks
	// the trust policy.
	Independence Independence `json:"independence,omitzero"`
}

// Compared are the digests of the file: those of the artifact, and those of what
// came out. The last three are there where they can be taken.
type Compared struct {
	File             Pair  `json:"file"`
	WithoutSignature *Pair `json:"withoutSignature,omitzero"` // of a kernel module: without an appended signature
	WithoutDebug     *Pair `json:"withoutDebug,omitzero"`     // without debug sections
	Code             *Pair `json:"code,omitzero"`             // and without the bytes of the build-id
}

// A Pair is a digest wanted and one that came out.
type Pair struct {
	Wanted Digest `json:"wanted"`
	Got    Digest `json:"got"`
}

// Alike reports whether both are there and the same.
func (p *Pair) Alike() bool { return p != nil && p.Wanted == p.Got && p.Wanted != "" }

// Same reports whether what came out is the artifact, bit for bit: the file; of
// a signed module, whose signature nobody else can make, the file without it.
func (c *Compared) Same() bool {
	if c == nil {
		return false
	}
	return c.File.Alike() || c.WithoutSignature.Alike()
}

// A Normaliser takes away what may differ, before two files are compared.
type Normaliser struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"` // of the program
}

// A Run is one run of a builder, in SLSA's words.
type Run struct {
	ID         string    `json:"id"`      // the builder's own, another one for each run
	Builder    string    `json:"builder"` // URI
	StartedOn  time.Time `json:"startedOn,omitzero"`
	FinishedOn time.Time `json:"finishedOn,omitzero"`
}

// Independence are the classes in which two rebuilders can differ.
type Independence struct {
	Operator  string `json:"operator,omitzero"`  // who runs it
	Hosting   string `json:"hosting,omitzero"`   // on whose machines
	Toolchain string `json:"toolchain,omitzero"` // where its compilers descend from
}

// The names of these classes.
const (
	ClassOperator  = "operator"
	ClassHosting   = "hosting"
	ClassToolchain = "toolchain"
)

// Of returns what i is in a class; "" where that is not said.
func (i Independence) Of(class string) string {
	switch class {
	case ClassOperator:
		return i.Operator
	case ClassHosting:
		return i.Hosting
	case ClassToolchain:
		return i.Toolchain
	}
	return ""
}

func (i Independence) check(at spot) error {
	for _, class := range []string{ClassOperator, ClassHosting, ClassToolchain} {
		if v := i.Of(class); v != "" {
			if err := at.member(class).token(v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Rebuild) check(at spot) error {
	return cmp.Or(
		at.member("product").uuid(r.Product),
		at.member("environment").digest(r.Environment),
		at.member("result").oneOf(r.Result, Reproduced, Equivalent, Differs, BuildFailed, NotAttempted),
		r.checkWords(at),
		r.checkCompared(at.member("compared")),
		r.checkNormaliser(at.member("normaliser")),
		r.checkLeft(at),
		r.Run.check(at.member("run")),
		r.Independence.check(at.member("independence")),
	)
}

func (r *Rebuild) checkWords(at spot) error {
	category := at.member("category")
	switch {
	case r.Result == Reproduced && r.Category != "":
		return category.errorf("%.80q, and what is reproduced has none", r.Category)
	case r.Category == "" && r.Result != Reproduced && r.Result != Equivalent:
		return category.errorf("missing: why is it %s?", r.Result)
	case r.Category != "":
		if err := category.token(r.Category); err != nil {
			return err
		}
	}
	if r.Explanation == "" {
		return nil
	}
	return at.member("explanation").line(r.Explanation)
}

// compares reports whether something came out to be compared.
func (r *Rebuild) compares() bool {
	return r.Result == Reproduced || r.Result == Equivalent || r.Result == Differs
}

// checkCompared asks that the digests say what the result says.
func (r *Rebuild) checkCompared(at spot) error {
	c := r.Compared
	switch {
	case c == nil && r.compares():
		return at.errorf("missing: what is %s was compared", r.Result)
	case c == nil:
		return nil
	case !r.compares():
		return at.errorf("there, and with %s nothing came out to compare", r.Result)
	}
	if err := c.check(at); err != nil {
		return err
	}
	if c.Same() != (r.Result == Reproduced) {
		return at.errorf("the files are alike: %t, the result is %s", c.Same(), r.Result)
	}
	return nil
}

func (c *Compared) check(at spot) error {
	parts := []struct {
		name string
		pair *Pair
	}{{"file", &c.File}, {"withoutSignature", c.WithoutSignature}, {"withoutDebug", c.WithoutDebug}, {"code", c.Code}}
	for _, p := range parts {
		if p.pair == nil {
			continue
		}
		at := at.member(p.name)
		if err := cmp.Or(at.member("wanted").digest(p.pair.Wanted), at.member("got").digest(p.pair.Got)); err != nil {
			return err
		}
		if c.Same() && !p.pair.Alike() && p.name != "file" {
			return at.errorf("differs, where what it is a part of is alike")
		}
	}
	return nil
}

func (r *Rebuild) checkNormaliser(at spot) error {
	switch n := r.Normaliser; {
	case n == nil && r.Result == Equivalent:
		return at.errorf("missing: under what is it equivalent?")
	case n == nil:
		return nil
	case r.Result != Equivalent:
		return at.errorf("there, and nothing is normalised where the result is %s", r.Result)
	default:
		return cmp.Or(at.member("name").token(n.Name), at.member("digest").digest(n.Digest))
	}
}

// checkLeft asks for the log of a build that ran.
func (r *Rebuild) checkLeft(at spot) error {
	ran := r.Result != NotAttempted
	switch {
	case ran && r.Log == "":
		return at.member("log").errorf("missing: a build that ran has one")
	case !ran && r.Output != "":
		return at.member("output").errorf("there, and nothing was built")
	}
	return cmp.Or(r.Log.optional(at.member("log")), r.Output.optional(at.member("output")))
}

func (d Digest) optional(at spot) error {
	if d == "" {
		return nil
	}
	return at.digest(d)
}

func (r *Run) check(at spot) error {
	if id, err := url.Parse(r.Builder); err != nil || id.Scheme == "" {
		return at.member("builder").errorf("%.80q is not a URI", r.Builder)
	}
	if !r.FinishedOn.IsZero() && r.FinishedOn.Before(r.StartedOn) {
		return at.member("finishedOn").errorf("%s is before startedOn", r.FinishedOn.Format(time.RFC3339))
	}
	return cmp.Or(
		at.member("id").line(r.ID),
		at.member("builder").line(r.Builder),
		optional(r.StartedOn, at.member("startedOn").time),
		optional(r.FinishedOn, at.member("finishedOn").time),
	)
}

func (r *Rebuild) about(at spot, subjects []Subject) error {
	if err := count(at, subjects, 2); err != nil || r.Compared == nil {
		return err
	}
	return secondIs(at, subjects, r.Compared.File.Wanted, "the file it was compared with")
}
