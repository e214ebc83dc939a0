package attest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// aboutItself makes a statement of a channel's predicate that is about the
// channel it names, so that only what it says is in question.
func aboutItself(predicate []byte) []byte {
	var named struct{ Product, Name string }
	_ = json.Unmarshal(predicate, &named) // what does not parse here is refused by the parser
	return fmt.Appendf(nil, `{"_type":%q,"predicateType":%q,"subject":[{"name":"channel","digest":{"sha256":%q}}],"predicate":%s}`,
		attest.StatementType, attest.TypeChannel, attest.ChannelID(named.Product, named.Name).Hex(), predicate)
}

// A channel that is accepted is written the same again, lists each base once and
// in order, and offers nothing that it calls superseded.
func FuzzParseChannel(f *testing.F) {
	good, err := strictjson.Canonical(goodChannel())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := attest.ParseStatement(aboutItself(good)); err != nil {
		f.Fatalf("the good channel: %v", err)
	}
	f.Add(good)
	empty := *goodChannel()
	empty.Bases, empty.Revocations = []attest.ChannelBase{}, []attest.Digest{}
	none, err := strictjson.Canonical(&empty)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(none)
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := attest.ParseStatement(aboutItself(in))
		if err != nil {
			return
		}
		c, ok := s.Predicate.(*attest.Channel)
		if !ok {
			t.Fatalf("accepted %q as a %T", in, s.Predicate)
		}
		again, err := attest.NewStatement(s.Type, s.Subjects, c)
		if err != nil {
			t.Fatalf("accepted %q, cannot write it: %v", in, err)
		}
		read, err := attest.ParseStatement(again)
		if err != nil {
			t.Fatalf("accepted %q, refused as %q: %v", in, again, err)
		}
		if diff := cmp.Diff(c, read.Predicate, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q became %q (-first +again):\n%s", in, again, diff)
		}
		if c.Version < 1 || c.Expires.IsZero() || c.Name == "" {
			t.Fatalf("accepted %q", in)
		}
		for i, b := range c.Bases {
			if i > 0 && c.Bases[i-1].Base >= b.Base {
				t.Fatalf("bases of %q are not each there once, in order", in)
			}
			if diff := cmp.Diff(b, c.Of(b.Base)); diff != "" {
				t.Fatalf("of %s %q says another thing:\n%s", b.Base, in, diff)
			}
			for _, d := range b.Superseded {
				if slices.Contains(b.Patches, d) {
					t.Fatalf("%q offers %s and calls it superseded", in, d)
				}
			}
		}
	})
}
