package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/sandbox"
)

const maxOutputs = 10000

// collect copies what the build made to a new directory, by the paths below
// /build, and returns what is there besides the artifact. Only regular files that no link leads
// to are outputs: what a link names may be anything.
func (c *contained) collect(to string) ([]Artifact, error) {
	artifact := inBuild(c.artifact)
	if err := os.Mkdir(to, 0o755); err != nil {
		return nil, err
	}
	if _, err := c.copy(artifact, to); err != nil {
		return nil, err
	}
	var list []Artifact
	err := filepath.WalkDir(c.work, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p, c.work), "/")
		if d.IsDir() || name == artifact || !c.wanted(name) {
			return nil
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("output %s is no regular file, but %s", name, kindOf(d.Type()))
		}
		if len(list) == maxOutputs {
			return fmt.Errorf("more than %d files are outputs: name them more narrowly", maxOutputs)
		}
		a, err := c.copy(name, to)
		list = append(list, a)
		return err
	})
	return list, err
}

// recipe says how to make the artifact again.
func (c *contained) recipe() *attest.Recipe {
	r := &attest.Recipe{Directory: inBuild(c.wd), Artifact: inBuild(c.artifact), SourceDateEpoch: c.Epoch}
	if c.config != "" {
		r.Configuration = path.Clean(c.config)
		if within(sandbox.Build, r.Configuration) {
			r.Configuration = inBuild(r.Configuration)
		}
	}
	return r
}

func inBuild(p string) string { return strings.TrimPrefix(strings.TrimPrefix(p, sandbox.Build), "/") }

func kindOf(t fs.FileMode) string {
	switch {
	case t&fs.ModeSymlink != 0:
		return "a link"
	case t&fs.ModeDevice != 0:
		return "a device"
	}
	return "a pipe or a socket"
}

func (c *contained) wanted(name string) bool {
	for _, pattern := range c.Outputs {
		if ok, _ := path.Match(pattern, name); ok { // checked when the build began
			return true
		}
	}
	return false
}

// copy copies one output. The build is over: nothing changes its tree any more.
func (c *contained) copy(name, to string) (Artifact, error) {
	from, _, err := openRegular(filepath.Join(c.work, name))
	if err != nil {
		return Artifact{}, plain(err)
	}
	defer from.Close()
	target := filepath.Join(to, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return Artifact{}, err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return Artifact{}, err
	}
	size, err := io.Copy(f, from)
	if err := errors.Join(err, f.Close()); err != nil {
		return Artifact{}, fmt.Errorf("output %s: %w", name, err)
	}
	d, err := digestFile(target)
	return Artifact{Name: name, Digest: d, Size: size}, err
}
