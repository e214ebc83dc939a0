// Package damage keeps what is known of stored bytes that changed or are gone,
// until they are whole again: over restarts, so that an alarm is not over
// because the one who raised it is. docs/spec/registry.md, "Damage".
//
// A [Book] is one small file. What it says is about this machine's disk, and
// no fact about an artifact: it is not in the journal. Whoever looks after the
// machine can say that a finding is known ([Acknowledge]), with or without a
// server running, by a file beside the book.
package damage

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
)

// A Kind says what the bytes are.
type Kind string

// The kinds.
const (
	Blob     Kind = "blob"
	Manifest Kind = "manifest"
	Bundle   Kind = "bundle" // signed evidence
	Notes    Kind = "notes"  // an earlier book, which could not be read
)

// Kinds lists every kind.
func Kinds() []Kind { return []Kind{Blob, Manifest, Bundle, Notes} }

// An Object is what has a digest, and where it was found damaged.
type Object struct {
	Kind       Kind          `json:"kind"`
	Repository string        `json:"repository"` // "": in none that is served
	Digest     attest.Digest `json:"digest"`
}

// A Finding is an object whose bytes are damaged.
type Finding struct {
	Object
	First time.Time `json:"first"`
	Last  time.Time `json:"last"` // seen so
	// Acknowledged is what somebody said about it since; nil: nobody.
	Acknowledged *Acknowledgement `json:"acknowledged,omitzero"`
}

// A Pass is one reading of everything, from beginning to end.
type Pass struct {
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Objects int64     `json:"objects"`
	Bytes   int64     `json:"bytes"`
	Damaged int64     `json:"damaged"`
	Unread  int64     `json:"unread"` // objects the disk or the bucket did not give out
}

// A Report is what a book says at one moment.
type Report struct {
	Pass     Pass           // the last one; zero: none yet
	Findings []Finding      // by kind, repository and digest
	Omitted  int64          // further findings there is no room for
	Found    map[Kind]int64 // ever, repaired ones too
	Last     time.Time      // when damage was last seen; zero: never
}

// Open returns the findings nobody has acknowledged.
func (r *Report) Open() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Acknowledged != nil })
}

const (
	// maxFindings is how many objects are listed.
	maxFindings = 10_000
	// rewrite is how often at most it is written down that something is
	// damaged still.
	rewrite = time.Minute
)

// Options may be nil.
type Options struct {
	Logger *slog.Logger // nil: silent
}

// A Book is safe for concurrent use.
type Book struct {
	dir    string
	logger *slog.Logger

	mu       sync.Mutex
	notes    notes
	findings map[key]*Finding
	written  time.Time
	unsaved  bool
}

// A key is what makes two findings one.
type key struct {
	kind   Kind
	digest attest.Digest
}

// OpenBook opens the book in dir, or makes an empty one. One that cannot be
// read is put aside, and is a finding itself: what it knew is lost.
func OpenBook(dir string, o *Options) (*Book, error) {
	b := &Book{dir: dir, logger: slog.New(slog.DiscardHandler), findings: make(map[key]*Finding)}
	if o != nil && o.Logger != nil {
		b.logger = o.Logger
	}
	if err := os.MkdirAll(acknowledgements(dir), 0o700); err != nil {
		return nil, fmt.Errorf("opening the book of damage: %w", err)
	}
	if err := errors.Join(durable.Sweep(dir), durable.Sweep(acknowledgements(dir))); err != nil {
		return nil, fmt.Errorf("opening the book of damage: %w", err)
	}
	raw, n, err := read(dir)
	switch {
	case err != nil && raw == nil:
		return nil, fmt.Errorf("opening the book of damage: %w", err)
	case err != nil:
		return b, b.putAside(raw, err)
	}
	b.notes = n
	for _, f := range n.Findings {
		b.findings[key{f.Kind, f.Digest}] = &f
	}
	return b, nil
}

// putAside keeps an unreadable book where it is not in the way. It is replaced
// by the book that tells of it, in one step: a crash before that leaves it to
// the next start, and never no book.
func (b *Book) putAside(raw []byte, cause error) error {
	d, err := b.copyAside(raw)
	if err != nil {
		return fmt.Errorf("putting the unreadable book of damage aside: %w", err)
	}
	b.logger.Error("the book of damage cannot be read: what it knew is lost until everything is scrubbed again", "error", cause, "file", filepath.Join(b.dir, aside(d)))
	b.Found(Object{Kind: Notes, Digest: d})
	return nil
}

func (b *Book) copyAside(raw []byte) (attest.Digest, error) {
	d := attest.DigestOf(raw)
	return d, durable.Replace(filepath.Join(b.dir, aside(d)), raw, 0o600)
}

func aside(d attest.Digest) string { return "unreadable-" + d.Hex() }

// Found notes that an object is damaged.
func (b *Book) Found(o Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now().UTC().Truncate(time.Second)
	b.notes.Last = now
	f, known := b.findings[key{o.Kind, o.Digest}]
	switch {
	case known:
		f.Last = now
		b.unsaved = true
		if time.Since(b.written) < rewrite {
			return
		}
	case len(b.findings) >= maxFindings:
		b.count(o.Kind)
		b.notes.Omitted++
	default:
		b.count(o.Kind)
		b.findings[key{o.Kind, o.Digest}] = &Finding{Object: o, First: now, Last: now}
	}
	b.save()
}

func (b *Book) count(k Kind) {
	if b.notes.Found == nil {
		b.notes.Found = make(map[Kind]int64)
	}
	b.notes.Found[k]++
}

// Whole notes that an object has its digest, or is needed no more.
func (b *Book) Whole(k Kind, d attest.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, known := b.findings[key{k, d}]
	if !known {
		return
	}
	delete(b.findings, key{k, d})
	b.logger.Info("stored bytes are no longer damaged", "kind", k, "repository", f.Repository, "digest", d)
	if err := withdraw(b.dir, d); err != nil {
		b.logger.Error("an acknowledgement of damage is left over", "digest", d, "error", err)
	}
	b.save()
}

// Passed notes that everything was read.
func (b *Book) Passed(p Pass) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes.Pass = p
	b.notes.Omitted = max(0, p.Damaged-int64(len(b.findings)))
	b.save()
}

// Report returns what is known.
func (b *Book) Report() Report {
	b.mu.Lock()
	r := b.notes.report()
	r.Findings = b.listed()
	b.mu.Unlock()
	acknowledge(b.dir, r.Findings)
	return r
}

// Close writes down what is not written yet.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unsaved {
		b.save()
	}
	return nil
}

// listed returns the findings in their order. b.mu is held.
func (b *Book) listed() []Finding {
	all := make([]Finding, 0, len(b.findings))
	for _, f := range b.findings {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Repository, y.Repository), cmp.Compare(x.Digest, y.Digest))
	})
	return all
}

// save writes the book. Where it cannot, the alarm is in memory and in the log,
// and the next change tries again. b.mu is held.
func (b *Book) save() {
	b.notes.Findings = b.listed()
	b.written = time.Now()
	err := b.notes.write(b.dir)
	if b.unsaved = err != nil; b.unsaved {
		b.logger.Error("the book of damage is not written down", "error", err)
	}
}

func (n *notes) report() Report {
	return Report{Pass: n.Pass, Findings: n.Findings, Omitted: n.Omitted, Found: maps.Clone(n.Found), Last: n.Last}
}
