// Command demo tells patchfit's story on one machine with the built programs
// and real gcc builds: a patch is published, a host that fits gets it, a host
// one compiler flag away does not, five attacks are refused each with its own
// reason, and an auditor checks it all. It exits 0 only if every step held.
//
// main.go runs the story; story.go is the story; attacks.go its attacks;
// world.go starts programs and stops them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	bin := fs.String("bin", "bin", "directory of the built programs")
	keep := fs.Bool("keep", false, "keep the state directory and say where it is")
	if fs.Parse(args) != nil {
		return 2
	}
	w, err := newWorld(ctx, *bin, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "demo: error:", err)
		return 1
	}
	defer w.close(*keep)
	start := time.Now()
	results := tell(w, stdout)
	return conclude(results, time.Since(start), stdout)
}

// A step is one promise of the story. act returns what was seen, in a line.
type step struct {
	chapter string // set on the first step of a chapter
	promise string
	act     func(*world) (seen string, err error)
}

type result struct {
	step
	seen string
	err  error
	took time.Duration
}

// tell plays the steps in order. A step after a broken one is still played:
// each says for itself whether it held.
func tell(w *world, out io.Writer) []result {
	var results []result
	for _, s := range story {
		if s.chapter != "" {
			fmt.Fprintf(out, "\n%s\n", s.chapter)
		}
		start := time.Now()
		r := result{step: s}
		r.seen, r.err = s.act(w)
		r.took = time.Since(start)
		results = append(results, r)
		if r.err != nil {
			fmt.Fprintf(out, "  ✗ %s\n      %s\n", s.promise, indent(r.err.Error()))
			if errors.Is(r.err, context.Canceled) {
				break
			}
			continue
		}
		fmt.Fprintf(out, "  ✓ %s\n", s.promise)
		if r.seen != "" {
			fmt.Fprintf(out, "      %s\n", indent(r.seen))
		}
	}
	return results
}

func indent(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n      ")
}

// conclude prints the table and returns the exit code.
func conclude(results []result, took time.Duration, out io.Writer) int {
	fmt.Fprintf(out, "\n%-6s %7s  %s\n", "result", "time", "promise")
	held := 0
	for _, r := range results {
		word := "held"
		if r.err != nil {
			word = "BROKEN"
		} else {
			held++
		}
		fmt.Fprintf(out, "%-6s %6.2fs  %s\n", word, r.took.Seconds(), r.promise)
	}
	fmt.Fprintf(out, "\n%d of %d promises held, %.1f s\n", held, len(story), took.Seconds())
	if held != len(story) {
		return 1
	}
	return 0
}
