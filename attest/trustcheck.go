package attest

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

const (
	maxRoots     = maxSignatures
	maxLogPolicy = 64 << 10
	maxJournals  = 64
)

func (p *TrustPolicy) check(at spot) error {
	names := make(map[string]bool)
	for _, s := range p.Signers {
		names[s.Name] = true
	}
	return cmp.Or(
		at.member("version").number(p.Version, 1),
		at.member("expires").time(p.Expires),
		p.Roots.check(at.member("roots")),
		checkSigners(at.member("signers"), p.Signers),
		checkProducts(at.member("products"), p.Products, names),
		checkTrustedRoot(at.member("trustedRoot"), p.TrustedRoot),
		checkIdentities(at.member("signers"), p),
		checkRebuilds(at, p),
		checkLogPolicy(at.member("logPolicy"), p.LogPolicy),
		checkJournals(at.member("journals"), p),
		p.TUF.check(at.member("tuf")),
	)
}

// checkLogPolicy asks for a text; what its lines say is read where checkpoints are.
func checkLogPolicy(at spot, text string) error {
	switch {
	case len(text) > maxLogPolicy:
		return at.errorf("%d bytes, at most %d are read", len(text), maxLogPolicy)
	case text != "" && text[len(text)-1] != '\n':
		return at.errorf("its last line does not end in a newline")
	}
	return nil
}

// checkJournals also asks that no key of a journal is anybody else's: a server
// has it, and what it signs is no statement.
func checkJournals(at spot, p *TrustPolicy) error {
	if p.Journals == nil {
		return nil
	}
	if n := len(p.Journals); n == 0 || n > maxJournals {
		return at.errorf("%d keys of journals, want 1 to %d; an empty list is left out", n, maxJournals)
	}
	owner := make(map[string]string)
	for _, k := range p.Roots.Keys {
		owner[k] = "a root"
	}
	for _, s := range p.Signers {
		for _, k := range s.Keys {
			owner[k.Key] = s.Name
		}
	}
	for i, k := range p.Journals {
		if err := checkKey(at.index(i), k); err != nil {
			return err
		}
		if other, dup := owner[k]; dup {
			return at.index(i).errorf("this key is already a key of %q", other)
		}
	}
	return unique(at, p.Journals, self)
}

func (r TUFRoot) check(at spot) error {
	if r == (TUFRoot{}) {
		return nil
	}
	return cmp.Or(at.member("version").number(r.Version, 1), at.member("root").digest(r.Root))
}

func (r Roots) check(at spot) error {
	if n := len(r.Keys); n == 0 || n > maxRoots {
		return at.member("keys").errorf("%d root keys, want 1 to %d", n, maxRoots)
	}
	if r.Threshold < 1 || r.Threshold > len(r.Keys) {
		return at.member("threshold").errorf("%d is not between 1 and the number of keys, %d", r.Threshold, len(r.Keys))
	}
	return cmp.Or(
		each(at.member("keys"), r.Keys, checkKey),
		unique(at.member("keys"), r.Keys, self),
	)
}

func checkKey(at spot, b64 string) error {
	if _, err := ParsePublicKey(b64); err != nil {
		return at.errorf("%v", err)
	}
	return nil
}

// checkSigners also asks that no key belongs to two signers, or one person
// would count as two.
func checkSigners(at spot, list []Signer) error {
	owner := make(map[string]string)
	for i, s := range list {
		at := at.index(i)
		if err := at.member("name").line(s.Name); err != nil {
			return err
		}
		if s.Identities != nil && len(s.Identities) == 0 {
			return at.member("identities").errorf("an empty list is left out")
		}
		if len(s.Keys) == 0 && len(s.Identities) == 0 {
			return at.member("keys").errorf("signer %q has no key and no identity", s.Name)
		}
		for j, k := range s.Keys {
			at := at.member("keys").index(j)
			if err := k.check(at); err != nil {
				return err
			}
			if other, dup := owner[k.Key]; dup {
				return at.member("key").errorf("this key is already a key of %q", other)
			}
			owner[k.Key] = s.Name
		}
	}
	return unique(at, list, func(s Signer) string { return s.Name })
}

func (k SignerKey) check(at spot) error {
	return cmp.Or(
		checkWindow(at, k.ValidFrom, k.ValidUntil),
		checkKey(at.member("key"), k.Key),
		at.member("validFrom").time(k.ValidFrom),
		optional(k.ValidUntil, at.member("validUntil").time),
	)
}

func checkWindow(at spot, from, until time.Time) error {
	if !until.IsZero() && !from.Before(until) {
		return at.member("validUntil").errorf("does not come after validFrom")
	}
	return nil
}

func checkProducts(at spot, list []Product, signers map[string]bool) error {
	for i, p := range list {
		if err := p.check(at.index(i), signers); err != nil {
			return err
		}
	}
	return cmp.Or(
		unique(at, list, func(p Product) string { return p.ID }),
		unique(at, list, func(p Product) string { return p.Repository }),
	)
}

func (p Product) check(at spot, signers map[string]bool) error {
	if len(p.FitBases) == 0 {
		return at.member("fitBases").errorf("a product that accepts no basis of fit can have no patch")
	}
	return cmp.Or(
		at.member("id").uuid(p.ID),
		checkRepository(at.member("repository"), p.Repository),
		checkAuthorities(at.member("authorities"), p.Authorities, signers),
		each(at.member("fitBases"), p.FitBases, func(at spot, v string) error { return at.oneOf(v, FitEnvironment, FitEquivalent, FitVendor) }),
		unique(at.member("fitBases"), p.FitBases, self),
		checkChannels(at.member("channels"), p.Channels),
	)
}

func checkChannels(at spot, v string) error {
	if v == "" {
		return nil
	}
	return at.oneOf(v, ChannelsRequired)
}

// repository is the <name> of the OCI distribution spec v1.1.
var repository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

func checkRepository(at spot, v string) error {
	if len(v) > 255 || !repository.MatchString(v) {
		return at.errorf("%.80q is not an OCI repository name", v)
	}
	return nil
}

func checkAuthorities(at spot, roles map[Role][]string, signers map[string]bool) error {
	var known []string
	for _, role := range Roles() {
		known = append(known, string(role))
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		at := at.member(string(role))
		if err := at.oneOf(string(role), known...); err != nil {
			return err
		}
		for i, name := range roles[role] {
			if !signers[name] {
				return at.index(i).errorf("%.80q is not the name of a signer", name)
			}
		}
		if err := unique(at, roles[role], self); err != nil {
			return err
		}
	}
	return nil
}

// checkTrustedRoot asks for a trusted root that can be loaded and that names a
// log and a timestamp authority, without which no statement is evidence.
func checkTrustedRoot(at spot, raw []byte) error {
	tr, err := root.NewTrustedRootFromJSON(raw)
	if err != nil {
		return at.errorf("%v", err)
	}
	if len(tr.RekorLogs()) == 0 {
		return at.member("tlogs").errorf("no log")
	}
	if len(tr.TimestampingAuthorities()) == 0 {
		return at.member("timestampAuthorities").errorf("no timestamp authority")
	}
	return nil
}
