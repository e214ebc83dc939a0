// Package queue is what one rebuilder has to build again, and how far it is with
// each: a directory that a restart goes on from, so that nothing that was built is
// built once more, and nothing that was said is said twice.
//
// A build that fails is tried three times, later each time, and every failure is
// said. What differs is built a second time before anything is said: where both
// came out alike, both runs are said, and that is dissent ([docs/spec/rebuild.md]);
// where they did not, the second one alone.
//
//	queue.go  what is done with a task, and what comes next
//	job.go    what is kept of it; pending.go: what is still to be said
package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
)

// Attempts is how often a task is tried at most.
const Attempts = 3

// A Task is an artifact to build again.
type Task struct {
	Server     string // as it is named in the state directory
	Repository string
	Manifest   attest.Digest
}

// Hands do what a queue decides to do.
type Hands interface {
	// Run builds a task again and returns what there is to say of it. What it
	// leaves is below dir, which is there and empty, under the names of [Left].
	Run(ctx context.Context, t Task, dir string) (*attest.Rebuild, error)
	// Say signs and sends what came of a run, with what it left below dir. Called
	// again with the same, it says it once.
	Say(ctx context.Context, t Task, dir string, said *attest.Rebuild) error
}

// Options may be nil.
type Options struct {
	Backoff time.Duration // before the second attempt; each further one waits four times as long. 5 minutes
}

// A Queue is the state directory of one rebuilder.
type Queue struct {
	dir     string
	hands   Hands
	backoff time.Duration
	lock    *os.File
}

// ErrBusy says that another rebuilder works with the directory.
var ErrBusy = errors.New("another rebuilder works with this state directory")

// Open opens the state directory of a rebuilder, which is made where it is not
// there. One at a time has it.
func Open(dir string, h Hands, o *Options) (*Queue, error) {
	if o == nil {
		o = &Options{}
	}
	q := &Queue{dir: dir, hands: h, backoff: o.Backoff}
	if q.backoff <= 0 {
		q.backoff = 5 * time.Minute
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if q.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(q.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = q.lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, err
	}
	return q, nil
}

// Close lets others have the directory.
func (q *Queue) Close() error { return q.lock.Close() }

// Do does what there is to do now about a task: nothing, where it is done or its
// next attempt is later. The job it returns is nil only with an error that says
// that its state cannot be kept. An error of a build or of what was to be said is
// in the job, too, and comes up again as the next attempt.
func (q *Queue) Do(ctx context.Context, t Task) (*Job, error) {
	j, err := q.open(t)
	if err != nil {
		return nil, err
	}
	if j.Done || time.Now().Before(j.Next) {
		j.Idle = true
		return j, nil
	}
	for !j.ready() {
		if err := q.run(ctx, j); err != nil {
			return j, q.later(ctx, j, err, true)
		}
	}
	for i := range j.Runs {
		r := &j.Runs[i]
		if r.Settled {
			continue
		}
		if err := q.hands.Say(ctx, t, j.at(i), r.Said); err != nil {
			return j, q.later(ctx, j, err, false)
		}
		r.Settled = true
		if err := j.save(); err != nil {
			return nil, err
		}
	}
	return j, q.settle(j)
}

// run builds a task once and keeps what came of it.
func (q *Queue) run(ctx context.Context, j *Job) error {
	dir := j.at(len(j.Runs))
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil { // of a run that was interrupted
		return err
	}
	said, err := q.hands.Run(ctx, j.task, dir)
	if err != nil {
		return err
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	j.Runs = append(j.Runs, Run{Said: said})
	j.dissent()
	return j.save()
}

// later notes an error, and when to try again. A build that could not be made
// three times is given up; what only could not be said is not.
func (q *Queue) later(ctx context.Context, j *Job, err error, counts bool) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	j.Error = fmt.Sprintf("%.500s", err.Error())
	if counts {
		j.Attempts++
	}
	j.Done = j.Attempts >= Attempts
	j.Next = q.next(max(j.Attempts, 1))
	return errors.Join(err, j.save())
}

// settle ends an attempt whose runs are all said, and the state knows each as
// said. So what they left goes first: of a task that is done nobody asks again,
// and what a crash left then would stay for ever.
func (q *Queue) settle(j *Job) error {
	j.Error, j.From = "", len(j.Runs)
	j.Attempts++
	last := j.Runs[len(j.Runs)-1].Said.Result
	came := last != attest.BuildFailed && last != attest.NotAttempted
	if j.Done = came || j.Attempts >= Attempts; !j.Done {
		j.Next = q.next(j.Attempts)
	}
	if err := j.clear(); err != nil {
		return err
	}
	return j.save()
}

func (q *Queue) next(attempts int) time.Time {
	wait := q.backoff
	for range attempts - 1 {
		wait *= 4
	}
	return time.Now().UTC().Add(wait).Truncate(time.Second)
}
