package ledger

import (
	"bytes"
	"fmt"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// SaltSize is the length of a record's salt, in bytes.
const SaltSize = 16

// maxInteger is the largest integer that JSON readers agree on (RFC 7493).
const maxInteger = 1<<53 - 1

// Canonical returns the record's one form, canonical JSON (RFC 8785): what is
// framed, hashed and sealed.
func (r Record) Canonical() ([]byte, error) {
	b, err := strictjson.Canonical(r)
	if err != nil {
		return nil, fmt.Errorf("record %d: %w", r.Sequence, err)
	}
	if len(b) > MaxRecord {
		return nil, fmt.Errorf("record %d: %d bytes exceed the limit of %d", r.Sequence, len(b), MaxRecord)
	}
	return b, nil
}

// ParseRecord reads the canonical form of a record, and no other.
func ParseRecord(b []byte) (Record, error) {
	var r Record
	if err := readExact(b, &r); err != nil {
		return Record{}, err
	}
	if err := r.check(); err != nil {
		return Record{}, err
	}
	return r, nil
}

func (r Record) check() error {
	if r.Sequence < 1 || r.Sequence > maxInteger {
		return strictjson.Errorf("/sequence", "%d is not from 1 to 2^53-1", r.Sequence)
	}
	if err := checkTime("/time", r.Time); err != nil {
		return err
	}
	if len(r.Salt) != SaltSize {
		return strictjson.Errorf("/salt", "%d bytes, not %d", len(r.Salt), SaltSize)
	}
	return CheckBody(r.Kind, r.Body)
}

func checkTime(at string, t time.Time) error {
	if _, offset := t.Zone(); offset != 0 {
		return strictjson.Errorf(at, "not in UTC")
	}
	if !t.Equal(t.Truncate(time.Microsecond)) {
		return strictjson.Errorf(at, "finer than microseconds")
	}
	return nil
}

// LeafHash is the salted leaf hash of a record's canonical form (RFC 6962,
// section 2.1; the salt is in the record). It can stand for a record that is
// no longer there without saying what it was.
func LeafHash(canonical []byte) []byte { return rfc6962.DefaultHasher.HashLeaf(canonical) }

// SegmentRoot is the Merkle tree hash (RFC 6962, section 2.1) over leaf hashes.
func SegmentRoot(leaves [][]byte) (attest.Digest, error) {
	if len(leaves) == 0 {
		return "", fmt.Errorf("a segment without records has no root")
	}
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := f.NewEmptyRange(0)
	for _, leaf := range leaves {
		if err := tree.Append(leaf, nil); err != nil {
			return "", fmt.Errorf("segment root: %w", err)
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return "", fmt.Errorf("segment root: %w", err)
	}
	return attest.DigestFromSum(root), nil
}

// A SegmentStatement is what the journal's key signs about one sealed segment,
// and what becomes a leaf in the log (payload type attest.SegmentPayload). A
// segment is named by Number and Root. docs/spec/journal.md, "Segments".
type SegmentStatement struct {
	Number   int64         `json:"number"` // from 1, without gaps
	Root     attest.Digest `json:"root"`   // salted Merkle root of its records
	Count    int64         `json:"count"`
	First    int64         `json:"first"` // sequence of its first record
	Last     int64         `json:"last"`
	Previous attest.Digest `json:"previous,omitzero"` // root of segment Number-1; absent in the first
	Ends     time.Time     `json:"ends"`              // time of its last record
}

// NewSegmentStatement returns the statement of the segment that holds exactly
// records and follows previous, nil for the first. Records that do not follow
// each other or previous, in sequence and time, are an error.
func NewSegmentStatement(previous *SegmentStatement, records []Record) (*SegmentStatement, error) {
	s := &SegmentStatement{Number: 1, First: 1}
	at := time.Time{}
	if previous != nil {
		s.Number, s.First, s.Previous = previous.Number+1, previous.Last+1, previous.Root
		at = previous.Ends
	}
	leaves := make([][]byte, len(records))
	for i, r := range records {
		if err := Follows(r, s.First+int64(i), at); err != nil {
			return nil, fmt.Errorf("segment %d: %w", s.Number, err)
		}
		b, err := r.Canonical()
		if err != nil {
			return nil, fmt.Errorf("segment %d: %w", s.Number, err)
		}
		leaves[i], at = LeafHash(b), r.Time
	}
	root, err := SegmentRoot(leaves)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", s.Number, err)
	}
	s.Root, s.Count, s.Ends = root, int64(len(records)), at
	s.Last = s.First + s.Count - 1
	return s, nil
}

// Follows reports an error unless r is record number sequence and no earlier
// than after.
func Follows(r Record, sequence int64, after time.Time) error {
	if r.Sequence != sequence {
		return fmt.Errorf("record %d stands where record %d belongs", r.Sequence, sequence)
	}
	if r.Time.Before(after) {
		return fmt.Errorf("record %d is of %s, before the record ahead of it, of %s",
			r.Sequence, r.Time.Format(time.RFC3339Nano), after.Format(time.RFC3339Nano))
	}
	return nil
}

// Canonical returns the bytes to sign.
func (s *SegmentStatement) Canonical() ([]byte, error) { return strictjson.Canonical(s) }

// ParseSegmentStatement reads the canonical form of a statement, and no other.
func ParseSegmentStatement(b []byte) (*SegmentStatement, error) {
	var s SegmentStatement
	if err := readExact(b, &s); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return &s, nil
}

func (s *SegmentStatement) check() error {
	if s.Number < 1 || s.Number > maxInteger {
		return strictjson.Errorf("/number", "%d is not from 1 to 2^53-1", s.Number)
	}
	if (s.Number == 1) != (s.Previous == "") {
		return strictjson.Errorf("/previous", "only the first segment has none")
	}
	if s.First < 1 || s.Last > maxInteger || s.Last < s.First {
		return strictjson.Errorf("/first", "records %d to %d", s.First, s.Last)
	}
	if s.Count != s.Last-s.First+1 {
		return strictjson.Errorf("/count", "%d records from %d to %d", s.Count, s.First, s.Last)
	}
	return checkTime("/ends", s.Ends)
}

// AppendRecord appends the frame of r's canonical form to dst.
func AppendRecord(dst []byte, r Record) ([]byte, error) {
	b, err := r.Canonical()
	if err != nil {
		return nil, err
	}
	return AppendFrame(dst, b), nil
}

// ParseSegment reads the bytes of a sealed segment: the frames of its records,
// nothing before, between or after.
func ParseSegment(b []byte) ([]Record, error) {
	var records []Record
	for at := len(b); len(b) > 0; {
		payload, rest, err := NextFrame(b)
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", at-len(b), err)
		}
		r, err := ParseRecord(payload)
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", at-len(b), err)
		}
		records, b = append(records, r), rest
	}
	return records, nil
}

// Covers reports an error unless s is the statement of exactly records,
// following previous.
func (s *SegmentStatement) Covers(previous *SegmentStatement, records []Record) error {
	made, err := NewSegmentStatement(previous, records)
	if err != nil {
		return err
	}
	want, err := s.Canonical()
	if err != nil {
		return err
	}
	got, err := made.Canonical()
	if err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return fmt.Errorf("segment %d: its records make %s, signed is %s", s.Number, got, want)
	}
	return nil
}
