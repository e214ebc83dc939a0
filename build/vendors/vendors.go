// Package vendors turns what others built into bases and patches of a product:
// it opens a package whose chain of signatures leads to a key that was named,
// finds the file that was asked for, and reads what a running host can measure
// of it. What comes out is an import/v1, to be said by a named importer.
// docs/importing.md is for whoever does it.
//
// Each vendor's chain is a room below: debian, rpm; the appended signatures of
// modules are in build/modsign. A file without a chain can be imported, too: its
// statement says that nobody verified anything.
package vendors

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/modsign"
	"github.com/patchfit/patchfit/build/vendors/debian"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/build/vendors/rpm"
	"github.com/patchfit/patchfit/build/vendors/unpack"
)

// A Package is what a vendor hands out, opened: its chain was verified, unless
// Method says otherwise.
type Package struct {
	attest.Package
	Method string
	Vendor string // a word for it, where the package has one; "" where not
	Chain  []attest.ImportStep
	// Notes are facts for whoever imports, in sentences: an index that has ended.
	Notes []string
	walk  func(unpack.Visit) error
}

// Deb opens a Debian package.
func Deb(c debian.Chain, key *openpgp.Key, now time.Time) (*Package, error) {
	d, err := debian.Open(c, key, now)
	if err != nil {
		return nil, err
	}
	p := &Package{Package: d.Package, Method: attest.ImportDeb, Vendor: word(d.Origin), Chain: d.Chain, walk: d.Walk}
	if !d.ValidUntil.IsZero() && now.After(d.ValidUntil) {
		p.Notes = append(p.Notes, fmt.Sprintf("InRelease of %s was valid until %s: there may be newer packages", d.Suite, d.ValidUntil.Format(time.RFC3339)))
	}
	return p, nil
}

// RPM opens an RPM package.
func RPM(b []byte, key *openpgp.Key, now time.Time) (*Package, error) {
	r, err := rpm.Open(b, key, now)
	if err != nil {
		return nil, err
	}
	return &Package{Package: r.Package, Method: attest.ImportRPM, Vendor: word(r.Vendor), Chain: r.Chain, walk: r.Walk}, nil
}

// Module opens a kernel module with an appended signature by the owner of cert.
func Module(name string, b []byte, about attest.Package, cert *x509.Certificate) (*Package, error) {
	s, err := modsign.Verify(b, cert)
	if err != nil {
		return nil, err
	}
	p := single(name, b, about)
	p.Method = attest.ImportModule
	p.Chain = []attest.ImportStep{{What: attest.StepModule, Digest: attest.DigestOf(s.Module), Key: attest.DigestOf(cert.Raw).Hex()}}
	return p, nil
}

// File takes a file as it lies there. Nothing is verified.
func File(name string, b []byte, about attest.Package) *Package {
	p := single(name, b, about)
	p.Method = attest.ImportDir
	p.Notes = append(p.Notes, "nothing was verified: the statement says so, and calls the file observed")
	return p
}

func single(name string, b []byte, about attest.Package) *Package {
	return &Package{Package: about, Chain: []attest.ImportStep{}, walk: func(visit unpack.Visit) error {
		return visit(unpack.Entry{Path: path.Base(name), Size: int64(len(b))}, strings.NewReader(string(b)))
	}}
}

// word makes a vendor's name a word; "" where it has no letters.
func word(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	parts := strings.FieldsFunc(clean, func(r rune) bool { return r == '-' })
	clean = strings.Join(parts, "-")
	return clean[:min(len(clean), 64)]
}

// A File that was found in a package.
type Found struct {
	Path   string
	Bytes  []byte
	Config []byte // the kernel's configuration beside it; nil: none
}

// ErrNoVendor means that neither a package nor its importer says whose it is.
var ErrNoVendor = errors.New("the package does not say whose it is")

// ErrNoFile means that a package has no file of the path that was asked for.
var ErrNoFile = errors.New("the package has no such file")

// List returns the regular files of the package.
func (p *Package) List() ([]unpack.Entry, error) {
	var all []unpack.Entry
	err := p.walk(func(e unpack.Entry, _ io.Reader) error {
		if e.Link == "" {
			all = append(all, e)
		}
		return nil
	})
	return all, err
}

// Find reads the file at a path, and the configuration that belongs to it: of
// boot/vmlinuz-V, boot/config-V; of a module below lib/modules/V, the same.
func (p *Package) Find(name string) (*Found, error) {
	var found *Found
	configs := make(map[string][]byte)
	err := p.walk(func(e unpack.Entry, content io.Reader) error {
		v, isConfig := configVersion(e.Path)
		if e.Link != "" || e.Path != name && !isConfig {
			return nil
		}
		b, err := unpack.ReadFile(e, content)
		switch {
		case err != nil:
			return err
		case e.Path == name:
			found = &Found{Path: e.Path, Bytes: b}
		default:
			configs[v] = b
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoFile, name)
	}
	found.Config = configs[kernelVersion(name)]
	return found, nil
}

// configVersion returns the version in the name of a kernel's configuration.
func configVersion(p string) (string, bool) {
	if v, ok := strings.CutPrefix(p, "boot/config-"); ok {
		return v, true
	}
	if rest, ok := modulesBelow(p); ok && strings.HasSuffix(rest, "/config") && strings.Count(rest, "/") == 1 {
		return strings.TrimSuffix(rest, "/config"), true
	}
	return "", false
}

// kernelVersion returns the version in the path of a kernel or a module.
func kernelVersion(p string) string {
	if v, ok := strings.CutPrefix(p, "boot/vmlinuz-"); ok {
		return v
	}
	if rest, ok := modulesBelow(p); ok {
		v, _, _ := strings.Cut(rest, "/")
		return v
	}
	return ""
}

func modulesBelow(p string) (string, bool) {
	return strings.CutPrefix(strings.TrimPrefix(p, "usr/"), "lib/modules/")
}
