package builder

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/patchfit/patchfit/internal/schematest"
)

const recipe = `# what a C library is built with
suite: bookworm
architecture: amd64
mirrors:
  - deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no] https://snapshot.example/archive/debian/20260101T000000Z/ bookworm main contrib
packages:
  - gcc-12
  - make=4.3-4.1
sourceDateEpoch: 1767225600
keep: [packages, sources]
`

func schema(t *testing.T, name string) schematest.Schema {
	t.Helper()
	return schematest.Load(t, filepath.Join("..", "..", "docs", "spec", "schema", name))
}

func parsed(t *testing.T, doc string) *Recipe {
	t.Helper()
	r, err := ParseRecipe([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecipe(t *testing.T) {
	r := parsed(t, recipe)
	if diff := cmp.Diff([]Request{{"gcc-12", ""}, {"make", "4.3-4.1"}}, r.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if r.Variant != VariantEssential || r.Epoch != 1767225600 || r.Digest() == "" {
		t.Errorf("%+v", r)
	}
	want := "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no] https://snapshot.example/archive/debian/20260101T000000Z bookworm main contrib"
	if got := r.mirrors[0].line("deb"); got != want {
		t.Errorf("mirror %s", got)
	}
	js, err := yaml.YAMLToJSON([]byte(recipe))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t, "builder-recipe.json").Check(js); err != nil {
		t.Errorf("schema: %v", err)
	}
}

// Each of these differs from the recipe in one thing.
func TestRecipeThatIsNone(t *testing.T) {
	for _, tt := range []struct{ from, to, words string }{
		{"suite: bookworm\n", "", "suite"},
		{"suite: bookworm\n", "Suite: bookworm\n", "Suite"},
		{"suite: bookworm\n", "suite: ../etc\n", "/suite"},
		{"suite: bookworm\n", "suite: -o=x\n", "/suite"},
		{"architecture: amd64", "architecture: amd 64", "/architecture"},
		{"sourceDateEpoch: 1767225600", "sourceDateEpoch: -1", "/sourceDateEpoch"},
		{"sourceDateEpoch: 1767225600", "sourceDateEpoch: now", "/sourceDateEpoch"},
		{"[packages, sources]", "[packages, packages]", "/keep/1: packages is there twice"},
		{"[packages, sources]", "[everything]", "/keep/0"},
		{"- gcc-12", "- make", "/packages/1: make is there twice"},
		{"- gcc-12", "- --allow-unauthenticated", "no package name"},
		{"- gcc-12", "- '?essential'", "no package name"},
		{"- gcc-12", "- gcc-12=$(id)", "no version"},
		{"- gcc-12", "- gcc-12=", "no version"},
		{"suite: bookworm\n", "suite: bookworm\nsuite: trixie\n", "already set"},
		{"suite: bookworm\n", "suite: bookworm\nextra: 1\n", "extra"},
		{"suite: bookworm\n", "suite: bookworm\nvariant: all\n", "/variant"},
		{"suite: bookworm\n", "---\nsuite: bookworm\n", "markers"},
		{"check-valid-until=no", "trusted=yes", "trusted=yes"},
		{"signed-by=/usr", "signed-by=usr", "signed-by"},
		{"- deb [", "- deb-src [", "deb "},
		{"https://snapshot", "ftp://snapshot", "no URI"},
		{" bookworm main contrib", " bookworm", "a mirror is"},
		{" bookworm main contrib", " bookworm ma;n", "no component"},
		{recipe, strings.Repeat("#", maxRecipe+1), "exceed the limit"},
		{recipe, "", "null is not allowed"},
	} {
		doc := strings.Replace(recipe, tt.from, tt.to, 1)
		if doc == recipe {
			t.Fatalf("%s is not in the recipe", tt.from)
		}
		if _, err := ParseRecipe([]byte(doc)); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s -> %.40s: %v, want %s", tt.from, tt.to, err, tt.words)
		}
	}
}

func TestMachineMirrors(t *testing.T) {
	out := `http://a.example/debian/ bookworm main $(SIGNED_BY)
http://a.example/debian/ bookworm main $(SIGNED_BY)
http://a.example/debian/ bookworm-updates main /k.gpg
http://a.example/debian/ bookworm-backports main /k.gpg
http://a.example/debian/ trixie main /k.gpg
http://b.example/ stable main /k.gpg
http://a.example/security/ bookworm-security main /k.gpg

`
	var got []string
	for _, m := range machineMirrors(out, "bookworm") {
		got = append(got, m.URI+" "+m.Suite)
	}
	want := []string{"http://a.example/debian bookworm", "http://a.example/debian bookworm-updates", "http://a.example/security bookworm-security"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mirrors (-want +got):\n%s", diff)
	}
}

func TestWhatAptWouldDo(t *testing.T) {
	var got []string
	for _, m := range chosen.FindAllStringSubmatch("NOTE: x\nInst libc6 (2.36-9 Debian:12.1/stable, Debian-Security:12/stable-security [amd64]) [x]\nInst adduser (3.134 Debian:12.1/stable [all])\nConf libc6 (2.36-9 x [amd64])\nInst libstdc++6:amd64 (1:12~rc Debian [amd64])\n", -1) {
		got = append(got, m[1]+":"+m[3]+"="+m[2])
	}
	if diff := cmp.Diff([]string{"libc6:amd64=2.36-9", "adduser:all=3.134", "libstdc++6:amd64=1:12~rc"}, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

// What is accepted can be given to apt and mmdebstrap: no word of it is an option
// or a pattern.
func FuzzRecipe(f *testing.F) {
	f.Add([]byte(recipe))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecipe(b)
		if err != nil {
			return
		}
		words := []string{r.Suite, r.Architecture}
		for _, p := range r.Packages {
			words = append(words, p.String())
		}
		for _, w := range words {
			if w == "" || strings.ContainsAny(w[:1], "-?~!./") || strings.ContainsAny(w, " \n\t/;$`") {
				t.Errorf("word %q", w)
			}
		}
		for _, m := range r.mirrors {
			again, err := ParseMirror(m.line("deb"))
			if err != nil || again.line("deb") != m.line("deb") {
				t.Errorf("mirror %q reads as %v, %v", m.line("deb"), again, err)
			}
		}
	})
}
