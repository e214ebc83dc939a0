package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// How often a job is looked at. In between it can use more than it may by what
// a machine does in that time.
const (
	processInterval = 100 * time.Millisecond
	ticks           = 100 // of a second, in what /proc says (USER_HZ)
)

// watchProcesses measures memory, processor time and processes of a job, by the
// /proc it sees itself: of its own processes, all of them, and no others.
func (h *Hold) watchProcesses(first int) error {
	at := "/proc/" + strconv.Itoa(first) + "/root"
	proc, err := os.OpenRoot(at + "/proc")
	if err != nil {
		return err
	}
	m := &processes{proc: proc}
	h.processes = m
	if m.dir, err = proc.Open("."); err != nil {
		return err
	}
	if m.tmp, err = os.Open(at + "/tmp"); err != nil {
		return err
	}
	h.meters.Go(func() { h.every(processInterval, func() { h.judgeProcesses(m) }) })
	return nil
}

// every calls look until the job is over.
func (h *Hold) every(interval time.Duration, look func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-h.over:
			return
		case <-t.C:
			look()
		}
	}
}

func (h *Hold) judgeProcesses(m *processes) {
	u, err := m.measure()
	if err != nil {
		h.cancel(fmt.Errorf("measuring the job: %w", err))
		return
	}
	h.memory.Store(max(h.memory.Load(), u.memory))
	h.cpu.Store(max(h.cpu.Load(), int64(u.cpu)))
	switch {
	case u.memory > h.limits.Memory:
		h.cancel(&LimitError{LimitMemory, size(h.limits.Memory)})
	case u.threads > h.limits.Processes:
		h.cancel(&LimitError{LimitProcesses, strconv.Itoa(h.limits.Processes)})
	case u.cpu > h.limits.CPU:
		h.cancel(&LimitError{LimitCPU, h.limits.CPU.String()})
	}
}

// processes measures the processes of a job.
type processes struct {
	proc *os.Root
	dir  *os.File // the same
	tmp  *os.File

	buffer [4096]byte // of the one goroutine that measures
}

func (m *processes) close() {
	if m != nil {
		m.proc.Close()
		m.dir.Close()
		m.tmp.Close()
	}
}

// A usage is what a job uses at one moment.
type usage struct {
	memory  int64
	threads int
	cpu     time.Duration
}

// each calls do with each process inside, but for those that ended.
func (m *processes) each(do func(pid string) error) error {
	names, err := m.names(".")
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if err := do(name); err != nil && !ended(err) {
			return err
		}
	}
	return err
}

func ended(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

func (m *processes) names(name string) ([]string, error) {
	dir, err := m.proc.Open(name)
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	return names, errors.Join(err, dir.Close())
}

func (m *processes) measure() (usage, error) {
	var total usage
	err := m.each(func(pid string) error {
		u, err := m.one(pid)
		total.memory += u.memory
		total.threads += u.threads
		total.cpu += u.cpu
		return err
	})
	if err != nil {
		return total, err
	}
	var tmp unix.Statfs_t
	if err := unix.Fstatfs(int(m.tmp.Fd()), &tmp); err != nil {
		return total, fmt.Errorf("/tmp: %w", err)
	}
	total.memory += int64(tmp.Blocks-tmp.Bfree) * tmp.Bsize
	return total, nil
}

// read reads a small file of /proc, in few calls: this is done all the time. What
// it returns is good until the next read.
func (m *processes) read(name string) ([]byte, error) {
	fd, err := unix.Openat(int(m.dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	n, err := unix.Read(fd, m.buffer[:])
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return nil, err
	}
	return m.buffer[:n], nil
}

// one measures one process: of the sandbox's own first process, only what it
// waited for.
func (m *processes) one(pid string) (usage, error) {
	stat, err := m.read(pid + "/stat")
	if err != nil {
		return usage{}, err
	}
	s, err := parseStat(stat)
	if err != nil {
		return usage{}, err
	}
	if pid == "1" {
		return usage{cpu: s.children}, nil
	}
	statm, err := m.read(pid + "/statm")
	if err != nil {
		return usage{}, err
	}
	memory, err := parseStatm(statm)
	return usage{memory: memory, threads: s.threads, cpu: s.own + s.children}, err
}

// held returns the size of the files without a name, on a disk, that processes
// have open.
func (m *processes) held(disk uint64) (total int64, err error) {
	seen := map[uint64]bool{}
	err = m.each(func(pid string) error {
		files, err := m.names(pid + "/fd")
		for _, f := range files {
			var s unix.Stat_t
			if err := unix.Fstatat(int(m.dir.Fd()), pid+"/fd/"+f, &s, 0); err != nil {
				continue // it closed it
			}
			if uint64(s.Dev) == disk && s.Nlink == 0 && !seen[s.Ino] {
				seen[s.Ino] = true
				total += max(s.Blocks*512, leastFile)
			}
		}
		return err
	})
	return total, err
}

type stat struct {
	own, children time.Duration
	threads       int
}

var errProc = errors.New("/proc says what was not expected")

// parseStat reads /proc/PID/stat (proc(5)). The name in it can hold anything.
func parseStat(b []byte) (stat, error) {
	i := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[i+1:])
	if i < 0 || len(fields) < 18 {
		return stat{}, errProc
	}
	var n [20]int64
	for _, f := range []int{14, 15, 16, 17, 20} {
		v, err := strconv.ParseInt(string(fields[f-3]), 10, 64)
		if err != nil || v < 0 {
			return stat{}, errProc
		}
		n[f-1] = v
	}
	tick := time.Second / ticks
	return stat{
		own:      time.Duration(n[13]+n[14]) * tick,
		children: time.Duration(n[15]+n[16]) * tick,
		threads:  int(n[19]),
	}, nil
}

// parseStatm reads from /proc/PID/statm the bytes that are a process's own: in
// memory, and not of a file.
func parseStatm(b []byte) (int64, error) {
	fields := bytes.Fields(b)
	if len(fields) < 3 {
		return 0, errProc
	}
	resident, err := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, err2 := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil || err2 != nil {
		return 0, errProc
	}
	return max(0, resident-shared) * int64(os.Getpagesize()), nil
}
