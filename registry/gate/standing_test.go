package gate_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// counted counts how often facts are asked for, and so the rules.
type counted struct {
	*state.State
	views int
}

func (c *counted) View(host, repository string, d attest.Digest, now time.Time) (state.View, bool) {
	c.views++
	return c.State.View(host, repository, d, now)
}

// counted gives the scene a gate that is counted.
func (s *scene) counted() *counted {
	s.t.Helper()
	if err := s.gate.Close(); err != nil {
		s.t.Fatal(err)
	}
	c := &counted{State: s.State}
	s.gate = gate.New(c, s.journal, nil)
	return c
}

// fresh is what the rules say now. Without facts it is a denial.
func (s *scene) fresh(host string, d attest.Digest) policy.Decision {
	v, ok := s.State.View(host, repo, d, time.Now())
	if !ok {
		return policy.Decision{Reasons: []policy.Finding{{Rule: "visible", Reason: verify.NoAttestation}}}
	}
	return policy.Decide(v.Facts)
}

// told is a decision without sentences, which may tell the time of day.
func told(d policy.Decision) policy.Decision {
	d.Reasons = slices.Clone(d.Reasons)
	for i := range d.Reasons {
		d.Reasons[i].Want, d.Reasons[i].Got, d.Reasons[i].Remedy = "", "", ""
	}
	return d
}

// asks compares the gate's answer with that of the rules.
func (s *scene) asks(host string, d attest.Digest) policy.Decision {
	s.t.Helper()
	v, err := s.gate.Decide(s.t.Context(), host, repo, d)
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(told(s.fresh(host, d)), told(v.Decision)); diff != "" {
		s.t.Fatalf("%s asks for %s (-rules +gate):\n%s", host, d, diff)
	}
	return v.Decision
}

func (s *scene) embargo(patch attest.Digest, until time.Time, hosts ...string) {
	if hosts == nil {
		hosts = []string{}
	}
	s.Must(ledger.KindEmbargo, ledger.Embargoed{Product: s.Product.ID, Patch: patch, Until: until, Hosts: hosts, By: s.Admin})
}

func (s *scene) lift(patch attest.Digest) {
	s.Must(ledger.KindEmbargo, ledger.Embargoed{Product: s.Product.ID, Patch: patch, Hosts: []string{}, Lifted: true, By: s.Admin})
}

func (s *scene) remove(d attest.Digest) {
	s.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: d, By: s.Admin})
}

func (s *scene) putAgain(d attest.Digest) {
	s.Must(ledger.KindManifest, ledger.ManifestPut{Repository: repo, Digest: d, MediaType: state.MediaManifest, By: s.Admin})
}

// moveTo has the host be in another product, or in the House's.
func (s *scene) moveTo(product string) {
	h, _ := s.State.Host(s.host)
	s.Must(ledger.KindHost, ledger.HostEnrolled{Host: s.host, Name: h.Name, Key: h.Key.Base64(), Products: []string{product}, State: h.State, By: s.Admin})
}

// says has the host tell that it runs the base of w, in a boot.
func (s *scene) says(w *verifytest.World, boot string) {
	h, _ := s.State.Host(s.host)
	r := *w
	record := *w.Record
	record.Time, record.BootID = time.Now().UTC().Truncate(time.Second), boot
	r.Record = &record
	s.Record(s.host, s.key, h.Sequence()+1, &r)
}

// takes has the server take a trust policy that change made out of the first.
func (s *scene) takes(change func(p *attest.TrustPolicy)) {
	p := s.TrustPolicy(s.Product)
	now, _ := s.State.TrustPolicy()
	p.Version, p.Expires = now.Version+1, now.Expires
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{s.Root.Public.Base64()}}
	change(p)
	s.Trust(p)
}

// contradict has the patch's signer say something else about it, too.
func (s *scene) contradict() {
	other := *s.fits.Patch
	other.Functions = []string{"another_function"}
	s.SayIt(verifytest.Said{Role: attest.RolePatch, Type: attest.TypeLivePatch, About: s.fits.Said()[0].About, Predicate: &other})
}

func (s *scene) expires(after time.Duration) {
	s.takes(func(p *attest.TrustPolicy) { p.Expires = time.Now().Add(after).UTC().Truncate(time.Second) })
}

// first and second boot of the host.
var boots = [2]string{uuid.NewString(), uuid.NewString()}

// A fall is a change that makes it another answer, and what there was before.
type fall struct{ before, change func(s *scene) }

func nothing(*scene) {}

// TestStandingFalls: an answer stands, and the rules are not asked, until
// something changes that they look at; each thing, one at a time. A minute
// passes with every change, and for some that is the change.
func TestStandingFalls(t *testing.T) {
	soon := func() time.Time { return time.Now().Add(time.Minute).UTC().Truncate(time.Second) }
	falls := map[string]fall{
		"the host is suspended":           {nothing, func(s *scene) { s.SetState(s.host, state.Suspended) }},
		"the host is active again":        {func(s *scene) { s.SetState(s.host, state.Suspended) }, func(s *scene) { s.SetState(s.host, state.Active) }},
		"the host is revoked":             {nothing, func(s *scene) { s.SetState(s.host, state.Revoked) }},
		"the host is in another product":  {func(s *scene) { s.another() }, func(s *scene) { s.moveTo(elsewhere) }},
		"the host runs another base":      {nothing, func(s *scene) { s.says(s.other, s.fits.Record.BootID) }},
		"the host runs the base again":    {func(s *scene) { s.says(s.other, s.fits.Record.BootID) }, func(s *scene) { s.says(s.fits, s.fits.Record.BootID) }},
		"the host's key is cloned":        {func(s *scene) { s.says(s.fits, boots[0]); s.says(s.fits, boots[1]) }, func(s *scene) { s.says(s.fits, boots[0]) }},
		"the record is old":               {func(*scene) { time.Sleep(policy.DefaultSite().MaxRecordAge - time.Minute + time.Nanosecond) }, nothing},
		"a new record":                    {func(s *scene) { time.Sleep(2 * s.Site().MaxRecordAge) }, func(s *scene) { s.says(s.fits, boots[0]) }},
		"the trust policy expires":        {func(s *scene) { s.expires(time.Minute) }, nothing},
		"a trust policy that has not":     {func(s *scene) { s.expires(time.Minute); time.Sleep(time.Hour) }, func(s *scene) { s.expires(time.Hour) }},
		"the signer has no role any more": {nothing, func(s *scene) { s.takes(unauthorized) }},
		"the signer has the role again":   {func(s *scene) { s.takes(unauthorized) }, func(s *scene) { s.takes(func(*attest.TrustPolicy) {}) }},
		"the product is not trusted":      {nothing, func(s *scene) { s.takes(func(p *attest.TrustPolicy) { p.Products = nil }) }},
		"the patch is revoked":            {nothing, func(s *scene) { s.RevokeIt(attest.RevokeSubject, s.fits.PatchManifest) }},
		"the environment is revoked":      {nothing, func(s *scene) { s.RevokeIt(attest.RevokeEnvironment, s.fits.Patch.Environment) }},
		"the builder image is revoked":    {nothing, func(s *scene) { s.RevokeIt(attest.RevokeBuilder, s.fits.Builder) }},
		"a key is revoked":                {nothing, func(s *scene) { s.RevokeIt(attest.RevokeKey, s.Signer(string(attest.RoleBase)).Key.ID()) }},
		"the patch is contested":          {nothing, func(s *scene) { s.contradict() }},
		"the base is contested":           {nothing, func(s *scene) { s.contradictBase() }},
		"evidence comes in":               {func(s *scene) { s.unsaid() }, func(s *scene) { s.SayIt(s.fits.Said()[0]) }},
		"the patch is deleted":            {nothing, func(s *scene) { s.remove(s.fits.PatchManifest) }},
		"the patch is put again":          {func(s *scene) { s.remove(s.fits.PatchManifest) }, func(s *scene) { s.putAgain(s.fits.PatchManifest) }},
		"the product is embargoed":        {nothing, func(s *scene) { s.embargo("", time.Time{}) }},
		"the product is embargoed longer": {func(s *scene) { s.embargo("", soon().Add(-time.Second)) }, func(s *scene) { s.embargo("", time.Time{}, s.host) }},
		"the product's embargo is lifted": {func(s *scene) { s.embargo("", time.Time{}) }, func(s *scene) { s.lift("") }},
		"the product's embargo ends":      {func(s *scene) { s.embargo("", soon()) }, nothing},
		"the patch is embargoed":          {nothing, func(s *scene) { s.embargo(s.fits.PatchManifest, time.Time{}) }},
		"the patch's embargo is lifted":   {func(s *scene) { s.embargo(s.fits.PatchManifest, time.Time{}) }, func(s *scene) { s.lift(s.fits.PatchManifest) }},
		"the patch's embargo ends":        {func(s *scene) { s.embargo(s.fits.PatchManifest, soon()) }, nothing},
		"the site policy is stricter":     {nothing, func(s *scene) { s.Site().MinimumAssurance.Host = "quoted" }},
		"an embargo names the host":       {func(s *scene) { s.embargo("", time.Time{}) }, func(s *scene) { s.embargo("", time.Time{}, s.host) }},
	}
	maps.Copy(falls, evidenceFalls())
	maps.Copy(falls, rebuildFalls())
	for name, c := range falls {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				source := s.counted()
				c.before(s)
				first := s.asks(s.host, s.fits.PatchManifest)
				asked := source.views
				if again := s.asks(s.host, s.fits.PatchManifest); !cmp.Equal(first, again) || source.views != asked && !strings.Contains(name, "put again") {
					t.Errorf("the rules were asked %d times while nothing changed", source.views-asked)
				}
				time.Sleep(time.Minute)
				c.change(s)
				if next := s.asks(s.host, s.fits.PatchManifest); next.Allow == first.Allow {
					t.Errorf("allow is %t as before: %+v", next.Allow, next.Reasons)
				}
			})
		})
	}
}

// elsewhere is a product that the trust policy does not name.
const elsewhere = "00000000-0000-4000-8000-000000000001"

func (s *scene) another() {
	s.Must(ledger.KindProduct, ledger.ProductAdded{Product: elsewhere, Repository: "other/product", By: s.Admin})
}

func unauthorized(p *attest.TrustPolicy) {
	p.Products[0].Authorities[attest.RolePatch] = p.Products[0].Authorities[attest.RoleBuilder]
}

func (s *scene) contradictBase() {
	other := *s.fits.Base
	other.Environment = s.other.Base.Environment
	s.SayIt(verifytest.Said{Role: attest.RoleBase, Type: attest.TypeBase, About: s.fits.Said()[2].About, Predicate: &other})
}

// unsaid makes fits a patch that its own statement is missing of.
func (s *scene) unsaid() {
	s.fits = s.World("unsaid")
	for _, said := range s.fits.Said()[1:] {
		s.SayIt(said)
	}
	s.says(s.fits, boots[0])
}

// TestStandingIsFresh plays random histories of everything that a decision may
// depend on, for hosts and patches of which some fit, and asks after each step:
// what stands is what the rules would say. Time goes on to where something ends,
// and a moment before and after it, as often as by chance.
func TestStandingIsFresh(t *testing.T) {
	for seed := range uint64(6) {
		play(t, func(t *testing.T, s *scene) {
			source := s.counted()
			s.another()
			h := &history{scene: s, Rand: rand.New(rand.NewPCG(seed, 7)), idle: s.host}
			h.idle, _ = s.Enrol("idle")
			asked := 0
			for range 120 {
				h.step()
				for range 2 {
					for _, host := range []string{s.host, h.idle} {
						for _, d := range []attest.Digest{s.fits.PatchManifest, s.other.PatchManifest, s.fits.BaseManifest} {
							s.asks(host, d)
							asked++
						}
					}
				}
			}
			if source.views > asked*3/4 {
				t.Errorf("the rules were asked %d times for %d answers: nothing stood", source.views, asked)
			}
		})
	}
}

// A history is random.
type history struct {
	*scene
	*rand.Rand
	idle string
}

func (h *history) step() {
	pick := func(ds ...attest.Digest) attest.Digest { return ds[h.IntN(len(ds))] }
	patch := pick(h.fits.PatchManifest, h.other.PatchManifest)
	switch h.IntN(24) {
	case 0, 1, 2, 3, 4, 5, 6:
		h.pass()
	case 7, 8, 9:
		h.says(h.fits, boots[0])
	case 10:
		h.says(h.other, boots[0])
	case 11:
		h.SetState(h.host, []string{state.Active, state.Active, state.Suspended}[h.IntN(3)])
	case 12:
		h.moveTo([]string{h.Product.ID, h.Product.ID, elsewhere}[h.IntN(3)])
	case 13, 14:
		h.embargo(pick("", patch), h.end(), []string{h.host}[h.IntN(2):]...)
	case 15, 16:
		if d := pick("", patch); h.isEmbargoed(d) {
			h.lift(d)
		}
	case 17:
		h.expires(time.Duration(h.IntN(48)) * time.Hour)
	case 18:
		h.takes(func(*attest.TrustPolicy) {})
	case 19:
		h.remove(pick(patch, h.fits.BaseManifest))
	case 20, 21:
		h.putAgain(pick(patch, h.fits.BaseManifest))
	default:
		h.rarely()
	}
}

// rarely does what nothing undoes.
func (h *history) rarely() {
	switch h.IntN(20) {
	case 0:
		h.contradict()
	case 1:
		h.contradictBase()
	case 2:
		h.RevokeIt(attest.RevokeSubject, h.other.PatchManifest)
	case 3:
		h.RevokeIt(attest.RevokeEnvironment, h.fits.Patch.Environment)
	case 4:
		h.takes(unauthorized)
	case 5:
		h.says(h.fits, boots[1])
	case 6:
		h.unsaid()
	default:
		h.Publish(uuid.NewString())
	}
}

func (h *history) isEmbargoed(d attest.Digest) bool {
	_, ok := h.State.Embargo(h.Product.ID, d)
	return ok
}

func (h *history) end() time.Time {
	if h.IntN(4) == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(h.IntN(600)) * time.Second).UTC().Truncate(time.Second)
}

// pass lets time pass: a while, or up to where an answer turns, or just past it.
func (h *history) pass() {
	v, ok := h.State.View(h.host, repo, h.fits.PatchManifest, time.Now())
	if !ok || h.IntN(3) == 0 {
		time.Sleep(time.Duration(h.Int64N(int64(time.Hour))))
		return
	}
	to := v.Facts.Until(24 * time.Hour)
	time.Sleep(time.Until(to) + time.Duration(h.IntN(3)-1))
}

// TestClockSetBack: where the clock was set to before an answer was made, or to
// when it is over, the answer does not stand.
func TestClockSetBack(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for now, want := range map[time.Time]bool{
		from.Add(-1): false, from: true, from.Add(time.Minute - 1): true, from.Add(time.Minute): false,
	} {
		if got := gate.Holds(from, from.Add(time.Minute), now); got != want {
			t.Errorf("at %s: %t", now, got)
		}
	}
	if gate.Holds(from, time.Time{}, from) {
		t.Error("an answer for no moment stands")
	}
}

// TestStandingNeedsItsRecord: what could not be recorded does not stand.
func TestStandingNeedsItsRecord(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.journal.fail(errors.New("down"))
		for range 3 {
			if v, err := s.gate.Decide(t.Context(), s.host, repo, s.fits.PatchManifest); !errors.Is(err, gate.ErrNotRecorded) || v.Allow {
				t.Errorf("%+v, %v", v, err)
			}
		}
		s.journal.fail(nil)
	})
}

// TestAgeOfAnAnswerMadeAgain: that the rules gave the same answer in the
// meantime makes the record no younger.
func TestAgeOfAnAnswerMadeAgain(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		time.Sleep(gate.CountEvery / 2) // nothing is tidied up at 15 minutes
		first := s.decide(s.fits)
		time.Sleep(gate.MaxAge / 2)
		s.moveTo(s.Product.ID) // where it is
		if again := s.decide(s.fits); again.ID != first.ID {
			t.Fatalf("%+v, the first was %s", again, first.ID)
		}
		time.Sleep(gate.MaxAge / 2)
		if next := s.decide(s.fits); next.ID == first.ID {
			t.Error("a record of 15 minutes ago is used")
		}
	})
}
