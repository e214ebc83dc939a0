// Package debian follows the chain of a Debian archive from a key to a file:
// the key signed InRelease; InRelease names Packages by its sha256; Packages
// names the package by its sha256 and size; the file is in the package. Each
// link is checked, and told.
package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/build/vendors/unpack"
)

// Limits of what is read, in bytes.
const (
	MaxPackages = 512 << 20 // uncompressed: all of Debian main has 50 MB
	MaxPackage  = 1 << 30
	maxControl  = 8 << 20
)

// Chain is what there is of one package.
type Chain struct {
	InRelease []byte
	Packages  []byte // as the archive has it, or unpacked, or as apt keeps it
	Package   []byte
}

// A Package is one whose chain was verified.
type Package struct {
	attest.Package
	Origin     string // of the archive, in its own words: "Debian"
	Suite      string
	ValidUntil time.Time // zero: InRelease has no end
	Chain      []attest.ImportStep
	Filename   string // in the archive
	data       []byte // data.tar, compressed or not
}

// Open verifies the chain c with key, as of now, and returns the package. That
// InRelease has ended is no error: what was true of a package stays true.
func Open(c Chain, key *openpgp.Key, now time.Time) (*Package, error) {
	r, err := openRelease(c.InRelease, key, now)
	if err != nil {
		return nil, fmt.Errorf("InRelease: %w", err)
	}
	index, step, err := r.packages(c.Packages)
	if err != nil {
		return nil, fmt.Errorf("packages: %w", err)
	}
	if len(c.Package) > MaxPackage {
		return nil, fmt.Errorf("package of %d bytes exceeds the limit of %d", len(c.Package), MaxPackage)
	}
	digest := attest.DigestOf(c.Package)
	found, err := find(index, digest, int64(len(c.Package)))
	if err != nil {
		return nil, fmt.Errorf("packages: %w", err)
	}
	p := &Package{
		Package:    attest.Package{Name: found["Package"], Version: found["Version"], Architecture: found["Architecture"]},
		Origin:     r.origin,
		Suite:      r.suite,
		ValidUntil: r.validUntil,
		Filename:   found["Filename"],
		Chain: []attest.ImportStep{
			{What: attest.StepInRelease, Digest: attest.DigestOf(c.InRelease), Key: key.Fingerprint, Time: r.date},
			{What: attest.StepPackages, Digest: step},
			{What: attest.StepPackage, Digest: digest},
		},
	}
	return p, p.open(c.Package)
}

// open reads the parts of the package, and asks that it calls itself what
// Packages calls it.
func (p *Package) open(deb []byte) error {
	members, err := unpack.Ar(deb, 8)
	if err != nil {
		return fmt.Errorf("package: %w", err)
	}
	if len(members) < 3 || members[0].Name != "debian-binary" || !bytes.HasPrefix(members[0].Data, []byte("2.")) {
		return errors.New("package: not a .deb of version 2: want debian-binary, control.tar and data.tar")
	}
	var control []byte
	for _, m := range members[1:] {
		switch kind, _, _ := strings.Cut(m.Name, ".tar"); {
		case kind == "control" && control == nil:
			control = m.Data
		case kind == "data" && p.data == nil:
			p.data = m.Data
		case strings.HasPrefix(m.Name, "_"): // dpkg passes over these, too
		default:
			return fmt.Errorf("package: member %.40q is none a .deb has, or the second one", m.Name)
		}
	}
	if control == nil || p.data == nil {
		return errors.New("package: no control.tar, or no data.tar")
	}
	return p.checkControl(control)
}

func (p *Package) checkControl(control []byte) error {
	var said fields
	err := walk(control, maxControl, func(e unpack.Entry, content io.Reader) error {
		if e.Path != "control" || e.Link != "" {
			return nil
		}
		b, err := unpack.ReadFile(e, content)
		if err != nil {
			return err
		}
		said, err = paragraph(string(b))
		return err
	})
	if err != nil {
		return fmt.Errorf("package: control: %w", err)
	}
	for name, want := range map[string]string{"Package": p.Name, "Version": p.Version, "Architecture": p.Architecture} {
		if said[name] != want || want == "" {
			return fmt.Errorf("package: it says %s: %.100q of itself, Packages says %.100q", name, said[name], want)
		}
	}
	return nil
}

func walk(compressed []byte, limit int64, visit unpack.Visit) error {
	r, err := unpack.Decompress(compressed, limit)
	if err != nil {
		return err
	}
	defer r.Close()
	return unpack.Tar(r, visit)
}

// Walk visits the files of the package.
func (p *Package) Walk(visit unpack.Visit) error {
	if err := walk(p.data, unpack.MaxStream, visit); err != nil {
		return fmt.Errorf("package: %w", err)
	}
	return nil
}
