package policy

import (
	"strings"
	"unicode"

	"github.com/patchfit/patchfit/verify"
)

// A comparison collects what is not alike; ev is the statement at fault.
type comparison struct {
	found []Finding
	n     int
	ev    *verify.Evidence
}

func compare(found []Finding) comparison { return comparison{found: found, n: len(found)} }

// same asks that got is want, for the field of something. Nothing is like
// nothing: two empty values differ.
func (c *comparison) same(field, of, want, got string) {
	if want != got || want == "" {
		c.differs(field+" of "+of, want, got)
	}
}

// differs reports that field, which should be want, is got.
func (c *comparison) differs(field, want, got string) {
	c.found = append(c.found, Finding{
		Want: oneLine(field + " = " + orNone(want)), Got: oneLine(orNone(got)), Evidence: c.ev.Payload(),
	})
}

// missing reports that something that has to be there is not.
func (c *comparison) missing(what string) {
	c.found = append(c.found, Finding{Want: what, Got: none})
}

func (c *comparison) done() (bool, []Finding) { return len(c.found) == c.n, c.found }

const none = "(none)"

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

// oneLine keeps what others wrote from looking like lines of ours.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, s)
}
