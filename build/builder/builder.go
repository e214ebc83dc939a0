// Package builder makes builder images: the root file system that a build runs
// in, as an OCI image that is the same, bit for bit, whenever and wherever it is
// made from the same inputs.
//
//   - A recipe (recipe.go) says which packages, a lock (lock.go) which files
//     these are, by digest. Looking a recipe up in a signed archive makes its lock
//     (apt.go); the same lock makes the same image.
//   - The files come from an archive, a cache (store.go) or the registry: who
//     has the digest has the file. mmdebstrap installs them out of an archive
//     that is made of them alone (repository.go, debian.go).
//   - What that makes, or an image or root file system somebody has already
//     (rootfs.go, layer.go), is tidied (tidy.go): what says when, where and by
//     whom it was made is taken out. Then it is written as one sorted layer.
//   - Beside the image, in its layout, lie its papers (papers.go): lock,
//     inventory, what it was made of, and the files that are kept.
//
// docs/spec/builder.md has the formats, docs/builders.md how to use it.
package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/inventory"
	"github.com/patchfit/patchfit/internal/term"
)

// Tools are what a Builder has done by the machine's own programs; [Debian] is
// the one there is.
type Tools interface {
	// Solve returns the lock of a recipe. It may use temp.
	Solve(ctx context.Context, r *Recipe, temp string) (*Lock, error)
	// Fetch puts all the inputs into the store, or returns an error. Of the
	// recipe it needs suite and mirrors.
	Fetch(ctx context.Context, r *Recipe, inputs []Input, to *Store) error
	// Install writes the root file system of a lock to the file to, as a tar,
	// reading nothing but the files in the store. It may use temp.
	Install(ctx context.Context, l *Lock, from *Store, temp, to string) error
}

// Options may be nil.
type Options struct {
	Progress *term.Progress // nil: silent
	Temp     string         // where to work; "" is the machine's own place for temporary files
}

// A Builder makes builder images.
type Builder struct {
	tools    Tools
	store    *Store
	progress *term.Progress
	temp     string
}

// New returns a Builder that keeps inputs in store.
func New(tools Tools, store *Store, o *Options) *Builder {
	if o == nil {
		o = &Options{}
	}
	return &Builder{tools, store, o.Progress, o.Temp}
}

// A Made is a builder image that was made.
type Made struct {
	Layout   *build.Layout
	Packages []inventory.Package
	Lock     *Lock // nil where there was none
}

// Lock looks a recipe up.
func (b *Builder) Lock(ctx context.Context, r *Recipe) (l *Lock, err error) {
	err = b.within(func(temp string) error {
		l, err = b.tools.Solve(ctx, r, temp)
		return err
	})
	return l, err
}

// Create makes the image of a locked recipe in the directory out.
func (b *Builder) Create(ctx context.Context, r *Recipe, l *Lock, out string) (*Made, error) {
	if err := l.Holds(r); err != nil {
		return nil, err
	}
	want := l.Debs()
	for _, f := range l.Kept() {
		if !strings.HasSuffix(f.Name, ".deb") {
			want = append(want, f)
		}
	}
	if err := b.tools.Fetch(ctx, r, want, b.store); err != nil {
		return nil, err
	}
	return b.fromStore(ctx, l, r.digest, out)
}

// FromInputs makes the image of a lock whose files are in the store, without an
// archive.
func (b *Builder) FromInputs(ctx context.Context, l *Lock, out string) (*Made, error) {
	want := append(l.Debs(), l.Kept()...)
	if missing := b.store.Missing(want); len(missing) > 0 {
		return nil, fmt.Errorf("%d of the lock's files are not kept, the first is %s (%s)", len(missing), missing[0].Name, missing[0].Digest)
	}
	return b.fromStore(ctx, l, "", out)
}

func (b *Builder) fromStore(ctx context.Context, l *Lock, recipe attest.Digest, out string) (made *Made, err error) {
	err = b.within(func(temp string) error {
		tar := filepath.Join(temp, "rootfs.tar")
		if err := b.tools.Install(ctx, l, b.store, temp, tar); err != nil {
			return err
		}
		s := &source{tree: tree{}, temp: temp}
		defer s.close()
		if err := s.readRootfs(ctx, tar); err != nil {
			return err
		}
		canonical, err := l.Canonical()
		if err != nil {
			return err
		}
		d := draft{
			tree: s.tree, lock: l, architecture: l.Architecture, epoch: created(l.Epoch),
			materials: l.materials(recipe, attest.DigestOf(canonical)),
		}
		made, err = b.write(ctx, &d, out)
		return err
	})
	return made, err
}

// An Origin is an image or a root file system that exists already.
type Origin struct {
	Rootfs       string        // a directory or a tar; "" where there is an image
	Image        *build.Layout // nil where there is a root file system
	Architecture string        // of the image to be made
	Epoch        int64         // no file of it is newer
}

// From makes a builder image of one that exists, or of a root file system.
func (b *Builder) From(ctx context.Context, o Origin, out string) (made *Made, err error) {
	if !isWord(o.Architecture) {
		return nil, fmt.Errorf("%.80q is no architecture, as amd64", o.Architecture)
	}
	if o.Epoch < 0 || o.Epoch > lastEpoch {
		return nil, fmt.Errorf("%d is no number of seconds from 0 to %d", o.Epoch, int64(lastEpoch))
	}
	err = b.within(func(temp string) error {
		s := &source{tree: tree{}, temp: temp}
		defer s.close()
		d := draft{tree: s.tree, architecture: o.Architecture, epoch: created(o.Epoch)}
		if o.Image != nil {
			b.progress.Step("reading the image")
			err = s.readImage(ctx, o.Image)
			d.materials = &Materials{Command: []string{"patchfit", "builder", "create", "--from-image"}, Dependencies: []Material{{Name: attest.DependencySource, Digest: o.Image.Digest}}}
		} else {
			b.progress.Step("reading the root file system")
			err = s.readRootfs(ctx, o.Rootfs)
			d.materials = &Materials{Command: []string{"patchfit", "builder", "create", "--from-rootfs"}}
		}
		if err != nil {
			return fmt.Errorf("reading the root file system: %w", err)
		}
		made, err = b.write(ctx, &d, out)
		return err
	})
	return made, err
}

// within runs work with a directory of its own, which is gone afterwards.
func (b *Builder) within(work func(temp string) error) error {
	defer b.progress.Clear()
	temp, err := os.MkdirTemp(b.temp, "patchfit-builder-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil { // apt reads there as a user of its own
		return err
	}
	return work(temp)
}

// A draft is an image that is to be written.
type draft struct {
	tree         tree
	lock         *Lock // nil where there is none
	architecture string
	epoch        time.Time
	materials    *Materials
}

// annotationLock names, in the image's manifest, the lock it was made from.
const annotationLock = "vnd.patchfit.builder.lock"

// write tidies a tree and writes it as an image with its papers.
func (b *Builder) write(ctx context.Context, d *draft, out string) (*Made, error) {
	if len(d.tree) == 0 {
		return nil, errors.New("the root file system is empty")
	}
	packages, err := d.packages()
	if err != nil {
		return nil, err
	}
	distro := d.tree.distro()
	d.tree.tidy(d.epoch)
	image := build.Image{Architecture: platform(d.architecture), Created: d.epoch}
	if d.lock != nil {
		canonical, err := d.lock.Canonical()
		if err != nil {
			return nil, err
		}
		image.Annotations = map[string]string{annotationLock: string(attest.DigestOf(canonical))}
	}
	b.progress.Step("writing the image")
	layer := func(w io.Writer) error { return d.tree.writeLayer(&stoppableWriter{ctx, w}) }
	l, err := build.WriteLayout(out, image, layer, func(l *build.Layout) error {
		return b.lay(l, d, packages, distro)
	})
	if err != nil {
		return nil, err
	}
	return &Made{l, packages, d.lock}, nil
}

// platform returns an architecture of Debian as images name it.
func platform(architecture string) string {
	names := map[string]string{"i386": "386", "armhf": "arm", "armel": "arm", "ppc64el": "ppc64le", "mips64el": "mips64le"}
	return cmp.Or(names[architecture], architecture)
}

// packages returns what is installed: exactly the lock's packages, where there is
// a lock.
func (d *draft) packages() ([]inventory.Package, error) {
	list, err := d.tree.packages()
	if err != nil || d.lock == nil {
		return list, err
	}
	have, files := map[string]string{}, d.lock.digests()
	for i, p := range list {
		have[p.Name] = p.Version
		list[i].File = files[p.Name]
	}
	return list, d.lock.installed(have)
}

// packages returns what dpkg says is installed, with licences; nothing where the
// root file system has no dpkg.
func (t tree) packages() ([]inventory.Package, error) {
	status, err := t.read("/var/lib/dpkg/status", inventory.MaxStatus)
	if err != nil {
		return nil, err
	}
	list, err := inventory.ParseStatus(status)
	if err != nil {
		return nil, err
	}
	for i, p := range list {
		copyright, err := t.read("/usr/share/doc/"+p.Name+"/copyright", inventory.MaxCopyright)
		if err == nil { // one that is too long says nothing
			list[i].License = inventory.License(copyright)
		}
	}
	return list, nil
}

// A stoppableWriter ends with its context.
type stoppableWriter struct {
	ctx context.Context
	w   io.Writer
}

func (s *stoppableWriter) Write(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(b)
}
