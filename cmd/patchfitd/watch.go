package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/ledger/notify"
	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/damage"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/scrub"
)

// scrubDir, below the data directory, is where damage is kept in mind.
const scrubDir = "scrub"

// watched are the rooms a meter asks how they are (docs/spec/metrics.md). What
// is nil is not open.
type watched struct {
	meter    *meter.Meter
	book     *damage.Book
	gate     *gate.Gate
	oci      *registry.Registry
	content  *content.Store
	scrubber *scrub.Scrubber
	notifier *notify.Notifier
	index    *index.Index
}

// openBook opens what is known of damage.
func (h *house) openBook() (err error) {
	if h.book, err = damage.OpenBook(h.path(scrubDir), &damage.Options{Logger: h.logger}); err != nil {
		return err
	}
	h.closers = append(h.closers, h.book.Close)
	return nil
}

// condition asks every room how it is.
func (h *house) condition() meter.State {
	s := meter.State{Ready: h.isReady(), Damage: h.damage(), Scrub: h.scrubbing(), Decisions: h.decisions(), Disputes: h.disputes(time.Now())}
	var errs []error
	for _, ask := range []func(*meter.State) error{h.askJournal, h.askLog, h.askTrust, h.askIndex, h.askRoom, h.askNotifier} {
		errs = append(errs, ask(&s))
	}
	for _, err := range errs {
		if err != nil {
			s.Errors++
		}
	}
	if err := errors.Join(errs...); err != nil {
		h.logger.Error("a number for the metrics is missing", "error", err)
	}
	return s
}

func (h *house) damage() meter.Damage {
	r := h.book.Report()
	d := meter.Damage{
		Open: make(map[string]int64), Acknowledged: make(map[string]int64), Found: make(map[string]int64),
		Unlisted: r.Omitted, Last: r.Last,
	}
	for _, k := range damage.Kinds() {
		d.Open[string(k)], d.Acknowledged[string(k)], d.Found[string(k)] = 0, 0, r.Found[k]
	}
	for _, f := range r.Findings {
		if f.Acknowledged != nil {
			d.Acknowledged[string(f.Kind)]++
		} else {
			d.Open[string(f.Kind)]++
		}
	}
	return d
}

func (h *house) scrubbing() meter.Scrub {
	p := h.book.Report().Pass
	s := meter.Scrub{Last: meter.Pass{Started: p.Started, Ended: p.Ended, Objects: p.Objects, Bytes: p.Bytes, Damaged: p.Damaged, Unread: p.Unread}}
	if c := h.config.Registry.Scrub; c != nil {
		s.Every = time.Duration(c.Every)
	}
	if h.scrubber != nil {
		var now scrub.Result
		now, s.Running = h.scrubber.Now()
		s.Objects, s.Bytes = int64(now.Objects), now.Bytes
	}
	return s
}

func (h *house) decisions() meter.Decisions {
	if h.gate == nil {
		return meter.Decisions{}
	}
	t := h.gate.Tally()
	d := meter.Decisions{Allowed: t.Allowed, Unrecorded: t.Unrecorded, Denied: make(map[string]uint64, len(t.Denied))}
	for reason, n := range t.Denied {
		d.Denied[string(reason)] = n
	}
	return d
}

// disputes counts what rebuilders say is not what it should be.
func (h *house) disputes(now time.Time) map[string]int64 {
	all := map[string]int64{"yes": 0, "no": 0}
	for _, d := range h.state.Disputed() {
		if d.Dispute.Asked && (d.Dispute.Until.IsZero() || now.Before(d.Dispute.Until)) {
			all["yes"]++
		} else {
			all["no"]++
		}
	}
	return all
}

func (h *house) askJournal(s *meter.State) error {
	stats, err := h.journal.Stats()
	s.Journal = meter.Journal{Up: h.journal.Err() == nil, Records: stats.Records, Sealed: stats.Sealed, Oldest: stats.Oldest}
	return err
}

func (h *house) askLog(s *meter.State) error {
	size, at, err := h.log.Published()
	s.Log = meter.Log{Entries: int64(size), Published: at}
	s.Log.Unpublished = h.log.Unpublished()
	for _, w := range h.log.Witnesses() {
		s.Witnesses = append(s.Witnesses, meter.Witness{Name: w.Name, Requests: w.Requests, Cosigned: w.Cosigned})
	}
	return err
}

func (h *house) askTrust(s *meter.State) (err error) {
	s.Trust, err = h.tuf.Expiries(time.Now())
	return err
}

func (h *house) askIndex(s *meter.State) (err error) {
	if h.index == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.Indexed, err = h.index.Applied(ctx)
	return err
}

func (h *house) askRoom(s *meter.State) error {
	s.Quota, s.Stored = int64(h.config.Registry.Limits.Repository), make(map[string]int64)
	for _, repository := range h.state.Repositories() {
		if product, ok := h.state.Product(repository); ok {
			s.Stored[product], _ = h.state.Usage(repository, "")
		}
	}
	if h.oci != nil {
		s.Uploads = h.oci.OpenUploads()
	}
	if h.content != nil {
		s.DiskLow = errors.Is(h.content.Room(), content.ErrFull)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(h.config.Data, &disk); err != nil {
		return err
	}
	s.DiskFree, s.DiskSize = int64(disk.Bavail)*disk.Bsize, int64(disk.Blocks)*disk.Bsize
	return nil
}

func (h *house) askNotifier(s *meter.State) (err error) {
	if h.notifier != nil {
		s.Pending, err = h.notifier.Behind()
	}
	return err
}
