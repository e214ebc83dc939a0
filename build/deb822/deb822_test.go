package deb822

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read(text string) (all []Stanza, err error) {
	for s, err := range Parse(text) {
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

func TestStanzas(t *testing.T) {
	got, err := read("\n\nPackage: make\nDescription: a tool\n that makes\n .\n\tthings\n# not a field\nVersion:1\r\n\n\nPackage: gcc-12\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Stanza{
		{"package": "make", "description": "a tool\nthat makes\n.\nthings", "version": "1"},
		{"package": "gcc-12"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stanzas (-want +got):\n%s", diff)
	}
	if got[0].Get("PACKAGE") != "make" || got[0].Get("Nothing") != "" {
		t.Errorf("fields: %q, %q", got[0].Get("PACKAGE"), got[0].Get("Nothing"))
	}
}

func TestStanzasThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"line 1: \" folded\" goes on": " folded\n",
		"line 3: \" folded\" goes on": "A: b\n\n folded\n",
		"line 1: \"no colon\"":        "no colon\n",
		"line 1: \": x\"":             ": x\n",
		"line 1: \"a b: x\"":          "a b: x\n",
		"line 2: field a is there":    "A: b\na: c\n",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, want %s", text, err, name)
		}
	}
}

func TestReadingEndsWhereNobodyReadsOn(t *testing.T) {
	for s, err := range Parse("A: 1\n\nno stanza\n") {
		if err != nil || s.Get("A") != "1" {
			t.Errorf("%v, %v", s, err)
		}
		break
	}
}

// Whatever the bytes: every field has a name, and all content was in the text.
func FuzzParse(f *testing.F) {
	f.Add("Package: make\nDescription: a\n b\n\nPackage: gcc\n")
	f.Add(" x\n")
	f.Fuzz(func(t *testing.T, text string) {
		size := 0
		for s, err := range Parse(text) {
			if err != nil {
				return
			}
			for name, value := range s {
				if name == "" || strings.ContainsAny(name, " \t\n:") {
					t.Errorf("a field called %q", name)
				}
				size += len(value)
			}
		}
		if size > len(text) {
			t.Errorf("%d bytes of values from %d", size, len(text))
		}
	})
}
