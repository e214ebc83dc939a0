package inventory

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
)

const status = `Package: make
Status: install ok installed
Architecture: amd64
Source: make-dfsg
Version: 4.3-4.1
Description: builds
 things

Package: old
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libstdc++6
Essential: yes
Status: install ok installed
Multi-Arch: same
Architecture: amd64
Source: gcc-12 (12.2.0-14)
Version: 12.2.0-14+deb12u1

Package: kept
Status: hold ok installed
Architecture: all
Version: 1:2~rc1
`

func installed(t *testing.T) []Package {
	t.Helper()
	list, err := ParseStatus([]byte(status))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestStatus(t *testing.T) {
	want := []Package{
		{Name: "kept", Version: "1:2~rc1", Architecture: "all", Source: "kept", SourceVersion: "1:2~rc1"},
		{Name: "libstdc++6", Version: "12.2.0-14+deb12u1", Architecture: "amd64", Source: "gcc-12", SourceVersion: "12.2.0-14"},
		{Name: "make", Version: "4.3-4.1", Architecture: "amd64", Source: "make-dfsg", SourceVersion: "4.3-4.1"},
	}
	if diff := cmp.Diff(want, installed(t)); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestStatusThatIsNone(t *testing.T) {
	for words, text := range map[string]string{
		"is \"install ok half-configured\"": strings.Replace(status, "install ok installed", "install ok half-configured", 1),
		"is \"\", not installed":            strings.Replace(status, "Status: install ok installed\n", "", 1),
		"no package name":                   strings.Replace(status, "Package: make\n", "Package: M/../\n", 1),
		"no version":                        strings.Replace(status, "Version: 4.3-4.1\n", "", 1),
		"no architecture":                   strings.Replace(status, "Architecture: amd64\n", "Architecture: a b\n", 1),
		"there twice":                       status + "\n" + status,
		"line 1":                            " x\n" + status,
	} {
		if _, err := ParseStatus([]byte(text)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %s", err, words)
		}
	}
}

func TestLicense(t *testing.T) {
	format := "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
	for _, tt := range []struct{ text, want string }{
		{format + "Files: *\nCopyright: x\nLicense: GPL-2+\n text\n", "GPL-2.0-or-later"},
		{format + "Files: doc/*\nLicense: Expat\n\nFiles: *\nLicense: LGPL-2.1 or Expat\n", "LGPL-2.1-only OR MIT"},
		{format + "Files: *\nLicense: GPL-3.0+ and BSD-3-clause and ISC\n", "GPL-3.0-or-later AND BSD-3-Clause AND ISC"},
		{format + "Files: *\nLicense: GPL-2+ and Expat or ISC\n", ""},
		{format + "Files: *\nLicense: GPL-2+ with OpenSSL exception\n", ""},
		{format + "Files: *\nLicense: GPL-2, ISC\n", ""},
		{format + "Files: *\nLicense: GPL-4\n", ""},
		{format + "Files: *\nLicense: GPL\n", ""},
		{format + "Files: *\nLicense: public-domain\n", ""},
		{format + "Files: *\n", ""},
		{format, ""},
		{"Files: *\nLicense: Expat\n", ""},
		{"This package was debianized by hand.\nIt is free.\n", ""},
		{"", ""},
	} {
		if got := License([]byte(tt.text)); got != tt.want {
			t.Errorf("%q is %q, want %q", tt.text, got, tt.want)
		}
	}
}

func sample(t *testing.T) []byte {
	t.Helper()
	list := installed(t)
	list[2].License, list[2].File = "GPL-3.0-or-later", attest.DigestOf([]byte("make.deb"))
	b, err := SPDX(Image{attest.DigestOf([]byte("image")), time.Unix(1767225600, 0), "debian-12"}, []Package{list[2], list[0], list[1]})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInventoryRoundTrips(t *testing.T) {
	b := sample(t)
	got, err := ParseSPDX(b)
	if err != nil {
		t.Fatal(err)
	}
	want := installed(t)
	want[2].License, want[2].File = "GPL-3.0-or-later", attest.DigestOf([]byte("make.deb"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if image := attest.DigestOf([]byte("image")); !About(b, image) || About(b, attest.DigestOf(b)) || About([]byte("{}"), image) {
		t.Error("it is about another image")
	}
	if again := sample(t); string(again) != string(b) {
		t.Errorf("another document of the same:\n%s\n%s", b, again)
	}
}

// TestInventoryIsSPDX holds the document to what SPDX 2.3 asks of the fields it
// has (clauses 6, 7 and 11).
func TestInventoryIsSPDX(t *testing.T) {
	var d struct {
		Version      string `json:"spdxVersion"`
		License      string `json:"dataLicense"`
		ID           string `json:"SPDXID"`
		Namespace    string `json:"documentNamespace"`
		CreationInfo struct{ Created string }
		Packages     []struct {
			ID           string `json:"SPDXID"`
			Name         string `json:"name"`
			Location     string `json:"downloadLocation"`
			ExternalRefs []struct {
				ReferenceLocator string `json:"referenceLocator"`
			} `json:"externalRefs"`
		}
		Relationships []struct {
			Element string `json:"spdxElementId"`
			Related string `json:"relatedSpdxElement"`
		}
	}
	if err := json.Unmarshal(sample(t), &d); err != nil {
		t.Fatal(err)
	}
	if d.Version != "SPDX-2.3" || d.License != "CC0-1.0" || d.ID != "SPDXRef-DOCUMENT" || d.CreationInfo.Created != "2026-01-01T00:00:00Z" {
		t.Errorf("document: %+v", d)
	}
	if regexp.MustCompile(`[# ]`).MatchString(d.Namespace) {
		t.Errorf("namespace %q", d.Namespace)
	}
	ids := map[string]bool{d.ID: true}
	for _, p := range d.Packages {
		if ids[p.ID] || !regexp.MustCompile(`^SPDXRef-[a-zA-Z0-9.-]+$`).MatchString(p.ID) || p.Location == "" {
			t.Errorf("package %+v", p)
		}
		ids[p.ID] = true
	}
	for _, r := range d.Relationships {
		if !ids[r.Element] || !ids[r.Related] {
			t.Errorf("relationship %+v of what is not there", r)
		}
	}
	if got, want := d.Packages[2].ExternalRefs[0].ReferenceLocator, "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"; got != want {
		t.Errorf("package URL %s, want %s", got, want)
	}
	if n := len(d.Relationships); n != 4 {
		t.Errorf("%d relationships", n)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(status))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := ParseStatus(b)
		if err != nil {
			return
		}
		doc, err := SPDX(Image{Manifest: attest.DigestOf(b)}, list)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseSPDX(doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list, got); diff != "" {
			t.Errorf("the way through SPDX (-status +spdx):\n%s", diff)
		}
	})
}

// Whatever somebody wrote as SPDX: packages, or an error.
func FuzzParseSPDX(f *testing.F) {
	f.Add([]byte(`{"spdxVersion":"SPDX-2.3","packages":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := ParseSPDX(b)
		for _, p := range list {
			if err != nil || p.Check() != nil {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
}

func FuzzLicense(f *testing.F) {
	f.Add([]byte("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ or Expat\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := License(b); s != "" && !regexp.MustCompile(`^[A-Za-z0-9.-]+( (AND|OR) [A-Za-z0-9.-]+)*$`).MatchString(s) {
			t.Errorf("%q is no expression", s)
		}
	})
}
