package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	pastCalls = 0x40000000
)

// archRules: none but those of all architectures.
func archRules() []Rule { return nil }
