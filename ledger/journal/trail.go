package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// errFatal marks errors after which nobody knows what is on the disk. The
// journal stops; opening it again finds out.
var errFatal = errors.New("what is on the disk is unknown")

// A trail is a file of frames that only grows, one commit after the other.
// After every commit comes a mark, which says that all bytes before it were
// synced. So a bad frame with a mark behind it was acknowledged once, and is
// damage; a bad frame without one is the torn end of a commit that never
// returned. docs/spec/journal.md, "Marks".
type trail struct {
	file   disk.File
	size   int64 // bytes committed, marks among them
	broken error // why there can be no more commits
}

const (
	markMagic = "MARK" // as a frame's length far above ledger.MaxRecord
	markSize  = 16     // magic, CRC32C of magic and offset, the mark's own offset
)

func appendMark(dst []byte, at int64) []byte {
	var m [markSize]byte
	copy(m[:], markMagic)
	binary.BigEndian.PutUint64(m[8:], uint64(at))
	binary.BigEndian.PutUint32(m[4:], markSum(m))
	return append(dst, m[:]...)
}

func markSum(m [markSize]byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(m[:4], t), t, m[8:])
}

func isMark(b []byte, at int64) bool {
	return len(b) >= markSize && bytes.Equal(b[:markSize], appendMark(nil, at))
}

// nextMark returns where the first mark at or after at is; -1 for none.
func nextMark(b []byte, at int64) int64 {
	for at < int64(len(b)) {
		i := bytes.Index(b[at:], []byte(markMagic))
		if i < 0 {
			return -1
		}
		if at += int64(i); isMark(b[at:], at) {
			return at
		}
		at++
	}
	return -1
}

// scan reads the frames of a trail. end is where whole frames and marks end;
// bytes after it are torn. synced is where the last mark begins: bytes before
// it are known to be durable, the mark itself is not. A bad frame in front of a
// mark is an error.
func scan(b []byte) (frames [][]byte, end, synced int64, err error) {
	for end < int64(len(b)) {
		if isMark(b[end:], end) {
			synced = end
			end += markSize
			continue
		}
		payload, rest, err := ledger.NextFrame(b[end:])
		if err != nil {
			if m := nextMark(b, end); m >= 0 {
				return nil, end, synced, fmt.Errorf("damaged at byte %d, although acknowledged up to byte %d: %w", end, m, err)
			}
			break
		}
		frames, end = append(frames, payload), int64(len(b)-len(rest))
	}
	return frames, end, synced, nil
}

// createTrail makes name an empty trail, durably.
func createTrail(fs disk.FS, name string) (*trail, error) {
	f, err := fs.Create(name)
	if err != nil {
		return nil, err
	}
	if err := fs.SyncDir(filepath.Dir(name)); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errFatal, err), f.Close())
	}
	return &trail{file: f}, nil
}

// openTrail opens name for more commits and returns its frames, all of them
// durable now. A torn end is cut off.
func openTrail(fs disk.FS, name string) (*trail, [][]byte, error) {
	b, err := fs.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	frames, end, synced, err := scan(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	f, err := fs.Open(name)
	if err != nil {
		return nil, nil, err
	}
	t := &trail{file: f, size: synced}
	if len(b) > 0 {
		err = t.repair(b[synced:end])
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("repairing %s: %w", name, err), f.Close())
	}
	return t, frames, nil
}

// repair writes tail, all that is whole behind what is known to be durable,
// once more, and cuts off the rest. The Sync these bytes once waited for may
// have failed; then only writing makes the next one cover them.
func (t *trail) repair(tail []byte) error {
	if _, err := t.file.WriteAt(tail, t.size); err != nil {
		return err
	}
	end := t.size + int64(len(tail))
	if err := t.file.Truncate(end); err != nil {
		return err
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	marked := isMark(tail, t.size) && len(tail) == markSize
	if t.size = end; !marked && end > 0 {
		t.mark()
	}
	return t.broken
}

// commit appends b, whole frames, with one Sync. After nil they are durable.
// An error that is not errFatal means that they are not in the trail.
func (t *trail) commit(b []byte) error {
	if t.broken != nil {
		return t.broken
	}
	// A crash from here on leaves a torn end without a mark; openTrail cuts it
	// off, or keeps what of it is whole.
	if _, err := t.file.WriteAt(b, t.size); err != nil {
		return t.undo(err)
	}
	if err := t.file.Sync(); err != nil {
		t.broken = fmt.Errorf("%w: %w", errFatal, err)
		return t.broken
	}
	// A crash from here on loses nothing: the frames are durable.
	t.size += int64(len(b))
	t.mark()
	return nil
}

// mark is not synced: it guards what is durable already, and it goes out with
// the next commit.
func (t *trail) mark() {
	if _, err := t.file.WriteAt(appendMark(nil, t.size), t.size); err != nil {
		_ = t.undo(err) // the commit stands; where undoing fails, the next one will say so
		return
	}
	t.size += markSize
}

// undo takes back a failed write.
func (t *trail) undo(cause error) error {
	if err := t.file.Truncate(t.size); err != nil {
		t.broken = fmt.Errorf("%w: %w, and taking it back: %w", errFatal, cause, err)
		return t.broken
	}
	return cause
}
