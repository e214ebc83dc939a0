package builder

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
)

// sampleLock is a lock of the recipe, of files whose content is their name.
func sampleLock() *Lock {
	deb := func(name, version string) Locked {
		file := name + "_" + version + "_amd64.deb"
		return Locked{Name: name, Version: version, Architecture: "amd64", Digest: attest.DigestOf([]byte(file)), Size: int64(len(file)), Path: "pool/main/x/" + file}
	}
	src := func(name string) Input {
		return Input{Name: name, Digest: attest.DigestOf([]byte(name)), Size: int64(len(name)), Path: "pool/main/x/" + name}
	}
	return &Lock{
		SchemaVersion: 1, Suite: "bookworm", Architecture: "amd64", Variant: VariantEssential, Epoch: 1767225600,
		Requested: []Request{{"gcc-12", ""}, {"make", "4.3-4.1"}}, Keep: []string{KeepPackages, KeepSources},
		Packages: []Locked{deb("dpkg", "1.21.22"), deb("gcc-12", "12.2.0-14"), deb("make", "4.3-4.1")},
		Sources: []Source{
			{"gcc-12", "12.2.0-14", []Input{src("gcc-12_12.2.0-14.dsc"), src("gcc-12_12.2.0.orig.tar.gz")}},
			{"make-dfsg", "4.3-4.1", []Input{src("make-dfsg_4.3.orig.tar.gz")}},
		},
	}
}

func canonical(t *testing.T, l *Lock) []byte {
	t.Helper()
	b, err := l.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLockRoundTrips(t *testing.T) {
	b := canonical(t, sampleLock())
	for _, doc := range [][]byte{b, append(bytes.Clone(b), '\n')} {
		l, err := ParseLock(doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sampleLock(), l); diff != "" {
			t.Errorf("lock (-want +got):\n%s", diff)
		}
	}
	if err := schema(t, "builder-lock.json").Check(b); err != nil {
		t.Errorf("schema: %v", err)
	}
}

// Each of these differs from the lock in one thing.
func TestLockThatIsNone(t *testing.T) {
	for words, change := range map[string]func(l *Lock){
		"/schemaVersion":                      func(l *Lock) { l.SchemaVersion = 2 },
		"/suite":                              func(l *Lock) { l.Suite = "a b" },
		"/packages: 0":                        func(l *Lock) { l.Packages, l.Requested = nil, nil },
		"/packages/1: dpkg is out of order":   func(l *Lock) { l.Packages[1] = l.Packages[0] },
		"/packages/0/digest":                  func(l *Lock) { l.Packages[0].Digest = "sha256:00" },
		"/packages/0/size":                    func(l *Lock) { l.Packages[0].Size = 0 },
		"/packages/0/architecture: arm64":     func(l *Lock) { l.Packages[0].Architecture = "arm64" },
		"/packages/0/path: \"../x":            func(l *Lock) { l.Packages[0].Path = "../x" },
		"/packages/0/path: \"/x":              func(l *Lock) { l.Packages[0].Path = "/x" },
		"/packages/0/path: \"a b":             func(l *Lock) { l.Packages[0].Path = "a b" },
		"/packages/0/path: \"a?b":             func(l *Lock) { l.Packages[0].Path = "a?b" },
		"no version":                          func(l *Lock) { l.Packages[0].Version = "$(id)" },
		"make=4.3-4.1 is not among":           func(l *Lock) { l.Packages[2].Version = "4.4" },
		"/sources/0/files: 0":                 func(l *Lock) { l.Sources[0].Files = nil },
		"/sources/0/files/0/name: \"../x":     func(l *Lock) { l.Sources[0].Files[0].Name = "../x" },
		"/sources/0/files/0/name: \"-x":       func(l *Lock) { l.Sources[0].Files[0].Name = "-x" },
		"/sources: are there and not kept":    func(l *Lock) { l.Keep = []string{KeepPackages} },
		"two files are called gcc-12_12.2":    func(l *Lock) { l.Sources[1].Files[0].Name = l.Sources[0].Files[0].Name },
		"/sources/1: gcc-12 is out of order":  func(l *Lock) { l.Sources[1] = l.Sources[0] },
		"/keep/0: \"all\" is not packages or": func(l *Lock) { l.Keep[0] = "all" },
	} {
		l := sampleLock()
		change(l)
		if _, err := l.Canonical(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %s", err, words)
		}
	}
	b := canonical(t, sampleLock())
	for words, doc := range map[string]string{
		"not in canonical form": strings.Replace(string(b), `{`, `{ `, 1),
		"missing":               strings.Replace(string(b), `"keep":["packages","sources"],`, ``, 1),
		"extra":                 strings.Replace(string(b), `{`, `{"extra":1,`, 1),
	} {
		if _, err := ParseLock([]byte(doc)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %s", err, words)
		}
	}
}

func TestLockOfAnotherRecipe(t *testing.T) {
	if err := sampleLock().Holds(parsed(t, recipe)); err != nil {
		t.Error(err)
	}
	for from, to := range map[string]string{
		"suite: bookworm":               "suite: trixie",
		"architecture: amd64":           "architecture: arm64",
		"sourceDateEpoch: 1767225600":   "sourceDateEpoch: 1",
		"keep: [packages, sources]":     "keep: [packages]",
		"  - gcc-12\n":                  "  - gcc-12\n  - flex\n",
		"make=4.3-4.1":                  "make",
		"suite: bookworm\narchitecture": "variant: minbase\nsuite: bookworm\narchitecture",
	} {
		if err := sampleLock().Holds(parsed(t, strings.Replace(recipe, from, to, 1))); err == nil || !strings.Contains(err.Error(), "of another recipe") {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestKept(t *testing.T) {
	for _, tt := range []struct {
		keep []string
		n    int
	}{{nil, 0}, {[]string{KeepPackages}, 3}, {[]string{KeepSources}, 3}, {[]string{KeepPackages, KeepSources}, 6}} {
		l := sampleLock()
		l.Keep = tt.keep
		if n := len(l.Kept()); n != tt.n {
			t.Errorf("keep %v: %d files, want %d", tt.keep, n, tt.n)
		}
	}
	l := sampleLock() // one archive of two source packages is one file
	l.Sources[1].Files[0] = l.Sources[0].Files[1]
	if n := len(l.Inputs()); n != 5 {
		t.Errorf("%d files", n)
	}
	p := Locked{Name: "x", Version: "2:1-1", Architecture: "all"}
	if got := p.input().Name; got != "x_1-1_all.deb" {
		t.Errorf("file of a version with an epoch: %s", got)
	}
}

func FuzzLock(f *testing.F) {
	b, err := sampleLock().Canonical()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLock(b)
		if err != nil {
			return
		}
		if got := canonical(t, l); !bytes.Equal(got, bytes.TrimSuffix(b, []byte("\n"))) {
			t.Errorf("reads as %s", got)
		}
	})
}
