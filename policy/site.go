package policy

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Site is what one server, or one host, asks beyond the core rules. It can
// only make decisions stricter. The zero Site denies. docs/spec/site-policy.md.
type Site struct {
	MaxRecordAge     time.Duration // how long ago the newest host record may have arrived
	MinimumAssurance Assurance
	RequireChannel   bool    // a patch counts only while a channel offers it, whatever the trust policy says
	DenyLint         LintIDs // findings that a patch may not have; zero: lint is not asked
	Modes            Modes   // of these; the zero value enforces
	digest           attest.Digest
}

const (
	maxSite      = 64 << 10 // bytes of a site policy
	maxRecordAge = 30 * 24 * time.Hour
)

// siteFile is a site policy as it is written.
type siteFile struct {
	MaxRecordAge     string            `json:"maxRecordAge"`
	MinimumAssurance Assurance         `json:"minimumAssurance"`
	RequireChannel   bool              `json:"requireChannel,omitzero"`
	Lint             *siteLint         `json:"lint,omitzero"`
	Modes            map[string]string `json:"modes,omitzero"`
}

const defaultSite = `maxRecordAge: 24h
minimumAssurance:
  host: signed
  base: built
`

// DefaultSite returns the site policy where none is written: host records of
// the last 24 hours, signed, and bases with provenance.
func DefaultSite() *Site {
	return &Site{
		MaxRecordAge:     24 * time.Hour,
		MinimumAssurance: Assurance{Host: HostSigned, Base: BaseBuilt},
		Modes:            Modes{Enforce, Enforce, Enforce, Enforce, Enforce},
		digest:           attest.DigestOf([]byte(defaultSite)),
	}
}

// LoadSite reads a site policy: one YAML document of at most 64 KiB, strictly.
// Every limit has to be there. It asks the rules to admit nothing for nobody
// under this policy, and refuses it where one of them would.
func LoadSite(doc []byte) (*Site, error) {
	f, err := parseSite(doc)
	if err != nil {
		return nil, fmt.Errorf("site policy: %w", err)
	}
	age, err := time.ParseDuration(f.MaxRecordAge)
	if err != nil || age <= 0 || age > maxRecordAge {
		return nil, fmt.Errorf("site policy: /maxRecordAge: %.40q is not a duration above 0 and up to %v, as 24h", f.MaxRecordAge, maxRecordAge)
	}
	if err := f.MinimumAssurance.check(); err != nil {
		return nil, fmt.Errorf("site policy: %w", err)
	}
	s := &Site{MaxRecordAge: age, MinimumAssurance: f.MinimumAssurance, RequireChannel: f.RequireChannel, digest: attest.DigestOf(doc)}
	if f.Lint != nil {
		if err := f.Lint.check(); err != nil {
			return nil, fmt.Errorf("site policy: %w", err)
		}
		s.DenyLint = f.Lint.ids()
	}
	if err := s.Modes.read(f.Modes); err != nil {
		return nil, fmt.Errorf("site policy: %w", err)
	}
	if err := probe(s, Explain, Decide); err != nil {
		return nil, err
	}
	return s, nil
}

func parseSite(doc []byte) (f siteFile, err error) {
	if len(doc) > maxSite {
		return f, fmt.Errorf("%d bytes exceed the limit of %d", len(doc), maxSite)
	}
	for i, line := range bytes.Split(doc, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("...")) {
			return f, fmt.Errorf("line %d: one document without markers is wanted", i+1)
		}
	}
	js, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return f, err
	}
	return f, strictjson.Unmarshal(js, maxSite, &f)
}

// probe asks every rule whether it would let nobody have nothing under s: with
// no facts at all, and with a host and a patch of which nothing is known. A
// rule that passes the first would be no rule.
func probe(s *Site, explain func(*Facts) []Check, decide func(*Facts) Decision) error {
	nothing := &Facts{Site: s}
	if decide(nothing).Allow || decide(&Facts{Site: s, Host: &Host{}, Patch: &Patch{Base: &Base{}}}).Allow {
		return errors.New("site policy: it would allow a host of which nothing is known a patch without evidence")
	}
	for _, c := range explain(nothing) {
		if c.Passed {
			return fmt.Errorf("site policy: rule %s would pass for a host of which nothing is known", c.Rule)
		}
	}
	return nil
}

// Digest returns the sha256 of the file the policy was read from, by which
// decisions name it.
func (s *Site) Digest() attest.Digest {
	if s == nil {
		return ""
	}
	return s.digest
}
