// Package account compares what a server's index says of each leaf of a log
// with the log.
//
// A log says who signed something; what was signed is in the ledger store, and
// which of it was admitted is in the journal, whose sealed segments are leaves,
// too. The index is a projection of all that, in a database somebody can write
// to. An account is what the index says of each leaf: the statements it has
// rows for, the sealed segment it is, or nothing. A [Check] walks the leaves and
// their account together and finds out:
//
//   - a row is of the leaf it names: the leaf is made again from the bundle;
//   - a row says what its bundle and its journal record say;
//   - the segments are leaves, in order, none missing and none twice, and the
//     journal records the server shows make their roots;
//   - each statement record has its row, and each row its record.
//
// So a row that was deleted, changed or added by hand is found and named. What
// nothing explains was logged and never admitted, by a stock client perhaps; that
// is a note. docs/spec/index.md, "Compared with the log".
package account

import (
	"fmt"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// A Page is the account of the leaves from From to before To.
type Page struct {
	SchemaVersion int       `json:"schemaVersion"`
	Sequence      int64     `json:"sequence"` // of the newest record in the index
	From          uint64    `json:"from"`
	To            uint64    `json:"to"`
	Statements    []Row     `json:"statements"`   // by leaf and record
	Segments      []Segment `json:"segments"`     // by leaf
	Log           string    `json:"log,omitzero"` // origin, where it was asked for
}

// A Row is an admitted statement, as the index has it, and its bundle.
type Row struct {
	SchemaVersion int           `json:"schemaVersion"`
	Record        int64         `json:"record"` // sequence of the journal record
	Index         int64         `json:"index"`  // of the leaf
	Repository    string        `json:"repository"`
	Product       string        `json:"product"`
	Type          string        `json:"type"`
	Subject       attest.Digest `json:"subject"`
	File          attest.Digest `json:"file,omitzero"`
	Payload       attest.Digest `json:"payload"`
	Bundle        attest.Digest `json:"bundle"`
	Referrer      attest.Digest `json:"referrer,omitzero"`
	Signer        attest.Digest `json:"signer"`
	BuilderID     string        `json:"builderId,omitzero"`
	Signed        time.Time     `json:"signed"`
	By            string        `json:"by"`
	Body          []byte        `json:"body"` // the bundle
}

// A Segment is a sealed segment of the journal.
type Segment struct {
	SchemaVersion int    `json:"schemaVersion"`
	Index         int64  `json:"index"` // of the leaf
	Body          []byte `json:"body"`  // the signed envelope
}

// A Kind is what is wrong. Kinds are added, never renamed.
type Kind string

// What index and log can be found to disagree in.
const (
	RowAdded       Kind = "row-added"       // a row without a journal record
	RowMissing     Kind = "row-missing"     // a journal record without a row
	RowChanged     Kind = "row-changed"     // a row that says something else than record, bundle or leaf
	RecordChanged  Kind = "record-changed"  // journal records that do not make the segment's root
	SegmentMissing Kind = "segment-missing" // segments that are no leaf, or not in order
	SegmentChanged Kind = "segment-changed" // a segment that is not the leaf it names
)

// A Finding is one thing that is wrong.
type Finding struct {
	Kind   Kind   `json:"finding"`
	Record int64  `json:"record,omitzero"` // sequence of a journal record
	Index  *int64 `json:"index,omitzero"`  // of a leaf
	Log    string `json:"log,omitzero"`    // its origin, where there is more than one
	Text   string `json:"text"`
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s", f.Kind, f.Text) }

// A Stranger is a key that signed leaves nothing explains: logged, and never
// admitted.
type Stranger struct {
	Key    attest.Digest `json:"key,omitzero"` // absent: leaves that are no entry of ours
	Leaves int64         `json:"leaves"`
	First  uint64        `json:"first"`
	Last   uint64        `json:"last"`
	Log    string        `json:"log,omitzero"` // its origin, where there is more than one
}

// A Result is what a comparison came to.
type Result struct {
	SchemaVersion int           `json:"schemaVersion"`
	Origin        string        `json:"origin"`             // of the last log
	Size          uint64        `json:"size"`               // of it
	Logs          []LogSize     `json:"logs,omitzero"`      // all of them, where there is more than one
	Segments      int64         `json:"segments"`           // leaves that are sealed segments
	Records       int64         `json:"records"`            // in them
	Statements    int64         `json:"statements"`         // rows that are proven
	Unsealed      int64         `json:"unsealed"`           // rows whose record is in no segment yet
	Elsewhere     int64         `json:"elsewhere"`          // of the rows, those whose leaf is in another log
	Journal       attest.Digest `json:"journal,omitzero"`   // key that signs the segments
	Wrong         int64         `json:"wrong"`              // how many findings there are
	Findings      []Finding     `json:"findings,omitzero"`  // the first thousand
	Strangers     []Stranger    `json:"strangers,omitzero"` // by first leaf
}

// A LogSize is a log that was walked.
type LogSize struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
}

const maxFindings = 1000
