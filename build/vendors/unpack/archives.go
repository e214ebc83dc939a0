package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Visit is called for each entry of an archive, in order. content gives the
// bytes of a file; what is not read of it is passed over.
type Visit func(e Entry, content io.Reader) error

// Tar visits the files and links of a tar. Devices, sparse files and entries of
// types nobody knows are refused; directories are passed over.
func Tar(r io.Reader, visit Visit) error {
	t := tar.NewReader(struct{ io.Reader }{r}) // it must not seek past what is cut off
	var g gate
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		p, err := g.pass(h.Name)
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		e := Entry{Path: p, Size: h.Size}
		switch h.Typeflag {
		case tar.TypeDir:
			continue
		case tar.TypeSymlink, tar.TypeLink:
			e.Link = h.Linkname
		case tar.TypeReg:
		default:
			return fmt.Errorf("tar: %.200q is of type %q, want a file, a directory or a link", h.Name, h.Typeflag)
		}
		if p == "" {
			return fmt.Errorf("tar: %.200q has no name", h.Name)
		}
		if err := visit(e, t); err != nil {
			return err
		}
	}
}

// ReadFile returns the bytes of a file being visited.
func ReadFile(e Entry, content io.Reader) ([]byte, error) {
	if e.Size < 0 || e.Size > MaxFile {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", e.Path, e.Size, MaxFile)
	}
	b, err := io.ReadAll(io.LimitReader(content, e.Size+1))
	if err == nil && int64(len(b)) != e.Size {
		err = fmt.Errorf("%d bytes are there", len(b))
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s of %d bytes: %w", e.Path, e.Size, err)
	}
	return b, nil
}

// A Member is one file of an ar archive.
type Member struct {
	Name string
	Data []byte
}

const (
	arMagic  = "!<arch>\n"
	arHeader = 60
)

// Ar returns the members of an ar archive, as packages of Debian are: at most
// limit, with short names.
func Ar(b []byte, limit int) ([]Member, error) {
	rest, ok := bytes.CutPrefix(b, []byte(arMagic))
	if !ok {
		return nil, errors.New("ar: not an archive: it does not begin as one does")
	}
	var all []Member
	for len(rest) > 0 {
		if len(all) == limit {
			return nil, fmt.Errorf("ar: more than %d members", limit)
		}
		if len(rest) < arHeader || string(rest[58:60]) != "`\n" {
			return nil, fmt.Errorf("ar: no header at byte %d", len(b)-len(rest))
		}
		size, err := strconv.ParseUint(strings.TrimRight(string(rest[48:58]), " "), 10, 63)
		name := strings.TrimSuffix(strings.TrimRight(string(rest[:16]), " "), "/")
		rest = rest[arHeader:]
		if err != nil || size > uint64(len(rest)) || name == "" {
			return nil, fmt.Errorf("ar: member %.20q has a header that does not fit the file", name)
		}
		all = append(all, Member{name, rest[:size:size]})
		rest = rest[size:]
		if size%2 == 1 && len(rest) > 0 {
			rest = rest[1:]
		}
	}
	return all, nil
}

const (
	cpioHeader  = 110
	cpioMagic   = "070701"
	cpioTrailer = "TRAILER!!!"
)

// Cpio visits the files and links of a cpio archive in its "newc" form, as the
// payload of RPM packages is.
func Cpio(r io.Reader, visit Visit) error {
	c := &cpio{r: r}
	var g gate
	for {
		e, mode, err := c.next()
		if err != nil {
			return fmt.Errorf("cpio: %w", err)
		}
		if e.Path == cpioTrailer {
			return nil
		}
		p, err := g.pass(e.Path)
		if err != nil {
			return fmt.Errorf("cpio: %w", err)
		}
		content := io.LimitReader(r, e.Size)
		if err := one(Entry{Path: p, Size: e.Size}, mode, content, visit); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return fmt.Errorf("cpio: %w", err)
		}
		if err := c.pad(e.Size); err != nil {
			return fmt.Errorf("cpio: after %s: %w", p, err)
		}
	}
}

// The types of files in a mode (cpio(5)).
const (
	modeType    = 0o170000
	modeFile    = 0o100000
	modeDir     = 0o040000
	modeSymlink = 0o120000
)

// one visits an entry by what it is.
func one(e Entry, mode uint64, content io.Reader, visit Visit) error {
	switch mode & modeType {
	case modeDir:
		return nil
	case modeSymlink:
		if e.Size > maxPath {
			return fmt.Errorf("cpio: link %s of %d bytes", e.Path, e.Size)
		}
		link, err := io.ReadAll(content)
		if err != nil {
			return fmt.Errorf("cpio: %w", err)
		}
		e.Link, e.Size = string(link), 0
		return visit(e, bytes.NewReader(nil))
	case modeFile:
		return visit(e, content)
	}
	return fmt.Errorf("cpio: %s is of mode %o, want a file, a directory or a link", e.Path, mode)
}

type cpio struct{ r io.Reader }

func (c *cpio) next() (Entry, uint64, error) {
	var h [cpioHeader]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return Entry{}, 0, fmt.Errorf("the archive is cut off: %w", err)
	}
	if string(h[:6]) != cpioMagic {
		return Entry{}, 0, fmt.Errorf("header %.6q is not of the form newc, %s", h[:6], cpioMagic)
	}
	field := func(i int) (uint64, error) { return strconv.ParseUint(string(h[6+8*i:14+8*i]), 16, 32) }
	mode, errMode := field(1)
	size, errSize := field(6)
	name, errName := field(11)
	if err := errors.Join(errMode, errSize, errName); err != nil || name < 2 || name > maxPath {
		return Entry{}, 0, errors.New("a header holds no numbers, or a name that is too long")
	}
	b := make([]byte, name)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return Entry{}, 0, fmt.Errorf("the archive is cut off: %w", err)
	}
	if b[name-1] != 0 {
		return Entry{}, 0, errors.New("a name does not end")
	}
	return Entry{Path: string(b[:name-1]), Size: int64(size)}, mode, c.pad(cpioHeader + int64(name))
}

// pad reads the zeros after n bytes up to a multiple of four.
func (c *cpio) pad(n int64) error {
	var zeros [4]byte
	_, err := io.ReadFull(c.r, zeros[:(4-n%4)%4])
	return err
}
