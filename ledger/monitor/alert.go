package monitor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// A Kind is what an alert is about. Kinds are added, never renamed.
type Kind string

// What a log is caught at, and what whoever watches asked to be told.
const (
	SplitView  Kind = "split-view"  // two histories under one key
	RolledBack Kind = "rollback"    // fewer entries than before, or than a witness has seen
	Replaced   Kind = "replaced"    // entries or hashes that are not what the checkpoint says
	Missing    Kind = "missing"     // entries or hashes that are not there
	Unsigned   Kind = "unsigned"    // a checkpoint by no trusted key
	Unseen     Kind = "unwitnessed" // too few witnesses cosigned
	Thawed     Kind = "unfrozen"    // a log that had ended has other entries now, or takes them
	Unfinished Kind = "unfinished"  // a log that takes longer to read than a visit may
	Index      Kind = "index"       // the server's index says something else than its log and journal
	Stale      Kind = "stale"       // it has not grown for too long
	WatchedKey Kind = "watched-key" // an entry by a key that is watched
	UnknownKey Kind = "unknown-key" // an entry by a key nobody named
	Unreadable Kind = "unreadable"  // an entry of another form than a log here has
)

// Breach reports whether the log, or whoever serves it, did what an honest one
// does not.
func (k Kind) Breach() bool {
	switch k {
	case Stale, WatchedKey, UnknownKey, Unreadable:
		return false
	}
	return true
}

// An Alert is one thing somebody has to look at.
type Alert struct {
	SchemaVersion int           `json:"schemaVersion"`
	Alert         Kind          `json:"alert"`
	Origin        string        `json:"origin,omitzero"` // of the log, where a checkpoint of it was verified
	Time          time.Time     `json:"time"`            // the monitor's clock
	Text          string        `json:"text"`            // for people
	Index         *uint64       `json:"index,omitzero"`  // of the entry
	Key           attest.Digest `json:"key,omitzero"`    // id of the key that signed it
	Name          string        `json:"name,omitzero"`   // what the key is called here
	Digest        attest.Digest `json:"digest,omitzero"` // sha256 of what was signed, the envelope's PAE
	Evidence      []string      `json:"evidence,omitzero"`
}

// same identifies an alert that is found again at the next visit.
func (a *Alert) same() string { return string(a.Alert) + " " + a.Text }

const (
	evidenceDir = "evidence"
	// maxAlone is how many files are kept of checkpoints that contradict no
	// other. Those that do are all kept.
	maxAlone = 1000
)

// alert tells of a, unless the visit before told the same.
func (m *Monitor) alert(ctx context.Context, r *Report, a Alert) error {
	a.SchemaVersion, a.Time = 1, time.Now().UTC().Truncate(time.Second)
	if a.Origin == "" {
		a.Origin = m.memory.Origin
	}
	r.Alerts++
	r.Breach = r.Breach || a.Alert.Breach()
	m.now[a.same()] = true
	if m.told[a.same()] {
		return nil
	}
	return m.tell(ctx, a)
}

// against tells of a contradiction between what was seen and what is shown
// now, and keeps both.
func (m *Monitor) against(ctx context.Context, r *Report, kind Kind, seen, shown *ledger.Checkpoint, text string) error {
	files, err := m.keep(kind, seen.Raw, shown.Raw)
	if err != nil {
		return err
	}
	return m.alert(ctx, r, Alert{Alert: kind, Origin: shown.Origin, Text: text, Evidence: files})
}

// keep puts signed notes aside, durably: what was seen before, where there is
// something, and what is shown now. The same ones are kept once.
func (m *Monitor) keep(kind Kind, seen, shown []byte) ([]string, error) {
	if seen == nil && m.full() {
		return nil, nil
	}
	h := sha256.New()
	for _, b := range [][]byte{seen, shown} {
		fmt.Fprintf(h, "%d\n%s", len(b), b)
	}
	name := filepath.Join(m.dir, evidenceDir, string(kind)+"-"+hex.EncodeToString(h.Sum(nil)[:8]))
	var files []string
	for suffix, b := range map[string][]byte{".seen": seen, ".shown": shown} {
		if b == nil {
			continue
		}
		if err := m.keepFile(name+suffix, b); err != nil {
			return nil, fmt.Errorf("keeping evidence: %w", err)
		}
	}
	if seen != nil {
		files = append(files, name+".seen")
	}
	return append(files, name+".shown"), nil
}

func (m *Monitor) full() bool {
	names, err := m.fs.ReadDir(m.path(evidenceDir))
	return err == nil && len(names) >= maxAlone
}

func (m *Monitor) keepFile(name string, b []byte) error {
	if _, err := m.fs.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return disk.WriteFile(m.fs, name+".new", name, b)
}
