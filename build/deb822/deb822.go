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
		s, n := stanza{}, 0
		for line := range strings.Lines(text) {
			line, n = strings.TrimRight(line, " \t\r\n"), n+1
			if line == "" {
				if len(s.fields) > 0 && !yield(s.joined(), nil) {
					return
				}
				s = stanza{}
				continue
			}
			if err := s.add(line); err != nil {
				yield(nil, fmt.Errorf("line %d: %w", n, err))
				return
			}
		}
		if len(s.fields) > 0 {
			yield(s.joined(), nil)
		}
	}
}

// A stanza is one that is being read: the lines of its fields.
type stanza struct {
	fields map[string][]string
	last   string
}

func (s *stanza) joined() Stanza {
	all := make(Stanza, len(s.fields))
	for name, lines := range s.fields {
		all[name] = strings.Join(lines, "\n")
	}
	return all
}

func (s *stanza) add(line string) error {
	switch {
	case line[0] == '#':
		return nil
	case line[0] == ' ' || line[0] == '\t':
		if s.last == "" {
			return fmt.Errorf("%.40q goes on with a field that did not begin", line)
		}
		s.fields[s.last] = append(s.fields[s.last], line[1:])
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	key := strings.ToLower(name)
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return fmt.Errorf("%.40q is no field", line)
	}
	if _, twice := s.fields[key]; twice {
		return fmt.Errorf("field %s is there twice", name)
	}
	if s.fields == nil {
		s.fields = map[string][]string{}
	}
	s.fields[key], s.last = []string{strings.TrimLeft(value, " \t")}, key
	return nil
}
