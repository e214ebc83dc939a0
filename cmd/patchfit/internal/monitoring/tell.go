package monitoring

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/monitor"
)

// programTime is how long a program that is told of an alert may take.
const programTime = time.Minute

// tell writes an alert's line, and then runs the program. A program that fails
// is no reason to tell the alert again.
func (w *watcher) tell(ctx context.Context, a monitor.Alert) error {
	b, err := strictjson.Canonical(a)
	if err != nil {
		return err
	}
	w.progress.Clear()
	line := append(b, '\n')
	if _, err := w.Stdout.Write(line); err != nil {
		return fmt.Errorf("telling of an alert: %w", err)
	}
	if w.flags.program == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.flags.program)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(line), w.Stderr, w.Stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		w.Note("patchfit: %s did not take the alert: %v", w.flags.program, err)
	}
	return nil
}
