package term

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A Progress tells how far a piece of work is, on a terminal only. The zero
// Progress is silent. It is safe for concurrent use.
type Progress struct {
	w     io.Writer // nil: silent
	mu    sync.Mutex
	drawn bool
	last  time.Time
}

const redraw = 100 * time.Millisecond

// NewProgress returns a Progress on w; a silent one where w is no terminal.
func NewProgress(w io.Writer) *Progress {
	if !IsTerminal(w) {
		return &Progress{}
	}
	return &Progress{w: w}
}

// Step draws one line over the last: what is being done now.
func (p *Progress) Step(format string, args ...any) {
	p.draw(true, fmt.Sprintf(format, args...))
}

// Bytes draws how much of total bytes are done, at most ten times a second.
func (p *Progress) Bytes(what string, done, total int64) {
	if total > 0 {
		p.draw(done >= total, fmt.Sprintf("%s  %s of %s  %d %%", what, Size(done), Size(total), done*100/total))
	}
}

// Reader is r, of total bytes, and draws how much of it was read.
func (p *Progress) Reader(what string, r io.Reader, total int64) io.Reader {
	return &watched{r: r, report: func(n int64) { p.Bytes(what, n, total) }}
}

type watched struct {
	r      io.Reader
	n      int64
	report func(int64)
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.n += int64(n)
	w.report(w.n)
	return n, err
}

func (p *Progress) draw(now bool, line string) {
	if p == nil || p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now && time.Since(p.last) < redraw {
		return
	}
	p.last, p.drawn = time.Now(), true
	fmt.Fprintf(p.w, "\r\x1b[K%s", Printable(line))
}

// Clear takes the line away, so that other text starts at the left.
func (p *Progress) Clear() {
	if p == nil || p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// Size returns n bytes in words: "812 B", "4.1 KiB", "33.0 MiB".
func Size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/unit, 0
	for ; value >= unit && i < len("KMGTPE")-1; i++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[i])
}
