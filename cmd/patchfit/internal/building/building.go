// Package building has the verbs that run builds (docs/building.md). The work is
// in package build and the rooms below it.
package building

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/build/rootfs"
	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/sandbox/runc"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/term"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.buildCommand(), a.rebuildCommand(), a.rebuilderCommand()}
}

// places are the flags that say where on this machine a build is made.
type places struct {
	cache   string
	scratch string
	runner  string
}

func (p *places) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.cache, "cache", "", "directory for unpacked builder images (default: patchfit/images in your cache directory)")
	f.StringVar(&p.scratch, "scratch", "", "directory for the build's tree while it runs; a disk (default: $TMPDIR, else /var/tmp)")
	f.StringVar(&p.runner, "runner", embedded, "what contains the build: embedded, or runc")
}

// The runners.
const (
	embedded = "embedded"
	runtime  = "runc"
)

func (p *places) openRunner() (sandbox.Runner, error) {
	switch p.runner {
	case embedded:
		return sandbox.New(nil), nil
	case runtime:
		r, err := runc.New(nil)
		if err != nil {
			return nil, exit.Hint(err, "apt-get install runc, or leave --runner out")
		}
		return r, nil
	}
	return nil, exit.BadUsage(fmt.Errorf("--runner %q is not known", p.runner), "leave it out, or: --runner "+runtime)
}

// openScratch makes a directory that is gone when done is called.
func (p *places) openScratch() (dir string, done func(), err error) {
	parent := p.scratch
	if parent == "" {
		if parent = os.Getenv("TMPDIR"); parent == "" {
			parent = "/var/tmp" // not /tmp, which may be memory
		}
	}
	dir, err = os.MkdirTemp(parent, "patchfit-build-")
	if err != nil {
		return "", nil, exit.Hint(fmt.Errorf("making room for the build: %w", err), "name another directory with --scratch")
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

func (p *places) openCache() (*rootfs.Cache, error) {
	dir := p.cache
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, exit.Hint(err, "name a directory with --cache")
		}
		dir = filepath.Join(cache, "patchfit", "images")
	}
	c, err := rootfs.Open(dir, nil)
	if err != nil {
		return nil, exit.Hint(err, "name another directory with --cache")
	}
	return c, nil
}

// image unpacks a builder image: an OCI image layout, or one in a repository.
func (a verbs) image(ctx context.Context, p *places, name string) (*rootfs.Root, error) {
	cache, err := p.openCache()
	if err != nil {
		return nil, err
	}
	from, d, err := a.findImage(ctx, name)
	if err != nil {
		return nil, err
	}
	progress := term.NewProgress(a.Stderr)
	defer progress.Clear()
	progress.Step("builder image %s", d.Digest)
	root, err := cache.Unpack(ctx, from, d)
	if err != nil {
		return nil, exit.Hint(err, "look at the image: patchfit builder show "+name)
	}
	return root, nil
}

func (a verbs) findImage(ctx context.Context, name string) (rootfs.Fetcher, ocispec.Descriptor, error) {
	none := ocispec.Descriptor{}
	if _, err := os.Stat(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		from, list, err := rootfs.Layout(name)
		if err != nil {
			return nil, none, exit.Hint(err, "make one: patchfit builder create, or patchfit env capture --pack")
		}
		if len(list) != 1 {
			return nil, none, exit.Hint(fmt.Errorf("%s holds %d images", name, len(list)), "a builder image is a layout with one")
		}
		return from, list[0], nil
	}
	ref, err := shell.ParseOne(name)
	if err != nil {
		return nil, none, exit.Hint(fmt.Errorf("%s is neither a layout nor a reference to one image", name), "name a directory, NAME:TAG or NAME@sha256:HEX")
	}
	session, err := a.Connect(ref.Server)
	if err != nil {
		return nil, none, err
	}
	c, err := publish.OpenContent(session.Client, ref.Repository)
	if err != nil {
		return nil, none, err
	}
	d, err := c.Describe(ctx, ref.Name())
	return c, d, err
}

// limits are the flags that say how much a build may use.
type limits struct {
	cpu, wall            time.Duration
	memory, disk, output string
	processes            int
}

func (l *limits) register(cmd *cobra.Command) {
	f, d := cmd.Flags(), sandbox.Defaults()
	f.DurationVar(&l.cpu, "max-cpu", d.CPU, "processor time the build may use, of all its processes")
	f.DurationVar(&l.wall, "max-time", d.Wall, "how long it may take")
	f.StringVar(&l.memory, "max-memory", "4GiB", "memory it may use, with what is in its /tmp")
	f.StringVar(&l.disk, "max-disk", "16GiB", "by how much its tree may grow")
	f.StringVar(&l.output, "max-output", "64MiB", "how much it may say on its streams")
	f.IntVar(&l.processes, "max-processes", d.Processes, "processes and threads at once")
}

func (l *limits) parse() (sandbox.Limits, error) {
	s := sandbox.Limits{CPU: l.cpu, Wall: l.wall, Processes: l.processes}
	for to, flag := range map[*int64][2]string{&s.Memory: {"max-memory", l.memory}, &s.Disk: {"max-disk", l.disk}, &s.Output: {"max-output", l.output}} {
		n, err := parseSize(flag[1])
		if err != nil {
			return s, exit.BadUsage(fmt.Errorf("--%s %q: %w", flag[0], flag[1], err), "as in: --"+flag[0]+" 4GiB")
		}
		*to = n
	}
	if l.cpu <= 0 || l.wall <= 0 || l.processes <= 0 {
		return s, exit.BadUsage(errors.New("a limit of a build is not more than nothing"), "leave the flag out for its default")
	}
	return s, nil
}

var units = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// parseSize reads a number of bytes, with or without a unit.
func parseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		var n int64
		if _, err := fmt.Sscanf(digits+"\n", "%d\n", &n); err != nil || n <= 0 || fmt.Sprint(n) != digits || n > (1<<62)/u.size {
			break
		}
		return n * u.size, nil
	}
	return 0, errors.New("not a number of bytes, or of KiB, MiB or GiB")
}
