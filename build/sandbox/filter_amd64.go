package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	pastCalls = 0x40000000 // the x32 ABI has its numbers from here
)

// archRules are those for calls that newer architectures do not have.
func archRules() []Rule {
	var rules []Rule
	for call, name := range map[int]string{
		unix.SYS_IOPL: "iopl", unix.SYS_IOPERM: "ioperm", unix.SYS_MODIFY_LDT: "modify_ldt", unix.SYS_USELIB: "uselib", unix.SYS_USTAT: "ustat",
	} {
		rules = append(rules, Rule{Call: call, Name: name, Errno: unix.EPERM})
	}
	return append(rules,
		Rule{Call: unix.SYS_CHMOD, Name: "chmod", Errno: unix.EPERM, When: []Condition{{Arg: 1, Mask: setid}}},
		Rule{Call: unix.SYS_CREAT, Name: "creat", Errno: unix.EPERM, When: []Condition{{Arg: 1, Mask: setid}}},
		Rule{Call: unix.SYS_MKDIR, Name: "mkdir", Errno: unix.EPERM, When: []Condition{{Arg: 1, Mask: setid}}},
		Rule{Call: unix.SYS_MKNOD, Name: "mknod", Errno: unix.EPERM, When: []Condition{{Arg: 1, Mask: setid}}},
		Rule{Call: unix.SYS_OPEN, Name: "open", Errno: unix.EPERM, When: []Condition{{Arg: 1, Mask: creates}, {Arg: 2, Mask: setid}}},
	)
}
