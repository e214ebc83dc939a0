// Package attest is what is claimed about builder images, environments, bases,
// live patches and hosts, and who signed it.
//
// From the inside out:
//
//   - A predicate is one claim: [Environment], [Base], [LivePatch],
//     [HostRecord], [Revocation], or SLSA's [Provenance].
//   - A [Statement] (in-toto Statement v1) ties a predicate to the digests of
//     the things it is about, its subjects. The first subject is what the
//     statement is about: a manifest, a host's key, a revoked digest. Where
//     there is a second, it is the one file the manifest carries.
//   - An [Envelope] (DSSE v1) is the statement's bytes with signatures over
//     them and their type.
//   - A [Bundle] (Sigstore bundle v0.3) is an envelope with the proof that it
//     is in a log and a signed timestamp.
//   - A [TrustPolicy], in an envelope of its own, says whose word counts.
//
// This package reads and writes these forms, each in one way only. A document
// that two readers could understand differently is refused, and every refusal
// names its spot as a JSON pointer (RFC 6901). The bytes that came are the
// bytes that are hashed and verified; nothing is encoded again to be compared.
//
// Reading proves nothing. What is in a parsed [Envelope] or [Bundle] is what
// somebody claims; only package verify turns it into evidence. The exceptions
// are [OpenTrustPolicy] and [TrustPolicy.OpenNext], which check signatures
// against pinned roots.
//
// Keys are ECDSA P-256, digests are sha256, times are UTC in whole seconds.
// The package is pure: no input or output, no clock, no context.
package attest

// Limits on what is read, in bytes. Longer input is refused unread.
const (
	MaxEnvironment = 256 << 10
	MaxStatement   = 512 << 10
	MaxTrustPolicy = 512 << 10
	MaxEnvelope    = 768 << 10 // base64 makes a payload a third longer
	MaxBundle      = 1 << 20
)

// Limits on how many of a thing one document carries.
const (
	maxSignatures = 16
	maxSubjects   = 64
	maxHashes     = 64 // of an inclusion proof: a log of 2^64 leaves
	maxText       = 4096
)
