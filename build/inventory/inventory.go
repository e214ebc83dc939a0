// Package inventory says what is installed in a builder image: the packages
// that dpkg's own status names, with what their copyright files say, as an SPDX
// document. It reads what it is handed and touches no disk. The same tree makes
// the same document, at any time and on any machine. docs/spec/builder.md.
package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/deb822"
)

// A Package is one that is installed.
type Package struct {
	Name          string        `json:"name"`
	Version       string        `json:"version"`
	Architecture  string        `json:"architecture"`
	Source        string        `json:"source"`
	SourceVersion string        `json:"sourceVersion"`
	License       string        `json:"license,omitzero"` // an SPDX expression; "" is not known
	File          attest.Digest `json:"file,omitzero"`    // of the .deb it came in; "" is not known
}

// Compare orders packages by name, version and architecture.
func Compare(a, b Package) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Architecture, b.Architecture))
}

// Limits of what is believed of a status: a Debian with everything has about
// 70,000 packages.
const (
	MaxStatus   = 64 << 20
	maxPackages = 100_000
)

// ParseStatus reads dpkg's status file. A package that is there and not wholly
// installed is an error: no build can rely on it. One that was removed is not
// there.
func ParseStatus(status []byte) ([]Package, error) {
	if len(status) > MaxStatus {
		return nil, fmt.Errorf("status of %d bytes exceeds the limit of %d", len(status), MaxStatus)
	}
	list := []Package{}
	for s, err := range deb822.Parse(string(status)) {
		if err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		if state := s.Get("Status"); strings.HasSuffix(state, " not-installed") || strings.HasSuffix(state, " config-files") {
			continue
		} else if !strings.HasSuffix(state, " ok installed") {
			return nil, fmt.Errorf("status: package %.80q is %.80q, not installed", s.Get("Package"), state)
		}
		p, err := FromStanza(s)
		if err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		if list = append(list, p); len(list) > maxPackages {
			return nil, fmt.Errorf("status: more than %d packages", maxPackages)
		}
	}
	slices.SortFunc(list, Compare)
	for i := 1; i < len(list); i++ {
		if Compare(list[i-1], list[i]) == 0 {
			return nil, fmt.Errorf("status: package %s is there twice", list[i].Name)
		}
	}
	return list, nil
}

// FromStanza reads the package a stanza is about, as status, Packages and
// control files have it.
func FromStanza(s deb822.Stanza) (Package, error) {
	p := Package{Name: s.Get("Package"), Version: s.Get("Version"), Architecture: s.Get("Architecture")}
	p.Source, p.SourceVersion = p.Name, p.Version
	if source := s.Get("Source"); source != "" {
		name, version, given := strings.Cut(source, " (")
		p.Source = name
		if given {
			p.SourceVersion = strings.TrimSuffix(version, ")")
		}
	}
	return p, p.Check()
}

// Check refuses what is no package.
func (p Package) Check() error {
	for _, name := range []string{p.Name, p.Source} {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	for _, version := range []string{p.Version, p.SourceVersion} {
		if err := CheckVersion(version); err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
	}
	if p.Architecture == "" || len(p.Architecture) > 40 || strings.Trim(p.Architecture, lower+digits+"-") != "" {
		return fmt.Errorf("package %s: %.80q is no architecture", p.Name, p.Architecture)
	}
	return nil
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	digits = "0123456789"
)

// CheckName refuses what is no package's name (Debian Policy, 5.6.1).
func CheckName(name string) error {
	if len(name) < 2 || len(name) > 100 || strings.Trim(name, lower+digits+"+-.") != "" || !strings.Contains(lower+digits, name[:1]) {
		return fmt.Errorf("%.80q is no package name", name)
	}
	return nil
}

// CheckVersion refuses what is no version (Debian Policy, 5.6.12).
func CheckVersion(version string) error {
	if version == "" {
		return errors.New("no version")
	}
	if len(version) > 200 || strings.Trim(strings.ToLower(version), lower+digits+".+-~:") != "" || !strings.Contains(digits, version[:1]) {
		return fmt.Errorf("%.80q is no version", version)
	}
	return nil
}
