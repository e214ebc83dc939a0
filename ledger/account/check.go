package account

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// A Log is one of the logs that are walked.
type Log struct {
	Origin string
	ID     []byte
}

// A Check is one walk along the logs of a server, oldest first, and the account
// of them. The journal is one, whichever log its segments are in. A Check is pure:
// whoever walks brings leaves and pages, and it counts only once the leaves are
// verified to be the logs'.
type Check struct {
	logs      []Log
	at        int             // number of the log that is walked
	journals  []attest.Digest // keys that may seal; nil: any one
	result    Result
	previous  *ledger.SegmentStatement
	open      map[int64]*Row // whose record has not come yet, by its sequence
	met       map[int64]int  // in which walk a row was taken that is of none of the logs
	strangers map[stranger]*Stranger
}

// A stranger is a key in one log.
type stranger struct {
	log int
	key attest.Digest
}

// NewCheck returns a check of logs, oldest first, that begins with the first.
func NewCheck(logs ...Log) *Check {
	return &Check{
		logs: logs, result: Result{SchemaVersion: 1, Origin: logs[0].Origin},
		open: map[int64]*Row{}, met: map[int64]int{}, strangers: map[stranger]*Stranger{},
	}
}

// Next goes on with the next log.
func (c *Check) Next() {
	c.size()
	c.at++
	c.result.Origin, c.result.Size = c.logs[c.at].Origin, 0
}

// size remembers how large the log was that was walked.
func (c *Check) size() {
	if len(c.logs) > 1 {
		c.result.Logs = append(c.result.Logs, LogSize{c.result.Origin, c.result.Size})
	}
}

// log is the name of the log that is walked, where there is more than one.
func (c *Check) log() string {
	if len(c.logs) == 1 {
		return ""
	}
	return c.logs[c.at].Origin
}

func (c *Check) find(kind Kind, record int64, index *int64, format string, args ...any) {
	c.result.Wrong++
	if len(c.result.Findings) < maxFindings {
		c.result.Findings = append(c.result.Findings, Finding{kind, record, index, c.log(), fmt.Sprintf(format, args...)})
	}
}

// Leaf takes the next leaf and what the account says of it. Where it is a sealed
// segment, the segment's statement is returned, and the records it has are the
// next thing [Check.Segment] wants.
func (c *Check) Leaf(index uint64, leaf []byte, rows []Row, segments []Segment) *ledger.SegmentStatement {
	c.result.Size = index + 1
	explained := false
	for i := range rows {
		explained = c.row(index, leaf, &rows[i]) || explained
	}
	var found *ledger.SegmentStatement
	for i := range segments {
		s := c.segment(index, leaf, &segments[i])
		if s == nil {
			continue
		}
		if found != nil {
			c.find(SegmentChanged, 0, place(index), "leaf %d is told to be two segments", index)
		}
		found, explained = s, true
	}
	if !explained {
		c.stranger(index, leaf)
	}
	return found
}

// row takes a statement's row, and reports whether it is the leaf's. The account
// of a leaf has the rows of that index in whatever log: those of the other logs
// are left for when these are walked, and those of none are taken once.
func (c *Check) row(index uint64, leaf []byte, r *Row) bool {
	b, wrong, err := r.differs()
	if c.elsewhere(r, b) {
		return false
	}
	if _, twice := c.open[r.Record]; twice {
		c.find(RowAdded, r.Record, place(index), "record %d has two rows", r.Record)
		return false
	}
	c.take(r)
	if err != nil {
		c.find(RowChanged, r.Record, place(index), "the row of record %d at leaf %d: %v", r.Record, index, err)
		return false
	}
	var by attest.Credential
	if c.own(b) {
		if by, err = madeBy(b.Envelope, leaf); err != nil {
			wrong = append(wrong, err.Error())
		} else {
			r.signedBy(&wrong, by, b.Certificate)
		}
	} else {
		c.result.Elsewhere++
	}
	c.changed(r, wrong)
	return by != nil
}

// elsewhere reports whether a row is for the walk along another log.
func (c *Check) elsewhere(r *Row, b *attest.Bundle) bool {
	if len(c.logs) == 1 || b != nil && c.own(b) {
		return false
	}
	if b != nil && c.among(b) {
		return true
	}
	walk, taken := c.met[r.Record]
	if !taken {
		c.met[r.Record] = c.at
	}
	return taken && walk != c.at
}

func (c *Check) take(r *Row) {
	kept := *r
	kept.Body = nil
	c.open[r.Record] = &kept
}

// Late takes the row of a record that did not come with a leaf: its leaf is in
// another log, or somebody changed where it is.
func (c *Check) Late(r *Row) {
	c.take(r)
	b, wrong, err := r.differs()
	switch {
	case err != nil:
		c.find(RowChanged, r.Record, indexOf(r), "the row of record %d: %v", r.Record, err)
		return
	case c.among(b) && len(wrong) == 0:
		wrong = append(wrong, errLeaf.Error())
	case !c.among(b):
		c.result.Elsewhere++
	}
	c.changed(r, wrong)
}

func (c *Check) changed(r *Row, wrong sayer) {
	if len(wrong) > 0 {
		c.find(RowChanged, r.Record, indexOf(r), "the row of record %d at leaf %d is not what its bundle says: %s", r.Record, r.Index, strings.Join(wrong, "; "))
	}
}

// own reports whether a bundle says that it is in the log that is walked.
func (c *Check) own(b *attest.Bundle) bool { return c.logs[c.at].has(b) }

// among reports whether a bundle says that it is in one of the logs.
func (c *Check) among(b *attest.Bundle) bool {
	return slices.ContainsFunc(c.logs, func(l Log) bool { return l.has(b) })
}

func (l Log) has(b *attest.Bundle) bool {
	entry := b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0]
	return bytes.Equal(entry.GetLogId().GetKeyId(), l.ID)
}

// Lacking returns the statements among canonical records that no row has come
// for: by their sequence.
func (c *Check) Lacking(canonical [][]byte) (list []int64) {
	for _, b := range canonical {
		r, err := ledger.ParseRecord(b)
		if err == nil && admits(r.Kind) && c.open[r.Sequence] == nil {
			list = append(list, r.Sequence)
		}
	}
	return list
}

// segment takes what the account calls a sealed segment, and returns its
// statement if it is the leaf.
func (c *Check) segment(index uint64, leaf []byte, s *Segment) *ledger.SegmentStatement {
	e, err := attest.ParseEnvelope(s.Body, attest.SegmentPayload)
	var statement *ledger.SegmentStatement
	if err == nil {
		statement, err = ledger.ParseSegmentStatement(e.Payload)
	}
	var key *attest.PublicKey
	if err == nil {
		key, err = madeByKey(e, leaf)
	}
	if err == nil && c.journals != nil && !slices.Contains(c.journals, key.ID()) {
		err = fmt.Errorf("it is signed by %s, which the trust policy does not name as a journal's key", key.ID())
	}
	if err == nil && c.result.Journal != "" && key.ID() != c.result.Journal {
		err = fmt.Errorf("it is signed by %s, and segments before it by %s", key.ID(), c.result.Journal)
	}
	if err != nil {
		c.find(SegmentChanged, 0, place(index), "what is told to be a segment at leaf %d: %v", index, err)
		return nil
	}
	c.result.Journal = key.ID()
	return statement
}

func (c *Check) stranger(index uint64, leaf []byte) {
	var id attest.Digest
	if e, err := ledger.ParseEntry(leaf); err == nil {
		id = e.Key.ID()
	}
	at := stranger{c.at, id}
	s := c.strangers[at]
	if s == nil {
		s = &Stranger{Key: id, First: index, Log: c.log()}
		c.strangers[at] = s
	}
	s.Leaves, s.Last = s.Leaves+1, index
}

// Segment takes the records of a segment whose leaf was found, canonical, as
// the server shows them.
func (c *Check) Segment(s *ledger.SegmentStatement, canonical [][]byte) {
	if !c.follows(s) {
		return
	}
	previous := c.previous
	c.previous = s
	c.result.Segments++
	records, err := parse(s, canonical)
	if err == nil {
		err = s.Covers(previous, records)
	}
	if err != nil {
		c.find(RecordChanged, s.First, nil, "the records %d to %d that are shown are not those of segment %d: %v", s.First, s.Last, s.Number, err)
		c.forget(s.First, s.Last)
		return
	}
	c.result.Records += s.Count
	for _, r := range records {
		c.record(r, true)
	}
}

// follows asks that s is the segment after the last.
func (c *Check) follows(s *ledger.SegmentStatement) bool {
	want, root := int64(1), attest.Digest("")
	if c.previous != nil {
		want, root = c.previous.Number+1, c.previous.Root
	}
	switch {
	case s.Number < want:
		c.find(SegmentChanged, s.First, nil, "segment %d is there twice", s.Number)
		return false
	case s.Number > want:
		c.find(SegmentMissing, s.First, nil, "after segment %d comes %d", want-1, s.Number)
		return c.alone(s)
	case s.Previous != root:
		c.find(SegmentChanged, s.First, nil, "segment %d does not follow the one before", s.Number)
		return c.alone(s)
	}
	return true
}

// alone takes a segment without what comes before it.
func (c *Check) alone(s *ledger.SegmentStatement) bool {
	c.forget(c.Sealed()+1, s.Last)
	c.previous = s
	return false
}

// forget takes away rows that nothing can be said of.
func (c *Check) forget(first, last int64) {
	for sequence := range c.open {
		if sequence >= first && sequence <= last {
			delete(c.open, sequence)
		}
	}
}

func parse(s *ledger.SegmentStatement, canonical [][]byte) ([]ledger.Record, error) {
	var records []ledger.Record
	for i, b := range canonical {
		r, err := ledger.ParseRecord(b)
		if err != nil {
			return nil, err
		}
		if want := s.First + int64(i); r.Sequence != want {
			return nil, fmt.Errorf("in the place of record %d is %d", want, r.Sequence)
		}
		records = append(records, r)
	}
	if int64(len(records)) != s.Count {
		return nil, fmt.Errorf("there are %d of %d", len(records), s.Count)
	}
	return records, nil
}

// record compares a record with the row it should have.
func (c *Check) record(r ledger.Record, sealed bool) {
	row := c.open[r.Sequence]
	delete(c.open, r.Sequence)
	if !admits(r.Kind) {
		if row != nil {
			c.find(RowAdded, r.Sequence, indexOf(row), "record %d is no statement (%s), and has the row of one, of leaf %d", r.Sequence, r.Kind, row.Index)
		}
		return
	}
	b, err := admitted(r, row)
	switch {
	case err != nil:
		c.find(RecordChanged, r.Sequence, nil, "record %d: %v", r.Sequence, err)
	case row == nil:
		c.find(RowMissing, r.Sequence, nil, "record %d admitted %s about %s in %s (bundle %s), and no row says so", r.Sequence, b.Type, b.Subject, b.Repository, b.Bundle)
	default:
		if wrong := row.admittedAs(b); len(wrong) > 0 {
			c.find(RowChanged, r.Sequence, indexOf(row), "the row of record %d at leaf %d is not what the record says: %s", r.Sequence, row.Index, strings.Join(wrong, "; "))
			return
		}
		if sealed {
			c.result.Statements++
		} else {
			c.result.Unsealed++
		}
	}
}

// admits reports whether records of a kind have a row of a statement.
func admits(k ledger.Kind) bool { return k == ledger.KindStatement || k == ledger.KindChannel }

// admitted returns what a record admitted. That of a channel names its product
// and no repository, so that the row's is taken.
func admitted(r ledger.Record, row *Row) (*ledger.StatementAdmitted, error) {
	if r.Kind != ledger.KindChannel {
		return ledger.Decode[ledger.StatementAdmitted](r)
	}
	ch, err := ledger.Decode[ledger.ChannelTaken](r)
	if err != nil {
		return nil, err
	}
	b := &ledger.StatementAdmitted{Subject: attest.ChannelID(ch.Product, ch.Name), Bundle: ch.Bundle, Type: attest.TypeChannel, By: ch.By}
	if row != nil {
		b.Repository = row.Repository
	}
	return b, nil
}

func indexOf(r *Row) *int64 { return &r.Index }

func place(index uint64) *int64 {
	i := int64(index)
	return &i
}

// Sealed returns the sequence of the last record that a segment has.
func (c *Check) Sealed() int64 {
	if c.previous == nil {
		return 0
	}
	return c.previous.Last
}

// Unsealed takes the records behind the last segment. They are the server's
// word alone, until they are sealed. A statement among them whose leaf is behind
// the end of the walk has no row here.
func (c *Check) Unsealed(canonical [][]byte) {
	for _, b := range canonical {
		r, err := ledger.ParseRecord(b)
		if err != nil {
			c.find(RecordChanged, 0, nil, "a record behind the last segment: %v", err)
			continue
		}
		if c.open[r.Sequence] != nil {
			c.record(r, false)
		}
	}
}

// Open reports whether there are rows whose record has not come.
func (c *Check) Open() bool { return len(c.open) > 0 }

// End returns what the walk came to. Rows that are left have no record.
func (c *Check) End() *Result {
	for _, sequence := range sorted(c.open) {
		row := c.open[sequence]
		c.find(RowAdded, sequence, indexOf(row), "there is no record %d that admitted a statement at leaf %d, and its row says %s about %s in %s", sequence, row.Index, row.Type, row.Subject, row.Repository)
	}
	c.size()
	for _, s := range c.strangers {
		c.result.Strangers = append(c.result.Strangers, *s)
	}
	order := func(s Stranger) int { return slices.IndexFunc(c.logs, func(l Log) bool { return l.Origin == s.Log }) }
	slices.SortFunc(c.result.Strangers, func(a, b Stranger) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.First, b.First))
	})
	return &c.result
}

func sorted(rows map[int64]*Row) []int64 {
	var list []int64
	for n := range rows {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}
