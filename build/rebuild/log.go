package rebuild

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// How much of what a build said is kept: how it began, and how it ended.
const (
	maxHead = 256 << 10
	maxTail = 768 << 10
)

// A log is what a build said, with what it was told before it and what came of
// it after it. It names no time and nothing of the machine, so two runs of one
// build have the same. Both of a command's streams write to it.
type log struct {
	mu      sync.Mutex
	begin   bytes.Buffer
	tail    []byte
	dropped int64
}

func newLog() *log { return &log{} }

// Write keeps what there is room for, and never fails: the build goes on.
func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	if room := maxHead - l.begin.Len(); room > 0 {
		k := min(room, len(b))
		l.begin.Write(b[:k])
		b = b[k:]
	}
	l.tail = append(l.tail, b...)
	if over := len(l.tail) - 2*maxTail; over > 0 { // moved once in a while, not at each write
		l.drop(len(l.tail) - maxTail)
	}
	return n, nil
}

func (l *log) drop(n int) {
	l.dropped += int64(n)
	l.tail = append(l.tail[:0], l.tail[n:]...)
}

func (l *log) head(o *Order) {
	fmt.Fprintf(l, "artifact      %s\nfile          %s\nbuilder image %s\nsource        %s\nenvironment   %s\n",
		o.Manifest, o.File, o.Environment.BuilderImage, o.Source, o.environment)
	fmt.Fprintf(l, "command       %s\n\n", quoted(o.Command))
}

func quoted(argv []string) string {
	var words []string
	for _, a := range argv {
		words = append(words, fmt.Sprintf("%q", a))
	}
	return strings.Join(words, " ")
}

// end returns the whole log.
func (l *log) end(o *Outcome) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if over := len(l.tail) - maxTail; over > 0 {
		l.drop(over)
	}
	var all bytes.Buffer
	all.Write(l.begin.Bytes())
	if l.dropped > 0 {
		fmt.Fprintf(&all, "\n[%d bytes are left out here]\n", l.dropped)
	}
	all.Write(l.tail)
	fmt.Fprintf(&all, "\nresult        %s\n", o.Result)
	if o.Explanation != "" {
		fmt.Fprintf(&all, "              %s\n", o.Explanation)
	}
	if o.Compared != nil {
		fmt.Fprintf(&all, "came out      %s\n", o.Compared.File.Got)
	}
	return all.Bytes()
}
