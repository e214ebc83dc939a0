package policy

import (
	"strings"
	"unicode"
)

// What rules tell. f.ev is the statement at fault, while there is one.

// same asks that got is want, for the field of something. Nothing is like
// nothing: two empty values differ.
func (f *view) same(field, of, want, got string) {
	if want != got || want == "" {
		f.differs(field+" of "+of, want, got)
	}
}

// differs reports that field, which should be want, is got.
func (f *view) differs(field, want, got string) {
	f.found = append(f.found, Finding{
		Want: oneLine(field + " = " + orNone(want)), Got: oneLine(orNone(got)), Evidence: f.ev.Payload(),
	})
}

// missing reports that something that has to be there is not.
func (f *view) missing(what string) {
	f.found = append(f.found, Finding{Want: what, Got: none})
}

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
