// Command conformance runs the suite of the OCI distribution specification,
// unmodified and with all its defaults, against a fresh patchfitd: once while
// nothing on the server is gated, and once more, on the same server, while a
// live patch is, and hosts have been told yes and no; and then with what is to
// be the specification's next version.
//
// It is a module of its own so that the suite, which it pins, stays out of the
// product. `make conformance` builds and runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	bin := flags.String("bin", "../../bin", "directory of the built programs and of the suite, oci-conformance")
	results := flags.String("results", "", "directory to keep the suite's own reports in; empty: they are not kept")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := conform(ctx, *bin, *results, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "conformance: error:", err)
		return 1
	}
	if failed {
		return 1
	}
	return 0
}

// conform runs the suite three times and prints what failed, what was skipped and,
// at the end, one line a run.
func conform(ctx context.Context, bin, results string, out io.Writer) (failed bool, err error) {
	w, err := newWorld(ctx, bin)
	if err != nil {
		return false, err
	}
	defer w.close()
	if results == "" {
		results = filepath.Join(w.dir, "results")
	}
	runs := []struct {
		name string
		spec string   // version of the specification; "": the suite's default
		prep []string // scripts to run first
		then []string
	}{
		{name: "without gated content", prep: []string{"publisher"}},
		{name: "with gated content", prep: []string{"gated", "pulls"}, then: []string{"pulls"}},
		{name: "with the specification's next version", spec: "dev", then: []string{"pulls"}},
	}
	var totals []string
	defer func() {
		for _, line := range totals {
			fmt.Fprintln(out, line)
		}
	}()
	for i, r := range runs {
		if err := w.scripts(r.prep); err != nil {
			return false, err
		}
		report, err := w.suite(filepath.Join(results, fmt.Sprint(i+1)), r.spec)
		if err != nil {
			return false, fmt.Errorf("the suite %s: %w", r.name, err)
		}
		report.explain(out, r.name)
		totals = append(totals, fmt.Sprintf("%s: %s", r.name, report))
		failed = failed || !report.good()
		if err := w.scripts(r.then); err != nil {
			return false, err
		}
	}
	return failed, nil
}
