package index

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// A HostQuery asks for the hosts there are. Fields that are set must all hold.
type HostQuery struct {
	Within  Products // the asker may see these; nil: all
	Product string   // product id
	Host    string   // host id
	Range
}

// A HostPage is hosts, by id.
type HostPage struct {
	SchemaVersion int    `json:"schemaVersion"`
	AsOf          AsOf   `json:"asOf"`
	Hosts         []Host `json:"hosts"`
	Cursor        string `json:"cursor,omitzero"` // of the next page; absent on the last
}

// A Host is what the journal says of one.
type Host struct {
	SchemaVersion int           `json:"schemaVersion"`
	Host          string        `json:"host"`
	Name          string        `json:"name"` // a label, never an identity
	Key           attest.Digest `json:"key"`  // sha256 of its public key's SPKI DER
	State         string        `json:"state"`
	Products      []string      `json:"products"`        // sorted
	Enrolled      Event         `json:"enrolled"`        // its first record
	Changed       By            `json:"changed"`         // the record these values are from; by "": the host itself
	Record        *HostRecord   `json:"record,omitzero"` // the newest it sent; absent: none
}

// An Event is a journal record, by its place and time.
type Event struct {
	Sequence int64     `json:"sequence"`
	Time     time.Time `json:"time"`
}

// A HostRecord is what a host said it runs.
type HostRecord struct {
	Event
	Number   int64         `json:"number"`   // the host's own sequence
	Envelope attest.Digest `json:"envelope"` // its signed bytes, in the ledger store
	Running  []Running     `json:"running"`
}

// Running is one measured base of one product.
type Running struct {
	Product     string             `json:"product"`
	Measurement attest.Measurement `json:"measurement"`
}

// Hosts returns the hosts there are, by id.
func (x *Index) Hosts(ctx context.Context, q HostQuery) (*HostPage, error) {
	answer := &HostPage{SchemaVersion: SchemaVersion, Hosts: []Host{}}
	err := x.look(ctx, func(v *view) error {
		p, err := v.page(q.Range, "hosts", q.Within == nil, q.Within, q.Product, q.Host)
		if err != nil {
			return err
		}
		answer.AsOf = p.asOf
		return v.hosts(&q, p, answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// condition is what q asks of the host table h, one row a host.
func (q *HostQuery) condition(p *page) *where {
	w := new(where)
	w.and("h.sequence = (SELECT max(n.sequence) FROM host n WHERE n.host = h.host AND n.sequence <= ?)", p.asOf.Sequence)
	w.and("h.host > ?", p.after)
	if q.Host != "" {
		w.and("h.host = ?", q.Host)
	}
	products := new(where)
	products.and("hp.sequence = h.sequence")
	products.in("hp.product", q.Within)
	if q.Product != "" {
		products.and("hp.product = ?", q.Product)
	}
	if len(products.parts) > 1 {
		w.and("EXISTS (SELECT 1 FROM host_product hp WHERE "+products.String()+")", products.args...)
	}
	return w
}

func (v *view) hosts(q *HostQuery, p *page, answer *HostPage) error {
	w := q.condition(p)
	query := "SELECT h.host, h.name, h.key, h.state, h.sequence, r.time, h.by FROM host h JOIN record r ON r.sequence = h.sequence WHERE " +
		w.String() + " ORDER BY h.host LIMIT ?"
	more := false
	err := v.each(query, append(w.args, p.limit+1), func(row func(...any) error) error {
		if more = len(answer.Hosts) == p.limit; more {
			return nil
		}
		h := Host{SchemaVersion: SchemaVersion, Products: []string{}}
		var key []byte
		var at int64
		if err := row(&h.Host, &h.Name, &key, &h.State, &h.Changed.Sequence, &at, &h.Changed.By); err != nil {
			return err
		}
		h.Key, h.Changed.Time = digest(key), when(at)
		answer.Hosts = append(answer.Hosts, h)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range answer.Hosts {
		if err := v.completeHost(&answer.Hosts[i], p.asOf, q.Within); err != nil {
			return err
		}
	}
	if more {
		answer.Cursor, err = p.next(answer.Hosts[len(answer.Hosts)-1].Host)
	}
	return err
}

// completeHost adds products, first record and what it runs; of products, only
// those within.
func (v *view) completeHost(h *Host, asOf AsOf, within Products) error {
	seen := func(product string) bool { return within == nil || slices.Contains(within, product) }
	err := v.each("SELECT product FROM host_product WHERE sequence = ? ORDER BY product", []any{h.Changed.Sequence},
		func(row func(...any) error) error {
			var product string
			if err := row(&product); err != nil || !seen(product) {
				return err
			}
			h.Products = append(h.Products, product)
			return nil
		})
	if err != nil {
		return err
	}
	query := "SELECT h.sequence, r.time FROM host h JOIN record r ON r.sequence = h.sequence WHERE h.host = ? ORDER BY h.sequence LIMIT 1"
	var at int64
	if err := v.tx.QueryRowContext(v.ctx, query, h.Host).Scan(&h.Enrolled.Sequence, &at); err != nil {
		return err
	}
	h.Enrolled.Time = when(at)
	h.Record, err = v.hostRecord(h.Host, asOf, seen)
	return err
}

func (v *view) hostRecord(host string, asOf AsOf, seen func(product string) bool) (*HostRecord, error) {
	query := `SELECT h.sequence, r.time, h.number, h.envelope FROM host_record h JOIN record r ON r.sequence = h.sequence
		WHERE h.host = ? AND h.sequence <= ? ORDER BY h.sequence DESC LIMIT 1`
	record := &HostRecord{Running: []Running{}}
	var at int64
	var envelope []byte
	err := v.tx.QueryRowContext(v.ctx, query, host, asOf.Sequence).Scan(&record.Sequence, &at, &record.Number, &envelope)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record.Time, record.Envelope = when(at), digest(envelope)
	err = v.each("SELECT product, kind, digest, build_id FROM running WHERE sequence = ? ORDER BY position", []any{record.Sequence},
		func(row func(...any) error) error {
			var r Running
			var file []byte
			if err := row(&r.Product, &r.Measurement.Kind, &file, &r.Measurement.BuildID); err != nil || !seen(r.Product) {
				return err
			}
			r.Measurement.Digest = digest(file)
			record.Running = append(record.Running, r)
			return nil
		})
	return record, err
}
