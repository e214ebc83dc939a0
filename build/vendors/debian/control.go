package debian

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/build/vendors/unpack"
)

// fields are those of one paragraph of a control file (deb-control(5)): of
// fields of several lines all of them.
type fields map[string]string

// paragraph reads one. A field that stands twice is refused: two readers could
// each take another.
func paragraph(text string) (fields, error) {
	f := fields{}
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "":
			return f, nil
		case line[0] == ' ' || line[0] == '\t':
			if last == "" {
				return nil, fmt.Errorf("line %.80q continues nothing", line)
			}
			f[last] += "\n" + strings.TrimSpace(line)
		default:
			name, value, ok := strings.Cut(line, ":")
			if _, twice := f[name]; !ok || name == "" || twice {
				return nil, fmt.Errorf("line %.80q is no field, or one that stands twice", line)
			}
			f[name], last = strings.TrimSpace(value), name
		}
	}
	return f, nil
}

// A release is what InRelease says.
type release struct {
	origin, suite    string
	date, validUntil time.Time
	files            map[string]named // by name in the archive
}

type named struct {
	digest attest.Digest
	size   int64
}

func openRelease(message []byte, key *openpgp.Key, now time.Time) (*release, error) {
	text, _, err := key.Open(message, now)
	if err != nil {
		return nil, err
	}
	f, err := paragraph(string(text))
	if err != nil {
		return nil, err
	}
	r := &release{origin: f["Origin"], suite: f["Suite"], files: make(map[string]named)}
	if r.date, err = date(f["Date"]); err != nil {
		return nil, fmt.Errorf("field Date: %w", err)
	}
	if until := f["Valid-Until"]; until != "" {
		if r.validUntil, err = date(until); err != nil {
			return nil, fmt.Errorf("field Valid-Until: %w", err)
		}
	}
	return r, r.list(f["SHA256"])
}

// date reads the one form dates have there: RFC 1123, in UTC.
func date(s string) (time.Time, error) {
	for _, zone := range []string{" UTC", " GMT", " +0000"} {
		if rest, ok := strings.CutSuffix(s, zone); ok {
			return time.Parse("Mon, _2 Jan 2006 15:04:05", rest)
		}
	}
	return time.Time{}, fmt.Errorf("%.60q is no date in UTC", s)
}

// list reads the lines of the field SHA256: digest, size, name.
func (r *release) list(text string) error {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 {
			return fmt.Errorf("field SHA256: line %.120q is not a digest, a size and a name", line)
		}
		d, err := attest.ParseDigest("sha256:" + f[0])
		size, bad := strconv.ParseInt(f[1], 10, 64)
		if _, twice := r.files[f[2]]; err != nil || bad != nil || size < 0 || twice {
			return fmt.Errorf("field SHA256: line %.120q is not a digest, a size and a name, or names it twice", line)
		}
		r.files[f[2]] = named{d, size}
	}
	if len(r.files) == 0 {
		return errors.New("field SHA256 names nothing")
	}
	return nil
}

// packages returns the index b is, unpacked, and the digest by which InRelease
// names it: of its bytes as they are, or of what they unpack to.
func (r *release) packages(b []byte) (index []byte, d attest.Digest, err error) {
	if len(b) > MaxPackages {
		return nil, "", unpack.ErrTooLarge
	}
	if index, err = unpack.All(b, MaxPackages); err != nil {
		return nil, "", err
	}
	for _, as := range [][]byte{b, index} {
		d := attest.DigestOf(as)
		for name, n := range r.files {
			if n.digest == d && n.size == int64(len(as)) && isPackages(name) {
				return index, d, nil
			}
		}
	}
	return nil, "", fmt.Errorf("InRelease names no index Packages of this digest, %s: both have to be of one day", attest.DigestOf(index))
}

// isPackages reports whether a name in InRelease is an index of binary packages.
func isPackages(name string) bool {
	base := name[strings.LastIndex(name, "/")+1:]
	stem, _, _ := strings.Cut(base, ".")
	return stem == "Packages" && strings.Contains(name, "/binary-")
}

// find returns the paragraph of an index that names a package by its digest and
// size.
func find(index []byte, d attest.Digest, size int64) (fields, error) {
	line := []byte("\nSHA256: " + d.Hex() + "\n")
	at := bytes.Index(index, line)
	if at < 0 {
		return nil, fmt.Errorf("the index names no package with the digest %s", d)
	}
	start := bytes.LastIndex(index[:at+1], []byte("\n\n"))
	text := index[start+1:]
	if start >= 0 {
		text = index[start+2:]
	}
	if end := bytes.Index(text, []byte("\n\n")); end >= 0 {
		text = text[:end+1]
	}
	f, err := paragraph(string(text))
	if err != nil {
		return nil, err
	}
	if f["SHA256"] != d.Hex() || f["Size"] != strconv.FormatInt(size, 10) {
		return nil, fmt.Errorf("the index says %.20q bytes of package %.80q, there are %d", f["Size"], f["Package"], size)
	}
	return f, nil
}
