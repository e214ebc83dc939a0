package rekorv2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
)

// The files of a copy. Leaves are appended and synced, and then, and only then,
// the checkpoint that has them is replaced: what is behind its size counts for
// nothing.
const (
	leavesFile     = "leaves" // each after its length in two bytes, big endian
	checkpointFile = "checkpoint"
)

// A mirror is what was verified of a log, on this machine's disk and in memory.
// Its owner sees to it that nobody reads while it grows.
type mirror struct {
	dir     string
	file    *os.File
	cp      *ledger.Checkpoint // nil before the first
	at      time.Time          // when it was kept
	tree    tree
	offsets []int64 // where each leaf begins in the file, and where the next will
	known   map[tlog.Hash]uint64
	byKey   map[attest.Digest]int64
}

// openMirror reads the copy in dir, or makes an empty one, and hashes it again.
func openMirror(dir string, keys []ledger.LogKey) (*mirror, error) {
	c := &mirror{dir: dir, offsets: []int64{0}, known: make(map[tlog.Hash]uint64), byKey: make(map[attest.Digest]int64)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log's copy: %w", err)
	}
	var err error
	if c.file, err = os.OpenFile(filepath.Join(dir, leavesFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("opening the log's copy: %w", err)
	}
	err = c.load(keys)
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the log's copy: %w", err), c.file.Close())
	}
	return c, nil
}

func (c *mirror) load(keys []ledger.LogKey) error {
	name := filepath.Join(c.dir, checkpointFile)
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.cp, err = ledger.OpenCheckpoint(raw, keys); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrCorrupt, err)
	}
	if info, err := os.Stat(name); err == nil {
		c.at = info.ModTime()
	}
	if err := c.read(c.cp.Size); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrCorrupt, err)
	}
	if root, err := c.tree.root(c.cp.Size); err != nil || !bytes.Equal(root, c.cp.Root) {
		return fmt.Errorf("%w: its %d entries have the root %x, the checkpoint says %x (%v)", backend.ErrCorrupt, c.cp.Size, root, c.cp.Root, err)
	}
	return nil
}

// read takes the first size leaves of the file.
func (c *mirror) read(size uint64) error {
	r := io.NewSectionReader(c.file, 0, 1<<62)
	in := bufio.NewReaderSize(r, 1<<20)
	var length [2]byte
	for n := range size {
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
		leaf := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(in, leaf); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
		c.take(leaf)
	}
	return nil
}

// take puts a leaf that is in the file into what is known.
func (c *mirror) take(leaf []byte) {
	index, h := c.tree.size(), tlog.RecordHash(leaf)
	c.tree.add(h)
	c.offsets = append(c.offsets, c.offsets[index]+2+int64(len(leaf)))
	if _, twice := c.known[h]; twice {
		return // of several equal ones the first counts
	}
	c.known[h] = index
	if e, err := ledger.ParseEntry(leaf); err == nil {
		c.byKey[e.Key.ID()]++
	}
}

// append keeps the leaves that come after those there are, durably. It knows
// them only with the checkpoint.
func (c *mirror) append(leaves [][]byte) error {
	var b []byte
	for _, leaf := range leaves {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
	}
	if _, err := c.file.WriteAt(b, c.offsets[len(c.offsets)-1]); err != nil {
		return fmt.Errorf("keeping the log's entries: %w", err)
	}
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("keeping the log's entries: %w", err)
	}
	return nil
}

// commit makes cp what the copy is of. The leaves it has were appended.
func (c *mirror) commit(cp *ledger.Checkpoint, leaves [][]byte) error {
	if err := durable.Replace(filepath.Join(c.dir, checkpointFile), cp.Raw, 0o600); err != nil {
		return fmt.Errorf("keeping the log's checkpoint: %w", err)
	}
	for _, leaf := range leaves {
		c.take(leaf)
	}
	c.cp, c.at = cp, time.Now()
	return nil
}

// bundle returns leaves as a tile of entries has them.
func (c *mirror) bundle(first, n uint64) ([]byte, error) {
	b := make([]byte, c.offsets[first+n]-c.offsets[first])
	if _, err := c.file.ReadAt(b, c.offsets[first]); err != nil {
		return nil, fmt.Errorf("reading the log's copy: %w", err)
	}
	return b, nil
}

// contradicts keeps two signed words of the log that cannot both be true.
func (c *mirror) contradicts(seen, shown []byte) error {
	err := durable.Replace(filepath.Join(c.dir, "contradiction.seen"), seen, 0o600)
	return errors.Join(err, durable.Replace(filepath.Join(c.dir, "contradiction.shown"), shown, 0o600))
}
