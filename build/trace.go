package build

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// traceArgs are the options of strace whose output parseTrace reads: follow
// children, name the directory paths are relative to, cut no string short.
var traceArgs = []string{
	"-f", "-y", "-q", "-s", "1048576", "-e", "signal=none",
	"-e", "trace=execve,execveat,open,openat,openat2,creat,chdir,fchdir",
}

const (
	maxTraceLine = 8 << 20
	changed      = " <pid changed to "
)

// An event is one file a build opened or one program it ran, successfully.
type event struct {
	pid   int
	exec  bool
	path  string   // absolute, as asked for: may pass symbolic links and ".."
	real  string   // what the kernel opened; "" for programs
	args  []string // of a program, its own name first
	read  bool     // the content may have been read
	fresh bool     // the content is the build's own: made or emptied here
}

// parseTrace reads what strace wrote and calls visit for every event, in
// order. What it does not understand is an error that names the line.
func parseTrace(r io.Reader, visit func(event) error) error {
	t := &tracer{visit: visit, processes: map[int]*process{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxTraceLine)
	n := 0
	for lines.Scan() {
		n++
		if err := t.line(lines.Text()); err != nil {
			return fmt.Errorf("reading strace's record, line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading strace's record after line %d: %w", n, err)
	}
	return t.finish()
}

// A tracer follows the working directory of every process and puts calls that
// other processes interrupted back together.
type tracer struct {
	visit     func(event) error
	processes map[int]*process
}

type process struct {
	dir     string  // working directory; "" while unknown
	half    string  // a call that has not returned yet
	waiting []event // programs run by a relative path while dir is unknown
}

func (t *tracer) line(s string) error {
	word, rest, ok := strings.Cut(s, " ")
	pid, err := strconv.Atoi(word)
	if !ok || err != nil || pid <= 0 {
		return fmt.Errorf("no process id in %.80q", s)
	}
	p := t.process(pid)
	rest = strings.TrimLeft(rest, " ")
	if before, ok := strings.CutSuffix(rest, " <unfinished ...>"); ok {
		p.half = before
		return nil
	}
	if i := strings.LastIndex(rest, changed); i >= 0 && strings.HasSuffix(rest, " ...>") { // a thread becomes its process
		return t.handOver(rest[:i], rest[i+len(changed):])
	}
	if strings.HasPrefix(rest, "<... ") {
		_, after, ok := strings.Cut(rest, " resumed>")
		if !ok || p.half == "" {
			return fmt.Errorf("a call goes on that never began: %.80q", rest)
		}
		rest, p.half = p.half+after, ""
	}
	switch {
	case strings.HasPrefix(rest, "+++ "):
		delete(t.processes, pid) // the id may come again for another process
		return p.settled()
	case strings.HasPrefix(rest, "--- "), strings.HasPrefix(rest, "strace: [ Process "), strings.HasPrefix(rest, "[ Process "):
		return nil
	}
	return t.call(pid, p, rest)
}

// handOver lets the process that a thread's execve makes it finish the call.
func (t *tracer) handOver(half, to string) error {
	pid, err := strconv.Atoi(strings.TrimSuffix(to, " ...>"))
	if err != nil {
		return fmt.Errorf("no process id in %.80q", to)
	}
	t.process(pid).half = half
	return nil
}

func (t *tracer) process(pid int) *process {
	if t.processes[pid] == nil {
		t.processes[pid] = &process{}
	}
	return t.processes[pid]
}

func (t *tracer) call(pid int, p *process, s string) error {
	c, err := parseCall(s)
	if err != nil {
		return err
	}
	if c.failed {
		return nil
	}
	switch c.name {
	case "execve", "execveat":
		return t.execute(pid, p, c)
	case "open", "openat", "openat2", "creat":
		return t.open(pid, p, c)
	case "chdir", "fchdir":
		return t.move(p, c)
	}
	return fmt.Errorf("call %.40q was not asked for", c.name)
}

func (t *tracer) open(pid int, p *process, c *call) error {
	if err := c.need(map[string]int{"open": 2, "openat": 3, "openat2": 3, "creat": 2}[c.name]); err != nil {
		return err
	}
	dir, file := arg{kind: argFD, text: "AT_FDCWD", path: p.dir}, c.args[0]
	flags := "O_WRONLY|O_CREAT|O_TRUNC"
	switch c.name {
	case "open":
		flags = c.args[1].text
	case "openat", "openat2":
		dir, file, flags = c.args[0], c.args[1], c.args[2].text
	}
	if dir.text == "AT_FDCWD" && dir.path != "" {
		if err := t.settle(p, dir.path); err != nil {
			return err
		}
	}
	if !path.IsAbs(c.result) { // a pipe or a socket behind /proc/self/fd
		return nil
	}
	full, err := at(dir, file)
	if err != nil {
		return err
	}
	read, fresh, err := meaning(flags)
	if err != nil {
		return err
	}
	return t.visit(event{pid: pid, path: full, real: c.result, read: read, fresh: fresh})
}

// meaning returns what open flags say about the content.
func meaning(flags string) (read, fresh bool, err error) {
	flags = strings.TrimPrefix(flags, "{flags=")
	flags, _, _ = strings.Cut(flags, ",")
	has := map[string]bool{}
	for f := range strings.SplitSeq(strings.TrimSuffix(flags, "}"), "|") {
		has[f] = true
	}
	if !has["O_RDONLY"] && !has["O_WRONLY"] && !has["O_RDWR"] && !has["O_PATH"] && !has["O_ACCMODE"] {
		return false, false, fmt.Errorf("open flags %.80q name no access mode", flags)
	}
	fresh = has["O_TRUNC"] || has["O_CREAT"] && has["O_EXCL"] || has["O_TMPFILE"]
	return !has["O_WRONLY"] && !has["O_PATH"] && !fresh, fresh, nil
}

func (t *tracer) execute(pid int, p *process, c *call) error {
	dir, args := arg{kind: argFD, text: "AT_FDCWD", path: p.dir}, c.args
	if c.name == "execveat" {
		if err := c.need(3); err != nil {
			return err
		}
		dir, args = args[0], args[1:]
	}
	if len(args) < 2 || args[0].kind != argString || args[1].kind != argList {
		return errors.New("a program ran, but not which")
	}
	e := event{pid: pid, exec: true, path: args[0].text, args: args[1].list, read: true}
	if path.IsAbs(e.path) {
		return t.visit(e)
	}
	if e.path == "" {
		e.path = dir.path // execveat with AT_EMPTY_PATH runs what the descriptor names
	} else if dir.path != "" {
		e.path = dir.path + "/" + e.path
	} else {
		p.waiting = append(p.waiting, e)
		return nil
	}
	if !path.IsAbs(e.path) {
		return fmt.Errorf("a program ran from %.80q, which is no path", e.path)
	}
	return t.visit(e)
}

func (t *tracer) move(p *process, c *call) error {
	if err := c.need(1); err != nil {
		return err
	}
	if err := p.settled(); err != nil {
		return err
	}
	to := c.args[0]
	switch {
	case to.kind == argFD && path.IsAbs(to.path):
		p.dir = to.path
	case to.kind == argString && path.IsAbs(to.text):
		p.dir = to.text
	case to.kind == argString && p.dir != "":
		p.dir += "/" + to.text
	}
	return nil
}

// settle takes note of p's working directory and lets the programs go that
// waited for it.
func (t *tracer) settle(p *process, dir string) error {
	if !path.IsAbs(dir) {
		return fmt.Errorf("working directory %.80q is not absolute", dir)
	}
	p.dir = dir
	for _, e := range p.waiting {
		e.path = dir + "/" + e.path
		if err := t.visit(e); err != nil {
			return err
		}
	}
	p.waiting = nil
	return nil
}

func (t *tracer) finish() error {
	for _, p := range t.processes {
		if err := p.settled(); err != nil {
			return fmt.Errorf("reading strace's record: %w", err)
		}
	}
	return nil
}

// settled reports a program that still waits for its directory to be known.
func (p *process) settled() error {
	if len(p.waiting) == 0 {
		return nil
	}
	return fmt.Errorf("program %.80q ran by a relative path in a directory that cannot be told", p.waiting[0].path)
}

// at returns file as an absolute path.
func at(dir, file arg) (string, error) {
	if file.kind != argString {
		return "", errors.New("a file was opened, but not which")
	}
	if path.IsAbs(file.text) {
		return file.text, nil
	}
	if !path.IsAbs(dir.path) {
		return "", fmt.Errorf("file %.80q was opened in a directory that cannot be told", file.text)
	}
	return dir.path + "/" + file.text, nil
}

// absolute reports whether s is a path that a file can have.
func absolute(s string) bool { return path.IsAbs(s) && !bytes.ContainsRune([]byte(s), 0) }
