// Command report reads `go test -json` and prints what a person wants to know:
// one line a package, the whole output of what failed, what was skipped and
// why, and a closing count. A skip is a failure when CI=true: a test that did
// not run has shown nothing.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() { os.Exit(run(os.Stdin, os.Stdout, os.Getenv("CI") == "true")) }

// An event is one line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

type report struct {
	out                     io.Writer
	lines                   map[string][]string // output by package and test
	passed, failed, skipped int
	broken                  bool     // a package failed outside its tests
	skips                   []string // "package test: why"
}

func run(in io.Reader, out io.Writer, ci bool) int {
	r := &report{out: out, lines: map[string][]string{}}
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			fmt.Fprintln(out, sc.Text())
			continue
		}
		r.take(e)
	}
	if err := sc.Err(); err != nil {
		fmt.Fprintln(out, "report: reading the test events:", err)
		return 1
	}
	return r.close(ci)
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		r.lines[key] = append(r.lines[key], e.Output)
	case "pass":
		r.passed += count(e)
		r.packageLine(e)
	case "fail":
		r.fail(e)
	case "skip":
		if e.Test != "" {
			r.skipped++
			r.skips = append(r.skips, key+": "+reason(r.lines[key]))
		}
	}
	if e.Test != "" && slices.Contains([]string{"pass", "skip", "fail"}, e.Action) {
		delete(r.lines, key)
	}
}

func (r *report) fail(e event) {
	if e.Test == "" {
		r.broken = true
		r.packageLine(e)
		return
	}
	r.failed++
	fmt.Fprint(r.out, strings.Join(r.lines[e.Package+" "+e.Test], ""))
}

func count(e event) int {
	if e.Test == "" {
		return 0
	}
	return 1
}

// packageLine prints go test's own closing line of a package, and all of a
// failed package's own output.
func (r *report) packageLine(e event) {
	if e.Test != "" {
		return
	}
	for _, l := range r.lines[e.Package+" "] {
		if e.Action == "fail" || strings.HasPrefix(l, "ok ") {
			fmt.Fprint(r.out, l)
		}
	}
}

// reason is what a skipped test said of itself.
func reason(lines []string) string {
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "===") && !strings.HasPrefix(l, "---") {
			return l
		}
	}
	return "no reason given"
}

func (r *report) close(ci bool) int {
	if len(r.skips) > 0 {
		fmt.Fprintln(r.out, "\nskipped:")
		for _, s := range r.skips {
			fmt.Fprintln(r.out, "  "+s)
		}
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	switch {
	case r.failed > 0 || r.broken || r.passed == 0:
		return 1
	case r.skipped > 0 && ci:
		fmt.Fprintln(r.out, "a skip is a failure when CI=true")
		return 1
	}
	return 0
}
