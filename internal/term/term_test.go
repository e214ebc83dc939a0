package term

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNothingButATerminalGetsMarks(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b bytes.Buffer
	if IsTerminal(f) || IsTerminal(&b) || Colors(f) {
		t.Error("a file or a buffer is taken for a terminal")
	}
	m := Marks(f)
	if all := m.Tick + m.Cross + m.Bang; strings.ContainsAny(all, "✓✗\x1b") {
		t.Errorf("marks for a file: %q", all)
	}
	if m.Check(true) != m.Tick || m.Check(false) != m.Cross {
		t.Error("marks are mixed up")
	}
	p := NewProgress(&b)
	p.Step("working")
	p.Bytes("working", 1, 2)
	p.Clear()
	(*Progress)(nil).Clear()
	if b.Len() > 0 {
		t.Errorf("progress in a pipe: %q", b.String())
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := &Progress{w: &b}
		p.Step("step %d\x1b[2J", 1)
		if got := b.String(); got != "\r\x1b[Kstep 1\ufffd[2J" {
			t.Errorf("drawn %q", got)
		}
		b.Reset()
		p.Bytes("file", 10, 100) // too soon
		if b.Len() > 0 {
			t.Errorf("drawn too soon: %q", b.String())
		}
		time.Sleep(redraw)
		p.Bytes("file", 50, 100)
		p.Bytes("file", 100, 100) // the end is always drawn
		if got := b.String(); got != "\r\x1b[Kfile  50 B of 100 B  50 %\r\x1b[Kfile  100 B of 100 B  100 %" {
			t.Errorf("drawn %q", got)
		}
		b.Reset()
		p.Clear()
		p.Clear()
		if got := b.String(); got != "\r\x1b[K" {
			t.Errorf("cleared %q", got)
		}
	})
}

func TestPrintable(t *testing.T) {
	if got := Printable("a\nb\x1b[31m\u202ec\u0085"); strings.ContainsAny(got, "\n\x1b\u202e\u0085") || !strings.Contains(got, "a") {
		t.Errorf("%q", got)
	}
	if got := Printable("größe ✓"); got != "größe ✓" {
		t.Errorf("%q", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 34603008: "33.0 MiB", 1 << 40: "1.0 TiB", 1<<63 - 1: "8.0 EiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
