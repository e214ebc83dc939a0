// Package fileid tells whether a file is still the one that was looked at
// before: an [Identity] changes when a file is written to, replaced or renamed.
// What was found whole under one identity need not be hashed again while it has
// that identity. Whoever can set a file's times to the nanosecond and keep its
// inode can fool it; whoever can do that to one of our files is the server.
package fileid

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An Identity is comparable. The zero Identity is no file's.
type Identity struct {
	Device, Inode    uint64
	Size             int64
	Written, Changed int64 // nanoseconds of Unix time
}

// settled is how old a change has to be before an identity is worth
// remembering: a second change in the same tick of the file system's clock
// would not show.
const settled = time.Second

// Settled reports whether a change from now on would show.
func (i Identity) Settled(now time.Time) bool {
	return i != Identity{} && now.Sub(time.Unix(0, i.Changed)) > settled
}

// Stat returns the identity of the file at path, which is not a symbolic link;
// a missing one is fs.ErrNotExist.
func Stat(path string) (Identity, error) {
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		return Identity{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return from(&s), nil
}

// Of returns the identity of an open file.
func Of(f *os.File) (Identity, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return Identity{}, err
	}
	var s unix.Stat_t
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Fstat(int(fd), &s) }); err != nil || failed != nil {
		return Identity{}, errors.Join(err, failed)
	}
	return from(&s), nil
}

func from(s *unix.Stat_t) Identity {
	return Identity{
		Device: uint64(s.Dev), Inode: s.Ino, Size: s.Size,
		Written: s.Mtim.Nano(), Changed: s.Ctim.Nano(),
	}
}
