package quorum_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// linesOf splits a note into its text with the empty line, and its signatures.
func linesOf(raw []byte) (text string, lines []string) {
	text, rest, _ := strings.Cut(string(raw), "\n\n")
	return text + "\n\n", slices.Collect(strings.Lines(rest))
}

func joined(text string, lines ...string) []byte { return []byte(text + strings.Join(lines, "")) }

// Whoever carries a checkpoint can reorder, repeat and add lines. Nothing of
// that makes two witnesses of one, nor takes one away without a refusal.
func TestAttackSignatureLines(t *testing.T) {
	p := parse(t, "log L:"+origin, "witness a W:a.example", "witness b W:b.example", "group both all a b", "quorum both")
	text, all := linesOf(signed(t, body, "a.example", "b.example"))
	log, a, b := all[0], all[1], all[2]
	strangers := make([]string, 0, 100)
	for range 100 {
		strangers = append(strangers, linesByStranger(t))
	}
	for name, tt := range map[string]struct {
		raw  []byte
		want error // nil: enough
	}{
		"as they came":                {joined(text, log, a, b), nil},
		"turned around":               {joined(text, b, a, log), nil},
		"one a hundred times":         {joined(text, append([]string{log}, slices.Repeat([]string{a}, 98)...)...), quorum.ErrQuorum},
		"one twice, and the other":    {joined(text, a, log, a, b), nil},
		"97 of strangers before":      {joined(text, append(slices.Clone(strangers[:97]), log, a, b)...), nil},
		"more lines than are read":    {joined(text, append(slices.Clone(strangers), log, a, b)...), ledger.ErrUnsigned},
		"the log's line left out":     {joined(text, a, b), ledger.ErrUnsigned},
		"one under the other's name":  {joined(text, log, a, strings.Replace(a, "a.example", "b.example", 1)), quorum.ErrQuorum},
		"one's bytes by another hash": {joined(text, log, a, b[:len("— b.example ")]+a[len("— a.example "):]), quorum.ErrQuorum},
		"an empty line between":       {joined(text, log, a, "\n", b), ledger.ErrUnsigned},
		"a cut line":                  {joined(text, log, a, b[:len(b)-1]), ledger.ErrUnsigned},
		"two spaces":                  {joined(text, log, a, strings.Replace(b, "example ", "example  ", 1)), ledger.ErrUnsigned},
	} {
		seen, err := p.Check(tt.raw)
		if !errors.Is(err, tt.want) || (tt.want == nil) != (len(seen) == 2) {
			t.Errorf("%s: %v, %v; want %v", name, seen, err, tt.want)
		}
	}
}

func linesByStranger(t *testing.T) string {
	_, lines := linesOf(signed(t, body, "stranger.example"))
	return lines[1]
}

// A key is of the name that its hash is over, so that no line is copied to
// another witness unseen; two keys of one name are two witnesses.
func TestAttackKeyUnderAnotherName(t *testing.T) {
	vkey := keyOf("second").vkey(4)
	for _, spoiled := range []string{
		strings.Replace(vkey, "second+", "a.example+", 1),
		strings.Replace(vkey, strings.Split(vkey, "+")[1], "00000000", 1),
		strings.Replace(vkey, strings.Split(vkey, "+")[1], strings.ToUpper(strings.Split(vkey, "+")[1])+"x", 1),
	} {
		if p, err := quorum.Parse([]byte("witness b " + spoiled + "\nquorum b\n")); err == nil || !strings.Contains(err.Error(), "not a verifier key") {
			t.Errorf("%s: %v, %v", spoiled, p, err)
		}
	}
	renewed := key{"a.example", keyOf("second").private}
	text := string(policy("log L:"+origin, "witness a W:a.example")) + "witness b " + renewed.vkey(4) + "\ngroup both all a b\nquorum both\n"
	p, err := quorum.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	raw := signed(t, body, "a.example")
	if _, err := p.Check(raw); !errors.Is(err, quorum.ErrQuorum) {
		t.Errorf("one of two keys of a name is enough: %v", err)
	}
}
