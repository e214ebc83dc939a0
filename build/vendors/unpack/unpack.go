// Package unpack reads what packages are made of: compressed streams, and the
// archives ar, tar and cpio. Nothing is written to a disk. Every reader is
// bounded: a stream that gives more than it may, an archive with more entries,
// or a path that leaves the package is an error, and nothing else.
package unpack

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
)

// Limits of what is unpacked. A kernel package with all its modules has half a
// gigabyte in ten thousand files.
const (
	MaxStream  = 4 << 30   // bytes a stream unpacks to
	MaxFile    = 512 << 20 // bytes of one file that is read
	MaxEntries = 500_000   // of one archive
	maxWindow  = 128 << 20 // bytes a decompressor looks back
	maxPath    = 4096
)

// ErrTooLarge means that a stream unpacks to more than it may.
var ErrTooLarge = errors.New("unpacks to more than the limit")

// What compressed streams begin with.
const (
	magicGzip = "\x1f\x8b"
	magicXZ   = "\xfd7zXZ\x00"
	magicZstd = "\x28\xb5\x2f\xfd"
	magicLZ4  = "\x04\x22\x4d\x18"
	magicOld  = "\x02\x21\x4c\x18" // LZ4, the legacy frames Linux has
)

// Compressed reports whether b begins as a compressed stream does that
// [Decompress] reads.
func Compressed(b []byte) bool {
	for _, magic := range []string{magicGzip, magicXZ, magicZstd, magicLZ4, magicOld} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	return false
}

// Decompress returns a reader of what b unpacks to, at most limit bytes, by what
// it begins with; of b itself where that is no compressed stream. It is to be
// closed.
func Decompress(b []byte, limit int64) (io.ReadCloser, error) {
	switch {
	case bytes.HasPrefix(b, []byte(magicGzip)):
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return &bounded{r: r, left: limit, close: func() { r.Close() }}, nil
	case bytes.HasPrefix(b, []byte(magicXZ)):
		r, err := xz.NewReader(bytes.NewReader(b), maxWindow)
		if err != nil {
			return nil, fmt.Errorf("xz: %w", err)
		}
		return &bounded{r: r, left: limit}, nil
	case bytes.HasPrefix(b, []byte(magicZstd)):
		r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &bounded{r: r, left: limit, close: r.Close}, nil
	case bytes.HasPrefix(b, []byte(magicLZ4)), bytes.HasPrefix(b, []byte(magicOld)):
		return &bounded{r: lz4.NewReader(bytes.NewReader(b)), left: limit}, nil
	}
	return &bounded{r: bytes.NewReader(b), left: limit}, nil
}

// All returns what b unpacks to, all of it.
func All(b []byte, limit int64) ([]byte, error) {
	if !Compressed(b) {
		if int64(len(b)) > limit {
			return nil, ErrTooLarge
		}
		return b, nil
	}
	r, err := Decompress(b, limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	return all, nil
}

// bounded reads at most left bytes; one more is an error, not an end.
type bounded struct {
	r     io.Reader
	left  int64
	close func()
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

func (b *bounded) Close() error {
	if b.close != nil {
		b.close()
	}
	return nil
}

// An Entry is one regular file, or one link, of an archive.
type Entry struct {
	Path string // clean and relative, as "boot/vmlinuz-6.1"
	Link string // what a symbolic or hard link names; "" for a file
	Size int64
}

// cleanPath returns name in the one form paths in packages have; "" for the root
// itself.
func cleanPath(name string) (string, error) {
	if len(name) > maxPath || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("path of %d bytes, or with a NUL", len(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("path %.200q leaves the package", name)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

// A gate lets the entries of one archive through, as many as there may be, each
// once.
type gate struct {
	seen  map[string]bool
	count int
}

func (g *gate) pass(name string) (string, error) {
	if g.count++; g.count > MaxEntries {
		return "", fmt.Errorf("more than %d entries", MaxEntries)
	}
	p, err := cleanPath(name)
	if err != nil || p == "" {
		return "", err
	}
	if g.seen == nil {
		g.seen = make(map[string]bool)
	}
	if g.seen[p] {
		return "", fmt.Errorf("%.200q stands twice", p)
	}
	g.seen[p] = true
	return p, nil
}
