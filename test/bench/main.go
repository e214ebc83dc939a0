// Command bench runs the benchmarks that stand behind a goal and prints one
// line each: goal <name> <measured> <wanted> met|short, where wanted is the
// most, or the least after >=. A ratio compares two figures of the same run,
// so a slow machine is slow for both. It exits 0 whether goals are met or not:
// a measurement is not a test.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	area := fs.String("area", "all", "area to measure")
	m := meter{stderr: stderr}
	fs.IntVar(&m.count, "count", 5, "runs; the median counts")
	fs.StringVar(&m.bin, "bin", "bin", "directory of the built programs")
	fs.StringVar(&m.zot, "zot", "", "zot's program; without it nothing is compared with zot")
	flags := fs.String("peers", "", "more flags of "+peers+", separated by spaces")
	if fs.Parse(args) != nil {
		return 2
	}
	m.flags, m.goals = strings.Fields(*flags), chosen(*area)
	measured := map[string]figures{}
	for _, g := range m.goals {
		f, ok := measured[g.pkg]
		if !ok {
			var err error
			if f, err = m.measure(ctx, g.pkg); err != nil {
				fmt.Fprintf(stderr, "bench: %s: %v\n", g.pkg, err)
			}
			measured[g.pkg] = f
		}
		fmt.Fprintln(stdout, g.line(f))
	}
	if len(m.goals) == 0 {
		fmt.Fprintf(stderr, "bench: area %s has no goal yet\n", *area)
	}
	return 0
}

// A meter runs what has figures.
type meter struct {
	goals    []goal
	count    int
	bin, zot string
	flags    []string
	stderr   io.Writer
}

// measure returns the figures of a package's benchmarks, or of [peers]. An
// error comes with what was measured before it.
func (m meter) measure(ctx context.Context, pkg string) (figures, error) {
	if pkg == peers {
		return m.peers(ctx)
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern(pkg, m.goals), "-benchmem",
		"-benchtime", "1s", "-count", strconv.Itoa(m.count), "-timeout", "30m", pkg)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%s%s", err, &out, &errs)
	}
	return parse(out.String()), nil
}

// peers runs the load on our server and others; what it tells people goes
// through. Interrupted, it ends its servers before it ends.
func (m meter) peers(ctx context.Context) (figures, error) {
	args := append([]string{"-bin", m.bin, "-zot", m.zot, "-rounds", strconv.Itoa(m.count)}, m.flags...)
	cmd := exec.CommandContext(ctx, m.bin+"/peers", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, m.stderr
	err := cmd.Run()
	return parse(out.String()), err
}
