package policy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// answer is a decision without what its findings tell of the time of day.
func answer(f *policy.Facts, now time.Time) policy.Decision {
	at := *f
	at.Now = now
	d := policy.Decide(&at)
	for i := range d.Reasons {
		d.Reasons[i].Want, d.Reasons[i].Got = "", ""
	}
	return d
}

// Every moment at which the time makes another answer is known exactly: a
// nanosecond before it the answer is still what it was, and there it is another.
func TestUntilItIsOver(t *testing.T) {
	_, _, fits := good(t)
	now := fits.Now
	soon := now.Add(time.Minute)
	for name, c := range map[string]struct {
		change func(f *policy.Facts)
		until  time.Time
	}{
		"record too old":         {func(f *policy.Facts) { received(f, soon.Add(-f.Site.MaxRecordAge-1)) }, soon},
		"record from the future": {func(f *policy.Facts) { received(f, soon.Add(verify.MaxClockSkew)) }, soon},
		"trust policy expires":   {func(f *policy.Facts) { f.Now = expiry(f).Add(-time.Minute); received(f, f.Now) }, expiry(fits)},
		"product embargoed":      {func(f *policy.Facts) { f.Embargoes = policy.NewEmbargoes(&policy.Embargo{Until: soon}, nil) }, soon},
		"patch embargoed":        {func(f *policy.Facts) { f.Embargoes = policy.NewEmbargoes(nil, &policy.Embargo{Until: soon}) }, soon},
	} {
		t.Run(name, func(t *testing.T) {
			f, host, record := *fits, *fits.Host, *fits.Host.Record
			f.Host, host.Record = &host, &record
			c.change(&f)
			got := f.Until(24 * time.Hour)
			if !got.Equal(c.until) {
				t.Fatalf("until %s, want %s", got, c.until)
			}
			first := answer(&f, f.Now)
			if d := cmp.Diff(first, answer(&f, got.Add(-1))); d != "" {
				t.Errorf("before it is over (-first +then):\n%s", d)
			}
			if cmp.Equal(first, answer(&f, got)) {
				t.Error("then it is the same answer")
			}
			if got := f.Until(time.Second); !got.Equal(f.Now.Add(time.Second)) {
				t.Errorf("at most a second from %s: until %s", f.Now, got)
			}
		})
	}
}

// received has the record of f arrive then, as its own time says.
func received(f *policy.Facts, at time.Time) { f.Host.Received, f.Host.Record.Time = at, at }

// expiry returns when the trust policy of f expires, by asking.
func expiry(f *policy.Facts) time.Time {
	at := *f
	at.Host = &policy.Host{}
	expired := func(now time.Time) bool {
		at.Now = now
		return slices.ContainsFunc(policy.Decide(&at).Reasons, func(r policy.Finding) bool { return r.Rule == "trust-policy-current" })
	}
	from, until := f.Now, f.Now.AddDate(20, 0, 0)
	for until.Sub(from) > 1 {
		if middle := from.Add(until.Sub(from) / 2); expired(middle) {
			until = middle
		} else {
			from = middle
		}
	}
	return until
}

// TestUntil asks at random moments, most of them next to one at which something
// ends: in all of the time that Until tells, the answer is the same.
func TestUntil(t *testing.T) {
	_, _, fits := good(t)
	end := expiry(fits)
	r := rand.New(rand.NewPCG(1, 2))
	turns := 0
	for range 3000 {
		near := func(at time.Time) time.Time {
			return at.Add([]time.Duration{-time.Hour, -time.Second, -1, 0, 1, time.Second, time.Hour}[r.IntN(7)])
		}
		f, host, record := *fits, *fits.Host, *fits.Host.Record
		f.Host, host.Record, f.Now = &host, &record, near(end)
		received(&f, near(f.Now.Add([]time.Duration{0, -f.Site.MaxRecordAge, verify.MaxClockSkew}[r.IntN(3)])))
		var embargoes [2]*policy.Embargo
		for i := range embargoes {
			switch r.IntN(4) {
			case 0:
				embargoes[i] = &policy.Embargo{Until: near(f.Now)}
			case 1:
				embargoes[i] = &policy.Embargo{Until: near(f.Now), Hosts: []string{host.ID}}
			}
		}
		f.Embargoes = policy.NewEmbargoes(embargoes[0], embargoes[1])
		until := f.Until(2 * time.Hour)
		if !until.After(f.Now) {
			t.Fatalf("at %s until %s", f.Now, until)
		}
		first := answer(&f, f.Now)
		for _, at := range []time.Time{until.Add(-1), f.Now.Add(until.Sub(f.Now) / 2), f.Now.Add(time.Duration(r.Int64N(int64(until.Sub(f.Now)))))} {
			if d := cmp.Diff(first, answer(&f, at)); d != "" {
				t.Fatalf("from %s until %s, at %s, of a record that came %s and embargoes %+v (-first +then):\n%s", f.Now, until, at, host.Received, embargoes, d)
			}
		}
		if !cmp.Equal(first, answer(&f, until)) {
			turns++
		}
	}
	if turns < 300 {
		t.Errorf("only %d answers turned", turns)
	}
}

// Where no time is known, an answer is for no moment.
func TestUntilNeedsTheTime(t *testing.T) {
	for _, f := range []*policy.Facts{nil, {}} {
		if got := f.Until(time.Hour); !got.IsZero() {
			t.Errorf("until %s", got)
		}
	}
	now := time.Now()
	if got := (&policy.Facts{Now: now}).Until(time.Hour); !got.Equal(now.Add(time.Hour)) {
		t.Errorf("nothing ends: until %s", got)
	}
}

// A rule that asks for the time and has no moment in Until would leave answers
// standing that it does not give any more. These ask; whoever adds one adds to
// turns, and to the tests above.
func TestWhoAsksForTheTime(t *testing.T) {
	want := []string{"Until", "channelCurrent", "embargoed", "rebuildsAgree", "recordFresh", "trustCurrent"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if name := e.Name(); !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			ast.Inspect(decl, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Now" {
					if f, ok := decl.(*ast.FuncDecl); ok {
						got = append(got, f.Name.Name)
					}
				}
				return true
			})
		}
	}
	slices.Sort(got)
	if d := cmp.Diff(want, slices.Compact(got)); d != "" {
		t.Errorf("functions with .Now (-want +got):\n%s", d)
	}
}
