package runc

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/patchfit/patchfit/build/sandbox"
)

// The members of a runtime's configuration that we set (OCI runtime spec 1.0.2).
type (
	spec struct {
		Version  string  `json:"ociVersion"`
		Process  process `json:"process"`
		Root     root    `json:"root"`
		Hostname string  `json:"hostname"`
		Mounts   []mount `json:"mounts"`
		Linux    linux   `json:"linux"`
	}
	process struct {
		User            user                `json:"user"`
		Args            []string            `json:"args"`
		Env             []string            `json:"env"`
		Dir             string              `json:"cwd"`
		Capabilities    map[string][]string `json:"capabilities"` // present and empty: none
		NoNewPrivileges bool                `json:"noNewPrivileges"`
	}
	user struct {
		UID   int `json:"uid"`
		GID   int `json:"gid"`
		Umask int `json:"umask"`
	}
	root struct {
		Path     string `json:"path"`
		ReadOnly bool   `json:"readonly"`
	}
	mount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source"`
		Options     []string `json:"options"`
	}
	linux struct {
		UIDs          []idMap     `json:"uidMappings"`
		GIDs          []idMap     `json:"gidMappings"`
		Namespaces    []namespace `json:"namespaces"`
		MaskedPaths   []string    `json:"maskedPaths"`
		ReadOnlyPaths []string    `json:"readonlyPaths"`
		Seccomp       seccomp     `json:"seccomp"`
	}
	idMap struct {
		Inside  int `json:"containerID"`
		Outside int `json:"hostID"`
		Size    int `json:"size"`
	}
	namespace struct {
		Type string `json:"type"`
	}
	seccomp struct {
		Default string        `json:"defaultAction"`
		Calls   []seccompRule `json:"syscalls"`
	}
	seccompRule struct {
		Names  []string     `json:"names"`
		Action string       `json:"action"`
		Errno  uint         `json:"errnoRet"`
		Args   []seccompArg `json:"args,omitempty"`
	}
	seccompArg struct {
		Index    int    `json:"index"`
		Value    uint64 `json:"value"`
		ValueTwo uint64 `json:"valueTwo,omitempty"`
		Op       string `json:"op"`
	}
)

// bundle makes the root as the embedded runner does: a directory of our own,
// with links as the image has them and places for its entries and for ours.
func (c *container) bundle(image string) error {
	// The job's user has to find the way in.
	if err := os.Chmod(c.dir, 0o711); err != nil {
		return err
	}
	for _, d := range []string{bundleDir, bundleDir + "/" + rootDir, bundleDir + "/" + devDir} {
		if err := os.Mkdir(c.at(d), 0o755); err != nil {
			return err
		}
	}
	r := c.at(bundleDir, rootDir)
	for _, d := range sandbox.OwnEntries() {
		if err := os.Mkdir(filepath.Join(r, d), 0o755); err != nil {
			return err
		}
	}
	entries, err := sandbox.Entries(image)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := e.Place(r); err != nil {
			return err
		}
	}
	for _, d := range sandbox.Devices() {
		if err := os.WriteFile(c.at(bundleDir, devDir, d), nil, 0o644); err != nil {
			return err
		}
	}
	for name, target := range sandbox.DeviceLinks() {
		if err := os.Symlink(target, c.at(bundleDir, devDir, name)); err != nil {
			return err
		}
	}
	return copyProgram(filepath.Join(r, sandbox.First))
}

// copyProgram puts this program into the root, which need not be where a
// container could have it from.
func copyProgram(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// config returns the configuration of the container.
func (c *container) config(h *sandbox.Hold) (*spec, error) {
	uid, gid := os.Getuid(), os.Getgid()
	if c.root {
		uid, gid = c.user, c.user
	}
	mounts, err := c.mounts(h)
	if err != nil {
		return nil, err
	}
	none := []string{}
	s := &spec{
		Version: "1.0.2",
		Process: process{
			User: user{Umask: 0o022}, Args: []string{"/" + sandbox.First}, Env: none, Dir: "/", NoNewPrivileges: true,
			Capabilities: map[string][]string{"bounding": none, "effective": none, "permitted": none, "inheritable": none, "ambient": none},
		},
		Root:     root{Path: rootDir, ReadOnly: true},
		Hostname: sandbox.Hostname,
		Mounts:   mounts,
		Linux: linux{
			UIDs: []idMap{{0, uid, 1}}, GIDs: []idMap{{0, gid, 1}},
			Seccomp: seccomp{Default: "SCMP_ACT_ALLOW"},
		},
	}
	for _, n := range []string{"user", "mount", "pid", "network", "ipc", "uts", "cgroup"} {
		s.Linux.Namespaces = append(s.Linux.Namespaces, namespace{n})
	}
	masked, readOnly := sandbox.ProcPaths()
	for _, p := range masked {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/proc/"+p)
	}
	for _, p := range readOnly {
		s.Linux.ReadOnlyPaths = append(s.Linux.ReadOnlyPaths, "/proc/"+p)
	}
	for _, r := range sandbox.Rules() {
		s.Linux.Seccomp.Calls = append(s.Linux.Seccomp.Calls, filter(r)...)
	}
	return s, nil
}

func (c *container) mounts(h *sandbox.Hold) ([]mount, error) {
	entries, err := sandbox.Entries(h.Root())
	if err != nil {
		return nil, err
	}
	var all []mount
	for _, e := range entries {
		if e.Mounted() {
			all = append(all, mount{"/" + e.Name(), "bind", filepath.Join(h.Root(), e.Name()), []string{"rbind", "ro", "nosuid", "nodev", "rro", "rnosuid", "rnodev"}})
		}
	}
	all = append(all,
		mount{sandbox.Build, "bind", h.Work(), []string{"rbind", "nosuid", "nodev", "rnosuid", "rnodev"}},
		mount{"/proc", "proc", "proc", []string{"nosuid", "nodev", "noexec"}},
		mount{"/tmp", "tmpfs", "tmpfs", []string{"nosuid", "nodev", "mode=1777", fmt.Sprintf("size=%d", h.Limits().Memory), "nr_inodes=1m"}},
		// A /dev that is bound gets no devices but ours.
		mount{"/dev", "bind", c.at(bundleDir, devDir), []string{"bind", "ro", "nosuid", "noexec"}},
	)
	for _, d := range sandbox.Devices() {
		all = append(all, mount{path.Join("/dev", d), "bind", path.Join("/dev", d), []string{"bind", "nosuid", "noexec"}})
	}
	return all, nil
}

// filter says a rule in a runtime's words, which have one comparison an argument
// and no "or" but several rules.
func filter(r sandbox.Rule) []seccompRule {
	rules := []seccompRule{{Names: []string{r.Name}, Action: "SCMP_ACT_ERRNO", Errno: uint(r.Errno)}}
	for _, c := range r.When {
		var next []seccompRule
		for _, rule := range rules {
			for _, a := range compare(c) {
				with := rule
				with.Args = append(slices.Clone(rule.Args), a)
				next = append(next, with)
			}
		}
		rules = next
	}
	return rules
}

// compare returns comparisons of which one holds when the condition does.
func compare(c sandbox.Condition) (all []seccompArg) {
	for mask := c.Mask; mask != 0; mask &= mask - 1 {
		bit := uint64(1) << bits.TrailingZeros32(mask)
		all = append(all, seccompArg{Index: c.Arg, Value: bit, ValueTwo: bit, Op: "SCMP_CMP_MASKED_EQ"})
	}
	if c.Mask != 0 {
		return all
	}
	most := slices.Max(c.Values)
	for v := range most {
		if !slices.Contains(c.Values, v) {
			all = append(all, seccompArg{Index: c.Arg, Value: uint64(v), Op: "SCMP_CMP_EQ"})
		}
	}
	return append(all, seccompArg{Index: c.Arg, Value: uint64(most), Op: "SCMP_CMP_GT"})
}
