package inventory

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// MediaSPDX is the media type of an inventory, and its artifact type as a
// referrer of its image.
const MediaSPDX = "application/spdx+json"

// MaxSPDX is the largest inventory that is read.
const MaxSPDX = 64 << 20

// An Image is what an inventory is about.
type Image struct {
	Manifest attest.Digest
	Created  time.Time // SOURCE_DATE_EPOCH: an inventory has no other time
	Distro   string    // as "debian-12"; "" is not known
}

// The part of an SPDX 2.3 document that is written (SPDX 2.3, clauses 6, 7, 11).
type document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Packages      []element      `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type element struct {
	ID         string      `json:"SPDXID"`
	Name       string      `json:"name"`
	Version    string      `json:"versionInfo"`
	Purpose    string      `json:"primaryPackagePurpose,omitzero"`
	Location   string      `json:"downloadLocation"`
	Analyzed   bool        `json:"filesAnalyzed"`
	SourceInfo string      `json:"sourceInfo,omitzero"`
	Declared   string      `json:"licenseDeclared"`
	Concluded  string      `json:"licenseConcluded"`
	Copyright  string      `json:"copyrightText"`
	Checksums  []checksum  `json:"checksums,omitzero"`
	References []reference `json:"externalRefs,omitzero"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const (
	documentID  = "SPDXRef-DOCUMENT"
	imageID     = "SPDXRef-image"
	noAssertion = "NOASSERTION"
	purlType    = "purl"
)

// SPDX returns the inventory of an image as an SPDX 2.3 document in canonical
// JSON (RFC 8785).
func SPDX(image Image, packages []Package) ([]byte, error) {
	d := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: documentID,
		Name:      "builder image " + string(image.Manifest),
		Namespace: namespace(image.Manifest),
		Creation:  creation{image.Created.UTC().Format(time.RFC3339), []string{"Tool: patchfit"}},
		Packages: []element{{
			ID: imageID, Name: "builder-image", Version: string(image.Manifest), Purpose: "CONTAINER",
			Location: noAssertion, Declared: noAssertion, Concluded: noAssertion, Copyright: noAssertion,
			Checksums: []checksum{{"SHA256", image.Manifest.Hex()}},
		}},
		Relationships: []relationship{{documentID, "DESCRIBES", imageID}},
	}
	sorted := slices.SortedFunc(slices.Values(packages), Compare)
	for _, p := range sorted {
		e := p.element(image.Distro)
		d.Packages = append(d.Packages, e)
		d.Relationships = append(d.Relationships, relationship{imageID, "CONTAINS", e.ID})
	}
	return strictjson.Canonical(d)
}

// namespace is where inventories of one image are: there is one.
func namespace(image attest.Digest) string {
	return "https://github.com/patchfit/patchfit/spdx/sha256-" + image.Hex()
}

// About reports whether b is an inventory that [SPDX] made of an image. Others may
// have attached theirs.
func About(b []byte, image attest.Digest) bool {
	var d document
	return strictjson.UnmarshalForeign(b, MaxSPDX, &d) == nil && d.Namespace == namespace(image)
}

func (p Package) element(distro string) element {
	purl := p.PURL(distro)
	e := element{
		ID:   "SPDXRef-deb-" + identifierOf(p.Name) + "-" + attest.DigestOf([]byte(purl)).Short(),
		Name: p.Name, Version: p.Version, Location: noAssertion,
		SourceInfo: fmt.Sprintf("built from source package %s %s", p.Source, p.SourceVersion),
		Declared:   cmp.Or(p.License, noAssertion), Concluded: noAssertion, Copyright: noAssertion,
		References: []reference{{"PACKAGE-MANAGER", purlType, purl}},
	}
	if p.File != "" {
		e.Checksums = []checksum{{"SHA256", p.File.Hex()}}
	}
	return e
}

// identifierOf makes a name of letters, digits, "." and "-", which is all that
// an SPDX identifier may have.
func identifierOf(name string) string { return strings.ReplaceAll(name, "+", ".") }

// PURL returns the package URL (purl-spec, type deb).
func (p Package) PURL(distro string) string {
	vendor, _, _ := strings.Cut(distro, "-")
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%3A", ":") }
	s := "pkg:deb/" + cmp.Or(vendor, "debian") + "/" + escape(p.Name) + "@" + escape(p.Version) + "?arch=" + escape(p.Architecture)
	if distro != "" {
		s += "&distro=" + escape(distro)
	}
	return s
}

// ParseSPDX reads the packages of an inventory that [SPDX] made. What others
// wrote as SPDX is read too where it says as much: a package without a package
// URL of type deb is left out.
func ParseSPDX(b []byte) ([]Package, error) {
	var d document
	if err := strictjson.UnmarshalForeign(b, MaxSPDX, &d); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	if d.Version != "SPDX-2.3" {
		return nil, fmt.Errorf("inventory: %.40q, want SPDX-2.3", d.Version)
	}
	list := []Package{}
	for i, e := range d.Packages {
		p, ok := e.read()
		if !ok {
			continue
		}
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("inventory: /packages/%d: %w", i, err)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, Compare)
	return list, nil
}

// read is the way back from an element to the package it is about.
func (e element) read() (p Package, ok bool) {
	for _, r := range e.References {
		if r.Type != purlType || !strings.HasPrefix(r.Locator, "pkg:deb/") {
			continue
		}
		_, query, _ := strings.Cut(r.Locator, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			return p, false
		}
		p = Package{Name: e.Name, Version: e.Version, Architecture: values.Get("arch"), Source: e.Name, SourceVersion: e.Version}
		ok = true
	}
	var name, version string
	if n, _ := fmt.Sscanf(e.SourceInfo, "built from source package %s %s", &name, &version); n == 2 {
		p.Source, p.SourceVersion = name, version
	}
	if e.Declared != noAssertion {
		p.License = e.Declared
	}
	for _, c := range e.Checksums {
		if d, err := attest.ParseDigest("sha256:" + c.Value); c.Algorithm == "SHA256" && err == nil {
			p.File = d
		}
	}
	return p, ok
}
