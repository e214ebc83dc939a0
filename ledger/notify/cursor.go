package notify

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// maxCursor is the longest cursor file that is read, in bytes.
const maxCursor = 1 << 10

// A cursor is the file that says how far an endpoint got.
type cursor struct {
	fs   disk.FS
	name string
}

// place is what is in the file: every record up to and including Sequence was
// taken, set aside, or is told to others only.
type place struct {
	Sequence int64 `json:"sequence"`
}

// load returns the place; false: there is none yet.
func (c *cursor) load() (sequence int64, ok bool, err error) {
	b, err := c.fs.ReadFile(c.name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	var p place
	if err := strictjson.Unmarshal(b, maxCursor, &p); err != nil {
		return 0, false, fmt.Errorf("reading %s: %w: write {\"sequence\":N} into it, N being the last record the endpoint has, or remove it to go on with the next", c.name, err)
	}
	if p.Sequence < 0 {
		return 0, false, fmt.Errorf("reading %s: sequence %d", c.name, p.Sequence)
	}
	return p.Sequence, true, nil
}

// save makes the place durable. After an error the file holds the old place or
// the new one: either is true enough, since what comes twice has the same id.
func (c *cursor) save(sequence int64) error {
	b, err := strictjson.Canonical(place{sequence})
	if err != nil {
		return err
	}
	return disk.WriteFile(c.fs, c.name+".new", c.name, append(b, '\n'))
}

// aside is the directory of the events an endpoint refused for good: one file
// each, so that writing one again changes nothing.
type aside struct {
	fs  disk.FS
	dir string
}

// put keeps an event, durably, exactly as it would have been sent.
func (a *aside) put(id string, body []byte) (name string, err error) {
	if err := disk.MkdirAll(a.fs, a.dir); err != nil {
		return "", err
	}
	name = filepath.Join(a.dir, id+".json")
	return name, disk.WriteFile(a.fs, name+".new", name, body)
}
