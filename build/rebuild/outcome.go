package rebuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/compare"
	"github.com/patchfit/patchfit/build/object"
)

// An Outcome is what came of one run.
type Outcome struct {
	Result      string // attest.Reproduced and the others
	Category    string
	Explanation string // one line, for people
	Compared    *attest.Compared
	Same        []string            // digests that are the same: "file", "withoutSignature", "withoutDebug", "code"
	Environment attest.Digest       // it was built in; of a build that failed, that was asked for
	Differences []attest.Difference // between the environment that is recorded and that one
	Normaliser  *attest.Normaliser  // of [attest.Equivalent]
	Log         []byte              // empty where nothing was attempted
	Output      string              // file that came out; "" for none
	Page        []byte              // of files that differ: how, as a page of HTML
	Started     time.Time           // zero where nothing was attempted
	Finished    time.Time
}

// NotAttempted is the outcome of an order that was not carried out, and why.
func NotAttempted(category, fact string) *Outcome {
	o := &Outcome{Result: attest.NotAttempted, Category: category}
	o.explain(fact)
	return o
}

func (r *run) outcome(result string) *Outcome {
	return &Outcome{
		Result: result, Environment: r.environment, Differences: r.differences,
		Started: r.started, Finished: time.Now().UTC().Truncate(time.Second),
	}
}

// maxExplanation is how long a line for people is at most, in bytes.
const maxExplanation = 1000

// explain keeps one line that prints.
func (o *Outcome) explain(s string) {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxExplanation {
		s = strings.ToValidUTF8(s[:maxExplanation], "") + "…"
	}
	o.Explanation = s
}

// made compares what came out with the artifact.
func (r *run) made(ctx context.Context, c *build.Capture) (*Outcome, error) {
	out := r.outcome(attest.Reproduced)
	out.Output = filepath.Join(r.To, filepath.FromSlash(c.Recipe.Artifact)) // where links led this time
	out.Environment = c.EnvironmentDigest
	if err := out.compare(r.Wanted); err != nil {
		return nil, fmt.Errorf("comparing: %w", err)
	}
	if out.Compared.File.Wanted != r.File {
		return nil, fmt.Errorf("the artifact's file here is %s, not %s", out.Compared.File.Wanted, r.File)
	}
	if len(r.differences) > 0 {
		out.elsewhere(r.differences)
	} else {
		out.Environment = r.environment
	}
	if err := r.alike(ctx, out); err != nil {
		return nil, fmt.Errorf("normalising: %w", err)
	}
	out.Log = r.log.end(out)
	return out, nil
}

func (o *Outcome) compare(wanted string) error {
	a, err := open(wanted)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := open(o.Output)
	if err != nil {
		return err
	}
	defer b.Close()
	report, err := compare.Files(a.side(), b.side())
	if err != nil {
		return err
	}
	o.Compared, o.Same = pairs(report), report.Explanation.Same
	if o.Compared.Same() {
		if o.explain(report.Explanation.Sentence); report.Explanation.Category == compare.Signature {
			o.explain("the same but for the signature appended to the module, which nobody else can make")
		}
		return nil
	}
	o.Result, o.Category = attest.Differs, string(report.Explanation.Category)
	sentence := report.Explanation.Sentence
	if report.Explanation.Category == compare.Code || report.Explanation.Category == compare.Data {
		if more := options(a, b); more != "" {
			sentence += "; " + more
		}
	}
	o.explain(sentence)
	var page bytes.Buffer
	if err := report.Page(&page, "What differs between the artifact and its rebuild"); err != nil {
		return err
	}
	o.Page = page.Bytes()
	return nil
}

// elsewhere says that the build was made in another environment than is recorded:
// the first thing that whoever looks for why has to know.
func (o *Outcome) elsewhere(differences []attest.Difference) {
	var list []string
	for _, d := range differences {
		list = append(list, fmt.Sprintf("%s is %s, recorded %s", d.Field, d.Got, d.Want))
	}
	if o.Differences = differences; o.Result == attest.Differs {
		o.Category = CategoryEnvironment
	}
	o.explain("built in another environment than is recorded: " + strings.Join(list, "; ") + "; " + o.Explanation)
}

// pairs are the digests of both files. Digests that one of them does not have
// are left out, and so is withoutSignature where neither is signed.
func pairs(r *compare.Report) *attest.Compared {
	c := &attest.Compared{File: attest.Pair{Wanted: r.A.File, Got: r.B.File}}
	if r.A.Digests == nil || r.B.Digests == nil {
		return c
	}
	pair := func(of func(*object.Digests) attest.Digest) *attest.Pair {
		return &attest.Pair{Wanted: of(r.A.Digests), Got: of(r.B.Digests)}
	}
	unsigned := pair(func(d *object.Digests) attest.Digest { return d.WithoutSignature })
	if unsigned.Wanted != r.A.File || unsigned.Got != r.B.File {
		c.WithoutSignature = unsigned
	}
	c.WithoutDebug = pair(func(d *object.Digests) attest.Digest { return d.WithoutDebug })
	c.Code = pair(func(d *object.Digests) attest.Digest { return d.Code })
	return c
}

type opened struct {
	*os.File
	size int64
}

func open(path string) (*opened, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &opened{f, info.Size()}, nil
}

func (o *opened) side() compare.File { return compare.File{Reader: o.File, Size: o.size} }

// Statement returns what there is to say of an outcome, in a run of a builder.
func (o *Outcome) Statement(product string, asked attest.Digest, run attest.Run) *attest.Rebuild {
	r := &attest.Rebuild{
		Product: product, Environment: o.Environment, Result: o.Result, Category: o.Category, Explanation: o.Explanation,
		Compared: o.Compared, Normaliser: o.Normaliser, Run: run,
	}
	if r.Environment == "" {
		r.Environment = asked
	}
	if len(o.Log) > 0 {
		r.Log = attest.DigestOf(o.Log)
	}
	r.Run.StartedOn, r.Run.FinishedOn = o.Started, o.Finished
	return r
}
