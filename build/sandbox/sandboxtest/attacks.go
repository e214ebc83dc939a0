package sandboxtest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attacks are ways out. Each returns why it failed, or nil.
var attacks = map[string]func(args []string) error{
	"write-root":   func([]string) error { return os.WriteFile("/evil", nil, 0o666) },
	"write-image":  func([]string) error { return os.WriteFile("/bin/evil", nil, 0o666) },
	"change-image": func([]string) error { return os.Chmod("/bin/payload", 0o777) },
	"write-dev":    func([]string) error { return os.WriteFile("/dev/evil", nil, 0o666) },
	"change-dev":   func([]string) error { return os.Chmod("/dev/null", 0o777) },
	"write-sys":    func([]string) error { return os.WriteFile("/proc/sys/kernel/core_pattern", []byte("|/bin/payload"), 0) },
	"own-sys":      func([]string) error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) },
	"sysrq":        func([]string) error { return gone("/proc/sysrq-trigger") },
	"kcore":        func([]string) error { return gone("/proc/kcore") },
	"keys":         func([]string) error { return gone("/proc/keys") },
	"interrupts":   func([]string) error { return gone("/proc/interrupts") },

	"connect":  connect,
	"abstract": func(args []string) error { return dial("unix", "@"+args[0]) },
	"outside":  func([]string) error { return dial("udp", "192.0.2.1:9") },
	"packet":   func([]string) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) },
	"raw":      func([]string) error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) },
	"vsock":    func([]string) error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },

	"first-mem":  func([]string) error { return touch("/proc/1/mem", os.O_RDWR) },
	"first-root": func([]string) error { return touch("/proc/1/root/etc", os.O_RDONLY) },
	"first-exe":  func([]string) error { return touch("/proc/1/exe", os.O_RDONLY) },
	"first-open": func([]string) error { return touch("/proc/1/fd/1", os.O_RDWR) },
	"see":        see,
	"kill":       func(args []string) error { return kill(args[0]) },
	"ptrace":     func([]string) error { return unix.PtraceAttach(os.Getppid()) },
	"traceme":    func([]string) error { return call(unix.SYS_PTRACE, unix.PTRACE_TRACEME) },
	"readv":      func([]string) error { return call(unix.SYS_PROCESS_VM_READV, uintptr(os.Getpid())) },
	"limits":     func([]string) error { return unix.Prlimit(os.Getppid(), unix.RLIMIT_NOFILE, nil, new(unix.Rlimit)) },
	"more-files": func([]string) error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
	},
	"more-procs": func([]string) error {
		return unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	},

	"mknod":        func([]string) error { return unix.Mknod("/build/disk", unix.S_IFBLK|0o666, int(unix.Mkdev(254, 0))) },
	"mknod-mem":    func([]string) error { return unix.Mknod("/tmp/mem", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))) },
	"setuid":       func([]string) error { return unix.Setuid(1) },
	"setuid-file":  func([]string) error { return changeMode(unix.S_ISUID) },
	"setgid-file":  func([]string) error { return changeMode(unix.S_ISGID) },
	"setuid-at":    func([]string) error { return changeModeAt() },
	"setuid-at2":   func([]string) error { return pathCall(unix.SYS_FCHMODAT2, "/build", 0o4755) },
	"setuid-open":  func([]string) error { return open(unix.O_CREAT | unix.O_WRONLY) },
	"setuid-tmp":   func([]string) error { return open(unix.O_TMPFILE | unix.O_WRONLY) },
	"setuid-open2": func([]string) error { return open2() },
	"setgid-dir":   func([]string) error { return unix.Mkdir("/build/dir", 0o2755) },
	"setuid-fifo":  func([]string) error { return unix.Mknod("/build/fifo", unix.S_IFIFO|0o4755, 0) },
	"capability":   func([]string) error { return fileCapability() },

	"mount":     func([]string) error { return unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "") },
	"remount":   func([]string) error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") },
	"umount":    func([]string) error { return unix.Unmount("/proc/sys", unix.MNT_DETACH) },
	"fsopen":    func([]string) error { return pathCall(unix.SYS_FSOPEN, "tmpfs", 0) },
	"open-tree": func([]string) error { _, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); return err },
	"unshare":   func([]string) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"clone":     func([]string) error { return cloneUser() },
	"clone3":    func([]string) error { return call(unix.SYS_CLONE3) },
	"setns":     func([]string) error { return call(unix.SYS_SETNS) },
	"chroot":    func([]string) error { return unix.Chroot("/build") },
	"up":        up,

	"keyctl":   func([]string) error { return call(unix.SYS_KEYCTL) },
	"bpf":      func([]string) error { return call(unix.SYS_BPF) },
	"perf":     func([]string) error { return call(unix.SYS_PERF_EVENT_OPEN) },
	"io-uring": func([]string) error { return call(unix.SYS_IO_URING_SETUP, 8, 0) },
	"module":   func([]string) error { return call(unix.SYS_INIT_MODULE) },
	"reboot":   func([]string) error { return call(unix.SYS_REBOOT) },
	"clock":    func([]string) error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) },
	"memfd":    func([]string) error { _, err := unix.MemfdCreate("evil", 0); return err },
	"shm": func([]string) error {
		_, err := unix.SysvShmGet(unix.IPC_PRIVATE, 1<<20, unix.IPC_CREAT|0o666)
		return err
	},
	"hostname": func([]string) error { return unix.Sethostname([]byte("evil")) },
	"handle":   func([]string) error { return call(unix.SYS_OPEN_BY_HANDLE_AT) },
}

// attack tries all ways out, one after the other, and says of each in a line why
// it failed. Its arguments are what some need to know, as NAME=VALUE.
func attack(args []string) error {
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		var known []string
		for _, a := range args {
			if v, ok := strings.CutPrefix(a, name+"="); ok {
				known = append(known, v)
			}
		}
		_ = os.RemoveAll("/build/file")
		if err := attacks[name](known); err != nil {
			fmt.Printf("%s refused: %q\n", name, err)
		} else {
			fmt.Printf("%s ESCAPED\n", name)
		}
	}
	return nil
}

// gone reports whether a file of /proc says nothing and takes nothing in.
func gone(name string) error {
	b, err := os.ReadFile(name)
	if err == nil && len(b) == 0 {
		err = errors.New("masked")
	}
	return err
}

func touch(name string, flags int) error {
	f, err := os.OpenFile(name, flags, 0)
	if err == nil {
		f.Close()
	}
	return err
}

func dial(network, address string) error {
	c, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	_, err = c.Write([]byte("evil"))
	return errors.Join(err, c.Close())
}

// connect connects to each port of this machine that somebody listens on.
func connect(args []string) error {
	var all []error
	for _, address := range args {
		err := dial("tcp", address)
		if err == nil {
			return nil
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

func socket(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind, protocol)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// see looks for processes that are not the job's own.
func see([]string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm")); err == nil && e.Name() != "1" && string(b) != "payload\n" {
			fmt.Printf("saw %s, %s", e.Name(), b)
			return nil
		}
	}
	return errors.New("saw only its own")
}

func kill(pid string) error {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	return syscall.Kill(n, 0)
}

// call makes a system call. What a filter lets through fails with another
// error than the filter's: there is nothing it could work on.
func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return errno
	}
	return nil
}

func pathCall(number uintptr, name string, argument uintptr) error {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	at := unix.AT_FDCWD
	defer runtime.KeepAlive(p)
	if number == unix.SYS_FSOPEN {
		return call(number, uintptr(unsafe.Pointer(p)), argument)
	}
	return call(number, uintptr(at), uintptr(unsafe.Pointer(p)), argument)
}

func changeMode(bit uint32) error {
	if err := os.WriteFile("/build/file", nil, 0o777); err != nil {
		return err
	}
	return unix.Chmod("/build/file", 0o755|bit)
}

func changeModeAt() error {
	if err := os.WriteFile("/build/file", nil, 0o777); err != nil {
		return err
	}
	f, err := os.Open("/build/file")
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(unix.Fchmod(int(f.Fd()), 0o4755), unix.Fchmodat(unix.AT_FDCWD, "/build/file", 0o4755, 0))
}

func open(flags int) error {
	name := "/build"
	if flags&unix.O_CREAT != 0 {
		name = "/build/file"
	}
	fd, err := unix.Open(name, flags, 0o4755)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func open2() error {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/build/file", &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o4755})
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// fileCapability gives a file CAP_SYS_ADMIN (struct vfs_cap_data).
func fileCapability() error {
	if err := os.WriteFile("/build/file", nil, 0o777); err != nil {
		return err
	}
	admin := []byte{1, 0, 0, 2, 0, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	return unix.Setxattr("/build/file", "security.capability", admin, 0)
}

// cloneUser makes a process in a user namespace, as a program in C would.
func cloneUser() error {
	runtime.LockOSThread()
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(unix.CLONE_NEWUSER|unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// up climbs out of the root by "..", by links and by the directories others
// have open.
func up([]string) error {
	climb := strings.Repeat("../", 40)
	if err := os.Symlink("/"+climb+"etc", "/build/link"); err != nil {
		return err
	}
	for _, name := range []string{"/" + climb + "etc", "/build/" + climb + "etc", "/build/link", "/proc/self/root/" + climb + "etc", "/proc/self/cwd/" + climb + "etc"} {
		if _, err := os.ReadDir(name); !errors.Is(err, fs.ErrNotExist) {
			fmt.Println("climbed to", name, err)
			return nil
		}
	}
	return errors.New("climbed nowhere")
}
