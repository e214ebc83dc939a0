package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/sandbox/sandboxtest"
)

// files of the build that is measured, each compiled by a process of its own.
const files = 8

// BenchmarkBuild is a build of C inside next to the same outside, turn by turn.
// What a sandbox takes to start is measured on its own, and taken off.
func BenchmarkBuild(b *testing.B) {
	image := sandboxtest.GCC(b)
	for name, watch := range map[string]func(sandbox.Exec){"plain": nil, "watched": func(sandbox.Exec) {}} {
		b.Run(name, func(b *testing.B) {
			var start, inside, outside cost
			for b.Loop() {
				start.add(func() { contained(b, image, watch, []string{"payload", "exit"}) })
				outside.add(func() { bare(b) })
				inside.add(func() { contained(b, image, watch, command()) })
			}
			b.ReportMetric((inside.wall-start.wall).Seconds()/outside.wall.Seconds(), "ratio")
			b.ReportMetric((inside.cpu-start.cpu).Seconds()/outside.cpu.Seconds(), "cpu-ratio")
			b.ReportMetric(outside.cpu.Seconds()*1000/float64(b.N), "outside-cpu-ms")
		})
	}
}

// A cost is time, and processor time of this process and those it waited for,
// which watching and measuring are part of.
type cost struct{ wall, cpu time.Duration }

func (c *cost) add(do func()) {
	began, before := time.Now(), used()
	do()
	c.wall += time.Since(began)
	c.cpu += used() - before
}

func used() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
	}
	return sum
}

// BenchmarkStart is a sandbox in which nothing is done.
func BenchmarkStart(b *testing.B) {
	image := sandboxtest.Image(b)
	var all []time.Duration
	for b.Loop() {
		all = append(all, contained(b, image, nil, []string{"payload", "exit"}))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
}

func command() []string {
	var steps []string
	for i := range files {
		steps = append(steps, fmt.Sprintf("gcc -O2 -g -fPIC -c -o %d.o %d/lib.c", i, i))
	}
	return append([]string{"payload", "run"}, strings.Fields(strings.Join(steps, " , "))...)
}

func tree(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	for i := range files {
		d := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(d, 0o755); err != nil {
			b.Fatal(err)
		}
		sandboxtest.Source(b, d, 40)
	}
	return dir
}

func contained(b *testing.B, image string, watch func(sandbox.Exec), command []string) time.Duration {
	b.Helper()
	var said strings.Builder
	j := &sandbox.Job{Root: image, Work: tree(b), Command: command, Env: sandbox.Environ(0), Stdout: &said, Stderr: &said, Watch: watch}
	began := time.Now()
	if _, err := sandbox.New(nil).Run(b.Context(), j); err != nil {
		b.Fatalf("%v\n%s", err, &said)
	}
	return time.Since(began)
}

func bare(b *testing.B) time.Duration {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "/proc/self/exe")
	cmd.Args, cmd.Dir, cmd.Env = command(), tree(b), sandbox.Environ(0)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return time.Since(began)
}
