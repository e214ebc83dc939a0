package content

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A large upload is written by a goroutine of its own, so that the disk works
// while bytes still come in and are hashed, and past the page cache where the
// file system lets: copying there would cost more than receiving and hashing.
// What was just uploaded is then read from the disk once.
const (
	pieceSize  = 1 << 20 // bytes written at once
	pieces     = 3       // of one upload: one comes in, one is written, one waits
	mostLanes  = 8       // uploads at once that have such memory; others are copied
	directUnit = 4096    // bytes: offsets and lengths of direct writes are multiples
)

// A lane is the memory of one large upload. The pieces are so large that they
// begin at a page; a kernel that does not think so refuses, and they are copied.
type lane [pieces][]byte

func newLane() any {
	var l lane
	for i := range l {
		l[i] = make([]byte, pieceSize)
	}
	return &l
}

// lanes bound what large uploads take of memory.
type lanes struct {
	taken chan struct{}
	idle  sync.Pool
}

func newLanes() *lanes {
	return &lanes{taken: make(chan struct{}, mostLanes), idle: sync.Pool{New: newLane}}
}

// take returns nil where all are taken.
func (l *lanes) take() *lane {
	select {
	case l.taken <- struct{}{}:
		return l.idle.Get().(*lane)
	default:
		return nil
	}
}

func (l *lanes) give(one *lane) {
	l.idle.Put(one)
	<-l.taken
}

// carry appends what r has to f, by way of l.
func (l *lane) carry(f *file, r io.Reader) (taken int64, err error) {
	w := &laneWriter{free: make(chan []byte, pieces), full: make(chan []byte, pieces)}
	for _, p := range l {
		w.free <- p
	}
	f.goDirect()
	var done sync.WaitGroup
	done.Go(func() { w.write(f) })
	err = w.receive(r)
	done.Wait() // or the next upload would get memory that is being written
	if plain := f.goPlain(); w.err == nil {
		w.err = plain
	}
	if w.err != nil {
		err = full(w.err)
	}
	return w.taken, err
}

// A laneWriter is the two ends of a lane.
type laneWriter struct {
	free, full chan []byte
	taken      int64 // bytes written
	err        error // of the disk; taken and err are the writer's until it has ended
}

// receive fills pieces until r ends or the writer did.
func (w *laneWriter) receive(r io.Reader) error {
	defer close(w.full)
	for p := range w.free {
		n, err := io.ReadFull(r, p)
		w.full <- p[:n]
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// write writes pieces until there are no more, or one cannot be written.
func (w *laneWriter) write(f *file) {
	defer close(w.free)
	for p := range w.full {
		n, err := f.write(p)
		w.taken += int64(n)
		if w.err = err; err != nil {
			return
		}
		w.free <- p[:cap(p)]
	}
}

// goDirect has f written past the page cache, where that can be.
func (f *file) goDirect() {
	if f.size%directUnit != 0 || f.disk.copies.Load() {
		return
	}
	if err := f.disk.setDirect(f.open, true); err != nil {
		f.disk.copies.Store(true)
		return
	}
	f.direct = true
}

// goPlain ends that.
func (f *file) goPlain() error {
	if !f.direct {
		return nil
	}
	f.direct = false
	return f.disk.setDirect(f.open, false)
}

// write appends b, and returns how many bytes of it are there. What is left
// over beside whole units is copied: only an end has that.
func (f *file) write(b []byte) (n int, err error) {
	if f.direct {
		n, err = f.disk.write(f.open, b[:len(b)-len(b)%directUnit])
		f.size += int64(n)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
			return n, err
		}
		if err != nil && n == 0 {
			f.disk.copies.Store(true)
		}
		if n == len(b) {
			return n, nil
		}
		if err := f.goPlain(); err != nil {
			return n, err
		}
	}
	m, err := f.disk.write(f.open, b[n:])
	f.size += int64(m)
	return n + m, err
}

// setDirect sets whether writes go past the page cache (open(2), O_DIRECT).
func setDirect(f *os.File, on bool) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var flags int
		if flags, failed = unix.FcntlInt(fd, unix.F_GETFL, 0); failed != nil {
			return
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, failed = unix.FcntlInt(fd, unix.F_SETFL, flags)
	})
	return errors.Join(err, failed)
}
