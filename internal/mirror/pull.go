package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
)

// A Source is a server to copy from, and the trust policy that was verified to
// be its own.
type Source struct {
	Server   *api.Client
	Envelope []byte              // of the trust policy
	Policy   *attest.TrustPolicy // what the envelope says
}

// A Want is a repository, or one artifact in it with all it stands on.
type Want struct {
	Repository string
	Reference  string // a tag or digest; "": all of it
}

// PullOptions are how a copy goes. The zero options copy the log entries and
// say nothing.
type PullOptions struct {
	Progress *term.Progress
	// Since are sizes at which the log was seen before: proofs come along that
	// it goes on from there.
	Since []int64
	// WithoutLog copies no log entries: bundles stand on the proof each has. It
	// is for sources that do not have the log, as mirrors do not.
	WithoutLog bool
	// Now is when the trust policy has to be good; zero: now.
	Now time.Time
}

// Pulled is what a copy did and what it came to.
type Pulled struct {
	Stats  Stats
	Report *Report
	Record *Record
	// Damaged is what was wrong with the mirror that was there before; nil:
	// nothing. Then it was not compared with the new one.
	Damaged error
}

// archiveSuffix is how a path says that it shall be one file.
const archiveSuffix = ".tar"

// Pull copies what is wanted to path, an OCI layout in a directory or, where
// path ends with .tar, in one file. A mirror that is there already is brought
// up to date; it never goes back. A copy that was interrupted goes on where it
// was. A copy whose evidence does not verify is an error and is not finished.
func Pull(ctx context.Context, src Source, wants []Want, path string, o *PullOptions) (*Pulled, error) {
	if o == nil {
		o = &PullOptions{}
	}
	defer o.Progress.Clear()
	p := &pull{src: src, options: o, work: path, result: &Pulled{}}
	if strings.HasSuffix(path, archiveSuffix) {
		p.work, p.file = path+".partial", path
	}
	if err := p.begin(wants); err != nil {
		return nil, err
	}
	defer p.in.Close()
	if err := p.run(ctx, wants); err != nil {
		return nil, err
	}
	return p.result, p.finish()
}

// A pull is one copy.
type pull struct {
	src     Source
	options *PullOptions
	work    string // directory that is written to
	file    string // tar file it becomes; "": it stays
	in      *ingest
	before  *Layout // the mirror that was there; nil: none
	layout  *Layout // the new one
	result  *Pulled
}

// begin opens the place to write to and the mirror that is there already.
func (p *pull) begin(wants []Want) error {
	if len(wants) == 0 {
		return errors.New("nothing to copy was named")
	}
	if err := vacant(p.work); err != nil {
		return err
	}
	old := p.work
	if p.file != "" {
		old = p.file
	}
	before, err := Open(old)
	if err := p.judge(old, before, err); err != nil {
		return err
	}
	if p.in, err = newIngest(p.work); err != nil {
		return p.closed(err)
	}
	if p.before != nil {
		p.in.seed = p.before
		if err := p.covers(wants); err != nil {
			return errors.Join(err, p.in.Close())
		}
	}
	return nil
}

func (p *pull) closed(err error) error {
	if p.before == nil {
		return err
	}
	return errors.Join(err, p.before.Close())
}

// judge tells a mirror from nothing, from a damaged one, which is repaired, and
// from what is somebody else's.
func (p *pull) judge(path string, before *Layout, err error) error {
	var bad *Problem
	switch {
	case err == nil:
		p.before = before
	case !errors.As(err, &bad):
		return err
	case bad.Code == Corrupt || bad.Code == Missing:
		p.result.Damaged = err
	case bad.Code == Unfinished && exists(filepath.Join(path, indexFile)):
		return err // another OCI layout
	case bad.Code == Unfinished && p.file == "":
	case bad.Code == Unfinished && !exists(path):
	default:
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// vacant refuses a directory in which something else is.
func vacant(path string) error {
	list, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if !slices.Contains([]string{layoutFile, indexFile, "blobs", ingestDir}, e.Name()) {
			return fmt.Errorf("%s holds %q, and is no mirror: name a directory of its own", path, e.Name())
		}
	}
	return nil
}

// covers refuses to drop a repository from a mirror by not naming it.
func (p *pull) covers(wants []Want) error {
	for _, repo := range p.before.Record.Repositories {
		if !slices.ContainsFunc(wants, func(w Want) bool { return w.Repository == repo.Repository }) {
			return fmt.Errorf("the mirror holds %s too, and it is not named: name it, or another place to copy to", repo.Repository)
		}
	}
	return nil
}

func (p *pull) run(ctx context.Context, wants []Want) error {
	record := &Record{SchemaVersion: schemaVersion, Repositories: []Repository{}}
	p.layout = &Layout{files: p.in, Record: record}
	for _, group := range grouped(wants) {
		repo, err := p.repository(ctx, group)
		if err != nil {
			return fmt.Errorf("%s: %w", group[0].Repository, err)
		}
		record.Repositories = append(record.Repositories, *repo)
	}
	if err := p.trust(); err != nil {
		return err
	}
	if err := p.prove(ctx); err != nil {
		return err
	}
	return p.verify(ctx)
}

// grouped sorts wants by repository, each once.
func grouped(wants []Want) [][]Want {
	wants = slices.Clone(wants)
	slices.SortFunc(wants, func(a, b Want) int {
		return cmp.Or(strings.Compare(a.Repository, b.Repository), strings.Compare(a.Reference, b.Reference))
	})
	var groups [][]Want
	for _, w := range slices.Compact(wants) {
		if n := len(groups); n > 0 && groups[n-1][0].Repository == w.Repository {
			groups[n-1] = append(groups[n-1], w)
			continue
		}
		groups = append(groups, []Want{w})
	}
	return groups
}

func (p *pull) repository(ctx context.Context, group []Want) (*Repository, error) {
	name := group[0].Repository
	product := ""
	for _, known := range p.src.Policy.Products {
		if known.Repository == name {
			product = known.ID
		}
	}
	if product == "" {
		return nil, problem(Untrusted, "the trust policy has no product in repository %s", name).hint("patchfit trust show lists its products")
	}
	remote, err := openRepository(p.src.Server, name)
	if err != nil {
		return nil, err
	}
	w := &walk{
		in: p.in, repo: remote, whole: group[0].Reference == "", progress: p.options.Progress,
		found: map[attest.Digest]*manifest{}, stats: &p.result.Stats,
	}
	repo := &Repository{Repository: name, Product: product, Tags: []Tag{}, Void: []attest.Digest{}}
	if err := w.start(ctx, group, repo); err != nil {
		return nil, err
	}
	if err := w.run(ctx); err != nil {
		return nil, err
	}
	repo.Manifests = w.manifests()
	repo.Tags = slices.DeleteFunc(repo.Tags, func(t Tag) bool { return w.found[t.Digest] == nil })
	if repo.Detached, err = w.detached(ctx); err != nil {
		return nil, err
	}
	repo.Revocations, err = w.revocations(ctx, product)
	return repo, err
}

// start queues where the walk begins and notes tags and selection.
func (w *walk) start(ctx context.Context, group []Want, repo *Repository) error {
	tags, digests := []string{}, []attest.Digest{}
	if w.whole {
		all, err := w.repo.tags(ctx)
		if err != nil {
			return err
		}
		tags = all
	}
	for _, want := range group {
		if w.whole {
			break
		}
		repo.Selection = append(repo.Selection, want.Reference)
		if d, err := attest.ParseDigest(want.Reference); err == nil {
			digests = append(digests, d)
			continue
		}
		tags = append(tags, want.Reference)
	}
	slices.Sort(tags)
	for _, tag := range slices.Compact(tags) {
		d, err := w.tag(ctx, tag)
		if err != nil {
			return fmt.Errorf("tag %s: %w", tag, err)
		}
		repo.Tags = append(repo.Tags, Tag{tag, d})
	}
	w.queue = append(w.queue, digests...)
	if len(w.queue) == 0 {
		return problem(Missing, "repository %s has no tag to begin at", w.repo.name).hint("name what to copy by digest: %s@sha256:…", w.repo.name)
	}
	return nil
}

// trust puts the trust policy and its trusted root into the layout.
func (p *pull) trust() error {
	r := p.layout.Record
	root := p.src.Policy.TrustedRoot
	r.TrustPolicy, r.TrustedRoot = describe(MediaPolicy, p.src.Envelope), describe(MediaRoot, root)
	return errors.Join(p.in.put(r.TrustPolicy, p.src.Envelope), p.in.put(r.TrustedRoot, root))
}

// verify asks of the copy what whoever gets it will ask, and of the mirror that
// was there before, that this one continues it.
func (p *pull) verify(ctx context.Context) error {
	p.options.Progress.Step("verifying")
	if err := p.encode(); err != nil {
		return err
	}
	memory, err := p.remembered()
	if err != nil {
		return err
	}
	now := p.options.Now
	if now.IsZero() {
		now = time.Now()
	}
	v := &verification{layout: p.layout, policy: p.src.Policy, hashed: p.in.sure}
	report, err := v.run(ctx, memory, now)
	if err != nil {
		return err
	}
	p.result.Report, p.result.Record = report, p.layout.Record
	switch {
	case len(report.Problems) > 0:
		return &report.Problems[0]
	case len(report.Refused) > 0:
		r := report.Refused[0]
		return fmt.Errorf("bundle %s in %s: %w", r.Bundle, r.Repository, r.Refusal)
	case !report.Verified():
		return problem(Missing, "nothing was found that anybody said: there is nothing to mirror")
	}
	return nil
}

// encode writes the record and its artifact into the layout.
func (p *pull) encode() error {
	raw, err := strictjson.Canonical(p.layout.Record)
	if err != nil {
		return err
	}
	if _, err := ParseRecord(raw); err != nil {
		return fmt.Errorf("the record would be refused: %w", err)
	}
	p.layout.raw = raw
	m, d, err := p.layout.Record.manifest(raw)
	if err != nil {
		return err
	}
	return errors.Join(p.in.put(describe(MediaRecord, raw), raw), p.in.put(d, m))
}

// remembered is what the mirror that was there before shows.
func (p *pull) remembered() (*Memory, error) {
	m := &Memory{}
	if p.before == nil {
		return m, nil
	}
	s := sight{revocation: map[string][]attest.Digest{}}
	envelope, err := p.before.TrustPolicy()
	if err != nil {
		return nil, err
	}
	if e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload); err == nil {
		if policy, err := attest.ParseTrustPolicy(e.Payload); err == nil {
			s.policy = policy.Version
		}
	}
	for _, repo := range p.before.Record.Repositories {
		for _, d := range repo.Revocations {
			raw, err := p.before.read(d, attest.MaxBundle)
			if err != nil {
				return nil, err
			}
			if slices.Contains(p.void(), d.Digest) {
				continue
			}
			if b, err := attest.ParseBundle(raw); err == nil {
				s.revocation[repo.Product] = append(s.revocation[repo.Product], attest.DigestOf(b.Envelope.Payload))
			}
		}
	}
	m.learn(s)
	if l := p.before.Record.Log; l != nil {
		m.Logs = []SeenLog{{Origin: l.Origin, Size: l.Size, Root: l.Root}}
	}
	return m, nil
}

// void lists the bundles that count for nothing now.
func (p *pull) void() []attest.Digest {
	var all []attest.Digest
	for _, repo := range p.layout.Record.Repositories {
		all = append(all, repo.Void...)
	}
	return all
}

// finish makes the copy a mirror.
func (p *pull) finish() error {
	index, err := p.layout.Record.index(p.layout.raw)
	if err != nil {
		return err
	}
	all, err := p.layout.blobs()
	if err != nil {
		return err
	}
	keep := make(map[attest.Digest]bool, len(all))
	list := make([]attest.Digest, 0, len(all))
	for d := range all {
		keep[d] = true
		list = append(list, d)
	}
	if err := p.in.finish(index, keep); err != nil {
		return err
	}
	if p.file == "" {
		return nil
	}
	if err := pack(p.in, list, p.file); err != nil {
		return err
	}
	return os.RemoveAll(p.work)
}
