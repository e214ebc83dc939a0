package succession_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// An owner makes trust policies, two of whose three roots have to sign.
type owner struct {
	t       testing.TB
	makers  *verifytest.Authority
	product attest.Product
}

func newOwner(t testing.TB) *owner {
	o := &owner{t: t, makers: verifytest.New(t)}
	o.product = o.makers.Product("lib/greet")
	return o
}

// roots are three keys by the name of their set.
type roots []*verifytest.Signer

func (o *owner) roots() roots {
	return roots{o.makers.Stranger(), o.makers.Stranger(), o.makers.Stranger()}
}

func (r roots) policy() attest.Roots {
	all := attest.Roots{Threshold: 2}
	for _, s := range r {
		all.Keys = append(all.Keys, s.Key.Base64())
	}
	return all
}

func (o *owner) digest(r roots) attest.Digest {
	o.t.Helper()
	d, err := r.policy().Digest()
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

// policy makes a version of the trust policy with these roots, signed by those.
func (o *owner) policy(version int64, own roots, by ...*verifytest.Signer) []byte {
	o.t.Helper()
	return o.said(version, own, func(*attest.TrustPolicy) {}, by...)
}

func (o *owner) said(version int64, own roots, edit func(*attest.TrustPolicy), by ...*verifytest.Signer) []byte {
	o.t.Helper()
	p := o.makers.TrustPolicy(o.product)
	p.Version, p.Roots = version, own.policy()
	edit(p)
	b, err := strictjson.Canonical(p)
	if err == nil {
		b, err = attest.SignEnvelope(attest.PolicyPayload, b, by[0])
	}
	for _, s := range by[1:] {
		if err == nil {
			b, err = attest.AddSignature(b, s)
		}
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return b
}

// A history is a server that kept every policy it took.
type history struct {
	t     testing.TB
	all   [][]byte
	asked []int64
	lie   func(after int64) []byte // nil, or what it says instead
}

func versionOf(t testing.TB, envelope []byte) (int64, attest.Digest) {
	t.Helper()
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	if err != nil {
		t.Fatal(err)
	}
	p, err := attest.ParseTrustPolicy(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Roots.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return p.Version, d
}

func (h *history) newest() []byte { return h.all[len(h.all)-1] }

func (h *history) TrustPolicyAfter(_ context.Context, version int64) ([]byte, error) {
	h.asked = append(h.asked, version)
	if h.lie != nil {
		if b := h.lie(version); b != nil {
			return b, nil
		}
	}
	var before attest.Digest
	for _, b := range h.all {
		v, d := versionOf(h.t, b)
		if v > version && d != before {
			return b, nil
		}
		before = d
	}
	return h.newest(), nil
}

// A world is a history of three changes of roots, with policies in between.
type world struct {
	*owner
	*history
	sets []roots // first to fourth
}

func newWorld(t testing.TB) *world {
	o := newOwner(t)
	w := &world{owner: o, history: &history{t: t}}
	for range 4 {
		w.sets = append(w.sets, o.roots())
	}
	w.all = [][]byte{
		o.policy(1, w.sets[0], w.sets[0][:2]...),
		o.policy(2, w.sets[1], w.between(0, 1)...),
		o.policy(3, w.sets[1], w.sets[1][:2]...),
		o.policy(5, w.sets[2], w.between(1, 2)...),
		o.policy(6, w.sets[3], w.between(2, 3)...),
		o.policy(9, w.sets[3], w.sets[3][1:]...),
	}
	return w
}

// between are enough of one set and of another.
func (w *world) between(a, b int) []*verifytest.Signer {
	return slices.Concat(w.sets[a][:2], w.sets[b][1:])
}

func (w *world) at(i int) *succession.Policy {
	w.owner.t.Helper()
	_, d := versionOf(w.owner.t, w.all[i])
	p, err := attest.OpenTrustPolicy(w.all[i], d)
	if err != nil {
		w.owner.t.Fatal(err)
	}
	return &succession.Policy{TrustPolicy: p, Envelope: w.all[i]}
}

func (w *world) reaches(from int, want int64) {
	w.owner.t.Helper()
	p, err := succession.Next(w.owner.t.Context(), w, w.at(from), w.newest())
	if err != nil || p == nil || p.Version != want {
		w.owner.t.Errorf("from the policy at %d: %v, %v; want version %d", from, p, err, want)
	}
}

// refused asks that who has the policy at from takes nothing of the newest.
func (w *world) refused(from int, reason verify.Reason, why string) {
	w.owner.t.Helper()
	p, err := succession.Next(w.owner.t.Context(), w, w.at(from), w.newest())
	refusal(w.owner.t, p, err, reason, why)
}

func refusal(t testing.TB, p *succession.Policy, err error, reason verify.Reason, why string) {
	t.Helper()
	var r *verify.Refusal
	if p != nil || !errors.As(err, &r) || r.Reason != reason || !strings.Contains(r.Fact, why) {
		t.Errorf("%v, %v; want %s that says %q", p, err, reason, why)
	}
}

func TestNextFollowsEveryChange(t *testing.T) {
	w := newWorld(t)
	w.reaches(0, 9)
	if want := []int64{1, 2, 5}; !slices.Equal(w.asked, want) {
		t.Errorf("asked for what comes after %v, want %v", w.asked, want)
	}
	for i := 1; i < 5; i++ {
		w.reaches(i, 9)
	}
	w.asked = nil
	w.reaches(4, 9)
	if len(w.asked) != 0 {
		t.Errorf("asked for what comes after %v, and the roots are the same", w.asked)
	}
	if p, err := succession.Next(t.Context(), w, w.at(5), w.newest()); p != nil || err != nil {
		t.Errorf("the policy there is: %v, %v", p, err)
	}
}

// A server that keeps none of the past answers with the newest, which is enough
// for who missed one change.
func TestNextWithoutAHistory(t *testing.T) {
	w := newWorld(t)
	w.all = w.all[:2]
	w.lie = func(int64) []byte { return w.newest() }
	w.reaches(0, 2)
}

func TestOpenByRootsOfThePast(t *testing.T) {
	w := newWorld(t)
	for i, set := range w.sets {
		if p, err := succession.Open(t.Context(), w, w.digest(set), w.newest()); err != nil || p.Version != 9 {
			t.Errorf("by the roots of set %d: %v, %v", i, p, err)
		}
	}
	p, err := succession.Open(t.Context(), w, w.digest(w.roots()), w.newest())
	refusal(t, p, err, verify.UntrustedSigner, "nothing leads from these to those")
}

// The pinned roots have to have signed the policy that names them.
func TestAttackOpenByUnsignedPast(t *testing.T) {
	w := newWorld(t)
	thief := w.roots()
	w.all = append([][]byte{w.policy(1, w.sets[0], thief[:2]...)}, w.policy(2, thief, thief[:2]...))
	p, err := succession.Open(t.Context(), w, w.digest(w.sets[0]), w.newest())
	refusal(t, p, err, verify.BadSignature, "signed by 0 of its root keys")
}

// A server leaves a change of roots out: the next one is signed by roots that
// whoever asks does not know.
func TestAttackSkippedVersion(t *testing.T) {
	for name, without := range map[string][2]int{"the first": {1, 3}, "the second": {3, 4}, "the last": {4, 5}, "all": {1, 5}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.all = slices.Delete(w.all, without[0], without[1])
			w.refused(0, verify.BadSignature, "does not follow version")
		})
	}
}

func TestAttackChainSignedByTooFew(t *testing.T) {
	for name, by := range map[string]func(w *world) []*verifytest.Signer{
		"one of the old":           func(w *world) []*verifytest.Signer { return slices.Concat(w.sets[2][:2], w.sets[1][:1]) },
		"one of the new":           func(w *world) []*verifytest.Signer { return slices.Concat(w.sets[1][:2], w.sets[2][:1]) },
		"the new alone":            func(w *world) []*verifytest.Signer { return w.sets[2] },
		"the old alone":            func(w *world) []*verifytest.Signer { return w.sets[1] },
		"the first in their place": func(w *world) []*verifytest.Signer { return slices.Concat(w.sets[0], w.sets[2]) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.all[3] = w.policy(5, w.sets[2], by(w)...)
			w.refused(0, verify.BadSignature, "trust policy version 5 does not follow version 2")
			w.refused(2, verify.BadSignature, "trust policy version 5 does not follow version 3")
		})
	}
}

// A server goes back: with what it offers, or on the way to it.
func TestAttackRolledBackChain(t *testing.T) {
	w := newWorld(t)
	all, ahead := w.all, w.at(4)
	w.all = all[:4]
	p, err := succession.Next(t.Context(), w, ahead, w.newest())
	refusal(t, p, err, verify.Rollback, "offers trust policy version 5, version 6 is known")
	w.all = all
	w.lie = func(int64) []byte { return all[1] }
	w.refused(0, verify.Rollback, "after version 2, the server sends version 2")
	w.lie = func(int64) []byte { return all[0] }
	w.refused(1, verify.Rollback, "after version 2, the server sends version 1")
}

// The owners signed two histories: who followed one is not led into the other.
func TestAttackFork(t *testing.T) {
	w := newWorld(t)
	other := w.roots()
	mine := w.at(3) // version 5 of the first
	w.all = append(slices.Clone(w.all[:3]),
		w.policy(5, other, slices.Concat(w.sets[1][:2], other[:2])...),
		w.policy(6, other, other[:2]...))
	w.reaches(0, 6)
	p, err := succession.Next(t.Context(), w, mine, w.all[3])
	refusal(t, p, err, verify.Contested, "two trust policies of version 5")
	p, err = succession.Next(t.Context(), w, mine, w.all[4])
	refusal(t, p, err, verify.BadSignature, "version 6 does not follow version 5")
}

// What leads to the policy that is offered has its version, and says something
// else.
func TestAttackTwoEnds(t *testing.T) {
	w := newWorld(t)
	later := func(p *attest.TrustPolicy) { p.Expires = p.Expires.AddDate(1, 0, 0) }
	two := w.said(9, w.sets[2], later, w.sets[2]...)
	w.lie = func(after int64) []byte {
		if after == 5 {
			return two
		}
		return nil
	}
	w.refused(0, verify.Contested, "two trust policies of version 9")
}

// What a server shows on the way is above where it ends.
func TestAttackTurnBeyondTheEnd(t *testing.T) {
	w := newWorld(t)
	last := w.all[4]
	w.lie = func(int64) []byte { return last }
	p, err := succession.Next(t.Context(), w, w.at(0), w.all[3])
	refusal(t, p, err, verify.Contested, "on the way to trust policy version 5 the server sends version 6")
}

// A chain without an end is left, and a server that cannot be asked is no
// refusal.
func TestNextEnds(t *testing.T) {
	o := newOwner(t)
	a, b, end := o.roots(), o.roots(), o.roots()
	both := func(r, s roots) []*verifytest.Signer { return slices.Concat(r[:2], s[:2]) }
	at, err := attest.OpenTrustPolicy(o.policy(1, a, a[:2]...), o.digest(a))
	if err != nil {
		t.Fatal(err)
	}
	last := o.policy(9000, end, both(a, end)...)
	h := &history{t: t, lie: func(after int64) []byte {
		if after%2 == 1 {
			return o.policy(after+1, b, both(a, b)...)
		}
		return o.policy(after+1, a, both(a, b)...)
	}}
	p, err := succession.Next(t.Context(), h, &succession.Policy{TrustPolicy: at}, last)
	if p != nil || err == nil || !strings.Contains(err.Error(), "more than 256 changes") {
		t.Errorf("%v, %v", p, err)
	}
	if len(h.asked) != succession.MaxTurns {
		t.Errorf("asked %d times", len(h.asked))
	}
	p, err = succession.Next(t.Context(), unreachable{}, &succession.Policy{TrustPolicy: at}, last)
	if r := (*verify.Refusal)(nil); p != nil || err == nil || errors.As(err, &r) {
		t.Errorf("%v, %v", p, err)
	}
}

type unreachable struct{}

func (unreachable) TrustPolicyAfter(context.Context, int64) ([]byte, error) {
	return nil, fmt.Errorf("no route to host")
}
