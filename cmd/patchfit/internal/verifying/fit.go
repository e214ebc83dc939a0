package verifying

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/policy/inquiry"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// fitFlags say what a patch has to fit: a base by its file, or a host by its
// record.
type fitFlags struct {
	base   string
	record string
	key    string
	site   string
}

func (f *fitFlags) asked() bool { return f.base != "" || f.record != "" }

func (f *fitFlags) check(v *flags) error {
	switch {
	case f.base != "" && f.record != "":
		return exit.BadUsage(errors.New("--base and --host-record exclude each other"), "a host's record says which base it runs")
	case (f.record == "") != (f.key == ""):
		return exit.BadUsage(errors.New("--host-record and --host-key go together"), "a record is signed by its host's key")
	case f.site != "" && !f.asked():
		return exit.BadUsage(errors.New("--site goes with --base or --host-record"), "a site policy says what is asked of hosts and bases")
	case f.asked() && v.root.file != "":
		return exit.BadUsage(errors.New("--base and --host-record go with a trust policy"), "a Sigstore trusted root knows no bases")
	}
	return nil
}

// ofHosts are the rules that only a server knows the answer to.
var ofHosts = []string{"host-active", "host-key-unique", "host-product", "record-newest"}

// fit decides, by the gate's own rules, whether the patch fits the base or the
// host that was named. What only a server knows of a host is not asked, and not
// shown.
func (v *flags) fit(ctx context.Context, c *Checker, s *source) (*Fit, error) {
	if c.revoked == nil {
		return nil, exit.BadUsage(errors.New("nothing is known of revocations here"), "whoever does not know them cannot tell what may be used: name --revocations FILE, or a mirror")
	}
	q := &fitting{Checker: c, now: time.Now(), site: policy.DefaultSite()}
	if v.fits.site != "" {
		doc, err := os.ReadFile(v.fits.site)
		if err != nil {
			return nil, fmt.Errorf("reading the site policy: %w", err)
		}
		if q.site, err = policy.LoadSite(doc); err != nil {
			return nil, err
		}
	}
	for _, list := range [][]named{s.bundles, s.beneath} {
		for _, n := range list {
			q.bundles = append(q.bundles, n.raw)
		}
	}
	facts, to, err := q.facts(ctx, v, s.sub)
	if err != nil {
		return nil, err
	}
	decision := policy.Decide(facts)
	f := &Fit{To: to, Allow: decision.Allow, Basis: decision.Basis}
	f.Checks = slices.DeleteFunc(api.Checks(policy.Explain(facts)), func(r api.Check) bool {
		return slices.Contains(ofHosts, r.Rule) || v.fits.base != "" && r.Rule == "record-fresh"
	})
	return f, nil
}

type fitting struct {
	*Checker
	now     time.Time
	site    *policy.Site
	bundles [][]byte
}

func (q *fitting) facts(ctx context.Context, v *flags, sub *subject) (*policy.Facts, string, error) {
	product, ok := q.trust.Product(q.product)
	if !ok {
		return nil, "", exit.With(exit.NotFound, "the trust policy has no product "+q.product, "")
	}
	manifest := q.manifest(sub)
	art := inquiry.Described(product.Repository, manifest, q.bundles)
	search := inquiry.New(q.verifier, q.trust, q.revoked, verify.Artifact{Manifest: manifest, File: art.File}, q.bundles)
	of := search.Base(q.product, product.Repository, art.Subject)
	f := &policy.Facts{
		Now: q.now, Trust: q.trust, Product: q.product, Site: q.site, Revoked: q.revoked,
		Embargoes: policy.NewEmbargoes(nil, nil), // the server's to know
		Patch:     policy.GatherPatch(q.trust, q.product, art, of, search.Pool),
	}
	host, to, err := q.host(ctx, v)
	if err != nil {
		return nil, "", err
	}
	f.Host = host
	q.runs(host, search, product.Repository, of, v.fits.base)
	return f, to, nil
}

// manifest returns the manifest the subject is; of a file, the one that the
// first statement about it names.
func (q *fitting) manifest(sub *subject) attest.Digest {
	if sub.artifact.Manifest != "" {
		return sub.artifact.Manifest
	}
	for _, raw := range q.bundles {
		b, err := attest.ParseBundle(raw)
		if err != nil {
			continue
		}
		if subjects := b.Statement.Subjects; sub.says || len(subjects) == 2 && subjects[1].Digest == sub.artifact.File {
			return subjects[0].Digest
		}
	}
	return ""
}

// host returns what stands for the machine: of a base alone, one that runs it.
func (q *fitting) host(ctx context.Context, v *flags) (*policy.Host, string, error) {
	h := &policy.Host{State: policy.HostActive, Products: []string{q.product}}
	if v.fits.base != "" {
		h.ID = "base"
		h.Record = &attest.HostRecord{Host: h.ID, Sequence: 1, Time: q.now}
		h.Received, h.Sequence = q.now, 1
		return h, "base " + v.fits.base, nil
	}
	raw, err := readLimited(v.fits.record, attest.MaxEnvelope)
	if err != nil {
		return nil, "", fmt.Errorf("reading the host record: %w", err)
	}
	key, err := shell.ReadPublic(ctx, v.fits.key)
	if err != nil {
		return nil, "", err
	}
	r, err := verify.StoredHostRecord(raw, key, claimedHost(raw))
	if err != nil {
		return nil, "", err
	}
	h.ID, h.Record, h.Received, h.Sequence = r.Host, r, r.Time, r.Sequence
	return h, "host " + r.Host + ", by its record " + fmt.Sprint(r.Sequence), nil
}

// claimedHost is whom a record speaks of: the key it is signed by says whether
// it may.
func claimedHost(raw []byte) string {
	if r, err := attest.ClaimedHostRecord(raw); err == nil {
		return r.Host
	}
	return ""
}

// runs finds the bases the host runs among those that something is said of.
func (q *fitting) runs(h *policy.Host, search *inquiry.Search, repository string, of *policy.Base, base string) {
	candidates := []*policy.Base{of}
	for _, raw := range q.bundles {
		b, err := attest.ParseBundle(raw)
		if err != nil {
			continue
		}
		p, ok := b.Statement.Predicate.(*attest.Base)
		manifest := b.Statement.Subjects[0].Digest
		if !ok || of != nil && of.Artifact.Manifest == manifest {
			continue
		}
		search.Compare(manifest, p.File.Digest, q.bundles)
		candidates = append(candidates, search.Base(q.product, repository, manifest))
	}
	file := digestOfBase(base)
	for _, b := range candidates {
		if b == nil {
			continue
		}
		if s := verify.As[attest.Base](b.Statement); base != "" && s != nil && s.File.Digest == file {
			h.Record.Target = s.Target // of that very file
			for _, m := range s.Measurements {
				h.Record.Running = append(h.Record.Running, attest.Running{Product: q.product, Measurement: m})
			}
		}
		if slices.ContainsFunc(h.Record.Running, b.Matches) {
			h.Bases = append(h.Bases, b)
		}
	}
	if base != "" && len(h.Record.Running) == 0 { // a base nobody states: it is measured, and unknown
		h.Record.Running = []attest.Running{{Product: q.product, Measurement: attest.Measurement{Kind: attest.MeasureELFFile, Digest: file, BuildID: "(not read)"}}}
	}
}

// digestOfBase is that of a file, or the digest itself; flags were checked
// before.
func digestOfBase(base string) attest.Digest {
	if d, err := attest.ParseDigest(base); err == nil {
		return d
	}
	d, err := fileDigest(base)
	if err != nil {
		return ""
	}
	return d
}

// outcome turns a fit into an exit code.
func (f *Fit) outcome() error {
	if f.Allow {
		return nil
	}
	for _, c := range f.Checks {
		if len(c.Findings) > 0 {
			r := c.Findings[0]
			return exit.With(exit.ForReason(verify.Reason(r.Reason)), fmt.Sprintf("%s: want %s, got %s", r.Reason, r.Want, r.Got), r.Remedy)
		}
	}
	return exit.With(exit.Denied, "it does not fit", "")
}
