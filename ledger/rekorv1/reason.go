package rekorv1

// A Reason is the stable name of one way in which a log entry is no evidence.
type Reason string

// The reasons. Their meaning never changes; docs/spec/rekor-v1.md has a
// sentence for each.
const (
	// The bundle or its entry does not read, or misses something.
	Malformed Reason = "malformed"
	// The bundle or a part of it is larger than anything a log gives.
	TooLarge Reason = "too-large"
	// The entry is of a kind this version does not read.
	UnknownKind Reason = "unknown-kind"
	// The entry is of another kind than the bundle says.
	OtherKind Reason = "other-kind"
	// Rekor itself would not take the entry: its own signature does not hold, or
	// a member is not what its kind asks for.
	InvalidEntry Reason = "invalid-entry"

	// The bundle names a key, and none was given.
	NoKey Reason = "no-key"
	// The bundle signs something else than the artifact.
	OtherArtifact Reason = "other-artifact"
	// The entry is over something else than the bundle signs.
	OtherContent Reason = "other-content"
	// The entry is by another key or certificate than the bundle's.
	OtherKey Reason = "other-key"
	// The entry holds another signature than the bundle.
	OtherSignature Reason = "other-signature"
	// The bundle's signature is not over its content by its key.
	BadSignature Reason = "bad-signature"
	// The entry is not the one form of what it says.
	OtherEntry Reason = "other-entry"

	// The trusted root has no such log.
	UnknownLog Reason = "unknown-log"
	// There is no inclusion proof with a checkpoint, or no promise, where the
	// bundle's version asks for one.
	NoProof Reason = "no-proof"
	// The entry is not in the tree of the checkpoint.
	BadProof Reason = "bad-proof"
	// The checkpoint is not signed by the log.
	BadCheckpoint Reason = "bad-checkpoint"
	// The checkpoint is of another tree than the inclusion proof.
	OtherCheckpoint Reason = "other-checkpoint"
	// The signed entry timestamp is not the log's for this entry.
	BadPromise Reason = "bad-promise"
	// The log's key was not valid when the entry was made.
	LogKeyExpired Reason = "log-key-expired"
	// The certificate was not valid when the log took the entry.
	CertificateExpired Reason = "certificate-expired"

	// A fault in the libraries below this package. Nothing is known to cause it.
	Panicked Reason = "panicked"
)

// Reasons lists every reason there is.
func Reasons() []Reason {
	return []Reason{
		Malformed, TooLarge, UnknownKind, OtherKind, InvalidEntry,
		NoKey, OtherArtifact, OtherContent, OtherKey, OtherSignature, BadSignature, OtherEntry,
		UnknownLog, NoProof, BadProof, BadCheckpoint, OtherCheckpoint, BadPromise, LogKeyExpired, CertificateExpired,
		Panicked,
	}
}
