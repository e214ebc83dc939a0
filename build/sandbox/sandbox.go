// Package sandbox runs one command of a build inside a builder image, where it
// can touch nothing but the source it was given (docs/spec/build.md).
//
// A [Job] says what runs and what it may use; a [Runner] runs it. There are
// two: [Embedded], made of Linux namespaces, which needs no other program and
// no rights; and build/sandbox/runc, which has an OCI runtime do the same. Both
// pass one test, and a build leaves the same bytes in either.
//
// Inside, the image is read-only at /, the source is writable at /build, and
// /tmp is empty; there is no network, no other process, no device besides
// null, zero, full, random and urandom, and no right over any of it. What a
// build may use up is in [Limits]; a limit that was hit is a [LimitError].
//
//	sandbox.go   the contract
//	limits.go    how much a build may use
//	world.go     what is inside, and filter.go what may not be asked of the kernel
//	contain.go   a job from outside: hold.go, meters.go, disk.go, trace.go
//	inside.go    a job from inside: the first process, confine.go
//	embedded.go  the runner; mounts.go and trees.go make its world
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
)

// A Job is one command to run in a builder image, contained.
type Job struct {
	Root    string   // an unpacked builder image; read-only inside
	Work    string   // directory that is /build inside, writable: it already holds the source
	Dir     string   // working directory, below /build; "" is /build
	Command []string // the program is looked for in PATH of Env
	Env     []string // the whole environment: nothing of the caller's; [Environ] is the usual one
	Limits  Limits   // zero values are the defaults

	// What the command says; nil drops it. They are written to by goroutines of
	// their own, one each, until Run returns.
	Stdout, Stderr io.Writer

	// Watch is told of every program that ran, in order, before its first
	// instruction. It is called by one goroutine, and the program waits for it.
	// With nil nothing is traced.
	Watch func(Exec)
}

// An Exec is a program that ran inside. All paths are those inside.
type Exec struct {
	Path string   // what was asked for, made absolute: a link or a script still
	Real string   // the file that ran, links followed: of a script its interpreter
	Argv []string // of a script: its interpreter, then the script
	Dir  string   // the working directory
}

// A Result is what a job used up.
type Result struct {
	Wall   time.Duration
	CPU    time.Duration // of all its processes
	Memory int64         // the most at once that was seen
	Disk   int64         // by how much Work grew, as last seen
	Output int64         // bytes of Stdout and Stderr
}

// A Runner runs jobs.
type Runner interface {
	// Run runs a job to its end: when it returns, no process of the job is left,
	// and what the job wrote is in Work, owned by the caller. The result is never
	// nil for a job that ran, however it ended. Errors are an [*ExitError] for a
	// command that failed, a [*LimitError] for one that was stopped, the
	// context's error, [ErrUnavailable] where this machine has no sandbox, and
	// others where the job could not be started. Jobs may run at the same time,
	// not in the same Work.
	Run(ctx context.Context, j *Job) (*Result, error)
}

// ErrUnavailable is wrapped where a machine cannot contain a build.
var ErrUnavailable = errors.New("builds cannot be contained on this machine")

// An ExitError is a command that ran and failed.
type ExitError struct {
	Command []string
	Code    int            // 128 and the signal, as shells say it, for one that was killed
	Signal  syscall.Signal // 0 for one that ended by itself
}

func (e *ExitError) Error() string {
	command := strings.Join(e.Command, " ")
	if e.Signal != 0 {
		return fmt.Sprintf("the build failed: %s: killed by signal %d (%v)", command, int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("the build failed: %s: exit status %d", command, e.Code)
}

// Names of the world inside.
const (
	Build    = "/build" // where Work is
	Hostname = "build"
)

// Environ is the environment builds get: what makes an output differ by who
// builds it is fixed.
func Environ(sourceDateEpoch int64) []string {
	return []string{
		"PATH=/usr/bin:/bin:/usr/sbin:/sbin",
		"HOME=" + Build,
		"LC_ALL=C",
		"TZ=UTC",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", sourceDateEpoch),
	}
}
