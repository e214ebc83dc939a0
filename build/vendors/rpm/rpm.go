// Package rpm follows the chain of an RPM package from a key to a file: the key
// signed the header; the header names the payload by its sha256, and each file
// in it by its own; the file is in the payload. Packages without a header
// signature or a payload digest (older than RPM 4.14) are refused.
package rpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/build/vendors/unpack"
)

// MaxPackage is how many bytes of a package are read.
const MaxPackage = 1 << 30

const (
	leadSize  = 96
	leadMagic = "\xed\xab\xee\xdb"
)

// Tags of headers (RPM, include/rpm/rpmtag.h).
const (
	tagName            = 1000
	tagVersion         = 1001
	tagRelease         = 1002
	tagEpoch           = 1003
	tagVendor          = 1011
	tagArch            = 1022
	tagFileDigests     = 1035
	tagDirIndexes      = 1116
	tagBaseNames       = 1117
	tagDirNames        = 1118
	tagPayloadFormat   = 1124
	tagFileDigestAlgo  = 5011
	tagPayloadDigest   = 5092
	tagPayloadDigestBy = 5093

	sigRSA = 268 // over the header; of other keys than RSA, too, in sigDSA
	sigDSA = 267

	bySHA256 = 8 // of the numbers of OpenPGP
)

// A Package is one whose chain was verified.
type Package struct {
	attest.Package
	Vendor  string // in its own words
	Chain   []attest.ImportStep
	files   map[string]string // sha256 in hex, by path
	payload []byte
}

// Open verifies the chain of a package with key, as of now.
func Open(b []byte, key *openpgp.Key, now time.Time) (*Package, error) {
	if len(b) > MaxPackage {
		return nil, fmt.Errorf("package of %d bytes exceeds the limit of %d", len(b), MaxPackage)
	}
	if len(b) < leadSize || !bytes.HasPrefix(b, []byte(leadMagic)) {
		return nil, errors.New("not an RPM package: it does not begin as one does")
	}
	signatures, rest, err := parseHeader(b[leadSize:], 8)
	if err != nil {
		return nil, fmt.Errorf("signature header: %w", err)
	}
	h, payload, err := parseHeader(rest, 1)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	header := rest[:len(rest)-len(payload)]
	signed, err := verify(signatures, header, key, now)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	p := &Package{payload: payload, Vendor: h.text(tagVendor), Chain: []attest.ImportStep{
		{What: attest.StepHeader, Digest: attest.DigestOf(header), Key: key.Fingerprint, Time: signed},
		{What: attest.StepPayload, Digest: attest.DigestOf(payload)},
	}}
	return p, p.read(h)
}

func verify(signatures *header, signed []byte, key *openpgp.Key, now time.Time) (time.Time, error) {
	for _, tag := range []uint32{sigRSA, sigDSA} {
		if s := signatures.binary(tag); s != nil {
			return key.Verify(signed, s, now)
		}
	}
	return time.Time{}, errors.New("no signature over the header: sign the package with RPM 4.14 or later")
}

// read takes what is used of a header that is verified.
func (p *Package) read(h *header) error {
	p.Name, p.Architecture = h.text(tagName), h.text(tagArch)
	p.Version = h.text(tagVersion) + "-" + h.text(tagRelease)
	if epoch, ok := h.number(tagEpoch, 0); ok {
		p.Version = fmt.Sprint(epoch, ":", p.Version)
	}
	if p.Name == "" || p.Architecture == "" || h.text(tagVersion) == "" || h.text(tagRelease) == "" {
		return errors.New("header: no name, version, release or architecture")
	}
	if by, _ := h.number(tagPayloadDigestBy, 0); by != bySHA256 || len(h.texts(tagPayloadDigest)) == 0 {
		return errors.New("header: it names no sha256 of the payload")
	}
	if got := p.Chain[1].Digest.Hex(); h.texts(tagPayloadDigest)[0] != got {
		return fmt.Errorf("payload: sha256 is %s, the header says %.80q", got, h.texts(tagPayloadDigest)[0])
	}
	if f := h.text(tagPayloadFormat); f != "" && f != "cpio" {
		return fmt.Errorf("payload of format %.20q is not read, want cpio", f)
	}
	return p.readFiles(h)
}

func (p *Package) readFiles(h *header) error {
	if by, ok := h.number(tagFileDigestAlgo, 0); !ok || by != bySHA256 {
		return errors.New("header: it does not name its files by sha256")
	}
	names, dirs, digests := h.texts(tagBaseNames), h.texts(tagDirNames), h.texts(tagFileDigests)
	if len(names) != len(digests) {
		return errors.New("header: as many names of files as digests are wanted")
	}
	p.files = make(map[string]string, len(names))
	for i, name := range names {
		dir, ok := h.number(tagDirIndexes, i)
		if !ok || uint64(dir) >= uint64(len(dirs)) {
			return errors.New("header: a file is in no directory")
		}
		p.files[strings.TrimPrefix(path.Join(dirs[dir], name), "/")] = digests[i]
	}
	return nil
}

// Walk visits the files of the package, each held to the digest the header has
// of it, which is known once all of it was read.
func (p *Package) Walk(visit unpack.Visit) error {
	r, err := unpack.Decompress(p.payload, unpack.MaxStream)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	defer r.Close()
	err = unpack.Cpio(r, func(e unpack.Entry, content io.Reader) error {
		want, listed := p.files[e.Path]
		if !listed {
			return fmt.Errorf("%.200s is in the payload, and not in the header", e.Path)
		}
		sum := sha256.New()
		if err := visit(e, io.TeeReader(content, sum)); err != nil || e.Link != "" {
			return err
		}
		if _, err := io.Copy(sum, content); err != nil {
			return err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != want && e.Size > 0 { // of hard links all but the last are empty
			return fmt.Errorf("%.200s: sha256 is %s, the header says %.80q", e.Path, got, want)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	return nil
}
