package sandbox

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process can call itself anything; what is measured of it stays the same.
func TestParseStat(t *testing.T) {
	const rest = " S 1 5 5 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 7 0 100 1000 10"
	want := stat{own: 2 * time.Second, children: 500 * time.Millisecond, threads: 7}
	for _, name := range []string{"(cc1)", "(a b)", "()", "(x) S 1 1 1 1)", "(a\n(b)"} {
		if got, err := parseStat([]byte("12 " + name + rest)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "12 (a)", "12 (a) S 1 5", "12 (a" + rest, "12 (a)" + strings.Replace(rest, "150", "x", 1), "12 (a)" + strings.Replace(rest, "150", "-1", 1)} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
	for _, bad := range []string{"", "1 2", "1 x 3"} {
		if got, err := parseStatm([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	if got, err := parseStatm([]byte("100 30 10 1 0 9 0")); err != nil || got != int64(20*os.Getpagesize()) {
		t.Error(got, err)
	}
}

// evaluate runs a filter as the kernel does, on a call.
func evaluate(t *testing.T, program []unix.SockFilter, arch, call uint32, args ...uint32) uint32 {
	t.Helper()
	data := map[uint32]uint32{offsetCall: call, offsetArch: arch}
	for i, a := range args {
		data[uint32(offsetArgs+8*i)] = a
	}
	var a uint32
	for pc := 0; pc < len(program); pc++ {
		i := program[pc]
		jump := func(taken bool) {
			if taken {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[i.K]
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(a == i.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(a >= i.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(a&i.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		default:
			t.Fatalf("instruction %d has code %#x", pc, i.Code)
		}
	}
	t.Fatal("the filter does not end")
	return 0
}

// The filter says what the rules say, of every call and of arguments at the edges.
func TestFilter(t *testing.T) {
	program, err := filter()
	if err != nil || len(program) > unix.BPF_MAXINSNS {
		t.Fatal(len(program), err)
	}
	const allow = uint32(unix.SECCOMP_RET_ALLOW)
	refuse := func(errno unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }
	always := map[uint32]unix.Errno{}
	conditional := map[uint32]bool{}
	for _, r := range Rules() {
		if len(r.When) == 0 {
			always[uint32(r.Call)] = r.Errno
		} else {
			conditional[uint32(r.Call)] = true
		}
	}
	for call := range uint32(600) {
		want := allow
		if errno, ok := always[call]; ok {
			want = refuse(errno)
		} else if conditional[call] {
			continue
		}
		if got := evaluate(t, program, auditArch, call); got != want {
			t.Errorf("call %d: %#x, want %#x", call, got, want)
		}
	}
	for _, c := range []struct {
		call int
		args []uint32
		want uint32
	}{
		{unix.SYS_CLONE, []uint32{uint32(unix.SIGCHLD)}, allow},
		{unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_VFORK | uint32(unix.SIGCHLD)}, allow},
		{unix.SYS_CLONE, []uint32{unix.CLONE_NEWUSER | uint32(unix.SIGCHLD)}, refuse(unix.EPERM)},
		{unix.SYS_CLONE, []uint32{unix.CLONE_NEWNET}, refuse(unix.EPERM)},
		{unix.SYS_PRLIMIT64, []uint32{0}, allow},
		{unix.SYS_PRLIMIT64, []uint32{1}, refuse(unix.EPERM)},
		{unix.SYS_SOCKET, []uint32{unix.AF_UNIX}, allow},
		{unix.SYS_SOCKET, []uint32{unix.AF_NETLINK}, allow},
		{unix.SYS_SOCKET, []uint32{unix.AF_UNSPEC}, refuse(unix.EAFNOSUPPORT)},
		{unix.SYS_SOCKET, []uint32{unix.AF_VSOCK}, refuse(unix.EAFNOSUPPORT)},
		{unix.SYS_FCHMODAT, []uint32{0, 0, 0o777}, allow},
		{unix.SYS_FCHMODAT, []uint32{0, 0, 0o2755}, refuse(unix.EPERM)},
		{unix.SYS_OPENAT, []uint32{0, 0, unix.O_RDONLY | unix.O_DIRECTORY, 0o4777}, allow},
		{unix.SYS_OPENAT, []uint32{0, 0, unix.O_CREAT, 0o1777}, allow},
		{unix.SYS_OPENAT, []uint32{0, 0, unix.O_CREAT, 0o4777}, refuse(unix.EPERM)},
		{unix.SYS_OPENAT, []uint32{0, 0, unix.O_TMPFILE, 0o2777}, refuse(unix.EPERM)},
		{pastCalls, nil, refuse(unix.ENOSYS)},
	} {
		if got := evaluate(t, program, auditArch, uint32(c.call), c.args...); got != c.want {
			t.Errorf("call %d%v: %#x, want %#x", c.call, c.args, got, c.want)
		}
	}
	if got := evaluate(t, program, auditArch+1, unix.SYS_READ); got != unix.SECCOMP_RET_KILL_PROCESS {
		t.Errorf("of another architecture: %#x", got)
	}
}

func TestLimits(t *testing.T) {
	for n, want := range map[int64]string{1: "1 bytes", 1 << 20: "1 MiB", 3 << 30: "3 GiB", 1<<20 + 1: strconv.Itoa(1<<20+1) + " bytes"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	got, err := Limits{Disk: 5}.or(Defaults())
	if want := Defaults(); err != nil || got.Disk != 5 || got.Memory != want.Memory {
		t.Errorf("%+v, %v", got, err)
	}
}
