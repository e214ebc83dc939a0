package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Left are the names of what a run leaves: its log, a directory with the file that
// came out, and how that differs. The last two need not be there.
const (
	LeftLog    = "rebuild.log"
	LeftOutput = "output"
	LeftPage   = "difference.html"
)

const (
	stateFile = "job.json"
	maxState  = 1 << 20
	version   = 1
)

// A Job is what is kept of a task: docs/spec/cli.md, rebuilder.
type Job struct {
	SchemaVersion int           `json:"schemaVersion"`
	Repository    string        `json:"repository"`
	Manifest      attest.Digest `json:"manifest"`
	Attempts      int           `json:"attempts"`      // that are over
	From          int           `json:"from"`          // the first run of the attempt that is not
	Runs          []Run         `json:"runs"`          // all of them
	Next          time.Time     `json:"next,omitzero"` // when to go on; zero: now
	Error         string        `json:"error,omitzero"`
	Done          bool          `json:"done"`

	// Idle says that there was nothing to do.
	Idle bool `json:"-"`

	task Task
	dir  string
}

// A Run is one run, and what there is to say of it.
type Run struct {
	Said    *attest.Rebuild `json:"said"`
	Settled bool            `json:"settled"` // it was said, or is not going to be
}

// Last returns what came of the last run; nil: there was none.
func (j *Job) Last() *attest.Rebuild {
	if len(j.Runs) == 0 {
		return nil
	}
	return j.Runs[len(j.Runs)-1].Said
}

// open reads what is kept of a task, or begins it.
func (q *Queue) open(t Task) (*Job, error) {
	j := &Job{
		SchemaVersion: version, Repository: t.Repository, Manifest: t.Manifest, Runs: []Run{}, task: t,
		dir: filepath.Join(q.dir, url.PathEscape(t.Server), url.PathEscape(t.Repository), t.Manifest.Hex()),
	}
	path := filepath.Join(j.dir, stateFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, os.MkdirAll(j.dir, 0o700)
	}
	if err != nil {
		return nil, err
	}
	if err := j.parse(raw); err != nil {
		return nil, fmt.Errorf("reading %s, which says how far a rebuild is: %w", path, err)
	}
	return j, nil
}

func (j *Job) parse(raw []byte) error {
	kept := Job{task: j.task, dir: j.dir}
	if err := strictjson.Unmarshal(raw, maxState, &kept); err != nil {
		return err
	}
	switch {
	case kept.SchemaVersion != version:
		return strictjson.Errorf("/schemaVersion", "%d, this program knows %d", kept.SchemaVersion, version)
	case kept.Manifest != j.Manifest || kept.Repository != j.Repository:
		return strictjson.Errorf("/manifest", "it is of %s@%s", kept.Repository, kept.Manifest)
	case kept.Attempts < 0 || kept.From < 0 || kept.From > len(kept.Runs):
		return strictjson.Errorf("/from", "%d of %d runs", kept.From, len(kept.Runs))
	}
	for i, r := range kept.Runs {
		if r.Said == nil {
			return strictjson.Errorf("/runs/"+strconv.Itoa(i), "nothing came of it")
		}
	}
	*j = kept
	return nil
}

func (j *Job) save() error {
	raw, err := strictjson.Canonical(j)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(j.dir, stateFile), append(raw, '\n'), 0o600)
}

// at is where a run leaves what it leaves.
func (j *Job) at(run int) string { return filepath.Join(j.dir, "run-"+strconv.Itoa(run+1)) }

// ready reports whether the attempt has all the runs it needs: what differs is
// looked at twice.
func (j *Job) ready() bool {
	runs := j.Runs[j.From:]
	return len(runs) > 1 || len(runs) == 1 && runs[0].Said.Result != attest.Differs
}

// dissent leaves a first run unsaid that the second one does not bear out.
func (j *Job) dissent() {
	runs := j.Runs[j.From:]
	if len(runs) != 2 {
		return
	}
	a, b := runs[0].Said, runs[1].Said
	agree := b.Result == attest.Differs && a.Compared != nil && b.Compared != nil && a.Compared.File.Got == b.Compared.File.Got && a.Environment == b.Environment
	runs[0].Settled = !agree
}

// clear removes what runs left: it was said, and is where it was sent.
func (j *Job) clear() error {
	var errs []error
	for i := range j.Runs {
		errs = append(errs, os.RemoveAll(j.at(i)))
	}
	return errors.Join(errs...)
}
