package builder

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/deb822"
	"github.com/patchfit/patchfit/build/inventory"
)

// archives is one look at the archives of a suite: an apt of its own, with
// nothing installed, that reads the machine's apt configuration for how to reach
// them and none of its sources, pins and package states.
type archives struct {
	dir     string
	options []string
}

// apt prepares a look at mirrors in a directory below temp.
func (d *Debian) apt(temp, architecture string, mirrors []Mirror, sources bool) (*archives, error) {
	a := &archives{dir: filepath.Join(temp, "apt")}
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, dir), 0o755); err != nil {
			return nil, err
		}
	}
	var list strings.Builder
	for _, m := range mirrors {
		fmt.Fprintln(&list, m.line("deb"))
		if sources {
			fmt.Fprintln(&list, m.line("deb-src"))
		}
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(list.String()), 0o644),
		os.WriteFile(filepath.Join(a.dir, "status"), nil, 0o644),
	); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Dir::State":                          a.dir + "/state",
		"Dir::Cache":                          a.dir + "/cache",
		"Dir::State::status":                  a.dir + "/status",
		"Dir::Etc::sourcelist":                a.dir + "/sources.list",
		"Dir::Etc::sourceparts":               "/dev/null",
		"Dir::Etc::preferences":               "/dev/null",
		"Dir::Etc::preferencesparts":          "/dev/null",
		"Debug::NoLocking":                    "1",
		"APT::Architecture":                   architecture,
		"APT::Architectures":                  architecture,
		"APT::Install-Recommends":             "0",
		"APT::Install-Suggests":               "0",
		"APT::Default-Release":                "",
		"APT::Get::AllowUnauthenticated":      "0",
		"Acquire::AllowInsecureRepositories":  "0",
		"Acquire::AllowWeakRepositories":      "0",
		"Acquire::Languages":                  "none",
		"APT::Update::Error-Mode":             "any",
		"APT::Sandbox::User":                  "",
		"DPkg::Inhibit-Shutdown":              "0",
		"APT::Get::Show-User-Simulation-Note": "0",
	} {
		a.options = append(a.options, "-o", name+"="+value)
	}
	slices.Sort(a.options)
	a.options = unpaired(a.options)
	return a, nil
}

// unpaired puts "-o" in front of each of the values that were sorted.
func unpaired(sorted []string) []string {
	var list []string
	for _, s := range sorted {
		if s != "-o" {
			list = append(list, "-o", s)
		}
	}
	return list
}

func (a *archives) run(ctx context.Context, program string, args ...string) ([]byte, error) {
	return command{name: program, args: append(slices.Clone(a.options), args...), dir: a.dir}.output(ctx)
}

// Solve looks up which packages a recipe is, and where their files are.
func (d *Debian) Solve(ctx context.Context, r *Recipe, temp string) (*Lock, error) {
	mirrors, err := d.mirrors(ctx, r.Suite, r.mirrors)
	if err != nil {
		return nil, err
	}
	keepSources := slices.Contains(r.Keep, KeepSources)
	a, err := d.apt(temp, r.Architecture, mirrors, keepSources)
	if err != nil {
		return nil, err
	}
	d.Progress.Step("reading the lists of %s", r.Suite)
	if _, err := a.run(ctx, "apt-get", "update", "-qq"); err != nil {
		return nil, &StepError{StepLookUp, "reading the archive's lists", err}
	}
	d.Progress.Step("looking up the packages")
	names, err := a.choose(ctx, r)
	if err != nil {
		return nil, err
	}
	l := &Lock{
		SchemaVersion: 1, Suite: r.Suite, Architecture: r.Architecture, Variant: r.Variant, Epoch: r.Epoch,
		Requested: r.Packages, Keep: r.Keep,
	}
	var origins []inventory.Package
	if l.Packages, origins, err = a.look(ctx, names); err != nil {
		return nil, err
	}
	if keepSources {
		d.Progress.Step("looking up the source packages")
		if l.Sources, err = a.sources(ctx, origins); err != nil {
			return nil, err
		}
	}
	return l, l.check()
}

// chosen is a line of what apt would do.
var chosen = regexp.MustCompile(`(?m)^Inst ([a-z0-9][a-z0-9+.-]+)(?::[a-z0-9-]+)? \(([^ ]+) .*\[([a-z0-9-]+)\]\)`)

// choose returns what apt would install, as NAME:ARCHITECTURE=VERSION.
func (a *archives) choose(ctx context.Context, r *Recipe) ([]string, error) {
	args := []string{"install", "--simulate", "-qq", "-y", "--no-install-recommends", "?essential"}
	if r.Variant != VariantEssential {
		args = append(args, "?priority(required)")
	}
	if r.Variant == VariantBuildd {
		args = append(args, "build-essential")
	}
	for _, p := range r.Packages {
		args = append(args, p.String())
	}
	out, err := a.run(ctx, "apt-get", args...)
	if err != nil {
		return nil, &StepError{StepLookUp, "looking up the packages", err}
	}
	var list []string
	for _, m := range chosen.FindAllStringSubmatch(string(out), -1) {
		list = append(list, m[1]+":"+m[3]+"="+m[2])
	}
	if len(list) == 0 {
		return nil, errors.New("the archives have no essential package of this suite and architecture")
	}
	return list, nil
}

// look returns what the lists say of packages, and what they were built from.
func (a *archives) look(ctx context.Context, names []string) ([]Locked, []inventory.Package, error) {
	out, err := a.run(ctx, "apt-cache", append([]string{"show"}, names...)...)
	if err != nil {
		return nil, nil, &StepError{StepLookUp, "looking up the files of the packages", err}
	}
	found := map[string]Locked{}
	origins := map[string]inventory.Package{}
	for s, err := range deb822.Parse(string(out)) {
		if err != nil {
			return nil, nil, fmt.Errorf("reading the archive's lists: %w", err)
		}
		p, err := inventory.FromStanza(s)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the archive's lists: %w", err)
		}
		size, _ := strconv.ParseInt(s.Get("Size"), 10, 64) // 0 is refused below
		l := Locked{Name: p.Name, Version: p.Version, Architecture: p.Architecture, Digest: attest.Digest("sha256:" + s.Get("SHA256")), Size: size, Path: path.Clean(s.Get("Filename"))}
		if old, twice := found[p.Name]; twice && old.Digest != l.Digest {
			return nil, nil, fmt.Errorf("the archives have two packages %s %s with different content: %s and %s", p.Name, p.Version, old.Digest, l.Digest)
		} else if !twice {
			found[p.Name], origins[p.Name] = l, p
		}
	}
	var list []Locked
	var from []inventory.Package
	for _, name := range names {
		name, _, _ = strings.Cut(name, ":")
		l, ok := found[name]
		if !ok {
			return nil, nil, fmt.Errorf("the archive's lists have no package %s", name)
		}
		list, from = append(list, l), append(from, origins[name])
	}
	slices.SortFunc(list, func(a, b Locked) int { return cmp.Compare(a.Name, b.Name) })
	return list, from, nil
}

// sources returns the source packages of packages, each once.
func (a *archives) sources(ctx context.Context, origins []inventory.Package) ([]Source, error) {
	wanted := map[string]bool{}
	args := []string{"showsrc", "--only-source"}
	for _, p := range origins {
		if key := p.Source + "=" + p.SourceVersion; !wanted[key] {
			wanted[key] = true
			if !slices.Contains(args[2:], p.Source) {
				args = append(args, p.Source) // showsrc takes no version: it lists them all
			}
		}
	}
	out, err := a.run(ctx, "apt-cache", args...)
	if err != nil {
		return nil, &StepError{StepLookUp, "looking up the source packages", err}
	}
	var list []Source
	for s, err := range deb822.Parse(string(bytes.TrimSpace(out))) {
		if err != nil {
			return nil, fmt.Errorf("reading the archive's lists of sources: %w", err)
		}
		src := Source{Name: s.Get("Package"), Version: s.Get("Version")}
		if key := src.Name + "=" + src.Version; !wanted[key] {
			continue
		} else {
			delete(wanted, key)
		}
		for line := range strings.Lines(s.Get("Checksums-Sha256")) {
			if f := strings.Fields(line); len(f) == 3 {
				size, _ := strconv.ParseInt(f[1], 10, 64)
				src.Files = append(src.Files, Input{Name: f[2], Digest: attest.Digest("sha256:" + f[0]), Size: size, Path: path.Join(s.Get("Directory"), f[2])})
			}
		}
		list = append(list, src)
	}
	for key := range wanted {
		return nil, fmt.Errorf("the archives have no source package %s: leave sources out of keep, or name a mirror that has it", key)
	}
	slices.SortFunc(list, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return list, nil
}
