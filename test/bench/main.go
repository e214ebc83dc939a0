// Command bench runs the benchmarks that stand behind a goal and prints one
// line each: goal <name> <measured> <wanted> met|short. A ratio compares two
// benchmarks of the same run, so a slow machine is slow for both. It exits 0
// whether goals are met or not: a measurement is not a test.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// A goal is one figure of one benchmark, alone or divided by a peer's in the
// same run. A benchmark that pairs itself with its peer reports the ratio.
type goal struct {
	area, name string
	pkg        string
	benchmark  string
	peer       string // "" or the benchmark to divide by
	unit       string // as `go test -bench` prints it
	limit      float64
	stated     bool // no limit: the figure is stated, not judged
}

var goals = []goal{
	{area: "spine", name: "decide-allow-ns", pkg: "./policy", benchmark: "BenchmarkDecide/allow", unit: "ns/op", limit: 1000},
	{area: "spine", name: "decide-allow-allocs", pkg: "./policy", benchmark: "BenchmarkDecide/allow", unit: "allocs/op", limit: 0},
	{area: "spine", name: "verify-vs-bare-sigstore-go", pkg: "./verify", benchmark: "BenchmarkBundle", unit: "ratio", limit: 1.2},
	{area: "spine", name: "first-decision-p50-us", pkg: "./registry/gate", benchmark: "BenchmarkFirstDecision", unit: "p50-µs", stated: true},
	{area: "spine", name: "first-decision-p99-us", pkg: "./registry/gate", benchmark: "BenchmarkFirstDecision", unit: "p99-µs", stated: true},
	{area: "spine", name: "log-write-p50-ms", pkg: "./ledger/tlog", benchmark: "BenchmarkLogWrite", unit: "p50-ms", limit: 150},
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	area := fs.String("area", "all", "area to measure")
	count := fs.Int("count", 5, "runs; the median counts")
	if fs.Parse(args) != nil {
		return 2
	}
	measured, found := map[string]figures{}, false
	for _, g := range goals {
		if *area != "all" && *area != g.area {
			continue
		}
		found = true
		f, ok := measured[g.pkg]
		if !ok {
			var err error
			if f, err = measure(ctx, g.pkg, *count); err != nil {
				fmt.Fprintf(stderr, "bench: %s: %v\n", g.pkg, err)
			}
			measured[g.pkg] = f
		}
		fmt.Fprintln(stdout, g.line(f))
	}
	if !found {
		fmt.Fprintf(stderr, "bench: area %s has no goal yet\n", *area)
	}
	return 0
}

// line states the goal; what could not be measured falls short.
func (g goal) line(f figures) string {
	v, ok := f.median(g.benchmark, g.unit)
	if g.peer != "" {
		p, peerOK := f.median(g.peer, g.unit)
		if ok = ok && peerOK && p > 0; ok {
			v /= p
		}
	}
	wanted, verdict := strconv.FormatFloat(g.limit, 'g', 4, 64), "met"
	if g.stated {
		wanted = "stated"
	} else if v > g.limit {
		verdict = "short"
	}
	if !ok {
		return fmt.Sprintf("goal %s not-measured %s short", g.name, wanted)
	}
	return fmt.Sprintf("goal %s %.4g %s %s", g.name, v, wanted, verdict)
}

func measure(ctx context.Context, pkg string, count int) (figures, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "1s", "-count", strconv.Itoa(count), pkg)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%s%s", err, &out, &errs)
	}
	return parse(out.String()), nil
}

// parse reads the lines of `go test -bench` (golang.org/design/14313-benchmark-format).
func parse(out string) figures {
	f := figures{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := withoutProcs(fields[0])
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				f.add(name, fields[i+1], v)
			}
		}
	}
	return f
}

// withoutProcs drops the "-2" that GOMAXPROCS adds to a benchmark's name.
func withoutProcs(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}
