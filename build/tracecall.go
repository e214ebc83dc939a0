package build

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A call is one line of strace, as
//
//	openat(AT_FDCWD</src>, "x.c", O_RDONLY) = 3</src/x.c>
type call struct {
	name   string
	args   []arg
	failed bool
	result string // path of the descriptor that came back; "" for none
}

type argKind int

const (
	argWord   argKind = iota // flags, structures, numbers
	argString                // "text"
	argList                  // ["a", "b"]
	argFD                    // 3</path> or AT_FDCWD</path>
)

type arg struct {
	kind argKind
	text string   // of a word, a string or, without its path, a descriptor
	list []string // of a list of strings
	path string   // of a descriptor; "" where strace could not tell
}

func (c *call) need(n int) error {
	if len(c.args) < n {
		return fmt.Errorf("%s with %d arguments", c.name, len(c.args))
	}
	return nil
}

func parseCall(s string) (*call, error) {
	name, rest, ok := strings.Cut(s, "(")
	if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return nil, fmt.Errorf("not a call: %.80q", s)
	}
	l := &lexer{s: rest}
	c := &call{name: name}
	for !l.take(")") {
		a, err := l.arg()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c.args = append(c.args, a)
		if !l.take(",") && !l.at(")") {
			return nil, fmt.Errorf("%s: %.40q follows an argument", name, l.s)
		}
	}
	return c, c.returned(strings.TrimSpace(l.s))
}

// returned reads "= 3</path>", "= 0" or "= -1 ENOENT (…)".
func (c *call) returned(s string) error {
	s, ok := strings.CutPrefix(s, "= ")
	if !ok {
		return fmt.Errorf("%s: no result in %.80q", c.name, s)
	}
	if strings.HasPrefix(s, "-1 ") || strings.HasPrefix(s, "?") {
		c.failed = true
		return nil
	}
	a, err := (&lexer{s: s}).arg()
	if err != nil {
		return fmt.Errorf("%s: result: %w", c.name, err)
	}
	if _, err := strconv.ParseUint(a.text, 10, 31); err != nil {
		return fmt.Errorf("%s: result %.40q is no number", c.name, a.text)
	}
	c.result = a.path
	return nil
}

// A lexer takes arguments off the front of s.
type lexer struct{ s string }

func (l *lexer) at(prefix string) bool { return strings.HasPrefix(l.s, prefix) }

func (l *lexer) take(prefix string) bool {
	l.s = strings.TrimLeft(l.s, " ")
	rest, ok := strings.CutPrefix(l.s, prefix)
	l.s = rest
	return ok
}

var errCut = errors.New("strace cut a text short")

func (l *lexer) arg() (arg, error) {
	l.s = strings.TrimLeft(l.s, " ")
	switch {
	case l.at(`"`):
		text, err := l.quoted()
		return arg{kind: argString, text: text}, err
	case l.at("["):
		return l.list()
	}
	return l.word()
}

// word takes flags, a number, a structure or a descriptor with its path.
func (l *lexer) word() (arg, error) {
	depth, i := 0, 0
scan:
	for i < len(l.s) {
		switch l.s[i] {
		case '<':
			if depth == 0 {
				break scan
			}
		case '{', '(':
			depth++
		case '}', ')':
			if depth == 0 {
				break scan
			}
			depth--
		case ',', ' ':
			if depth == 0 {
				break scan
			}
		case '"':
			return arg{}, fmt.Errorf("a text inside %.40q", l.s)
		}
		i++
	}
	a := arg{text: l.s[:i]}
	l.s = l.s[i:]
	if l.at("<") {
		return l.descriptor(a)
	}
	if strings.HasPrefix(l.s, " /*") {
		return a, l.comment()
	}
	if a.text == "" || depth != 0 {
		return arg{}, fmt.Errorf("no argument at %.40q", l.s)
	}
	return a, nil
}

// comment skips " /* 35 vars */".
func (l *lexer) comment() error {
	_, rest, ok := strings.Cut(l.s, "*/")
	l.s = rest
	if !ok {
		return errCut
	}
	return nil
}

// descriptor takes "</path>" or "</path>(deleted)" after a number.
func (l *lexer) descriptor(a arg) (arg, error) {
	inner, rest, ok := strings.Cut(l.s[1:], ">")
	if !ok {
		return arg{}, errCut
	}
	l.s = strings.TrimPrefix(rest, "(deleted)")
	text, err := unescape(inner)
	if err != nil {
		return arg{}, err
	}
	a.kind, a.path = argFD, ""
	if absolute(text) {
		a.path = text
	}
	return a, nil
}

func (l *lexer) list() (arg, error) {
	a := arg{kind: argList}
	l.s = l.s[1:]
	for !l.take("]") {
		if !l.at(`"`) {
			return arg{}, fmt.Errorf("%.40q in a list of texts", l.s)
		}
		text, err := l.quoted()
		if err != nil {
			return arg{}, err
		}
		a.list = append(a.list, text)
		if !l.take(",") && !l.at("]") {
			return arg{}, errCut
		}
	}
	return a, nil
}

// quoted takes one text in quotes.
func (l *lexer) quoted() (string, error) {
	for i := 1; i < len(l.s); i++ {
		switch l.s[i] {
		case '\\':
			i++
		case '"':
			text, err := unescape(l.s[1:i])
			l.s = l.s[i+1:]
			if err == nil && l.at("...") {
				err = errCut
			}
			return text, err
		}
	}
	return "", errCut
}

// unescape undoes what strace does to a text: C's escapes, octal without
// leading zeros.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", errCut
		}
		n := octal(s[i:])
		if n > 0 {
			v, err := strconv.ParseUint(s[i:i+n], 8, 8)
			if err != nil {
				return "", fmt.Errorf("escape in %.40q is no byte", s)
			}
			b.WriteByte(byte(v))
			i += n - 1
			continue
		}
		c := strings.IndexByte(`"\ntvfr`, s[i])
		if c < 0 {
			return "", fmt.Errorf("unknown escape in %.40q", s)
		}
		b.WriteByte("\"\\\n\t\v\f\r"[c])
	}
	return b.String(), nil
}

// octal returns how many octal digits s begins with, at most 3.
func octal(s string) int {
	n := 0
	for n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '7' {
		n++
	}
	return n
}
