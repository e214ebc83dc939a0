// Package deb822 reads control data as Debian writes it: stanzas of fields, as
// in dpkg's status, Packages, Sources, .dsc and copyright files (deb-control(5),
// deb822(5)). It decides nothing; what a field means is for its reader.
package deb822

import (
	"fmt"
	"iter"
	"strings"
)

// A Stanza is one paragraph: fields by their names in lower case. The lines of
// a folded field are joined by newlines, without the space in front of them.
type Stanza map[string]string

// Get returns a field, in whichever case its name is asked for; "" where there
// is none.
func (s Stanza) Get(name string) string { return s[strings.ToLower(name)] }

// Parse returns the stanzas of text, one after the other. It ends with the
// first that is none: a line without a name, a field that is there twice.
// Lines that begin with # are comments.
func Parse(text string) iter.Seq2[Stanza, error] {
	return func(yield func(Stanza, error) bool) {
		s, last, n := Stanza{}, "", 0
		for line := range strings.Lines(text) {
			line, n = strings.TrimRight(line, " \t\r\n"), n+1
			if line == "" {
				if len(s) > 0 && !yield(s, nil) {
					return
				}
				s, last = Stanza{}, ""
				continue
			}
			var err error
			if last, err = s.add(line, last); err != nil {
				yield(nil, fmt.Errorf("line %d: %w", n, err))
				return
			}
		}
		if len(s) > 0 {
			yield(s, nil)
		}
	}
}

// add takes one line into the stanza, whose last field was last.
func (s Stanza) add(line, last string) (string, error) {
	switch {
	case line[0] == '#':
		return last, nil
	case line[0] == ' ' || line[0] == '\t':
		if last == "" {
			return "", fmt.Errorf("%.40q goes on with a field that did not begin", line)
		}
		s[last] += "\n" + line[1:]
		return last, nil
	}
	name, value, ok := strings.Cut(line, ":")
	key := strings.ToLower(name)
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return "", fmt.Errorf("%.40q is no field", line)
	}
	if _, twice := s[key]; twice {
		return "", fmt.Errorf("field %s is there twice", name)
	}
	s[key] = strings.TrimLeft(value, " \t")
	return key, nil
}
