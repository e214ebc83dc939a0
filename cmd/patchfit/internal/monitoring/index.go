package monitoring

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/accounting"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/monitor"
)

// compare compares the server's index with its logs as the last visit verified
// them, when it is time to. What differs is told once in a run.
func (w *watcher) compare(ctx context.Context) error {
	var logs []account.Walked
	for _, v := range w.monitor.Verified() {
		logs = append(logs, account.Walked{Key: v.Key, Checkpoint: v.Checkpoint, Log: v.Log})
	}
	if w.flags.index == 0 || len(logs) == 0 || time.Since(w.compared) < w.flags.index {
		return nil
	}
	s, err := w.Connect("")
	if err != nil {
		return fmt.Errorf("comparing the index: %w", err)
	}
	r, err := accounting.Compare(ctx, s.Client, logs, w.trust.journals, w.progress)
	w.progress.Clear()
	if err != nil {
		return fmt.Errorf("comparing the index: %w", err)
	}
	w.compared = time.Now()
	for _, f := range r.Findings {
		w.alerts++
		w.breach = true
		if w.differed[f.Text] {
			continue
		}
		w.differed[f.Text] = true
		a := monitor.Alert{SchemaVersion: 1, Alert: monitor.Index, Origin: f.Log, Time: w.compared.UTC().Truncate(time.Second), Text: f.String()}
		if a.Origin == "" {
			a.Origin = r.Origin
		}
		if f.Index != nil && *f.Index >= 0 {
			leaf := uint64(*f.Index)
			a.Index = &leaf
		}
		if err := w.tell(ctx, a); err != nil {
			return err
		}
	}
	if w.Format != "json" && !term.IsTerminal(w.Stdout) {
		return nil
	}
	return w.Print(r, func(out io.Writer) { accounting.Text(out, r) })
}
