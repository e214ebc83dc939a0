package builder

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/inventory"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Lock is a recipe whose packages were looked up: every one that is
// installed, with the digest of its file. The same lock makes the same image.
// It names no mirror: what has the right digest may come from anywhere.
type Lock struct {
	SchemaVersion int       `json:"schemaVersion"`
	Suite         string    `json:"suite"`
	Architecture  string    `json:"architecture"`
	Variant       string    `json:"variant"`
	Epoch         int64     `json:"sourceDateEpoch"`
	Requested     []Request `json:"requested"`
	Keep          []string  `json:"keep"`
	Packages      []Locked  `json:"packages"`
	Sources       []Source  `json:"sources"` // none where they are not kept
}

// A Locked is one package that is installed.
type Locked struct {
	Name         string        `json:"name"`
	Version      string        `json:"version"`
	Architecture string        `json:"architecture"`
	Digest       attest.Digest `json:"digest"`
	Size         int64         `json:"size"`
	Path         string        `json:"path"` // in the archive, from its root
}

// A Source is a source package that a locked package was built from.
type Source struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Files   []Input `json:"files"` // .dsc, .orig.tar, .debian.tar
}

// An Input is one file of an archive.
type Input struct {
	Name   string        `json:"name"`
	Digest attest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	Path   string        `json:"path"`
}

const (
	// MaxLock is the largest lock that is read.
	MaxLock   = 8 << 20
	maxInput  = 8 << 30
	maxLocked = 5000
)

// ParseLock reads a lock in its canonical form; a newline may follow.
func ParseLock(b []byte) (*Lock, error) {
	b = []byte(strings.TrimSuffix(string(b), "\n"))
	l := &Lock{}
	if err := strictjson.Unmarshal(b, MaxLock, l); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := strictjson.RequireCanonical(b); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return l, nil
}

// Canonical returns the lock's one form (RFC 8785), whose sha256 names it.
func (l *Lock) Canonical() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return strictjson.Canonical(l)
}

func (l *Lock) check() error {
	if l.SchemaVersion != 1 {
		return strictjson.Errorf("/schemaVersion", "%d, want 1", l.SchemaVersion)
	}
	if err := checkMake(l.Suite, l.Architecture, l.Variant, l.Epoch, l.Keep, l.Requested); err != nil {
		return err
	}
	if n := len(l.Packages); n == 0 || n > maxLocked {
		return strictjson.Errorf("/packages", "%d, want 1 to %d", n, maxLocked)
	}
	if n := len(l.Sources); n > maxLocked {
		return strictjson.Errorf("/sources", "%d, want at most %d", n, maxLocked)
	}
	for i, p := range l.Packages {
		at := fmt.Sprintf("/packages/%d", i)
		if err := p.check(at, l.Architecture); err != nil {
			return err
		}
		if i > 0 && cmp.Compare(l.Packages[i-1].Name, p.Name) >= 0 {
			return strictjson.Errorf(at, "%s is out of order or there twice", p.Name)
		}
	}
	if err := l.checkSources(); err != nil {
		return err
	}
	if lacking := l.lacking(l.Requested); lacking != "" {
		return strictjson.Errorf("/requested", "%s is not among the packages", lacking)
	}
	return l.checkNames()
}

func (l *Lock) checkSources() error {
	if len(l.Sources) > 0 && !slices.Contains(l.Keep, KeepSources) {
		return strictjson.Errorf("/sources", "are there and not kept")
	}
	for i, s := range l.Sources {
		at := fmt.Sprintf("/sources/%d", i)
		p := inventory.Package{Name: s.Name, Version: s.Version, Architecture: "all", Source: s.Name, SourceVersion: s.Version}
		if err := p.Check(); err != nil {
			return strictjson.Errorf(at, "%v", err)
		}
		if i > 0 && cmp.Or(cmp.Compare(l.Sources[i-1].Name, s.Name), cmp.Compare(l.Sources[i-1].Version, s.Version)) >= 0 {
			return strictjson.Errorf(at, "%s is out of order or there twice", s.Name)
		}
		if n := len(s.Files); n == 0 || n > 100 {
			return strictjson.Errorf(at+"/files", "%d, want 1 to 100", n)
		}
		for j, f := range s.Files {
			if err := f.check(fmt.Sprintf("%s/files/%d", at, j)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNames refuses two files that would be one: kept, they have only their
// names.
func (l *Lock) checkNames() error {
	seen := map[string]attest.Digest{}
	for _, f := range l.Inputs() {
		if d, ok := seen[f.Name]; ok && d != f.Digest {
			return strictjson.Errorf("", "two files are called %s", f.Name)
		}
		seen[f.Name] = f.Digest
	}
	return nil
}

func (p Locked) check(at, architecture string) error {
	pkg := inventory.Package{Name: p.Name, Version: p.Version, Architecture: p.Architecture, Source: p.Name, SourceVersion: p.Version}
	if err := pkg.Check(); err != nil {
		return strictjson.Errorf(at, "%v", err)
	}
	if p.Architecture != architecture && p.Architecture != "all" {
		return strictjson.Errorf(at+"/architecture", "%s, want %s or all", p.Architecture, architecture)
	}
	return p.input().check(at)
}

func (f Input) check(at string) error {
	if _, err := attest.ParseDigest(string(f.Digest)); err != nil {
		return strictjson.Errorf(at+"/digest", "%v", err)
	}
	if f.Size <= 0 || f.Size > maxInput {
		return strictjson.Errorf(at+"/size", "%d, want 1 to %d", f.Size, int64(maxInput))
	}
	if !isFileName(f.Name) {
		return strictjson.Errorf(at+"/name", "%.80q is no file name of an archive", f.Name)
	}
	if len(f.Path) > 1000 || path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || strings.HasPrefix(f.Path, "..") ||
		strings.ContainsFunc(f.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`?#%\`, r) }) {
		return strictjson.Errorf(at+"/path", "%.80q is no path in an archive", f.Path)
	}
	return nil
}

// isFileName reports whether s is a name as archives have them: one element,
// nothing a shell or a URI would read otherwise.
func isFileName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return s != "" && len(s) <= 200 && strings.Contains(letters, s[:1]) && strings.Trim(s, letters+".+-~_") == ""
}

// input returns the package's file. Its name is made of the package, without
// the epoch, as in an archive's pool.
func (p Locked) input() Input {
	version := p.Version
	if _, after, ok := strings.Cut(version, ":"); ok {
		version = after
	}
	return Input{Name: p.Name + "_" + version + "_" + p.Architecture + ".deb", Digest: p.Digest, Size: p.Size, Path: p.Path}
}

// Debs returns the files of the packages.
func (l *Lock) Debs() []Input {
	list := make([]Input, 0, len(l.Packages))
	for _, p := range l.Packages {
		list = append(list, p.input())
	}
	return list
}

// Inputs returns every file the lock names, packages first, each once.
func (l *Lock) Inputs() []Input {
	list := l.Debs()
	seen := map[string]bool{}
	for _, s := range l.Sources {
		for _, f := range s.Files {
			key := f.Name + string(f.Digest)
			if !seen[key] {
				list = append(list, f)
			}
			seen[key] = true
		}
	}
	return list
}

// Kept returns the files that are kept in the registry.
func (l *Lock) Kept() []Input {
	debs := l.Debs()
	all := l.Inputs()
	var list []Input
	if slices.Contains(l.Keep, KeepPackages) {
		list = append(list, debs...)
	}
	if slices.Contains(l.Keep, KeepSources) {
		list = append(list, all[len(debs):]...)
	}
	return list
}

// lacking returns the first request that the packages do not fulfil, or "".
func (l *Lock) lacking(requests []Request) string {
	have := map[string]string{}
	for _, p := range l.Packages {
		have[p.Name] = p.Version
	}
	for _, r := range requests {
		if v, ok := have[r.Name]; !ok || r.Version != "" && r.Version != v {
			return r.String()
		}
	}
	return ""
}

// Holds refuses a recipe that the lock was not made from, naming what differs.
func (l *Lock) Holds(r *Recipe) error {
	for _, f := range []struct {
		name         string
		lock, recipe any
	}{
		{"suite", l.Suite, r.Suite},
		{"architecture", l.Architecture, r.Architecture},
		{"variant", l.Variant, r.Variant},
		{"sourceDateEpoch", l.Epoch, r.Epoch},
		{"keep", fmt.Sprint(l.Keep), fmt.Sprint(r.Keep)},
		{"packages", fmt.Sprint(l.Requested), fmt.Sprint(r.Packages)},
	} {
		if f.lock != f.recipe {
			return fmt.Errorf("the lock is of another recipe: %s is %v, the lock's is %v", f.name, f.recipe, f.lock)
		}
	}
	return nil
}
