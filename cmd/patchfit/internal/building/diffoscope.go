package building

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/rebuild"
)

// How long diffoscope may look, and how much it may say.
const (
	maxLook   = 5 * time.Minute
	maxReport = 16 << 20
)

// lookCloser has diffoscope say how two files differ, where it is installed. It
// sees more than we do; where it does not come to an end, our own page stands.
func lookCloser(ctx context.Context, o *rebuild.Outcome, wanted, scratch string) error {
	if o.Result != attest.Differs {
		return nil
	}
	program, err := exec.LookPath("diffoscope")
	if err != nil {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, maxLook)
	defer cancel()
	report := filepath.Join(scratch, "diffoscope.html")
	dir := filepath.Dir(wanted)
	out, err := filepath.Rel(dir, o.Output) // the report names the files as they are named here
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(within, program, "--no-progress", "--html", report, "--", filepath.Base(wanted), out)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + scratch, "TMPDIR=" + scratch, "LC_ALL=C.UTF-8"}
	err = cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 1 { // 1: they differ
		return nil
	}
	if info, err := os.Stat(report); err != nil || info.Size() == 0 || info.Size() > maxReport {
		return nil
	}
	page, err := os.ReadFile(report)
	if err == nil {
		o.Page = page
	}
	return err
}
