package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFrontFsync has one fsync or fdatasync after another of the built server
// fail, while a robot pushes: of the bytes of a blob, and the write of a piece of
// a large one, of the directory it gets its name in, of the ledger store's copy of a manifest, of that directory, of
// the journal. The push is answered with a 5xx or not at all, never with a 201;
// then the server goes on, or ends and is started again, and everything that was
// acknowledged is there, and nothing half of it.
func TestFrontFsync(t *testing.T) {
	mayTrace(t)
	k := newKept(newDepot(t, t.TempDir()+"/data", generous, robotA))
	for n := range 2 { // what was acknowledged before
		if r := k.pushAll(newImage(depots[n], fmt.Sprint("before ", n), fmt.Append(nil, "before ", n))); r.status != http.StatusCreated {
			t.Fatalf("%v", r)
		}
	}
	for _, f := range faults {
		k.broken(f)
	}
	k.auditLedger()
	k.end(syscall.SIGTERM)
	k.auditDisk("in the end")
}

// mayTrace leaves the test out where strace may not attach to a server.
func mayTrace(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("there is no strace: run make setup")
	}
	scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if os.Getuid() != 0 && err == nil && strings.TrimSpace(string(scope)) != "0" {
		leaveOut(t, "only root may trace a running server here, so no sync is made to fail", "run it as root, or in a container")
	}
}

// A fault is where syncing, or writing, fails.
type fault struct {
	name  string
	call  string
	paths func(k *kept, i *image) []string // none: everywhere
	part  string                           // whose push fails: layer or manifest
	ends  bool                             // the server
	large bool                             // the layer: its bytes are written while they come in
}

var faults = []fault{
	{name: "bytes of a blob", call: "fdatasync", part: "layer"},
	{name: "bytes of a large blob", call: "fdatasync", part: "layer", large: true},
	{name: "a piece of a large blob", call: "pwrite64", part: "layer", large: true},
	{name: "directory of a blob", call: "fsync", part: "layer", paths: func(k *kept, i *image) []string { return k.shard("registry/blobs/sha256", digestOf(i.layer)) }},
	{name: "record of a blob", call: "fsync", part: "layer", paths: (*kept).segments, ends: true},
	{name: "bytes of a manifest", call: "fsync", part: "manifest", paths: (*kept).temporary},
	{name: "directory of a manifest", call: "fsync", part: "manifest", paths: func(k *kept, i *image) []string { return k.shard("store/sha256", i.digest()) }},
	{name: "record of a manifest", call: "fsync", part: "manifest", paths: (*kept).segments, ends: true},
}

func (f fault) layer() []byte {
	b := []byte("the layer of " + f.name)
	if f.large {
		b = append(b, make([]byte, 3<<20)...)
	}
	return b
}

func (k *kept) shard(dir, digest string) []string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return []string{filepath.Join(k.data, dir, hex[:2])}
}

// segments are the files the journal may write to next.
func (k *kept) segments(*image) (all []string) {
	for n := range 200 {
		all = append(all, filepath.Join(k.data, "journal", fmt.Sprintf("%016d.segment", n)))
	}
	return all
}

// temporary are the files the ledger store may write to next.
func (k *kept) temporary(*image) (all []string) {
	for n := range 300 {
		all = append(all, filepath.Join(k.data, "store", "tmp", fmt.Sprint(n)))
	}
	return all
}

// broken pushes an image while one kind of syncing fails, then again.
func (k *kept) broken(f fault) {
	k.t.Helper()
	i := newImage(depots[0], f.name, f.layer())
	k.note(i, maybe)
	for _, part := range [][]byte{i.config, i.layer} { // what comes before the fault
		if f.part == "layer" && &part[0] == &i.layer[0] {
			break
		}
		if r := k.pushBlob(robotA, i.repository, part, 1); r.status != http.StatusCreated {
			k.t.Fatalf("%s: before the fault: %v", f.name, r)
		}
	}
	var paths []string
	if f.paths != nil {
		paths = f.paths(k, i)
	}
	s := k.inject(f.call, paths)
	var r reply
	if f.part == "layer" {
		r = k.pushBlob(robotA, i.repository, i.layer, 1)
	} else {
		r = k.putManifest(robotA, i.repository, i.digest(), i.raw)
	}
	if r.status != 0 && r.status < 500 || r.status == 0 && !f.ends {
		k.t.Errorf("%s: %v, want a 5xx", f.name, r)
	}
	ended := k.over(map[bool]time.Duration{true: 10 * time.Second}[f.ends])
	s.stop()
	if ended != f.ends {
		k.t.Errorf("%s: the server ended by itself: %t, want %t", f.name, ended, f.ends)
	}
	if s.injected() == 0 {
		k.t.Errorf("%s: nothing failed:\n%s", f.name, s.trace())
	}
	if f.part == "layer" && !f.ends {
		k.absent(i)
	}
	if !ended {
		k.audit(f.name+", while it runs on", -1)
	}
	k.end(syscall.SIGKILL)
	k.start()
	k.noUploads(f.name + ", after a start")
	k.audit(f.name+", after a start", -1)
	if r := k.pushAll(i); r.status != http.StatusCreated {
		k.t.Errorf("%s: pushed again: %v", f.name, r)
	}
	k.audit(f.name+", pushed again", -1)
}

// absent looks for a blob that was not acknowledged.
func (k *kept) absent(i *image) {
	k.t.Helper()
	if r := k.get(robotA, i.repository, "blobs", digestOf(i.layer)); r.status != http.StatusNotFound {
		k.t.Errorf("a blob that was refused: %v", r)
	}
}

// pushAll pushes an image and returns the answer to its manifest.
func (k *kept) pushAll(i *image) reply {
	for _, part := range [][]byte{i.config, i.layer} {
		if r := k.pushBlob(robotA, i.repository, part, 1); r.status != http.StatusCreated {
			return r
		}
	}
	k.note(i, maybe)
	r := k.putManifest(robotA, i.repository, i.digest(), i.raw)
	k.answered(i, r, http.StatusCreated, there)
	return r
}

// An injection makes calls of the running server fail.
type injection struct {
	k    *kept
	cmd  *exec.Cmd
	file string
}

// inject has call fail with EIO from now on, for these paths.
func (k *kept) inject(call string, paths []string) *injection {
	k.t.Helper()
	s := &injection{k: k, file: filepath.Join(k.t.TempDir(), "trace")}
	args := []string{"-f", "-q", "-y", "-e", "signal=none", "-o", s.file, "-p", fmt.Sprint(k.server.cmd.Process.Pid), "-e", "trace=" + call, "-e", "inject=" + call + ":error=EIO"}
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	s.cmd = exec.Command("strace", args...)
	if err := s.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	for range 200 {
		if s.attached() {
			return s
		}
		time.Sleep(25 * time.Millisecond)
	}
	s.stop()
	k.t.Fatal("strace does not attach to the server")
	return nil
}

// attached reports whether every thread of the server is traced.
func (s *injection) attached() bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.k.server.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		return false
	}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err == nil && strings.Contains(string(b), "\nTracerPid:\t0\n") {
			return false
		}
	}
	return true
}

func (s *injection) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt)
	_ = s.cmd.Wait()
}

func (s *injection) trace() string {
	b, _ := os.ReadFile(s.file)
	return string(b)
}

func (s *injection) injected() int { return strings.Count(s.trace(), "(INJECTED)") }
