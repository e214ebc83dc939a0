// Package monitor follows a log and says what it is caught at.
//
// A log that is read by everybody and compared by nobody can show each of them
// another history. A [Monitor] remembers the last checkpoint it verified, and
// the right edge of its tree; each visit reads what is new, and nothing else,
// and asks:
//
//   - is the checkpoint signed, and cosigned by enough witnesses;
//   - does it continue the one before, and those the witnesses have seen;
//   - do the new entries, hashed onto the edge, make its root, and is every
//     tile of hashes what the entries make;
//   - who signed the new entries.
//
// What it finds is an [Alert], and where two checkpoints contradict each other,
// both are kept: the log's own signatures are the evidence.
//
// What is remembered is replaced only by what was verified, whole and synced. A
// crash at any point leaves the last visit, and what was read of this one; what
// was found and not told yet is told at the next start, perhaps twice and never
// not at all. docs/spec/monitor.md.
package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/internal/disk"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// A Config is what a Monitor needs.
type Config struct {
	Dir         string // of its memory; made where it is missing
	Log         *client.Client
	TrustedRoot []byte // trusted_root.json with the log's key
	// Tell is told of each alert, as it is found; entries are told of when the
	// checkpoint that has them is verified. An error ends the visit, and what
	// was not told of entries is told at the next.
	Tell func(context.Context, Alert) error
}

// Options are what a Monitor can do without.
type Options struct {
	// Policy says who has to have cosigned, and which witnesses to ask what
	// they saw. Nil: nobody.
	Policy *quorum.Policy
	// Watched are the keys whose every use is an alert, by id, with a name.
	Watched map[attest.Digest]string
	// Known reports whether who signed an entry, by a key or a certificate, may.
	// Nil: everybody may.
	Known func(e *ledger.Entry) bool
	// MaxAge is how long the log may stay as it is. 0: for ever.
	MaxAge time.Duration
	// Lag is how long the log may be behind a witness, which cosigns before
	// the log publishes. 0: 5 s.
	Lag time.Duration
	// Longest is how long one visit may take. What it read is kept, and the
	// next goes on from there. 0: an hour.
	Longest time.Duration
	// Witnesses is the client they are asked with. Nil: one with a timeout of
	// 10 s.
	Witnesses *http.Client
	// Progress is told how many of how many entries are read. Nil: nobody is.
	Progress func(done, total uint64)
	// Logger takes what is no alert. Nil: nothing is logged.
	Logger *slog.Logger
}

const (
	defaultLag     = 5 * time.Second
	defaultLongest = time.Hour
	witnessTimeout = 10 * time.Second
)

func (o *Options) filled() Options {
	var f Options
	if o != nil {
		f = *o
	}
	if f.Lag == 0 {
		f.Lag = defaultLag
	}
	if f.Longest == 0 {
		f.Longest = defaultLongest
	}
	if f.Witnesses == nil {
		f.Witnesses = &http.Client{Timeout: witnessTimeout}
	}
	if f.Progress == nil {
		f.Progress = func(uint64, uint64) {}
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	return f
}

// A Monitor is open. It is not safe for concurrent use.
type Monitor struct {
	fs     disk.FS
	dir    string
	log    *client.Client
	keys   []ledger.LogKey // of the one log that is followed
	others []ledger.LogKey // of all logs that are trusted
	frozen bool            // another log takes the entries now
	tell   func(context.Context, Alert) error
	o      Options
	lock   io.Closer
	memory *memory
	spool  *spool
	told   map[string]bool // alerts of the visit before, which are not told again
	now    map[string]bool // and of this one
	broken error           // why nobody knows what is on the disk
}

// ErrBroken reports a monitor whose memory could not be written: what is on the
// disk is unknown until it is opened again.
var ErrBroken = errors.New("the monitor has to be opened again")

// Open opens the monitor that remembers in c.Dir. One process at a time may.
// It follows the log that is shown as the current one, and no other: see
// [OpenShards].
func Open(c Config, o *Options) (*Monitor, error) {
	m, err := open(disk.OS{}, c, o)
	if err == nil && m.memory.Origin != "" && !m.trusts(m.memory.Origin) {
		return nil, errors.Join(fmt.Errorf("%s is of the log %s, which is not trusted", m.path(memoryFile), m.memory.Origin), m.Close())
	}
	return m, err
}

func open(fsys disk.FS, c Config, o *Options) (*Monitor, error) {
	m := &Monitor{fs: fsys, dir: c.Dir, log: c.Log, tell: c.Tell, o: o.filled()}
	var err error
	if m.others, err = ledger.LogKeys(c.TrustedRoot); err != nil {
		return nil, err
	}
	m.keys = m.others
	if err := disk.MkdirAll(fsys, filepath.Join(m.dir, evidenceDir)); err != nil {
		return nil, fmt.Errorf("making the monitor's directory: %w", err)
	}
	if m.lock, err = fsys.Lock(filepath.Join(m.dir, "lock")); err != nil {
		return nil, fmt.Errorf("opening the monitor: %w", err)
	}
	if err := m.load(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close lets another process open the directory.
func (m *Monitor) Close() error {
	if m.spool != nil {
		return errors.Join(m.spool.close(), m.lock.Close())
	}
	return m.lock.Close()
}

// Verified returns the checkpoint that was verified last; nil: none was.
func (m *Monitor) Verified() *ledger.Checkpoint { return m.memory.seen }

// A Report is what a visit came to.
type Report struct {
	SchemaVersion int          `json:"schemaVersion"`
	Origin        string       `json:"origin"`
	Frozen        bool         `json:"frozen,omitzero"` // another log takes the entries now
	Ended         bool         `json:"ended,omitzero"`  // and this is the first visit that found it so
	Size          uint64       `json:"size"`            // verified
	Root          string       `json:"root"`            // hex
	Before        *uint64      `json:"before,omitzero"` // size at the visit before; absent: this is the first
	Entries       uint64       `json:"entries"`         // new ones, read and hashed
	Grew          time.Time    `json:"grew"`            // when the log was last seen to have grown
	Alerts        int          `json:"alerts"`          // those told at an earlier visit among them
	Breach        bool         `json:"breach"`          // one of them is the log's
	Witnesses     []WitnessSaw `json:"witnesses,omitzero"`
	Absent        []string     `json:"absent,omitzero"` // logs of the trusted root that the server does not show, and did not before
}

// A WitnessSaw is what one witness says it cosigned last.
type WitnessSaw struct {
	Witness string  `json:"witness"`
	Size    *uint64 `json:"size,omitzero"` // absent: nothing, or it did not say
	Error   string  `json:"error,omitzero"`
}
