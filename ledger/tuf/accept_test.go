package tuf_test

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/tuftest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A maker makes repositories and the trust policies in them.
type maker struct {
	*tuftest.Repository
	t         testing.TB
	authority *verifytest.Authority
	rootKeys  []*ecdsa.PrivateKey // of root version 1
	first     *tuf.Repository     // what the server has
}

func newMaker(t testing.TB) *maker {
	m := &maker{Repository: tuftest.New(t, verifytest.Epoch), t: t, authority: verifytest.New(t)}
	m.rootKeys = slices.Clone(m.Keys[tuf.RoleRoot].Keys)
	return m
}

// remade signs the offer's targets again as another version, with these keys.
func (m *maker) remade(o *tuf.Offer, version int64, keys []*ecdsa.PrivateKey) []byte {
	m.t.Helper()
	b, err := tuf.NewTargets(version, m.Now.AddDate(0, 3, 0), o.Files)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.Sign(b, keys...)
}

// withSharedKey is a root whose timestamp key is one of the targets keys too.
func (m *maker) withSharedKey() []byte {
	m.t.Helper()
	id := func(role string) []byte {
		k, err := attest.NewPublicKey(m.Keys[role].Keys[0].Public())
		if err != nil {
			m.t.Fatal(err)
		}
		s, err := tuf.KeyID(k)
		if err != nil {
			m.t.Fatal(err)
		}
		return []byte(`"keyids":["` + s + `"]`)
	}
	b, err := tuf.NewRoot(2, m.Now.AddDate(1, 0, 0), m.Roles())
	if err != nil {
		m.t.Fatal(err)
	}
	return m.Sign(bytes.Replace(b, id(tuf.RoleTimestamp), id(tuf.RoleTargets), 1), m.rootKeys...)
}

func (m *maker) policy(version int64, pin attest.TUFRoot) []byte {
	m.t.Helper()
	root := m.authority.Signer("policy root")
	p := m.authority.TrustPolicy(m.authority.Product("lib/greet"))
	p.Version, p.TUF = version, pin
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{root.Key.Base64()}}
	b, err := strictjson.Canonical(p)
	if err != nil {
		m.t.Fatal(err)
	}
	if b, err = attest.SignEnvelope(attest.PolicyPayload, b, root); err != nil {
		m.t.Fatal(err)
	}
	return b
}

func (m *maker) accepted(current *tuf.Repository) *tuf.Repository {
	m.t.Helper()
	r, err := tuf.Accept(current, m.Offer())
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func (m *maker) refused(current *tuf.Repository, o tuf.Offer, why string) {
	m.t.Helper()
	if r, err := tuf.Accept(current, o); r != nil || err == nil || !strings.Contains(err.Error(), why) {
		m.t.Errorf("%v, want a refusal that says %q", err, why)
	}
}

func TestAcceptTheFirstAndTheNext(t *testing.T) {
	m := newMaker(t)
	m.Release(m.policy(1, m.Pin()))
	first := m.accepted(nil)
	if _, err := tuf.Accept(first, m.Offer()); !errors.Is(err, tuf.ErrSame) {
		t.Errorf("the same again: %v", err)
	}
	m.Keys[tuf.RoleRoot].Keys[0] = tuftest.Key(t)
	m.Keys[tuf.RoleTargets].Keys[1] = tuftest.Key(t)
	m.Rotate()
	m.Release(m.policy(2, m.Pin()))
	o := m.Offer()
	o.Roots = o.Roots[1:] // the server has the first
	next, err := tuf.Accept(first, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Roots) != 2 || !bytes.Equal(next.Roots[0], first.Roots[0]) {
		t.Error("the first root is not kept")
	}
	if err := next.Current(m.Now.AddDate(0, 2, 0)); err != nil {
		t.Error(err)
	}
	if err := next.Current(m.Now.AddDate(0, 4, 0)); err == nil {
		t.Error("a snapshot that is over is current")
	}
}

// What an admin's files lack, or have too much of, each by itself.
func TestAcceptRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		why   string
		spoil func(m *maker, o *tuf.Offer)
	}{
		"root of too few of its own keys": {"not signed by its own root keys", func(m *maker, o *tuf.Offer) {
			m.Keys[tuf.RoleRoot] = &tuftest.Role{Keys: []*ecdsa.PrivateKey{tuftest.Key(m.t), tuftest.Key(m.t)}, Threshold: 2}
			o.Roots = append(o.Roots, m.NextRoot(m.Now.AddDate(1, 0, 0), append(m.rootKeys, m.Keys[tuf.RoleRoot].Keys[0])...))
		}},
		"root of too few of the keys before": {"not signed by the root keys of version 1", func(m *maker, o *tuf.Offer) {
			own := []*ecdsa.PrivateKey{m.rootKeys[0], tuftest.Key(m.t)}
			m.Keys[tuf.RoleRoot] = &tuftest.Role{Keys: own, Threshold: 2}
			o.Roots = append(o.Roots, m.NextRoot(m.Now.AddDate(1, 0, 0), own...))
		}},
		"a root left out": {"came where version 2 belongs", func(m *maker, o *tuf.Offer) {
			m.Rotate()
			m.Rotate()
			o.Roots = [][]byte{m.Offer().Roots[0], m.Offer().Roots[2]}
		}},
		"another first root": {"root version 1 is another one", func(m *maker, o *tuf.Offer) { o.Roots = newMaker(m.t).Offer().Roots }},
		"targets below the threshold": {"targets.json is not signed", func(m *maker, o *tuf.Offer) {
			o.Targets = m.remade(o, 2, m.Keys[tuf.RoleTargets].Keys[:1])
		}},
		"one key twice is one": {"targets.json is not signed", func(m *maker, o *tuf.Offer) {
			k := m.Keys[tuf.RoleTargets].Keys[0]
			o.Targets = m.remade(o, 2, []*ecdsa.PrivateKey{k, k})
		}},
		"targets by the timestamp key": {"targets.json is not signed", func(m *maker, o *tuf.Offer) {
			o.Targets = m.remade(o, 2, m.Keys[tuf.RoleTimestamp].Keys)
		}},
		"targets that go back": {"targets.json version 1 is another one", func(m *maker, o *tuf.Offer) {
			o.Targets = m.remade(o, 1, m.Keys[tuf.RoleTargets].Keys)
		}},
		"targets below what there is": {"targets.json has version 1, the server has version 2", func(m *maker, o *tuf.Offer) {
			m.first = m.accepted(m.first)
			m.ReleaseAs(1, o.Files, m.Now.AddDate(0, 3, 0))
			*o = m.Offer()
		}},
		"snapshot of other targets": {"names version 2 of targets.json", func(m *maker, o *tuf.Offer) { o.Targets = m.first.Targets }},
		"a file of another hash":    {"target trust-policy.json", func(m *maker, o *tuf.Offer) { o.Files[tuf.TrustPolicy] = m.policy(9, attest.TUFRoot{}) }},
		"a file left out":           {"want exactly", func(m *maker, o *tuf.Offer) { delete(o.Files, tuf.SigningConfig) }},
		"a file too many":           {"want exactly", func(m *maker, o *tuf.Offer) { o.Files["../evil.json"] = []byte("{}") }},
		"trusted root of another policy": {"not the trusted root of the trust policy", func(m *maker, o *tuf.Offer) {
			files := m.Files(m.policy(2, attest.TUFRoot{}))
			files[tuf.TrustedRoot] = verifytest.New(m.t).TrustedRoot()
			m.ReleaseAs(2, files, m.Now.AddDate(0, 3, 0))
			*o = m.Offer()
		}},
		"policy that names a root of another repository": {"not in this repository", func(m *maker, o *tuf.Offer) {
			m.ReleaseAs(2, m.Files(m.policy(2, attest.TUFRoot{Version: 1, Root: attest.DigestOf(nil)})), m.Now.AddDate(0, 3, 0))
			*o = m.Offer()
		}},
		"timestamp key with another role": {"the server's key must have no other role", func(m *maker, o *tuf.Offer) {
			o.Roots = append(o.Roots, m.withSharedKey())
			m.Keys[tuf.RoleTimestamp].Keys = m.Keys[tuf.RoleTargets].Keys[:1]
			if _, err := tuf.NewRoot(2, m.Now, m.Roles()); err == nil || !strings.Contains(err.Error(), "no other role") {
				m.t.Errorf("made: %v", err)
			}
		}},
		"no root at all": {"root.json", func(m *maker, o *tuf.Offer) { o.Roots = append(o.Roots, []byte("{}")) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker(t)
			m.Release(m.policy(1, m.Pin()))
			m.first = m.accepted(nil)
			m.Release(m.policy(2, m.Pin()))
			o := m.Offer()
			o.Roots = slices.Clone(o.Roots)
			test.spoil(m, &o)
			m.refused(m.first, o, test.why)
		})
	}
}

// Whatever is sent is refused or taken: nothing is followed blindly.
func TestCheckRefusesWhatReadersWouldFollowBlindly(t *testing.T) {
	m := newMaker(t)
	m.Release(m.policy(1, m.Pin()))
	o := m.Offer()
	timestamp := m.Served()["timestamp.json"]
	for role, b := range map[string][]byte{tuf.RoleRoot: o.Roots[0], tuf.RoleTargets: o.Targets, tuf.RoleSnapshot: o.Snapshot, tuf.RoleTimestamp: timestamp} {
		if err := tuf.Check(role, b); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		for name, spoiled := range map[string][]byte{
			"null":      []byte("null"),
			"no signed": []byte(`{"signatures":[]}`),
			"cut":       b[:len(b)/2],
			"twice":     append(bytes.Clone(b), b...),
			"version 0": bytes.Replace(b, []byte(`"version":1`), []byte(`"version":0`), -1),
			"long":      append(bytes.Clone(b), bytes.Repeat([]byte(" "), 1<<20)...),
		} {
			if err := tuf.Check(role, spoiled); err == nil {
				t.Errorf("%s: %s passes", role, name)
			}
		}
		for other := range map[string]int{tuf.RoleRoot: 0, tuf.RoleTargets: 0, tuf.RoleSnapshot: 0, tuf.RoleTimestamp: 0} {
			if other != role && tuf.Check(other, b) == nil {
				t.Errorf("%s passes for %s", role, other)
			}
		}
	}
	for role, b := range map[string]string{
		tuf.RoleRoot:      `{"signed":{"_type":"root","version":1,"roles":{"root":null}},"signatures":[]}`,
		tuf.RoleTimestamp: `{"signed":{"_type":"timestamp","version":1,"meta":{}},"signatures":[]}`,
		tuf.RoleSnapshot:  `{"signed":{"_type":"snapshot","version":1,"meta":{"targets.json":null}},"signatures":[]}`,
	} {
		if err := tuf.Check(role, []byte(b)); err == nil {
			t.Errorf("%s: %s passes", role, b)
		}
	}
}

func FuzzCheck(f *testing.F) {
	m := newMaker(f)
	m.Release(m.policy(1, m.Pin()))
	for _, b := range m.Served() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
			h, err := tuf.ReadHeading(role, b)
			if err == nil && (h.Version < 1 || h.Role != role) {
				t.Errorf("%+v", h)
			}
		}
		_, _ = tuf.RolesOf(b)
		_, _ = tuf.Accept(nil, tuf.Offer{Roots: [][]byte{b}, Targets: b, Snapshot: b})
	})
}
