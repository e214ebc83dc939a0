package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
)

// A ChannelQuery asks what channels said, and when. Fields that are set must all
// hold.
type ChannelQuery struct {
	Within     Products // the asker may see these; nil: all
	Product    string   // product id
	Repository string
	Name       string
	Range
}

// A ChannelPage is versions of channels, the one the server took last first.
type ChannelPage struct {
	SchemaVersion int              `json:"schemaVersion"`
	AsOf          AsOf             `json:"asOf"`
	Versions      []ChannelVersion `json:"versions"`
	Cursor        string           `json:"cursor,omitzero"` // of the next page; absent on the last
}

// A ChannelVersion is one version of a channel, and how it differs from the one
// the server took before it.
type ChannelVersion struct {
	SchemaVersion int             `json:"schemaVersion"`
	Name          string          `json:"name"`
	Repository    string          `json:"repository"`
	Version       int64           `json:"version"`
	Expires       time.Time       `json:"expires"`
	Before        int64           `json:"before,omitzero"` // the version before it; absent: it is the first
	Statement     StatementRow    `json:"statement"`
	Bases         []ChannelBase   `json:"bases"`       // as it has them
	Added         []ChannelPatch  `json:"added"`       // offered, and not by the version before
	Withdrawn     []ChannelPatch  `json:"withdrawn"`   // offered by the version before, and no more
	Revocations   int             `json:"revocations"` // that it names
	Revoked       []attest.Digest `json:"revoked"`     // revocations it names, and the version before does not
	Forgotten     []attest.Digest `json:"forgotten"`   // and the other way round
	Voids         []StatementRow  `json:"voids"`       // admitted revocations of this version, or of its signer
}

// A ChannelBase lists what a version offers for one base.
type ChannelBase struct {
	Base       attest.Digest   `json:"base"`
	Patches    []attest.Digest `json:"patches"`
	Superseded []attest.Digest `json:"superseded"`
}

// A ChannelPatch is a patch that is offered for a base.
type ChannelPatch struct {
	Base       attest.Digest `json:"base"`
	Patch      attest.Digest `json:"patch"`
	Superseded bool          `json:"superseded,omitzero"` // of one withdrawn: it still is listed, as superseded
}

// maxPredicates is about how many bytes of channels are read for one page.
const maxPredicates = 4 << 20

// Channels returns versions of channels, the newest first.
func (x *Index) Channels(ctx context.Context, q ChannelQuery) (*ChannelPage, error) {
	answer := &ChannelPage{SchemaVersion: SchemaVersion, Versions: []ChannelVersion{}}
	err := x.look(ctx, func(v *view) error {
		p, err := v.page(q.Range, "channels", q.Within == nil, q.Within, q.Product, q.Repository, q.Name)
		if err != nil {
			return err
		}
		answer.AsOf = p.asOf
		return v.channels(&q, p, answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// condition is what q asks of the channel table c and its statement s.
func (q *ChannelQuery) condition(p *page) (*where, error) {
	w := new(where)
	w.and("c.sequence <= ?", p.asOf.Sequence)
	if p.after != "" {
		after, err := strconv.ParseInt(p.after, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: cursor: %w", ErrQuestion, err)
		}
		w.and("c.sequence < ?", after)
	}
	w.in("c.product", q.Within)
	if q.Product != "" {
		w.and("c.product = ?", q.Product)
	}
	if q.Repository != "" {
		w.and("s.repository = ?", q.Repository)
	}
	if q.Name != "" {
		w.and("c.name = ?", q.Name)
	}
	return w, nil
}

const channelColumns = `s.sequence, r.time, s.by, s.type, s.product, s.subject, s.payload, s.bundle, s.referrer, s.signer, s.builder, s.signed, s.log_index`

func (v *view) channels(q *ChannelQuery, p *page, answer *ChannelPage) error {
	w, err := q.condition(p)
	if err != nil {
		return err
	}
	query := "SELECT c.predicate, s.repository, " + channelColumns + ` FROM channel c
		JOIN statement s ON s.sequence = c.sequence JOIN record r ON r.sequence = c.sequence
		WHERE ` + w.String() + " ORDER BY c.sequence DESC LIMIT ?"
	var more bool
	var size int
	var all []*attest.Channel
	err = v.each(query, append(w.args, p.limit+1), func(row func(...any) error) error {
		if more = more || len(all) == p.limit || size > maxPredicates; more {
			return nil
		}
		c, version, n, err := scanChannel(row)
		all, answer.Versions, size = append(all, c), append(answer.Versions, version), size+n
		return err
	})
	for i, c := range all {
		if err == nil {
			err = v.completeChannel(c, &answer.Versions[i], p.asOf)
		}
	}
	if err == nil && more {
		last := answer.Versions[len(answer.Versions)-1].Statement.Admitted.Sequence
		answer.Cursor, err = p.next(strconv.FormatInt(last, 10))
	}
	return err
}

func scanChannel(row func(...any) error) (*attest.Channel, ChannelVersion, int, error) {
	v := ChannelVersion{SchemaVersion: SchemaVersion}
	var raw []byte
	s, err := scanStatement(func(columns ...any) error { return row(append([]any{&raw, &v.Repository}, columns...)...) })
	if err != nil {
		return nil, v, 0, err
	}
	c, err := readChannel(raw)
	if err != nil {
		return nil, v, 0, err
	}
	v.Statement, v.Name, v.Version, v.Expires, v.Revocations = s, c.Name, c.Version, c.Expires, len(c.Revocations)
	v.Bases = []ChannelBase{}
	for _, b := range c.Bases {
		v.Bases = append(v.Bases, ChannelBase(b))
	}
	return c, v, len(raw), nil
}

// readChannel reads what the projection wrote.
func readChannel(raw []byte) (*attest.Channel, error) {
	c := new(attest.Channel)
	return c, strictjson.Unmarshal(raw, attest.MaxBundle, c)
}

// completeChannel adds what other rows say about a version.
func (v *view) completeChannel(c *attest.Channel, out *ChannelVersion, asOf AsOf) error {
	var raw []byte
	err := v.tx.QueryRowContext(v.ctx, "SELECT predicate FROM channel WHERE product = ? AND name = ? AND sequence < ? ORDER BY sequence DESC LIMIT 1",
		c.Product, c.Name, out.Statement.Admitted.Sequence).Scan(&raw)
	before := new(attest.Channel)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	default:
		if before, err = readChannel(raw); err != nil {
			return err
		}
	}
	out.Before = before.Version
	out.compare(before, c)
	if out.Statement.SignerName, err = v.signerName(out.Statement.Signer, asOf); err != nil {
		return err
	}
	out.Voids, err = v.voids(out, asOf)
	return err
}

// compare says how a version differs from the one before it.
func (out *ChannelVersion) compare(before, now *attest.Channel) {
	was, is := offers(before), offers(now)
	out.Added, out.Withdrawn = without(is, was), without(was, is)
	for i := range out.Withdrawn {
		w := &out.Withdrawn[i]
		w.Superseded = slices.Contains(now.Of(w.Base).Superseded, w.Patch)
	}
	out.Revoked, out.Forgotten = without(now.Revocations, before.Revocations), without(before.Revocations, now.Revocations)
}

// offers lists what a channel offers, in its order.
func offers(c *attest.Channel) (all []ChannelPatch) {
	for _, b := range c.Bases {
		for _, p := range b.Patches {
			all = append(all, ChannelPatch{Base: b.Base, Patch: p})
		}
	}
	return all
}

// without returns what of a list is not in another.
func without[T comparable](list, other []T) []T {
	in := make(map[T]bool, len(other))
	for _, e := range other {
		in[e] = true
	}
	out := []T{}
	for _, e := range list {
		if !in[e] {
			out = append(out, e)
		}
	}
	return out
}

// voids returns the revocations of a version's statement, channel or signer. One
// of a signer from a place in the log on may leave this version as it is: the
// gate says which.
func (v *view) voids(out *ChannelVersion, asOf AsOf) ([]StatementRow, error) {
	l := &Lineage{Repository: out.Repository, AsOf: asOf}
	all := []StatementRow{}
	for _, d := range []attest.Digest{out.Statement.Subject, out.Statement.Payload, out.Statement.Signer} {
		rows, err := v.statements(l, d, true)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	slices.SortFunc(all, func(a, b StatementRow) int { return int(a.Admitted.Sequence - b.Admitted.Sequence) })
	return all, nil
}

// channel is a statement that no manifest carries, in its product's repository.
func (p *projection) channel(b *ledger.ChannelTaken) error {
	s, err := p.src.Statement(b.Bundle)
	if err != nil {
		return err
	}
	var repository string
	err = p.tx.QueryRowContext(p.ctx, "SELECT repository FROM product WHERE product = ? AND sequence <= ? ORDER BY sequence DESC LIMIT 1", b.Product, p.sequence).Scan(&repository)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if s.Channel == nil {
		return fmt.Errorf("bundle %s is of no channel", b.Bundle)
	}
	predicate, err := strictjson.Canonical(s.Channel)
	if err != nil {
		return err
	}
	if err := p.insert("channel", "product, name, predicate", b.Product, b.Name, predicate); err != nil {
		return err
	}
	return p.insert("statement",
		"repository, product, type, subject, file, payload, bundle, referrer, signer, builder, signed, log_index, by",
		repository, s.Product, s.Type, sum(s.Subject), sum(s.File), sum(s.Payload), sum(b.Bundle), nil,
		sum(s.Signer), s.BuilderID, micros(s.Time), s.LogIndex, b.By)
}
