package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/term"
)

// Debian is the archive and installer of this machine: apt, which proves that an
// archive's lists are signed and fetches files, and mmdebstrap, which installs
// them.
type Debian struct {
	Progress *term.Progress // nil: silent
}

// keyring is Debian's own, where this machine has it.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// mirrors returns the mirrors of a recipe or, where it names none, those of this
// machine's apt that have the suite, its updates and its security.
func (d *Debian) mirrors(ctx context.Context, suite string, named []Mirror) ([]Mirror, error) {
	if len(named) > 0 {
		return named, nil
	}
	out, err := command{name: "apt-get", args: []string{"indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)", "Created-By: Packages"}}.output(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for this machine's mirrors: %w", err)
	}
	list := machineMirrors(string(out), suite)
	if len(list) == 0 {
		return nil, fmt.Errorf("this machine's apt has no source with suite %s: name mirrors in the recipe", suite)
	}
	return list, nil
}

// machineMirrors reads what apt lists: URI, suite, component, keyring. One that
// has none is looked at with Debian's keyring.
func machineMirrors(out, suite string) []Mirror {
	var list []Mirror
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != suite && !strings.HasPrefix(f[1], suite+"-") || strings.HasSuffix(f[1], "-backports") {
			continue
		}
		m := Mirror{URI: strings.TrimSuffix(f[0], "/"), Suite: f[1], Components: []string{f[2]}}
		switch {
		case len(f) > 3 && filepath.IsAbs(f[3]):
			m.SignedBy = f[3]
		default:
			if _, err := os.Stat(keyring); err == nil {
				m.SignedBy = keyring
			}
		}
		same := func(o Mirror) bool { return o.line("deb") == m.line("deb") }
		if !slices.ContainsFunc(list, same) {
			list = append(list, m)
		}
	}
	return list
}

// Fetch gets the inputs that are not in the store yet from whichever mirror has
// them.
func (d *Debian) Fetch(ctx context.Context, r *Recipe, inputs []Input, to *Store) error {
	missing := to.Missing(inputs)
	if len(missing) == 0 {
		return nil
	}
	mirrors, err := d.mirrors(ctx, r.Suite, r.mirrors)
	if err != nil {
		return err
	}
	var said error
	for _, uri := range uris(mirrors) {
		if err := d.fetchFrom(ctx, uri, missing, to); err != nil {
			said = err // the last one is the first that did not have it either
		}
		if missing = to.Missing(missing); len(missing) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return &GoneError{missing, said}
}

// A GoneError is files that no mirror has.
type GoneError struct {
	Files []Input
	Last  error // what the last mirror said
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("%d files are in none of the archives, the first is %s (%s): %v", len(e.Files), e.Files[0].Path, e.Files[0].Digest, e.Last)
}

func uris(mirrors []Mirror) []string {
	var list []string
	for _, m := range mirrors {
		if !slices.Contains(list, m.URI) {
			list = append(list, m.URI)
		}
	}
	return list
}

// batch is how many files are asked for at once.
const batch = 40

// fetchFrom asks one mirror for files. apt's own downloader does, with the
// machine's proxies, and compares digests; we compare them again.
func (d *Debian) fetchFrom(ctx context.Context, uri string, inputs []Input, to *Store) error {
	temp, err := to.temp()
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	var said error
	done := 0
	for part := range slices.Chunk(inputs, batch) {
		d.Progress.Step("fetching: %d of %d files", done, len(inputs))
		args := []string{"-o", "APT::Sandbox::User=", "download-file"}
		for _, f := range part {
			args = append(args, uri+"/"+f.Path, filepath.Join(temp, f.Digest.Hex()), "SHA256:"+f.Digest.Hex())
		}
		if _, err := (command{name: "/usr/lib/apt/apt-helper", args: args, dir: temp}).output(ctx); err != nil {
			said = err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, f := range part {
			if err := to.take(filepath.Join(temp, f.Digest.Hex()), f); err != nil && !errors.Is(err, os.ErrNotExist) {
				said = err
			}
		}
		done += len(part)
	}
	return said
}

// Install makes the root file system of a lock, as a tar, from the files in the
// store and from nothing else.
func (d *Debian) Install(ctx context.Context, l *Lock, from *Store, temp, to string) error {
	if len(l.Packages) == 0 {
		return errors.New("the lock has no packages")
	}
	d.Progress.Step("preparing %d packages", len(l.Packages))
	repository := filepath.Join(temp, "repository")
	if err := writeRepository(ctx, repository, l, from); err != nil {
		return err
	}
	scratch := filepath.Join(temp, "mmdebstrap")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return err
	}
	var include []string
	for _, p := range l.Packages {
		include = append(include, p.Name+"="+p.Version)
	}
	d.Progress.Step("installing %d packages", len(l.Packages))
	_, err := command{
		name: "mmdebstrap",
		args: []string{
			"--quiet", "--variant=essential", "--format=tar", "--architectures=" + l.Architecture,
			"--include=" + strings.Join(include, ","),
			"--skip=output/dev,check/empty",
			l.Suite, to, "deb [trusted=yes] copy://" + repository + " " + l.Suite + " main",
		},
		dir: scratch,
		env: []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", l.Epoch), "TMPDIR=" + scratch},
	}.output(ctx)
	if err != nil {
		return &StepError{StepInstall, "installing the packages", err}
	}
	return nil
}

// installed refuses a root file system that does not hold exactly what the lock
// names.
func (l *Lock) installed(have map[string]string) error {
	for _, p := range l.Packages {
		v, ok := have[p.Name]
		if !ok || v != p.Version {
			return fmt.Errorf("package %s %s of the lock is not installed (%s is)", p.Name, p.Version, orNothing(v))
		}
		delete(have, p.Name)
	}
	for name, version := range have {
		return fmt.Errorf("package %s %s is installed and not in the lock", name, version)
	}
	return nil
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// digests returns the files of the lock's packages by package name.
func (l *Lock) digests() map[string]attest.Digest {
	m := map[string]attest.Digest{}
	for _, p := range l.Packages {
		m[p.Name] = p.Digest
	}
	return m
}
