package quorum_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// A key signs notes by a name, as a log (type 1) or as a witness (type 4).
type key struct {
	name    string
	private ed25519.PrivateKey
}

func keyOf(name string) key {
	sum := sha256.Sum256([]byte("quorum test key " + name))
	return key{name, ed25519.NewKeyFromSeed(sum[:])}
}

func (k key) vkey(keyType byte) string {
	raw := append([]byte{keyType}, k.private.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(k.name+"\n"), raw...))
	return fmt.Sprintf("%s+%08x+%s", k.name, binary.BigEndian.Uint32(sum[:]), base64.StdEncoding.EncodeToString(raw))
}

func (k key) signer(t testing.TB, cosigns bool) note.Signer {
	t.Helper()
	vkey := k.vkey(1)
	hash := strings.Split(vkey, "+")[1]
	skey := "PRIVATE+KEY+" + k.name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, k.private.Seed()...))
	var s note.Signer
	var err error
	if cosigns {
		s, err = cosignature.NewSignerForCosignatureV1(skey)
	} else {
		s, err = note.NewSigner(skey)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const origin = "log.example"

var body = origin + "\n7\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"

// signed returns the checkpoint, signed by the log and cosigned by these.
func signed(t testing.TB, text string, witnesses ...string) []byte {
	t.Helper()
	signers := []note.Signer{keyOf(origin).signer(t, false)}
	for _, w := range witnesses {
		signers = append(signers, keyOf(w).signer(t, true))
	}
	b, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// policy joins lines, with keys written in: L:name is a log's, W:name a witness's.
func policy(lines ...string) []byte {
	for i, line := range lines {
		words := strings.Split(strings.ReplaceAll(line, "\tW:", "\t W:"), " ")
		for j, w := range words {
			if name, ok := strings.CutPrefix(w, "W:"); ok {
				words[j] = keyOf(name).vkey(4)
			}
			if name, ok := strings.CutPrefix(w, "L:"); ok {
				words[j] = keyOf(name).vkey(1)
			}
		}
		lines[i] = strings.Join(words, " ")
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

var twoLevels = []string{
	"log L:" + origin, "",
	"witness x1 W:x1.example https://x1.example/", "witness x2 W:x2.example", "witness x3 W:x3.example", "# one of the other side",
	"group x 2 x1 x2 x3", "witness y1 W:y1.example", "\t witness  y2\tW:y2.example", "group y any y1 y2", "group both all x y", "quorum both",
}

func parse(t testing.TB, lines ...string) *quorum.Policy {
	t.Helper()
	p, err := quorum.Parse(policy(append([]string(nil), lines...)...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCheck(t *testing.T) {
	one := []string{"log L:" + origin, "witness w W:w.example", "quorum w"}
	none := []string{"log L:" + origin, "witness w W:w.example", "quorum none"}
	for _, tt := range []struct {
		name      string
		policy    []string
		cosigners []string
		want      []string // witnesses; nil: refused
		says      string
	}{
		{"one witness", one, []string{"w.example"}, []string{"w"}, ""},
		{"one and a stranger", one, []string{"stranger.example", "w.example"}, []string{"w"}, ""},
		{"nobody", one, nil, nil, "the quorum is w; cosigned by none"},
		{"only strangers", one, []string{"stranger.example"}, nil, "cosigned by none"},
		{"no witness is asked for", none, nil, []string{}, ""},
		{"none is asked for and one is there", none, []string{"w.example"}, []string{"w"}, ""},
		{"two levels", twoLevels, []string{"x1.example", "x3.example", "y2.example"}, []string{"x1", "x3", "y2"}, ""},
		{"all of them", twoLevels, []string{"x1.example", "x2.example", "x3.example", "y1.example", "y2.example"}, []string{"x1", "x2", "x3", "y1", "y2"}, ""},
		{"one side only", twoLevels, []string{"x1.example", "x2.example", "x3.example"}, nil, "both asks for 2 of x, y; cosigned by x1, x2, x3"},
		{"too few of one side", twoLevels, []string{"x1.example", "y1.example", "y2.example"}, nil, "cosigned by x1, y1, y2"},
		{"a witness twice is one", twoLevels, []string{"x1.example", "x1.example", "y1.example"}, nil, "cosigned by x1, y1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen, err := parse(t, tt.policy...).Check(signed(t, body, tt.cosigners...))
			if tt.want == nil {
				if !errors.Is(err, quorum.ErrQuorum) || seen != nil || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, %v; want a refusal that says %q", seen, err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, c := range seen {
				got = append(got, c.Witness)
				if since := time.Since(c.Time); since < 0 || since > time.Minute || c.Time.Location() != time.UTC {
					t.Errorf("%s cosigned at %s", c.Witness, c.Time)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("witnesses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckRefusesLogs(t *testing.T) {
	p := parse(t, "log L:"+origin, "quorum none")
	stranger, err := note.Sign(&note.Note{Text: body}, keyOf("elsewhere.example").signer(t, false))
	if err != nil {
		t.Fatal(err)
	}
	good := signed(t, body)
	for name, raw := range map[string][]byte{
		"another log":        stranger,
		"another origin":     signed(t, strings.Replace(body, origin, "elsewhere.example", 1)),
		"changed":            []byte(strings.Replace(string(good), "\n7\n", "\n8\n", 1)),
		"not signed":         []byte(body),
		"nothing":            nil,
		"not a note":         []byte("hello"),
		"cosigned, not more": signedOnlyBy(t, "w.example"),
	} {
		if seen, err := p.Check(raw); !errors.Is(err, ledger.ErrUnsigned) || seen != nil {
			t.Errorf("%s: got %v, %v", name, seen, err)
		}
	}
	if _, err := p.Check(good); err != nil {
		t.Errorf("the good one: %v", err)
	}
	both := parse(t, "log L:elsewhere.example", "log L:"+origin, "quorum none")
	if _, err := both.Check(good); err != nil {
		t.Errorf("any one of the logs is enough: %v", err)
	}
	if _, err := new(quorum.Policy).Check(good); !errors.Is(err, quorum.ErrQuorum) {
		t.Errorf("the zero policy: %v", err)
	}
	if _, err := (*quorum.Policy)(nil).Check(good); !errors.Is(err, quorum.ErrQuorum) {
		t.Errorf("no policy: %v", err)
	}
}

func signedOnlyBy(t *testing.T, witness string) []byte {
	b, err := note.Sign(&note.Note{Text: body}, keyOf(witness).signer(t, true))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A cosignature that does not verify is no missing one: somebody forged it.
func TestForgedCosignature(t *testing.T) {
	p := parse(t, "log L:"+origin, "witness a W:a.example", "witness b W:b.example", "group any any a b", "quorum any")
	other := signed(t, strings.Replace(body, "\n7\n", "\n8\n", 1), "a.example")
	forged := ""
	for line := range strings.Lines(string(other)) {
		if strings.HasPrefix(line, "— a.example") {
			forged = line
		}
	}
	raw := append(signed(t, body, "b.example"), forged...)
	if seen, err := p.Check(raw); err == nil || seen != nil {
		t.Errorf("got %v, %v", seen, err)
	}
}

func TestParse(t *testing.T) {
	p := parse(t, twoLevels...)
	if len(p.Logs) != 1 || p.Logs[0].Origin() != origin || len(p.Witnesses) != 5 || p.Witnesses[0].URL != "https://x1.example/" || p.Witnesses[1].URL != "" || !p.Asks() {
		t.Errorf("read %+v", p)
	}
	if parse(t, "quorum none").Asks() {
		t.Error("a policy without a quorum asks for witnesses")
	}
	many := []string{}
	for i := range 64 {
		many = append(many, fmt.Sprintf("log L:l%d.example", i), fmt.Sprintf("witness w%d W:w%d.example", i, i), fmt.Sprintf("group g%d any w%d", i, i))
	}
	parse(t, append(many, "quorum g63")...)
}

func TestParseRefuses(t *testing.T) {
	w := "witness w W:w.example"
	for _, tt := range []struct {
		name  string
		lines []string
		says  string
	}{
		{"no quorum", []string{w}, "no quorum line"},
		{"two quorums", []string{w, "quorum w", "quorum none"}, "line 3: there is a quorum line already"},
		{"a quorum of nobody", []string{w, "quorum v"}, `called "v"`},
		{"a quorum before its witness", []string{"quorum w", w}, "line 1: no witness or group before this line"},
		{"a quorum of two", []string{w, "witness v W:v.example", "quorum w v"}, "want: quorum <name>"},
		{"a witness called none", []string{"witness none W:w.example", "quorum none"}, `the name "none" is taken`},
		{"two of one name", []string{w, "witness w W:v.example", "quorum w"}, `the name "w" is taken`},
		{"a group of a witness's name", []string{w, "group w any w", "quorum w"}, `the name "w" is taken`},
		{"one key, two witnesses", []string{w, "witness v W:w.example", "quorum w"}, "stands in this policy already"},
		{"one key, two logs", []string{"log L:a.example", "log L:a.example", "quorum none"}, "stands in this policy already"},
		{"a log that is its own witness", []string{"log L:w.example", w, "quorum w"}, "stands in this policy already"},
		{"a log's key for a witness", []string{"witness w L:w.example", "quorum w"}, "type 0x01, which does not cosign"},
		{"a witness's key for a log", []string{"log W:w.example", "quorum none"}, "a key that cosigns is no log's"},
		{"no key", []string{"witness w w.example", "quorum w"}, "not a verifier key"},
		{"a key with another hash", []string{"log " + strings.Replace(keyOf("a").vkey(1), "a+", "b+", 1), "quorum none"}, "not the verifier key of a log"},
		{"log without a key", []string{"log", "quorum none"}, "want: log <vkey>"},
		{"log with more", []string{"log L:a.example https://a https://b", "quorum none"}, "want: log <vkey>"},
		{"witness with less", []string{"witness w", "quorum none"}, "want: witness <name>"},
		{"an empty group", []string{w, "group g any", "quorum w"}, "want: group"},
		{"a group of itself", []string{w, "group g any g", "quorum g"}, `called "g"`},
		{"a group of none", []string{w, "group g any none", "quorum g"}, `called "none"`},
		{"a member twice", []string{w, "group g any w w", "quorum g"}, "a member of a group already"},
		{"a member of two groups", []string{w, "group g any w", "group h any w", "quorum h"}, "a member of a group already"},
		{"a threshold of none", []string{w, "group g 0 w", "quorum g"}, `"0" is not all, any or a number`},
		{"a threshold of more", []string{w, "group g 2 w", "quorum g"}, `"2" is not all, any or a number from 1 to its 1 members`},
		{"a threshold with a zero", []string{w, "group g 01 w", "quorum g"}, `"01" is not`},
		{"another word", []string{w, "mirror m W:m.example", "quorum w"}, `"mirror" is none of`},
		{"a carriage return", []string{w + "\r", "quorum w"}, "control character"},
		{"a name nobody sees", []string{"witness \u200b W:w.example", "quorum none"}, "characters that cannot be seen"},
		{"a name that is turned around", []string{w, "group g\u202eno any w", "quorum w"}, "characters that cannot be seen"},
		{"a name with a space of another width", []string{"witness w\u00a0w W:w.example", "quorum none"}, "characters that cannot be seen"},
		{"a name that is no text", []string{"witness w\xff W:w.example", "quorum none"}, "not UTF-8"},
		{"nothing", nil, "no quorum line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := quorum.Parse(policy(tt.lines...))
			if err == nil || p != nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, %v; want an error that says %q", p, err, tt.says)
			}
		})
	}
	for name, b := range map[string]string{"no newline at the end": "quorum none", "too long": "quorum none\n" + strings.Repeat("#\n", 40_000)} {
		if p, err := quorum.Parse([]byte(b)); err == nil || p != nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(policy(append([]string(nil), twoLevels...)...), signed(f, body, "x1.example"))
	f.Add([]byte("quorum none\n"), []byte(body))
	f.Fuzz(func(t *testing.T, b, checkpoint []byte) {
		p, err := quorum.Parse(b)
		if err != nil {
			return
		}
		seen, err := p.Check(checkpoint)
		if err == nil && p.Asks() && len(seen) == 0 {
			t.Errorf("%q is met by nobody", b)
		}
	})
}
