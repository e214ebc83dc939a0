// Package disktest is a file system in memory that knows what a power cut
// leaves behind, and that breaks on demand. It is a little nastier than a real
// one: nothing unsynced survives a clean cut, a failed Sync forgets what it
// could not write, and a torn cut keeps any part of what was unsynced.
package disktest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// A Fault is what one operation does instead of its work.
type Fault int

// The faults. Half is Fails for everything but WriteAt.
const (
	None  Fault = iota
	Fails       // it does not happen and fails
	Lies        // it happens and fails all the same
	Half        // half of a write happens and it fails
	Dead        // the process is no more: nothing happens, nothing is forgotten
)

// What a faulted operation returns.
var (
	ErrFault = errors.New("disktest: input/output error")
	ErrDead  = errors.New("disktest: the process is no more")
)

// FS is the file system. Its zero value is not usable; call New.
type FS struct {
	mu    sync.Mutex
	root  *node
	locks map[string]bool
	ops   []string
	plan  func(op string) Fault
}

type node struct {
	names, durableNames map[string]*node // a directory's
	data, durable       []byte           // a file's
	pending             []change         // from durable to data, unless a Sync failed
}

type change struct {
	at       int64
	data     []byte
	truncate bool // to at
}

// New returns an empty file system with a root directory "/".
func New() *FS {
	return &FS{root: newDir(), locks: make(map[string]bool), plan: func(string) Fault { return None }}
}

func newDir() *node {
	return &node{names: make(map[string]*node), durableNames: make(map[string]*node)}
}

func (n *node) dir() bool { return n.names != nil }

// Break makes plan decide what each later operation does; op is as Ops returns
// it. A nil plan lifts the faults.
func (f *FS) Break(plan func(op string) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if plan == nil {
		plan = func(string) Fault { return None }
	}
	f.plan = plan
}

// BreakNth breaks the n-th operation from now, counted from 0, and no other.
func (f *FS) BreakNth(n int, fault Fault) {
	i := -1
	f.Break(func(string) Fault {
		if i++; i == n {
			return fault
		}
		return None
	})
}

// Do runs work, which must not use f, as one more operation that can be
// broken.
func (f *FS) Do(op, name string, work func() error) error { return f.do(op, name, work) }

// Ops returns every changing operation so far, as "write /a/b".
func (f *FS) Ops() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ops)
}

// Kill returns the file system as the next process finds it after this one
// was killed: everything written is there, locks are gone, faults lifted.
// Unsynced and forgotten bytes stay so.
func (f *FS) Kill() *FS {
	return f.copy(func(n *node) *node { return n })
}

// Cut returns what is there after a power cut: what was synced, no more.
func (f *FS) Cut() *FS {
	return f.copy(func(n *node) *node {
		return &node{names: n.durableNames, durableNames: n.durableNames, data: n.durable, durable: n.durable}
	})
}

// Torn is Cut, but any part of what was not synced may have got there too.
func (f *FS) Torn(r *rand.Rand) *FS {
	return f.copy(func(n *node) *node {
		names, data := tornNames(n, r), tornData(n, r)
		return &node{names: names, durableNames: names, data: data, durable: data}
	})
}

// copy copies the tree, each node as view sees it.
func (f *FS) copy(view func(*node) *node) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := New()
	done := make(map[*node]*node)
	var walk func(n *node) *node
	walk = func(n *node) *node {
		if c := done[n]; c != nil {
			return c
		}
		c := &node{}
		done[n] = c
		v := view(n)
		c.data, c.durable, c.pending = slices.Clone(v.data), slices.Clone(v.durable), slices.Clone(v.pending)
		if n.dir() {
			c.names, c.durableNames = make(map[string]*node), make(map[string]*node)
		}
		for _, name := range slices.Sorted(maps.Keys(v.names)) {
			c.names[name] = walk(v.names[name])
		}
		for _, name := range slices.Sorted(maps.Keys(v.durableNames)) {
			c.durableNames[name] = walk(v.durableNames[name])
		}
		return c
	}
	k.root = walk(f.root)
	return k
}

func tornNames(n *node, r *rand.Rand) map[string]*node {
	if !n.dir() {
		return nil
	}
	out := maps.Clone(n.durableNames)
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		if r.IntN(2) == 0 {
			out[name] = n.names[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.durableNames)) {
		if _, ok := n.names[name]; !ok && r.IntN(2) == 0 {
			delete(out, name)
		}
	}
	return out
}

func tornData(n *node, r *rand.Rand) []byte {
	out := slices.Clone(n.durable)
	for _, c := range n.pending {
		if r.IntN(3) == 0 {
			continue
		}
		c.data = c.data[:r.IntN(len(c.data)+1)]
		out = c.apply(out)
	}
	return out
}

func (c change) apply(b []byte) []byte {
	if c.truncate {
		return append(slices.Clone(b[:min(c.at, int64(len(b)))]), make([]byte, max(0, c.at-int64(len(b))))...)
	}
	if need := c.at + int64(len(c.data)); need > int64(len(b)) {
		b = append(slices.Clone(b), make([]byte, need-int64(len(b)))...)
	} else {
		b = slices.Clone(b)
	}
	copy(b[c.at:], c.data)
	return b
}

// Corrupt changes a file's bytes behind everyone's back, durably.
func (f *FS) Corrupt(name string, change func([]byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(name)
	if err != nil {
		panic(err)
	}
	n.data = change(slices.Clone(n.data))
	n.durable, n.pending = n.data, nil
}

// Files returns the names of all files below dir, sorted.
func (f *FS) Files(dir string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	var walk func(string, *node)
	walk = func(p string, n *node) {
		if !n.dir() {
			out = append(out, p)
			return
		}
		for name, child := range n.names {
			walk(path.Join(p, name), child)
		}
	}
	if n, err := f.find(dir); err == nil {
		walk(dir, n)
	}
	slices.Sort(out)
	return out
}

func (f *FS) find(name string) (*node, error) {
	n := f.root
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		if part == "" {
			continue
		}
		if n == nil || !n.dir() {
			n = nil
			break
		}
		n = n.names[part]
	}
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

// do runs one changing operation under the plan.
func (f *FS) do(op, name string, work func() error) error {
	return f.doHalf(op, name, work, func() {})
}

// doHalf is do for an operation that can happen in part.
func (f *FS) doHalf(op, name string, work func() error, half func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	op += " " + name
	f.ops = append(f.ops, op)
	fault := f.plan(op)
	switch fault {
	case None:
		return work()
	case Dead:
		return fmt.Errorf("%s: %w", op, ErrDead)
	case Half:
		half()
	case Lies:
		if err := work(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", op, ErrFault)
}

func (f *FS) parent(name string) (*node, string, error) {
	p, err := f.find(path.Dir(name))
	if err == nil && !p.dir() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return p, path.Base(name), err
}

var _ disk.FS = (*FS)(nil)
var _ io.Closer = (*lock)(nil)
