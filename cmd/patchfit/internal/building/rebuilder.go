package building

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/rebuild/queue"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
)

// A watch is a rebuilder on duty.
type watch struct {
	verbs
	rebuilding
	dir     string
	once    bool
	all     bool
	every   time.Duration
	backoff time.Duration
	queue   *queue.Queue
}

func (a verbs) rebuilderCommand() *cobra.Command {
	w := &watch{verbs: a}
	cmd := &cobra.Command{
		Use:   "rebuilder REPOSITORY... --key FILE --state DIR",
		Short: "build again what waits for a quorum of rebuilders, and say what comes of it",
		Example: `  patchfit rebuilder demo/greet --key rebuilder.pem --state /var/lib/patchfit-rebuilder --builder-id https://rebuilds.example/north
  patchfit rebuilder demo/greet --key rebuilder.pem --state state --once`,
		Long: `Ask the server again and again what waits for a quorum of rebuilds, build it as
patchfit rebuild does, one after the other, and say what comes of it, failures
included. What differs is built a second time before anything is said. What fails
is tried three times, later each time.

How far it is with each artifact is in the state directory. It can be stopped at any
time: what was built is not built again, and what was said is not said again.

With --once it does what there is to do now and ends, for cron: exit code 8 where
something was left for later. docs/rebuilders.md says how to run it as a service.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.BadUsage(errors.New("REPOSITORY is missing"), "as in: patchfit rebuilder demo/greet --key rebuilder.pem --state state")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return w.serve(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&w.dir, "state", "", "directory for how far it is: a disk that lasts")
	f.BoolVar(&w.once, "once", false, "do what there is to do now, and end")
	f.BoolVar(&w.all, "all", false, "build also what no quorum is asked of, or has reached it")
	f.DurationVar(&w.every, "every", 5*time.Minute, "how often to ask what waits")
	f.DurationVar(&w.backoff, "retry-after", 5*time.Minute, "how long to wait before the second attempt; four times as long before the third")
	w.register(cmd)
	shell.Required(cmd, "key", "state")
	return cmd
}

func (w *watch) serve(ctx context.Context, names []string) error {
	repositories, err := repositoriesOf(names)
	if err != nil {
		return err
	}
	if w.every <= 0 || w.backoff <= 0 {
		return exit.BadUsage(errors.New("--every and --retry-after are more than nothing"), "leave them out for five minutes")
	}
	if err := w.ready(); err != nil {
		return err
	}
	w.rebuilding.state = filepath.Join(w.dir, "publish")
	if w.queue, err = queue.Open(w.dir, hands{w}, &queue.Options{Backoff: w.backoff}); err != nil {
		return exit.Hint(fmt.Errorf("state directory: %w", err), "give each rebuilder a --state directory of its own")
	}
	defer w.queue.Close()
	if !w.once {
		return w.onDuty(ctx, repositories)
	}
	left, err := w.round(ctx, repositories)
	if err == nil && left > 0 {
		err = exit.With(exit.Partial, fmt.Sprintf("%d left for later", left), "run it again: what is done is not done twice")
	}
	return err
}

// onDuty goes on until it is told to stop, which is how it ends well.
func (w *watch) onDuty(ctx context.Context, repositories []shell.Reference) error {
	for {
		_, err := w.round(ctx, repositories)
		if err != nil && ctx.Err() == nil {
			w.Note("rebuilder: %v; again in %s", err, w.every)
		}
		if !pause(ctx, w.every) {
			w.Note("stopped; what is done is kept in %s", w.dir)
			return nil
		}
	}
}

// pause waits, and reports whether to go on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func repositoriesOf(names []string) ([]shell.Reference, error) {
	var all []shell.Reference
	for _, name := range names {
		ref, err := shell.ParseReference(name)
		if err != nil {
			return nil, err
		}
		if ref.Name() != "" {
			return nil, exit.BadUsage(fmt.Errorf("%s names one artifact", name), "name the repository; for one artifact: patchfit rebuild "+name)
		}
		all = append(all, ref)
	}
	return all, nil
}

// round does what there is to do now, and returns how many tasks are left for
// later.
func (w *watch) round(ctx context.Context, repositories []shell.Reference) (left int, err error) {
	for _, ref := range repositories {
		tasks, err := w.tasks(ctx, ref)
		if err != nil {
			return left, err
		}
		for _, t := range tasks {
			j, err := w.queue.Do(ctx, t)
			if ctx.Err() != nil {
				return left, ctx.Err()
			}
			if j == nil {
				return left, err
			}
			if !j.Done {
				left++
			}
			if err := w.tell(j, err); err != nil {
				return left, err
			}
		}
	}
	return left, nil
}

// tasks returns what waits in a repository, and what was built and is not said yet.
func (w *watch) tasks(ctx context.Context, ref shell.Reference) ([]queue.Task, error) {
	s, err := w.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	product, err := s.Product(ctx, "", ref.Repository)
	if err != nil {
		return nil, err
	}
	server := config.Address(s.Client.Server())
	all, err := w.queue.Pending(server)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t queue.Task) bool { return t.Repository != ref.Repository })
	which := api.RebuildsWaiting
	if w.all {
		which = api.RebuildsAll
	}
	there, err := s.Client.Rebuilds(ctx, product, which)
	if err != nil {
		return nil, err
	}
	for _, x := range there.Artifacts {
		if t := (queue.Task{Server: server, Repository: ref.Repository, Manifest: x.Manifest}); !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all, nil
}

// A progress is what is told of a task.
type progress struct {
	SchemaVersion int           `json:"schemaVersion"`
	Repository    string        `json:"repository"`
	Manifest      attest.Digest `json:"manifest"`
	Result        string        `json:"result,omitzero"`
	Category      string        `json:"category,omitzero"`
	Explanation   string        `json:"explanation,omitzero"`
	Attempts      int           `json:"attempts"`
	Done          bool          `json:"done"`
	Next          time.Time     `json:"next,omitzero"`
	Error         string        `json:"error,omitzero"`
}

// tell prints what came of a task, where something did.
func (w *watch) tell(j *queue.Job, err error) error {
	if j.Idle {
		return nil
	}
	v := progress{SchemaVersion: 1, Repository: j.Repository, Manifest: j.Manifest, Attempts: j.Attempts, Done: j.Done, Next: j.Next}
	if last := j.Last(); last != nil {
		v.Result, v.Category, v.Explanation = last.Result, last.Category, last.Explanation
	}
	if err != nil {
		v.Error = err.Error()
	}
	return w.Print(v, func(out io.Writer) { v.text(out, term.Marks(out)) })
}

func (v *progress) text(w io.Writer, m term.Marker) {
	mark, what := m.Bang, v.Result
	if v.Result == attest.Reproduced || v.Result == attest.Differs {
		mark = m.Check(v.Result == attest.Reproduced)
	}
	if v.Error != "" {
		mark, what = m.Bang, "not done: "+v.Error
	} else if v.Category != "" {
		what += " (" + v.Category + "): " + v.Explanation
	}
	fmt.Fprintf(w, "%s %s@%s %s\n", mark, v.Repository, v.Manifest, term.Printable(what))
	switch {
	case !v.Done:
		fmt.Fprintf(w, "    attempt %d is over; again at %s\n", v.Attempts, v.Next.Format(time.RFC3339))
	case v.Error != "" || v.Result != attest.Reproduced && v.Result != attest.Differs:
		fmt.Fprintf(w, "    given up after %d attempts\n", v.Attempts)
	}
}
