package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const otherwise = "otherwise" // what comes out of a bench's rebuild that differs

// gets has somebody get another output than otherwise.
func (x *bench) gets(who, output string) {
	x.t.Helper()
	x.findsWith(who, attest.Differs, func(r *attest.Rebuild) { r.Compared.File.Got = attest.DigestOf([]byte(output)) })
}

// TestDisputes: what keeps a patch in that north reproduced, and for how long.
// Rows say until when after the epoch; 0: it never kept it in; forever.
func TestDisputes(t *testing.T) {
	const forever = 365 * 24 * time.Hour
	dissent := func(x *bench) { x.finds(attest.Differs, "south", "south") }
	for name, tt := range map[string]struct {
		does  func(x *bench)
		until time.Duration
	}{
		"nothing":             {func(*bench) {}, 0},
		"one run":             {func(x *bench) { x.finds(attest.Differs, "south") }, 0},
		"two runs that agree": {dissent, policy.Pause},
		"one run, said twice": {func(x *bench) {
			r := x.rebuild(x.patch(), attest.Differs)
			x.says("south", x.patch(), r)
			x.says("south", x.patch(), r)
		}, 0},
		"two runs that do not agree":       {func(x *bench) { x.gets("south", "a"); x.gets("south", "b") }, 0},
		"two runs without their output":    {func(x *bench) { x.outputless("south"); x.outputless("south") }, 0},
		"two runs, one without its output": {func(x *bench) { x.finds(attest.Differs, "south"); x.outputless("south") }, 0},
		"two runs of two rebuilders":       {func(x *bench) { x.finds(attest.Differs, "south", "west") }, 0},
		"in another environment":           {func(x *bench) { x.otherEnvironment("south"); x.otherEnvironment("south") }, 0},
		"the build failed twice":           {func(x *bench) { x.finds(attest.BuildFailed, "south", "south") }, 0},
		"not attempted twice":              {func(x *bench) { x.finds(attest.NotAttempted, "south", "south") }, 0},
		"equivalent twice":                 {func(x *bench) { x.finds(attest.Equivalent, "south", "south") }, 0},
		"by one without the role":          {func(x *bench) { x.finds(attest.Differs, "revocation", "revocation") }, 0},
		"by one who has lost the role":     {func(x *bench) { dissent(x); x.dismiss("south") }, 0},
		"withdrawn":                        {func(x *bench) { dissent(x); x.finds(attest.Reproduced, "south") }, 0},
		"withdrawn as equivalent":          {func(x *bench) { dissent(x); x.finds(attest.Equivalent, "south") }, 0},
		"not withdrawn by a build failing": {func(x *bench) { dissent(x); x.finds(attest.BuildFailed, "south") }, policy.Pause},
		"key revoked":                      {func(x *bench) { dissent(x); x.revoke(x.t, attest.RevokeKey, x.Signer("south").Key.ID()) }, 0},
		"one of the runs revoked":          {oneRevoked, 0},
		"said again and again":             {func(x *bench) { dissent(x); x.later(5*time.Hour, func() { dissent(x) }) }, policy.Pause},
		"another output, later": {func(x *bench) {
			dissent(x)
			x.later(5*time.Hour, func() { x.gets("south", "a"); x.gets("south", "a") })
		}, policy.Pause},
		"the second run later": {func(x *bench) {
			x.finds(attest.Differs, "south")
			x.later(3*time.Hour, func() { x.finds(attest.Differs, "south") })
		}, 3*time.Hour + policy.Pause},
		"a second rebuilder agrees":       {func(x *bench) { dissent(x); x.finds(attest.Differs, "west") }, forever},
		"a second one without its output": {func(x *bench) { dissent(x); x.outputless("west") }, policy.Pause},
		"a second one got something else": {func(x *bench) { dissent(x); x.gets("west", "a") }, policy.Pause},
		"and got it twice":                {func(x *bench) { dissent(x); x.gets("west", "a"); x.gets("west", "a") }, forever},
		"agrees with another output than the first": {func(x *bench) {
			dissent(x)
			x.later(5*time.Hour, func() { x.gets("south", "a"); x.gets("south", "a"); x.gets("west", "a") })
		}, forever},
		"agrees with a later one of the same operator": {func(x *bench) {
			x.sameOperator()
			x.finds(attest.Differs, "east", "east")
			x.later(5*time.Hour, func() { x.gets("south", "a"); x.gets("south", "a"); x.gets("west", "a") })
		}, forever},
		"a second one in other environment": {func(x *bench) { dissent(x); x.otherEnvironment("west") }, policy.Pause},
		"a second of the same operator": {func(x *bench) {
			x.finds(attest.Differs, "east", "east")
			x.sameOperator()
			x.later(2*time.Hour, func() { x.finds(attest.Differs, "south", "south") })
		}, policy.Pause},
		"dismissed":                     {func(x *bench) { dissent(x); x.decides("panel", attest.DissentDismissed, otherwise) }, 0},
		"dismissed, before it was said": {func(x *bench) { x.decides("panel", attest.DissentDismissed, otherwise); dissent(x) }, 0},
		"two who agree, dismissed": {func(x *bench) {
			dissent(x)
			x.finds(attest.Differs, "west")
			x.decides("panel", attest.DissentDismissed, otherwise)
		}, 0},
		"another output dismissed":          {func(x *bench) { dissent(x); x.decides("panel", attest.DissentDismissed, "a") }, policy.Pause},
		"dismissed by one without the role": {func(x *bench) { dissent(x); x.decides("south", attest.DissentDismissed, otherwise) }, policy.Pause},
		"dismissed by the publisher":        {func(x *bench) { dissent(x); x.decides("patch", attest.DissentDismissed, otherwise) }, policy.Pause},
		"dismissed, and that revoked": {func(x *bench) {
			dissent(x)
			x.decides("panel", attest.DissentDismissed, otherwise)
			x.revoke(x.t, attest.RevokeKey, x.Signer("panel").Key.ID())
		}, policy.Pause},
		"upheld": {func(x *bench) { dissent(x); x.decides("panel", attest.DissentUpheld, otherwise) }, forever},
		"upheld, and withdrawn": {func(x *bench) {
			dissent(x)
			x.decides("panel", attest.DissentUpheld, otherwise)
			x.finds(attest.Reproduced, "south")
		}, forever},
		"upheld, then dismissed": {func(x *bench) {
			dissent(x)
			x.decides("panel", attest.DissentUpheld, otherwise)
			x.decides("panel", attest.DissentDismissed, otherwise)
		}, 0},
		"dismissed, then upheld": {func(x *bench) {
			dissent(x)
			x.decides("panel", attest.DissentDismissed, otherwise)
			x.decides("panel", attest.DissentUpheld, otherwise)
		}, forever},
		"one of two outputs dismissed": {func(x *bench) {
			dissent(x)
			x.gets("south", "a")
			x.gets("south", "a")
			x.decides("panel", attest.DissentDismissed, otherwise)
		}, policy.Pause},
		"both dismissed": {func(x *bench) {
			dissent(x)
			x.gets("south", "a")
			x.gets("south", "a")
			x.decides("panel", attest.DissentDismissed, otherwise, "a")
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := newBench(t, nil, wanted(1))
			x.finds(attest.Reproduced, "north")
			tt.does(x)
			for _, at := range []time.Duration{tt.until - 1, tt.until, 2*tt.until + time.Hour} {
				if at < 0 || at > forever-time.Hour {
					at = 1000 * time.Hour
				}
				if tt.until == forever {
					at = min(at, 1000*time.Hour)
				}
				d := x.answer(at)
				if want := at < tt.until; want == d.Allow || want && (d.Reasons[0].Reason != verify.Contested || d.Reasons[0].Rule != "rebuilds-agree" || !strings.Contains(d.Reasons[0].Remedy, "adjudicator")) {
					t.Errorf("%s after the epoch: contested should be %t: %+v", at, want, d)
				}
			}
		})
	}
}

func (x *bench) outputless(who string) {
	x.findsWith(who, attest.Differs, func(r *attest.Rebuild) { r.Output = "" })
}

func (x *bench) otherEnvironment(who string) {
	x.findsWith(who, attest.Differs, func(r *attest.Rebuild) { r.Environment = attest.DigestOf([]byte("another")) })
}

func oneRevoked(x *bench) {
	x.finds(attest.Differs, "south")
	e := x.findsWith("south", attest.Differs, func(*attest.Rebuild) {})
	x.revoke(x.t, attest.RevokePayload, e.Payload())
}

// later has something said at another time.
func (x *bench) later(by time.Duration, say func()) {
	now := x.Now
	x.Now = now.Add(by)
	say()
	x.Now = now
}

// sameOperator makes south of the operator of east.
func (x *bench) sameOperator() {
	x.Signer("south").Independence.Operator = "acme"
	x.reload(x.t)
}

// What was decided of one artifact says nothing of another.
func TestAdjudicationIsOfTheArtifact(t *testing.T) {
	x := newBench(t, nil, wanted(1))
	x.finds(attest.Reproduced, "north")
	x.decides("panel", attest.DissentUpheld, otherwise)
	for name, change := range map[string]func(f *policy.Facts){
		"another manifest": func(f *policy.Facts) { f.Patch.Artifact.Manifest = attest.DigestOf(nil) },
		"another file":     func(f *policy.Facts) { f.Patch.Artifact.File = attest.DigestOf(nil) },
	} {
		f := x.facts(t, x.w, x.w)
		if !denies(policy.Decide(f), "rebuilds-agree") {
			t.Fatal("it is not upheld")
		}
		change(f)
		if denies(policy.Decide(f), "rebuilds-agree") {
			t.Errorf("%s is contested", name)
		}
	}
}

// The newest adjudication counts, in whatever order they came.
func TestNewestAdjudicationCounts(t *testing.T) {
	for _, last := range []string{attest.DissentDismissed, attest.DissentUpheld} {
		x := newBench(t, nil, wanted(1))
		x.finds(attest.Reproduced, "north")
		first := map[string]string{attest.DissentDismissed: attest.DissentUpheld, attest.DissentUpheld: attest.DissentDismissed}[last]
		x.later(time.Hour, func() { x.decides("panel", last, otherwise) })
		x.decides("panel", first, otherwise) // comes later, and was said before
		if d := x.answer(time.Hour); d.Allow != (last == attest.DissentDismissed) {
			t.Errorf("%s last: %+v", last, d)
		}
	}
}

// A rebuild in an environment that is revoked is void with it.
func TestRebuildInARevokedEnvironment(t *testing.T) {
	x := newBench(t, nil, wanted(1))
	e := x.findsWith("north", attest.Reproduced, func(*attest.Rebuild) {})
	x.revoke(t, attest.RevokeEnvironment, x.w.EnvFile)
	if policy.NewRevocations(x.trust, x.revoked).Of(x.product.ID, e) == nil {
		t.Error("it counts on")
	}
}

// A dissent about the base keeps its patches in.
func TestDisputeAboutTheBase(t *testing.T) {
	x := newBench(t, wanted(1), nil)
	x.says("north", x.base(), x.rebuild(x.base(), attest.Reproduced))
	for range 2 {
		x.says("south", x.base(), x.rebuild(x.base(), attest.Differs))
		x.finds(attest.Differs, "west") // nobody asks of the patch
	}
	d := x.answer(time.Hour)
	if d.Allow || len(d.Reasons) != 1 || !strings.Contains(d.Reasons[0].String(), "rebuilds of the base") || !strings.Contains(d.Reasons[0].Got, "south rebuilt it twice") {
		t.Errorf("%+v", d)
	}
}

// Where no quorum is asked for, dissent is told and pauses nothing.
func TestDisputeWithoutQuorum(t *testing.T) {
	x := newBench(t, nil, nil)
	x.finds(attest.Differs, "south", "south")
	if d := x.answer(time.Hour); !d.Allow {
		t.Errorf("it blocks: %v", d.Reasons)
	}
	f := x.facts(t, x.w, x.w)
	d := f.Patch.Dispute()
	if d == nil || d.Asked || !d.Until.Equal(verifytest.Epoch.Add(policy.Pause)) || !strings.Contains(d.Fact, "south rebuilt it twice") || d.Evidence == nil {
		t.Errorf("%+v", d)
	}
	if got := f.Patch.Base.Dispute(); got != nil {
		t.Errorf("of the base: %+v", got)
	}
	if (*policy.Patch)(nil).Dispute() != nil || (*policy.Base)(nil).Dispute() != nil {
		t.Error("nothing has a dispute")
	}
}

// The moment at which a pause ends is one that Until knows: an answer that stands
// until then is asked again.
func TestPauseIsATurn(t *testing.T) {
	x := newBench(t, nil, wanted(1))
	x.finds(attest.Reproduced, "north")
	x.finds(attest.Differs, "south", "south")
	f := x.facts(t, x.w, x.w)
	end := verifytest.Epoch.Add(policy.Pause)
	f.Now = end.Add(-time.Minute)
	received(f, f.Now)
	for _, f := range []*policy.Facts{f, policy.Anew(f)} {
		if got := f.Until(time.Hour); !got.Equal(end) {
			t.Errorf("until %s, want %s", got, end)
		}
		if answer(f, end.Add(-1)).Allow || !answer(f, end).Allow {
			t.Error("the answer does not turn there")
		}
	}
	f.Now = time.Time{}
	if policy.Decide(f).Allow {
		t.Error("it is over when no time is known")
	}
}

// A server's time of effect is its journal's: a dissent that was signed long ago
// and comes now pauses from now on.
func TestPauseBeginsWithItsEffect(t *testing.T) {
	x := newBench(t, nil, wanted(1))
	x.finds(attest.Reproduced, "north")
	for i := range 2 {
		e := x.findsWith("south", attest.Differs, func(*attest.Rebuild) {})
		x.pool.Took(e, verifytest.Epoch.Add(time.Duration(100+i)*time.Hour))
	}
	x.pool.Took(new(verify.Evidence), time.Time{})
	if x.answer(101*time.Hour+policy.Pause-1).Allow || !x.answer(101*time.Hour+policy.Pause).Allow {
		t.Error("the pause is not that of the second run's effect")
	}
}

// Whatever is said, and in whatever order it comes, the answer is the same; and
// no dissent, failure or adjudication that upholds one ever opens what was closed.
func TestDissentNeverHelps(t *testing.T) {
	x := newBench(t, nil, wanted(1))
	x.finds(attest.Reproduced, "north")
	closed := false
	for _, say := range []func(){
		func() { x.finds(attest.BuildFailed, "south") },
		func() { x.finds(attest.Differs, "south") },
		func() { x.gets("west", "a") },
		func() { x.finds(attest.Differs, "south") },
		func() { x.gets("west", "a") },
		func() { x.decides("panel", attest.DissentUpheld, "a") },
		func() { x.finds(attest.Differs, "north") },
	} {
		say()
		allow := x.answer(time.Hour).Allow
		if allow && closed {
			t.Error("dissent opened it")
		}
		closed = closed || !allow
	}
	if !closed {
		t.Error("nothing closed it")
	}
	want := x.answer(time.Hour)
	all := slices.Clone(x.pool.About(x.w.PatchManifest))
	slices.Reverse(all)
	reversed := new(policy.Pool)
	for _, m := range []attest.Digest{x.w.BaseManifest, x.w.EnvManifest, x.w.Builder} {
		all = append(all, x.pool.About(m)...)
	}
	for _, e := range all {
		reversed.Add(e)
	}
	x.pool = reversed
	got := x.answer(time.Hour)
	if len(got.Reasons) != len(want.Reasons) || got.Reasons[0] != want.Reasons[0] {
		t.Errorf("in another order: %v, want %v", got.Reasons, want.Reasons)
	}
}

func rebuildDenials() []denial {
	asked := func(does func(x *bench)) func(*testing.T, *scene) *policy.Facts {
		return func(t *testing.T, _ *scene) *policy.Facts {
			x := newBench(t, nil, wanted(1))
			does(x)
			return x.facts(t, x.w, x.w)
		}
	}
	return []denial{
		{"nobody reproduced it", asked(func(*bench) {}), only(verify.RebuildQuorum), []string{"0 of 1 wanted", "rebuilders that reproduced the patch"}},
		{"it came out otherwise", asked(func(x *bench) { x.finds(attest.Differs, "south", "south") }),
			only(verify.Contested, verify.RebuildQuorum), []string{"rebuilds of the patch", "south rebuilt it twice"}},
	}
}
