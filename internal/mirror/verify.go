package mirror

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/verify"
)

// A Report is what a mirror came to.
type Report struct {
	PolicyVersion int64
	Repositories  []RepositoryReport
	Blobs         int   // hashed, each once
	Bytes         int64 // of those
	Checkpoint    *ledger.Checkpoint
	Entries       int       // of the log, proven for the checkpoint
	Elsewhere     int       // bundles that stand on their own proof alone
	Before        *SeenLog  // what was seen of the log before; nil: nothing
	Problems      []Problem // empty: everything is there and is what it should be
	Refused       []Refused // bundles that are no evidence
	Void          []Refused // bundles that count for nothing, as the record says
}

// A RepositoryReport is the totals of one repository.
type RepositoryReport struct {
	Repository  string
	Product     string
	Manifests   int
	Tags        int
	Kinds       map[string]int // manifests by kind
	Statements  map[string]int // verified, by predicate type
	Revocations int            // verified
	Channels    int            // verified
}

// A Refused bundle and why.
type Refused struct {
	Repository string
	Bundle     attest.Digest
	Refusal    *verify.Refusal
}

// Verified reports whether all is well, and there is something to be well.
func (r *Report) Verified() bool {
	statements := 0
	for _, repo := range r.Repositories {
		for _, n := range repo.Statements {
			statements += n
		}
	}
	return len(r.Problems) == 0 && len(r.Refused) == 0 && statements > 0
}

// Verify asks of a mirror, without a network, whether everything its record
// names is there, and what of it is evidence by the trust policy p, which the
// caller has verified. memory is what was seen before, and learns what is seen
// now if all is well; nil remembers nothing. The error is for what could not be
// read at all.
func Verify(ctx context.Context, l *Layout, p *attest.TrustPolicy, memory *Memory, now time.Time) (*Report, error) {
	return (&verification{layout: l, policy: p}).run(ctx, memory, now)
}

func (v *verification) run(ctx context.Context, memory *Memory, now time.Time) (*Report, error) {
	p := v.policy
	v.report = &Report{PolicyVersion: p.Version}
	if !now.Before(p.Expires) {
		v.fail(problem(Untrusted, "the trust policy was good until %s", p.Expires.Format(time.RFC3339)).hint("have its owners sign a new one, and pull again"))
	}
	if err := v.everything(ctx); err != nil {
		return nil, err
	}
	if len(v.report.Problems) > 0 {
		return v.report, nil // what is not there cannot be evidence
	}
	s, err := v.evidence(memory)
	if err != nil {
		return nil, err
	}
	if memory != nil && v.report.Verified() {
		memory.learn(s)
	}
	return v.report, nil
}

// A verification is one pass over a mirror.
type verification struct {
	layout *Layout
	policy *attest.TrustPolicy
	hashed map[attest.Digest]bool // blobs that were hashed just now
	report *Report
}

func (v *verification) fail(p *Problem) { v.report.Problems = append(v.report.Problems, *p) }

// note makes a problem one of the report's; any other error ends it.
func (v *verification) note(err error) error {
	var p *Problem
	if errors.As(err, &p) {
		v.fail(p)
		return nil
	}
	return err
}

// everything hashes all blobs.
func (v *verification) everything(ctx context.Context) error {
	all, err := v.layout.blobs()
	if err := v.note(err); err != nil {
		return err
	}
	for _, d := range slices.Sorted(maps.Keys(all)) {
		size := all[d]
		if err := ctx.Err(); err != nil {
			return err
		}
		if !v.hashed[d] {
			if err := v.note(check(v.layout, d, size)); err != nil {
				return err
			}
		}
		v.report.Blobs++
		v.report.Bytes += size
	}
	return nil
}

// blobs returns every blob of the mirror with its size. A manifest that does
// not read is the error, and the rest is returned.
func (l *Layout) blobs() (map[attest.Digest]int64, error) {
	own, err := l.Record.own(l.raw)
	if err != nil {
		return nil, err
	}
	all := map[attest.Digest]int64{}
	var errs []error
	var lie error
	sized := func(list ...Descriptor) {
		for _, d := range list {
			if size, known := all[d.Digest]; known && size != d.Size {
				lie = cmp.Or[error](lie, problem(Corrupt, "blob %s has %d bytes in one place and %d in another", d.Digest, size, d.Size).hint("the source is damaged or lies"))
			}
			all[d.Digest] = d.Size
		}
	}
	sized(own...)
	for i := range l.Record.Repositories {
		for _, d := range l.Record.Repositories[i].Manifests {
			sized(d)
			m, err := l.manifest(d)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			sized(m.blobs()...)
		}
	}
	return all, cmp.Or(lie, first(errs))
}

// first returns the first problem: check names each of them again.
func first(errs []error) error {
	for _, err := range errs {
		var p *Problem
		if !errors.As(err, &p) || p.Code != Missing && p.Code != Corrupt {
			return err
		}
	}
	return nil
}

// evidence assesses the bundles, the log and what was seen before.
func (v *verification) evidence(memory *Memory) (sight, error) {
	s := sight{policy: v.policy.Version, revocation: map[string][]attest.Digest{}}
	a, err := newAssessor(v.policy)
	if err != nil {
		return s, err
	}
	if err := v.note(v.closed()); err != nil {
		return s, err
	}
	found, err := a.all(v.layout)
	if err := v.note(err); err != nil {
		return s, err
	}
	v.count(found, &s)
	if err := v.note(v.log(found, &s)); err != nil {
		return s, err
	}
	if memory != nil {
		if s.log != nil {
			v.report.Before = memory.log(s.log.Origin)
		}
		for _, p := range memory.compare(s) {
			v.fail(p)
		}
	}
	return s, nil
}

// closed asks that the products are those of the trust policy, and that every
// part of an index is in the mirror.
func (v *verification) closed() error {
	for i := range v.layout.Record.Repositories {
		repo := &v.layout.Record.Repositories[i]
		if !names(v.policy, repo) {
			return problem(Untrusted, "the trust policy has no product %s in repository %s", repo.Product, repo.Repository).hint("use the trust policy of this product's owners")
		}
		manifests, err := v.layout.manifests(repo)
		if err != nil {
			return err
		}
		kinds := map[string]int{}
		for _, m := range manifests {
			kinds[kind(m)]++
			for _, part := range m.Manifests {
				if manifests[part.Digest] == nil {
					return missing(part.Digest)
				}
			}
		}
		v.report.Repositories = append(v.report.Repositories, RepositoryReport{
			Repository: repo.Repository, Product: repo.Product, Manifests: len(repo.Manifests), Tags: len(repo.Tags),
			Kinds: kinds, Statements: map[string]int{},
		})
	}
	return nil
}

func names(p *attest.TrustPolicy, repo *Repository) bool {
	for _, product := range p.Products {
		if product.ID == repo.Product && product.Repository == repo.Repository {
			return true
		}
	}
	return false
}

// kind calls a manifest what people call it.
func kind(m *manifest) string {
	switch m.typ() {
	case attest.ArtifactEnv:
		return "environment"
	case attest.ArtifactBase:
		return "base"
	case attest.ArtifactPatch:
		return "live-patch"
	case attest.ArtifactBundle:
		return "bundle"
	}
	return "image"
}

func (v *verification) count(found []*finding, s *sight) {
	for i := range v.report.Repositories {
		repo, record := &v.report.Repositories[i], &v.layout.Record.Repositories[i]
		s.revocation[repo.Product] = []attest.Digest{}
		for _, f := range found {
			switch {
			case f.repository != repo.Repository:
			case f.evidence == nil && f.void() && record.isVoid(f.bundle):
				v.report.Void = append(v.report.Void, Refused{f.repository, f.bundle, f.refusal})
			case f.evidence == nil:
				v.report.Refused = append(v.report.Refused, Refused{f.repository, f.bundle, f.refusal})
			case f.revocation:
				repo.Revocations++
				s.revocation[repo.Product] = append(s.revocation[repo.Product], f.evidence.Payload())
			case f.channel:
				repo.Channels++
			default:
				repo.Statements[f.evidence.Type()]++
			}
		}
	}
}

// log asks that each bundle's entry is in the log as the mirror's checkpoint
// has it.
func (v *verification) log(found []*finding, s *sight) error {
	record := v.layout.Record.Log
	if record == nil {
		for _, f := range found {
			if f.evidence != nil {
				v.report.Elsewhere++
			}
		}
		return nil
	}
	cp, id, err := v.checkpoint(record)
	if err != nil {
		return err
	}
	s.log, s.since = cp, v.layout.Entries.since
	v.report.Checkpoint = cp
	proven := map[int64]bool{}
	for _, f := range found {
		switch {
		case f.evidence == nil:
		case !bytes.Equal(f.logID, id):
			v.report.Elsewhere++
		default:
			if p := v.entry(cp, f); p != nil {
				v.fail(p)
			} else {
				proven[f.evidence.LogIndex()] = true
			}
		}
	}
	v.report.Entries = len(proven)
	return nil
}

// checkpoint opens the mirror's checkpoint with the logs of the trust policy
// and returns the log's id.
func (v *verification) checkpoint(record *Log) (*ledger.Checkpoint, []byte, error) {
	raw, err := v.layout.read(record.Checkpoint, maxCheckpoint)
	if err != nil {
		return nil, nil, err
	}
	cp, id, err := openCheckpoint(raw, v.policy.TrustedRoot)
	if err != nil {
		return nil, nil, err
	}
	if cp.Origin != record.Origin || int64(cp.Size) != record.Size || !bytes.Equal(cp.Root, record.Root) {
		return nil, nil, problem(Corrupt, "the record says that the log has %d entries and the root %s, its checkpoint says %d and %s",
			record.Size, hex.EncodeToString(record.Root), cp.Size, hex.EncodeToString(cp.Root))
	}
	return cp, id, nil
}

// openCheckpoint opens a checkpoint of one of the logs in trustedRoot and
// returns the log's id.
func openCheckpoint(raw, trustedRoot []byte) (*ledger.Checkpoint, []byte, error) {
	logs, err := ledger.LogKeys(trustedRoot)
	if err != nil {
		return nil, nil, err
	}
	var last error
	for _, k := range logs {
		cp, err := ledger.OpenCheckpoint(raw, []ledger.LogKey{k})
		if err != nil {
			last = err
			continue
		}
		id, err := k.ID()
		return cp, id, err
	}
	p := problem(NotLogged, "%v", last).hint("use the trust policy that names this log")
	p.Err = last
	return nil, nil, p
}

func (v *verification) entry(cp *ledger.Checkpoint, f *finding) *Problem {
	index := f.evidence.LogIndex()
	e := v.layout.Entries.entry(index)
	if e == nil {
		return problem(NotLogged, "the mirror has no log entry %d, which is that of bundle %s in %s", index, f.bundle, f.repository).hint("pull again")
	}
	if !bytes.Equal(e.Leaf, f.leaf) {
		return problem(NotLogged, "log entry %d is not that of bundle %s in %s", index, f.bundle, f.repository).hint("pull again; if it is the same, keep both as evidence")
	}
	if err := cp.Includes(uint64(index), e.Leaf, e.Proof); err != nil {
		p := problem(NotLogged, "log entry %d, of bundle %s in %s: %v", index, f.bundle, f.repository, err).hint("pull again")
		p.Err = err
		return p
	}
	return nil
}
