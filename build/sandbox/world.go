package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// What the world inside is made of, the same for every runner.

// OwnEntries are the entries of the root that are never the image's.
func OwnEntries() []string { return []string{"build", "dev", "proc", "tmp"} }

// Devices are the only ones inside.
func Devices() []string { return []string{"null", "zero", "full", "random", "urandom"} }

// DeviceLinks are what else is in /dev.
func DeviceLinks() map[string]string {
	return map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
}

// ProcPaths are what of /proc tells of the machine, which is masked, and what
// changes it, which is read-only.
func ProcPaths() (masked, readOnly []string) {
	return []string{
		"acpi", "asound", "interrupts", "kcore", "keys", "key-users", "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "latency_stats",
		"sched_debug", "scsi", "slabinfo", "sysrq-trigger", "timer_list", "timer_stats", "vmallocinfo",
	}, []string{"bus", "fs", "irq", "sys"}
}

// An Entry is one of the root of an image.
type Entry struct {
	fs.DirEntry
	target string // of a link
}

// maxEntries is how many an image's root may have: each is a mount.
const maxEntries = 256

// Entries returns what of an image's root is taken inside. So an image needs no
// place for what is mounted over it, and stays as it is.
func Entries(image string) ([]Entry, error) {
	all, err := os.ReadDir(image)
	if err != nil {
		return nil, fmt.Errorf("reading the builder image: %w", err)
	}
	if len(all) > maxEntries {
		return nil, fmt.Errorf("the builder image has %d entries in its root, more than %d", len(all), maxEntries)
	}
	var entries []Entry
	for _, d := range all {
		e := Entry{DirEntry: d}
		switch {
		case slices.Contains(append(OwnEntries(), imageDir, First), d.Name()):
			continue
		case d.Type() == fs.ModeSymlink:
			if e.target, err = os.Readlink(filepath.Join(image, d.Name())); err != nil {
				return nil, err
			}
		case !e.Mounted():
			continue
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Mounted reports whether an entry is mounted in its place; links are made.
func (e Entry) Mounted() bool { return e.IsDir() || e.Type().IsRegular() }

// Place makes, in a root, the link, or the place to mount the entry at.
func (e Entry) Place(root string) error {
	name := filepath.Join(root, e.Name())
	switch {
	case e.target != "":
		return os.Symlink(e.target, name)
	case e.IsDir():
		return os.Mkdir(name, 0o755)
	}
	return os.WriteFile(name, nil, 0o644)
}
