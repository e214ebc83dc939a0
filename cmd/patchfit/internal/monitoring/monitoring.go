// Package monitoring has the verb of whoever watches a log: visit it, again and
// again, and tell what it is caught at. docs/spec/monitor.md.
package monitoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/monitor"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.monitorCommand()}
}

// flags say what is watched, by whose keys, and who is told.
type flags struct {
	state       string
	trustedRoot string
	logPolicy   string
	policy      string
	roots       string
	watch       []string
	known       []string
	once        bool
	every       time.Duration
	maxAge      time.Duration
	program     string
	index       time.Duration
}

const defaultEvery = 30 * time.Second

func (a verbs) monitorCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "monitor --state DIR [--once | --every DURATION] ...",
		Short: "follow a log, and tell when it shows another history, or who signs what",
		Example: `  patchfit monitor --state /var/lib/patchfit-monitor --watch release.pem.pub --known journal.pem.pub
  patchfit monitor --server https://patches.example --state seen --trusted-root trusted_root.json --log-policy log.policy --once`,
		Long: `Visit a log, and again after each --every until interrupted. A visit reads the
entries that are new since the last, hashes them onto what DIR remembers, and
asks whether the log is signed, cosigned by enough witnesses, and one history
for all: with the visit before, and with what the witnesses say they saw.

Each thing somebody has to look at is one line of JSON on standard output, and
on the standard input of the program --exec names. Where two checkpoints
contradict each other, both are kept in DIR/evidence. What a log is caught at
ends with exit code 6; a use of a watched key, an entry by a key nobody named,
or a log that does not grow ends with 3.

The log's key, the witnesses and the signers are those of the trust policy
pinned at login or named with --trust-policy and --roots; files can take the
place of the first two. The server's journal signs entries too: name its key
with --known.

With --index the server's query index is compared with the log, as by patchfit
audit verify --index, at the first visit and then so often.`,
		Args: shell.Exactly(),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		return a.monitor(cmd.Context(), &f)
	}
	f.declare(cmd)
	shell.Required(cmd, "state")
	return cmd
}

func (f *flags) declare(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.state, "state", "", "directory that remembers what was seen, and keeps evidence")
	s.StringVar(&f.trustedRoot, "trusted-root", "", "trusted_root.json with the log's key")
	s.StringVar(&f.logPolicy, "log-policy", "", "tlog-policy with the witnesses to ask for")
	s.StringVar(&f.policy, "trust-policy", "", "signed trust policy file, with --roots")
	s.StringVar(&f.roots, "roots", "", "digest of the roots the policy has to have")
	s.StringArrayVar(&f.watch, "watch", nil, "public key whose every use is told; repeat for each")
	s.StringArrayVar(&f.known, "known", nil, "public key that may sign besides those of the trust policy; repeat for each")
	s.BoolVar(&f.once, "once", false, "visit once")
	s.DurationVar(&f.every, "every", defaultEvery, "time between two visits")
	s.DurationVar(&f.maxAge, "max-age", 0, "tell when the log has not grown for so long (0: never)")
	s.DurationVar(&f.index, "index", 0, "compare the server's index with the log so often, as an auditor of the whole server (0: never)")
	s.StringVar(&f.program, "exec", "", "program that is run for each alert, with its line on standard input")
}

func (f *flags) check(cmd *cobra.Command) error {
	if (f.policy == "") != (f.roots == "") {
		return exit.BadUsage(errors.New("--trust-policy and --roots go together"), "the roots' digest is what makes the policy yours: patchfit trust show prints it")
	}
	if f.every < time.Second {
		return exit.BadUsage(fmt.Errorf("--every %s is too often", f.every), "a second is the least")
	}
	if f.index < 0 {
		return exit.BadUsage(fmt.Errorf("--index %s is no time between two comparisons", f.index), "as in: --index 24h")
	}
	return shell.OneOf(cmd, "once", "every")
}

// A watcher is the monitor of one run, and what it goes by.
type watcher struct {
	verbs
	flags    *flags
	trust    *trust
	log      *client.Client
	monitor  *monitor.Shards
	progress *term.Progress
	breach   bool
	alerts   int
	compared time.Time       // when the index was
	differed map[string]bool // what was told of it
}

func (a verbs) monitor(ctx context.Context, f *flags) error {
	t, err := a.trusted(ctx, f)
	if err != nil {
		return err
	}
	log, err := client.New(t.url, t.http)
	if err != nil {
		return err
	}
	watched, err := named(ctx, f.watch)
	if err != nil {
		return err
	}
	w := &watcher{verbs: a, flags: f, trust: t, log: log, progress: term.NewProgress(a.Stderr), differed: map[string]bool{}}
	o := &monitor.Options{
		Policy: t.quorum, Watched: watched, MaxAge: f.maxAge,
		Progress: func(done, total uint64) { w.progress.Step("log: %d of %d entries read", done, total) },
		Logger:   slog.New(slog.NewTextHandler(a.Stderr, nil)),
	}
	if t.knows != nil {
		o.Known = t.known
	}
	w.monitor, err = monitor.OpenShards(monitor.Config{Dir: f.state, Log: log, TrustedRoot: t.root, Tell: w.tell}, o)
	if err != nil {
		return err
	}
	defer w.monitor.Close()
	if f.once {
		return w.once(ctx)
	}
	return w.follow(ctx)
}

// visit visits once, and shows what came of it.
func (w *watcher) visit(ctx context.Context) error {
	reports, err := w.monitor.Visit(ctx)
	w.progress.Clear()
	for _, r := range reports {
		w.alerts += r.Alerts
		w.breach = w.breach || r.Breach
	}
	if err != nil {
		return err
	}
	for _, r := range reports {
		if err := w.show(r); err != nil {
			return err
		}
	}
	return w.compare(ctx)
}

// show shows what a visit came to. Of a frozen log that is as it was there is
// nothing to say.
func (w *watcher) show(r *monitor.Report) error {
	quiet := r.Frozen && !r.Ended && r.Alerts == 0
	if quiet || w.Format != "json" && !term.IsTerminal(w.Stdout) {
		return nil
	}
	return w.Print(r, func(out io.Writer) {
		name := r.Origin
		if r.Frozen {
			name += " (frozen)"
		}
		fmt.Fprintf(out, "%s log %s: %d entries, %d new, %d alerts\n", term.Marks(out).Check(!r.Breach), name, r.Size, r.Entries, r.Alerts)
	})
}

func (w *watcher) once(ctx context.Context) error {
	if err := w.visit(ctx); err != nil {
		return errors.Join(w.outcome(), err)
	}
	return w.outcome()
}

// follow visits until ctx ends. A visit that fails is told and tried again.
func (w *watcher) follow(ctx context.Context) error {
	tick := time.NewTicker(w.flags.every)
	defer tick.Stop()
	for {
		err := w.visit(ctx)
		if errors.Is(err, monitor.ErrBroken) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			w.Note("patchfit: this visit came to no end, the next is in %s: %v", w.flags.every, err)
		}
		select {
		case <-ctx.Done():
			return w.outcome()
		case <-tick.C:
		}
		if err := w.trust.refresh(ctx); err != nil && ctx.Err() == nil {
			w.Note("patchfit: going on with the trust policy there was: %v", err)
		}
	}
}

// outcome is how the program ends because of what was told.
func (w *watcher) outcome() error {
	switch {
	case w.breach:
		return exit.With(exit.Unproven, "the log was caught at something: see the alerts", "keep "+w.flags.state+"/evidence, and ask whoever runs the log")
	case w.alerts > 0:
		return exit.With(exit.Denied, "there are entries, or a silence, that somebody has to look at: see the alerts", "ask whose key it is; the server's own journal signs too: have the trust policy name its key (patchfit trust edit --add-journal), or name it with --known (docs/spec/monitor.md)")
	}
	return nil
}
