// Package content keeps the bytes of the registry's blobs under their digests.
// Which blob is in which repository is not known here: the journal says that.
//
// Bytes come in through an [Upload] and are there once its Commit returned,
// whole and durable, or not at all. They go out through [Store.Open], and never
// before they were hashed: the first time, and again whenever anything about
// the object changed. That an object was found whole is remembered for exactly
// the version of it that was hashed.
//
// Where the bytes are is a [Backend]'s business: [Disk] is a directory; package
// object keeps them behind one of distribution's storage drivers.
package content

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/fileid"
)

// What a Store and a Backend report with errors.Is.
var (
	ErrNotFound = errors.New("no such blob")
	ErrDamaged  = errors.New("the stored bytes are not the ones with this digest")
	ErrDigest   = errors.New("the bytes are not the ones with this digest")
	ErrFull     = errors.New("no room is left for blobs")
)

// A Version identifies one state of an object: any change makes another. It is
// compared with ==.
type Version struct {
	Size   int64           // bytes
	File   fileid.Identity // of an object that is a file
	Object string          // of one in an object store: its ETag or what it has for one
}

// settled reports whether a change from now on would make another version.
func (v Version) settled(now time.Time) bool { return v.Object != "" || v.File.Settled(now) }

// A Backend keeps objects under digests and believes what it is told: it hashes
// nothing. Its methods may be called at the same time. Where no room is left
// they report [ErrFull].
type Backend interface {
	// Open returns the object of d and its version; ErrNotFound. On a disk the
	// object is an *os.File, which a kernel can send by itself.
	Open(ctx context.Context, d attest.Digest) (io.ReadSeekCloser, Version, error)
	// Version returns the version of the object of d; ErrNotFound.
	Version(ctx context.Context, d attest.Digest) (Version, error)
	// Begin begins an object that has no name yet.
	Begin(ctx context.Context) (Draft, error)
	// Remove removes the object of d, if there is one.
	Remove(ctx context.Context, d attest.Digest) error
	// List yields every object, in no order. What is put or removed in the
	// meantime may be among them or not.
	List(ctx context.Context) iter.Seq2[Listed, error]
	// Free returns how many bytes can still be put and how many there are in
	// all; both 0 where that has no meaning.
	Free() (free, all int64, err error)
}

// A Draft is an object on its way in, used by one goroutine at a time.
type Draft interface {
	// ReadFrom appends what r has and returns how many bytes it took. After an
	// error a draft can only be cancelled.
	ReadFrom(r io.Reader) (int64, error)
	// Rest lets go of what the draft holds open between requests.
	Rest() error
	// Content returns the bytes so far, from the start; errors.ErrUnsupported
	// where they can be read only once they have a name.
	Content(ctx context.Context) (io.ReadCloser, error)
	// Commit makes the draft the object of d, in the place of any other. When it
	// returns nil the object survives a power cut.
	Commit(ctx context.Context, d attest.Digest) error
	// Cancel removes the draft. After a Commit that succeeded it does nothing.
	Cancel(ctx context.Context) error
}

// Listed is one object of a list.
type Listed struct {
	Digest   attest.Digest
	Size     int64     // bytes
	Modified time.Time // when it was put there, or later
}
