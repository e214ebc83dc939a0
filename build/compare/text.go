package compare

import (
	"fmt"
	"io"
	"strings"
)

// Text writes the report as lines for people.
func (r *Report) Text(w io.Writer) error {
	t := &text{w: w}
	t.line("%s: %s", r.Explanation.Category, r.Explanation.Sentence)
	for _, f := range r.files() {
		if f.Same {
			t.line("  %-18s %s", f.Key, f.A)
		} else {
			t.line("- %-18s %s", f.Key, f.A)
			t.line("+ %-18s %s", f.Key, f.B)
		}
	}
	t.title("functions", len(r.Functions))
	for _, f := range r.Functions {
		t.line("%s %s (%s) %s", sign(f.Change), f.Name, f.Section, sizes(f.Change, f.SizeA, f.SizeB))
		for _, l := range f.Relocations {
			t.line("      %s", l)
		}
	}
	t.title("sections", len(r.Sections))
	for _, s := range r.Sections {
		note := ""
		if !s.Loaded {
			note = ", not loaded"
		}
		t.line("%s %s %s%s", sign(s.Change), s.Name, sizes(s.Change, s.SizeA, s.SizeB), note)
	}
	t.title("imports", len(r.Imports))
	for _, i := range r.Imports {
		t.line("%s %s %s", sign(i.Change), i.Symbol, strings.TrimSpace(i.CRCA+" "+i.CRCB))
	}
	for _, v := range [...]table{{"header", r.Header}, {"modinfo", r.Modinfo}, {"notes", r.Notes}, {"compilers", r.Compilers}} {
		t.title(v.Name, len(v.List))
		for _, v := range v.List {
			t.value(v)
		}
	}
	if r.More > 0 {
		t.line("%d entries more are left out", r.More)
	}
	return t.err
}

type text struct {
	w   io.Writer
	err error
}

func (t *text) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

func (t *text) title(name string, n int) {
	if n > 0 {
		t.line("%s:", name)
	}
}

func (t *text) value(v Value) {
	if v.A != "" {
		t.line("- %s = %s", v.Key, v.A)
	}
	if v.B != "" {
		t.line("+ %s = %s", v.Key, v.B)
	}
}

func sign(change string) string {
	switch change {
	case Added:
		return "+"
	case Removed:
		return "-"
	}
	return "~"
}

func sizes(change string, a, b int64) string {
	switch {
	case change == Added:
		return fmt.Sprintf("%d bytes", b)
	case change == Removed || a == b:
		return fmt.Sprintf("%d bytes", a)
	}
	return fmt.Sprintf("%d -> %d bytes", a, b)
}
