// Package mirror carries repositories, and all that is needed to believe what
// is in them, to where their server cannot be reached: into an OCI image
// layout, a directory or one tar file, and from there into another server.
//
// From the inside out:
//
//   - A [Record] says what a mirror holds: manifests and tags of each
//     repository, its revocations, the signed trust policy, and the log entry
//     of each bundle with a proof for one checkpoint. It is an artifact of the
//     layout like any other.
//   - A [Layout] is a finished mirror. Its index.json is what the record says,
//     byte for byte; every blob is hashed when it is read.
//   - [Pull] copies from a server, [Push] to one, [Verify] asks whether
//     everything is there and what of it is evidence, without a network.
//
// The same content makes the same bytes: no time, no host name and no order of
// arrival is kept. A copy that was interrupted goes on where it was: a blob is
// in place only whole and with its digest, half a blob is continued, and
// index.json comes last.
//
// Nothing a source sends is believed: digests are compared as bytes are
// written, sizes bound what is read, names that could be taken for paths are
// refused, and a copy whose evidence does not verify is not finished.
// docs/spec/mirror.md.
package mirror

import (
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/term"
)

// Media types of this package. docs/spec/mirror.md, "The record".
const (
	MediaRecord     = "application/vnd.patchfit.mirror.v1+json"
	MediaEntries    = "application/vnd.patchfit.mirror.log-entries.v1+json"
	MediaCheckpoint = "application/vnd.patchfit.mirror.checkpoint.v1"
	MediaPolicy     = "application/vnd.patchfit.trust-policy.v1.dsse+json"
	MediaRoot       = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
	ArtifactMirror  = "application/vnd.patchfit.mirror.v1"
)

// Limits of what is read, in bytes and in things.
const (
	maxManifest   = 4 << 20
	maxRecord     = 32 << 20
	maxEntries    = 128 << 20
	maxIndex      = 64 << 20
	maxCheckpoint = 64 << 10
	maxBlob       = 10 << 30
	maxManifests  = 200_000 // of one repository
	maxTags       = 100_000
	maxChildren   = 128  // parts of one manifest, as admission has it
	maxPages      = 2000 // of one list
	maxSince      = 64
)

// A Code is the stable name of one way in which a mirror is not what it should
// be. docs/spec/mirror.md has a sentence for each.
type Code string

// The codes.
const (
	Unfinished Code = "UNFINISHED"  // there is no mirror here, or a copy was not finished
	Corrupt    Code = "CORRUPT"     // bytes are not what their digest, or the one form there is, says
	Missing    Code = "MISSING"     // something that the record names is not there
	Unsafe     Code = "UNSAFE_NAME" // a name could be taken for a path, or an archive holds what it must not
	NotLogged  Code = "NOT_LOGGED"  // a bundle's log entry, or its proof, is not in the mirror
	RolledBack Code = "ROLLBACK"    // older than what was seen before
	Forked     Code = "FORKED"      // another history than the one seen before
	Unshown    Code = "NOT_SHOWN"   // that it continues what was seen before cannot be told
	Untrusted  Code = "UNTRUSTED"   // by another trust policy than it has to be
)

// A Problem is why a mirror is refused.
type Problem struct {
	Code   Code
	Fact   string // one line
	Remedy string // one line; may be empty
	Err    error  // beneath it, if any
}

func (p *Problem) Error() string { return string(p.Code) + ": " + p.Fact }

// Unwrap returns the error beneath.
func (p *Problem) Unwrap() error { return p.Err }

func problem(code Code, format string, args ...any) *Problem {
	return &Problem{Code: code, Fact: term.Printable(fmt.Sprintf(format, args...))}
}

// hint gives p a next step.
func (p *Problem) hint(format string, args ...any) *Problem {
	p.Remedy = fmt.Sprintf(format, args...)
	return p
}

func damaged(d attest.Digest) *Problem {
	return problem(Corrupt, "blob %s has other bytes than its digest says", d).hint("pull again: what is damaged is fetched again")
}

func missing(d attest.Digest) *Problem {
	return problem(Missing, "blob %s is not in the mirror", d).hint("pull again: what is missing is fetched")
}
