// Package ledger is what was said when: the forms of everything that is kept
// for good, and the arithmetic that proves nothing of it was changed.
//
// There are two histories. The log, a Merkle tree that anyone may read and
// check, holds one leaf for every signed statement: the hash of its envelope,
// the signature and the key, never the statement itself. The journal holds
// every fact the server acknowledged, in the order it took effect; it is
// sealed into segments, and each sealed segment is one leaf of the log.
//
// This package is pure. It has:
//
//   - leaves ([Leaf], [LeafBody], [EntryBody], [ParseEntry]): what an envelope
//     looks like in the log, as Rekor v2 writes it. docs/spec/log.md.
//   - checkpoints ([OpenCheckpoint]): the log's signed statement of its size
//     and root, and what makes two of them contradict each other.
//   - trust material ([TrustedRoot], [SigningConfig], [LogKeys]): the files by
//     which stock Sigstore clients verify, and sign into, this log.
//   - proofs ([Proof]): C2SP tlog-proof files.
//   - records, frames and segments ([Record], [AppendFrame], [Segment]): the
//     journal's forms. docs/spec/journal.md.
//
// The rooms below it do the input and output:
//
//   - ledger/tlog keeps the log on disk and answers Rekor v2's write API.
//   - ledger/tsa is the timestamp authority.
//   - ledger/client talks to both, and verifies a log from first to last leaf.
//   - ledger/store keeps bytes by their digest and never deletes.
//   - ledger/journal writes the journal.
//   - ledger/notify follows the journal and tells the endpoints of the
//     configuration.
//   - ledger/index answers queries; it is a projection and proves nothing.
//
// Two more are pure: ledger/quorum says when enough witnesses have seen a
// checkpoint, and ledger/rekorv1 verifies what Rekor v1 logs of others hold.
package ledger
