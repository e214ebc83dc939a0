package mirror

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
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
