// Package lossy is a file system in memory that forgets, at a power cut, what
// was not synced: a file's bytes that no fsync of the file followed, and names
// that no fsync of their directory followed. It is mounted (FUSE), so that
// unmodified programs run on it.
//
// It is as hard as POSIX allows and harder than most disks are: a new file whose
// bytes are synced is still lost while its name is not, and nothing is ever
// synced by something else's sync. Changes reach the disk in the order they were
// made: of those that were not synced, a cut keeps the first few, or none.
package lossy

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// An FS is mounted on a directory. Its programs have to have ended before Cut
// and Unmount.
type FS struct {
	dir    string
	mu     sync.Mutex
	root   *node
	server *fuse.Server
}

// Mount mounts an empty file system on dir, which exists.
func Mount(dir string) (*FS, error) {
	f := &FS{dir: dir}
	f.root = f.newDir(0o700)
	return f, f.mount()
}

func (f *FS) mount() error {
	server, err := fs.Mount(f.dir, f.root, &fs.Options{
		NullPermissions: true,
		MountOptions:    fuse.MountOptions{FsName: "lossy", Name: "lossy", DisableXAttrs: true, DirectMount: os.Getuid() == 0},
	})
	if err != nil {
		return fmt.Errorf("mounting on %s: %w", f.dir, err)
	}
	f.server = server
	return nil
}

// Unmount ends the file system and everything in it.
func (f *FS) Unmount() error { return f.server.Unmount() }

// Cut is a power cut and the start after it. Of what was not synced it keeps
// what random says, file by file; with a nil random, nothing.
func (f *FS) Cut(random *rand.Rand) error {
	if err := f.server.Unmount(); err != nil {
		return fmt.Errorf("unmounting %s: %w", f.dir, err)
	}
	f.root = f.root.after(random, make(map[*node]*node))
	return f.mount()
}

// A node is a file or a directory. What it is now is what was synced and the
// changes since.
type node struct {
	fs.Inode
	fs    *FS
	mode  uint32
	isDir bool
	time  time.Time

	data, syncedData   []byte
	names, syncedNames map[string]*node
	changes            []func(*node) // of a copy of what was synced
}

func (f *FS) newFile(mode uint32) *node {
	return &node{fs: f, mode: mode & 0o777, time: time.Now()}
}

func (f *FS) newDir(mode uint32) *node {
	return &node{fs: f, mode: mode & 0o777, isDir: true, time: time.Now(), names: map[string]*node{}}
}

// change applies a change now, and remembers it until the next sync.
func (n *node) change(do func(*node)) {
	do(n)
	n.time = time.Now()
	n.changes = append(n.changes, do)
}

func (n *node) sync() {
	n.changes = nil
	n.syncedData = append([]byte(nil), n.data...)
	n.syncedNames = maps.Clone(n.names)
}

// after returns what is there after a power cut.
func (n *node) after(random *rand.Rand, seen map[*node]*node) *node {
	if seen[n] != nil {
		return seen[n] // another name of the same file
	}
	kept := &node{fs: n.fs, mode: n.mode, isDir: n.isDir, time: n.time, data: append([]byte(nil), n.syncedData...), names: maps.Clone(n.syncedNames)}
	if kept.names == nil && n.isDir {
		kept.names = map[string]*node{}
	}
	seen[n] = kept
	if random != nil {
		for _, do := range n.changes[:random.IntN(len(n.changes)+1)] {
			do(kept)
		}
	}
	for name, child := range kept.names {
		kept.names[name] = child.after(random, seen)
	}
	kept.sync()
	return kept
}

// OnAdd puts what is in a directory into the tree that go-fuse serves.
func (n *node) OnAdd(ctx context.Context) {
	for name, child := range n.names {
		if child.Inode.StableAttr().Ino != 0 { // another name had it added
			n.AddChild(name, &child.Inode, true)
			continue
		}
		n.AddChild(name, n.adopt(ctx, child), true)
	}
}

func (n *node) adopt(ctx context.Context, child *node) *fs.Inode {
	mode := uint32(syscall.S_IFREG)
	if child.isDir {
		mode = syscall.S_IFDIR
	}
	return n.NewPersistentInode(ctx, child, fs.StableAttr{Mode: mode})
}

func (n *node) attributes(out *fuse.Attr) {
	out.Mode, out.Size, out.Nlink = n.mode, uint64(len(n.data)), 1
	out.Uid, out.Gid = uint32(os.Getuid()), uint32(os.Getgid())
	out.SetTimes(&n.time, &n.time, &n.time)
}

// Getattr implements [fs.NodeGetattrer].
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.attributes(&out.Attr)
	return 0
}

// Setattr implements [fs.NodeSetattrer].
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if mode, ok := in.GetMode(); ok {
		n.mode = mode & 0o777
	}
	if size, ok := in.GetSize(); ok {
		n.change(func(n *node) { n.resize(size) })
	}
	if at, ok := in.GetMTime(); ok {
		n.time = at
	}
	n.attributes(&out.Attr)
	return 0
}

func (n *node) resize(size uint64) {
	if size <= uint64(len(n.data)) {
		n.data = n.data[:size:size]
		return
	}
	n.data = append(n.data, make([]byte, size-uint64(len(n.data)))...)
}

// Open implements [fs.NodeOpener].
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if flags&syscall.O_TRUNC != 0 && !n.isDir {
		n.change(func(n *node) { n.resize(0) })
	}
	return nil, 0, 0
}

// Read implements [fs.NodeReader].
func (n *node) Read(_ context.Context, _ fs.FileHandle, to []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	at = min(at, int64(len(n.data)))
	end := min(int(at)+len(to), len(n.data))
	return fuse.ReadResultData(append([]byte(nil), n.data[at:end]...)), 0
}

// Write implements [fs.NodeWriter].
func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	data = append([]byte(nil), data...)
	n.change(func(n *node) {
		if end := uint64(at) + uint64(len(data)); end > uint64(len(n.data)) {
			n.resize(end)
		}
		copy(n.data[at:], data)
	})
	return uint32(len(data)), 0
}

// Allocate implements [fs.NodeAllocater].
func (n *node) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	const keepSize = 1
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if mode&keepSize == 0 && off+size > uint64(len(n.data)) {
		n.change(func(n *node) { n.resize(off + size) })
	}
	return 0
}

// Fsync implements [fs.NodeFsyncer], for files and for directories.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.sync()
	return 0
}

// Flush implements [fs.NodeFlusher]: closing a file syncs nothing.
func (n *node) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

// Statfs implements [fs.NodeStatfser]: there is room.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	const blocks = 64 << 20
	*out = fuse.StatfsOut{Blocks: blocks, Bfree: blocks, Bavail: blocks, Files: blocks, Ffree: blocks, Bsize: 4096, Frsize: 4096, NameLen: 255}
	return 0
}

// Create implements [fs.NodeCreater].
func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return n.put(ctx, name, n.fs.newFile(mode), out), nil, 0, 0
}

// Mkdir implements [fs.NodeMkdirer].
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return n.put(ctx, name, n.fs.newDir(mode), out), 0
}

func (n *node) put(ctx context.Context, name string, child *node, out *fuse.EntryOut) *fs.Inode {
	inode := n.adopt(ctx, child)
	n.change(func(n *node) { n.names[name] = child })
	child.attributes(&out.Attr)
	return inode
}

// Link implements [fs.NodeLinker].
func (n *node) Link(_ context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	child := target.(*node)
	n.change(func(n *node) { n.names[name] = child })
	child.attributes(&out.Attr)
	return &child.Inode, 0
}

// Unlink implements [fs.NodeUnlinker].
func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.change(func(n *node) { delete(n.names, name) })
	return 0
}

// Rmdir implements [fs.NodeRmdirer].
func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if child := n.names[name]; child != nil && len(child.names) > 0 {
		return syscall.ENOTEMPTY
	}
	n.change(func(n *node) { delete(n.names, name) })
	return 0
}

// Rename implements [fs.NodeRenamer]. Inside a directory it is one change.
func (n *node) Rename(_ context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	const noReplace = 1
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	parent, child := to.(*node), n.names[name]
	switch {
	case flags&^noReplace != 0:
		return syscall.EINVAL
	case flags&noReplace != 0 && parent.names[newName] != nil:
		return syscall.EEXIST
	}
	if parent == n {
		n.change(func(n *node) { delete(n.names, name); n.names[newName] = child })
		return 0
	}
	parent.change(func(n *node) { n.names[newName] = child })
	n.change(func(n *node) { delete(n.names, name) })
	return 0
}
