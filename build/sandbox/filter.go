package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// A Rule refuses a system call, with an error, where all its conditions hold.
type Rule struct {
	Call  int
	Name  string // as OCI runtimes know it
	Errno unix.Errno
	When  []Condition
}

// A Condition is about the low 32 bits of one argument: that they have one of
// the bits of Mask, or (with Not) that they are none of Values.
type Condition struct {
	Arg    int
	Mask   uint32
	Values []uint32
}

// setid are the mode bits that make a file run as its owner: what a build
// leaves belongs to the caller, so it must never carry them.
const setid = unix.S_ISUID | unix.S_ISGID

// creates are the flags with which opening a file looks at a mode.
const creates = unix.O_CREAT | unix.O_TMPFILE&^unix.O_DIRECTORY

const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Rules are the system calls no build needs, and those that would leave behind
// what outlives it: the same for every runner. What takes a capability is
// refused by the kernel anyway; here a mistake in the kernel is not reached.
func Rules() []Rule {
	rules := archRules()
	for call, name := range map[int]string{
		unix.SYS_MOUNT: "mount", unix.SYS_UMOUNT2: "umount2", unix.SYS_PIVOT_ROOT: "pivot_root", unix.SYS_CHROOT: "chroot",
		unix.SYS_OPEN_TREE: "open_tree", unix.SYS_MOVE_MOUNT: "move_mount", unix.SYS_FSOPEN: "fsopen", unix.SYS_FSCONFIG: "fsconfig",
		unix.SYS_FSMOUNT: "fsmount", unix.SYS_FSPICK: "fspick", unix.SYS_MOUNT_SETATTR: "mount_setattr",
		unix.SYS_UNSHARE: "unshare", unix.SYS_SETNS: "setns",
		unix.SYS_PTRACE: "ptrace", unix.SYS_PROCESS_VM_READV: "process_vm_readv", unix.SYS_PROCESS_VM_WRITEV: "process_vm_writev",
		unix.SYS_KCMP: "kcmp", unix.SYS_PIDFD_GETFD: "pidfd_getfd", unix.SYS_PROCESS_MADVISE: "process_madvise",
		unix.SYS_KEYCTL: "keyctl", unix.SYS_ADD_KEY: "add_key", unix.SYS_REQUEST_KEY: "request_key",
		unix.SYS_BPF: "bpf", unix.SYS_PERF_EVENT_OPEN: "perf_event_open", unix.SYS_USERFAULTFD: "userfaultfd",
		unix.SYS_IO_URING_SETUP: "io_uring_setup", unix.SYS_IO_URING_ENTER: "io_uring_enter", unix.SYS_IO_URING_REGISTER: "io_uring_register",
		unix.SYS_INIT_MODULE: "init_module", unix.SYS_FINIT_MODULE: "finit_module", unix.SYS_DELETE_MODULE: "delete_module",
		unix.SYS_KEXEC_LOAD: "kexec_load", unix.SYS_KEXEC_FILE_LOAD: "kexec_file_load", unix.SYS_REBOOT: "reboot",
		unix.SYS_SWAPON: "swapon", unix.SYS_SWAPOFF: "swapoff", unix.SYS_ACCT: "acct", unix.SYS_QUOTACTL: "quotactl", unix.SYS_QUOTACTL_FD: "quotactl_fd",
		unix.SYS_SYSLOG: "syslog", unix.SYS_SETTIMEOFDAY: "settimeofday", unix.SYS_CLOCK_SETTIME: "clock_settime", unix.SYS_ADJTIMEX: "adjtimex", unix.SYS_CLOCK_ADJTIME: "clock_adjtime",
		unix.SYS_OPEN_BY_HANDLE_AT: "open_by_handle_at", unix.SYS_NAME_TO_HANDLE_AT: "name_to_handle_at", unix.SYS_FANOTIFY_INIT: "fanotify_init",
		unix.SYS_VHANGUP: "vhangup", unix.SYS_LOOKUP_DCOOKIE: "lookup_dcookie", unix.SYS_NFSSERVCTL: "nfsservctl",
	} {
		rules = append(rules, Rule{Call: call, Name: name, Errno: unix.EPERM})
	}
	rules = append(rules,
		// Programs fall back where these are not there; a filter cannot see into
		// what they point at, and memory behind a descriptor is nobody's.
		Rule{Call: unix.SYS_CLONE3, Name: "clone3", Errno: unix.ENOSYS},
		Rule{Call: unix.SYS_OPENAT2, Name: "openat2", Errno: unix.ENOSYS},
		Rule{Call: unix.SYS_MEMFD_CREATE, Name: "memfd_create", Errno: unix.ENOSYS},
		Rule{Call: unix.SYS_MEMFD_SECRET, Name: "memfd_secret", Errno: unix.ENOSYS},
		Rule{Call: unix.SYS_SHMGET, Name: "shmget", Errno: unix.ENOSYS},
		Rule{Call: unix.SYS_FCHMODAT2, Name: "fchmodat2", Errno: unix.ENOSYS},
		Rule{Call: unix.SYS_CLONE, Name: "clone", Errno: unix.EPERM, When: []Condition{{Arg: 0, Mask: namespaces}}},
		// Limits of other processes: of the first one, for instance.
		Rule{Call: unix.SYS_PRLIMIT64, Name: "prlimit64", Errno: unix.EPERM, When: []Condition{{Arg: 0, Values: []uint32{0}}}},
		// A virtual machine's socket to its host is in no network namespace.
		Rule{Call: unix.SYS_SOCKET, Name: "socket", Errno: unix.EAFNOSUPPORT, When: []Condition{{Arg: 0, Values: []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}}}},
		Rule{Call: unix.SYS_FCHMOD, Name: "fchmod", Errno: unix.EPERM, When: []Condition{{Arg: 1, Mask: setid}}},
		Rule{Call: unix.SYS_FCHMODAT, Name: "fchmodat", Errno: unix.EPERM, When: []Condition{{Arg: 2, Mask: setid}}},
		Rule{Call: unix.SYS_MKDIRAT, Name: "mkdirat", Errno: unix.EPERM, When: []Condition{{Arg: 2, Mask: setid}}},
		Rule{Call: unix.SYS_MKNODAT, Name: "mknodat", Errno: unix.EPERM, When: []Condition{{Arg: 2, Mask: setid}}},
		Rule{Call: unix.SYS_OPENAT, Name: "openat", Errno: unix.EPERM, When: []Condition{{Arg: 2, Mask: creates}, {Arg: 3, Mask: setid}}},
	)
	slices.SortFunc(rules, func(a, b Rule) int { return a.Call - b.Call })
	return rules
}

// Offsets into what a filter sees (struct seccomp_data).
const (
	offsetCall = 0
	offsetArch = 4
	offsetArgs = 16
)

// filter returns the rules as a program of the kernel.
func filter() ([]unix.SockFilter, error) {
	p := []unix.SockFilter{
		load(offsetArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditArch, Jt: 1},
		verdict(unix.SECCOMP_RET_KILL_PROCESS), // another architecture has other numbers
		load(offsetCall),
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: pastCalls, Jf: 1},
		verdict(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)),
	}
	for _, r := range Rules() {
		p = append(p, r.compile()...)
	}
	return append(p, verdict(unix.SECCOMP_RET_ALLOW)), nil
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func verdict(v uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v}
}

// compile returns the rule's part of the program, which begins and, unless it
// refuses, ends with the number of the call loaded.
func (r Rule) compile() []unix.SockFilter {
	refuse := verdict(unix.SECCOMP_RET_ERRNO | uint32(r.Errno))
	if len(r.When) == 0 {
		return []unix.SockFilter{{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(r.Call), Jf: 1}, refuse}
	}
	end := []unix.SockFilter{refuse, load(offsetCall)} // what does not hold jumps to the load
	for i := len(r.When) - 1; i >= 0; i-- {
		end = append(r.When[i].compile(uint8(len(end)-1)), end...)
	}
	return append([]unix.SockFilter{{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(r.Call), Jf: uint8(len(end))}}, end...)
}

// compile returns a condition: past is how far behind it its rule goes on when
// it does not hold.
func (c Condition) compile(past uint8) []unix.SockFilter {
	p := []unix.SockFilter{load(uint32(offsetArgs + 8*c.Arg))}
	if c.Mask != 0 {
		return append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: c.Mask, Jf: past})
	}
	for i, v := range c.Values {
		p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: v, Jt: past + uint8(len(c.Values)-1-i)})
	}
	return p
}
