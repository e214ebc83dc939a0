package builder

import (
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// emptied are directories whose content says how and where the image was made,
// or that a sandbox puts something else over. The directories stay.
var emptied = [...]string{
	"/dev", "/proc", "/sys", "/run", "/tmp", "/build", "/var/tmp", "/var/log",
	"/var/cache/apt", "/var/cache/debconf", "/var/lib/apt/lists", "/etc/apt/sources.list.d",
}

// dropped are files of that kind.
var dropped = [...]string{
	"/.dockerenv", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/mtab",
	"/etc/apt/sources.list", "/etc/apt/apt.conf.d/99mmdebstrap", "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
	"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-",
	"/var/cache/ldconfig/aux-cache", "/var/lib/apt/extended_states", "/var/lib/dbus/machine-id",
	"/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/triggers/Lock",
	"/var/lib/dpkg/status-old", "/var/lib/dpkg/available-old", "/var/lib/dpkg/diversions-old", "/var/lib/dpkg/statoverride-old",
	"/var/lib/systemd/random-seed",
}

// tidy takes out of a tree what differs between two makings of it, and makes no
// file newer than epoch. Files that are older keep their time, which others of
// them may name (as .pyc files do); directories and links get epoch, because
// theirs say when somebody copied them.
func (t tree) tidy(epoch time.Time) {
	clear := map[string]bool{}
	for _, dir := range emptied {
		clear[dir] = true
	}
	for name := range t {
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			if clear[dir] {
				delete(t, name)
				break
			}
		}
	}
	for _, name := range dropped {
		t.remove(name, true)
	}
	if n := t["/etc/machine-id"]; n != nil && n.mode.IsRegular() {
		t["/etc/machine-id"] = &node{mode: 0o444, time: epoch, open: nothing}
	}
	for _, n := range t {
		n.time = n.time.Truncate(time.Second)
		if !n.mode.IsRegular() || n.time.After(epoch) || n.time.Before(time.Unix(0, 0)) {
			n.time = epoch
		}
	}
}

func nothing() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }

// distro returns what an image calls itself, as "debian-12"; "" where it does
// not.
func (t tree) distro() string {
	for _, name := range []string{"/usr/lib/os-release", "/etc/os-release"} {
		b, err := t.read(name, 64<<10)
		if err != nil || b == nil {
			continue
		}
		id, version := osField(string(b), "ID"), osField(string(b), "VERSION_ID")
		if isWord(id) && isWord(version) {
			return fmt.Sprintf("%s-%s", id, version)
		}
	}
	return ""
}

func osField(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}
