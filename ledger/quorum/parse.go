package quorum

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Parse reads a policy. Its errors name the line.
func Parse(b []byte) (*Policy, error) {
	if len(b) > MaxPolicy {
		return nil, fmt.Errorf("tlog-policy has %d bytes, at most %d are read", len(b), MaxPolicy)
	}
	if i := bytes.IndexFunc(b, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }); i >= 0 {
		return nil, fmt.Errorf("tlog-policy: byte %d is a control character", i)
	}
	if !utf8.Valid(b) {
		return nil, errors.New("tlog-policy is not UTF-8")
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		return nil, errors.New("tlog-policy: the last line does not end in a newline")
	}
	p := new(Policy)
	n := 0
	for line := range bytes.Lines(b) {
		n++
		words := strings.FieldsFunc(string(bytes.TrimSuffix(line, []byte("\n"))), func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := p.line(words); err != nil {
			return nil, fmt.Errorf("tlog-policy: line %d: %w", n, err)
		}
	}
	if p.quorum == "" {
		return nil, errors.New(`tlog-policy: no quorum line; "quorum none" asks for no witness`)
	}
	return p, nil
}

func (p *Policy) line(words []string) error {
	switch kind, rest := words[0], words[1:]; kind {
	case "log":
		return p.log(rest)
	case "witness":
		return p.witness(rest)
	case "group":
		return p.group(rest)
	case "quorum":
		return p.setQuorum(rest)
	default:
		return fmt.Errorf("%.40q is none of log, witness, group and quorum", kind)
	}
}

func (p *Policy) log(words []string) error {
	if len(words) < 1 || len(words) > 2 {
		return errors.New("want: log <vkey> [<url>]")
	}
	if len(p.Logs) == maxNames {
		return fmt.Errorf("more than %d logs", maxNames)
	}
	key, err := logKey(words[0])
	if err != nil {
		return err
	}
	p.Logs = append(p.Logs, Log{VKey: words[0], URL: optional(words[1:]), key: key})
	return p.addVerifier(key, words[0])
}

func logKey(vkey string) (note.Verifier, error) {
	raw := material(vkey)
	if len(raw) > 0 && cosigns(raw[0]) {
		return nil, errors.New("a key that cosigns is no log's")
	}
	key, err := cosignature.NewVerifier(vkey)
	if err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("%.200q is not the verifier key of a log", vkey)
	}
	return key, nil
}

// addVerifier keeps a key, of which every one has to be told apart: a log that
// is its own witness shows nothing, and two keys with one name and hash are
// ambiguous in a note.
func (p *Policy) addVerifier(key note.Verifier, vkey string) error {
	for i, other := range p.verifiers {
		if key.Name() == other.Name() && key.KeyHash() == other.KeyHash() || sameKey(p.vkeys[i], vkey) {
			return fmt.Errorf("the key of %s stands in this policy already", key.Name())
		}
	}
	p.verifiers, p.vkeys = append(p.verifiers, key), append(p.vkeys, vkey)
	return nil
}

func (p *Policy) witness(words []string) error {
	if len(words) < 2 || len(words) > 3 {
		return errors.New("want: witness <name> <vkey> [<url>]")
	}
	name, vkey := words[0], words[1]
	if len(p.Witnesses) == maxNames {
		return fmt.Errorf("more than %d witnesses", maxNames)
	}
	if err := p.newName(name); err != nil {
		return err
	}
	key, err := witnessKey(vkey)
	if err != nil {
		return fmt.Errorf("witness %s: %w", name, err)
	}
	p.Witnesses = append(p.Witnesses, Witness{Name: name, VKey: vkey, URL: optional(words[2:]), key: key})
	return p.addVerifier(key, vkey)
}

// The key types of C2SP tlog-cosignature.
const (
	typeEd25519Cosignature = 0x04
	typeMLDSA44            = 0x06
)

func cosigns(keyType byte) bool { return keyType == typeEd25519Cosignature || keyType == typeMLDSA44 }

func witnessKey(vkey string) (note.Verifier, error) {
	raw := material(vkey)
	if len(raw) == 0 {
		return nil, fmt.Errorf("%.200q is not a verifier key", vkey)
	}
	if !cosigns(raw[0]) {
		return nil, fmt.Errorf("its key is of type %#02x, which does not cosign; a witness has a key of type 0x04 or 0x06", raw[0])
	}
	key, err := cosignature.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("%.200q is not a verifier key", vkey)
	}
	// The library makes the hash again and does not look at the one that is written.
	if want := fmt.Sprintf("%s+%08x+", key.Name(), key.KeyHash()); !strings.HasPrefix(vkey, want) {
		return nil, fmt.Errorf("%.200q is not a verifier key: of this name and key it begins %s", vkey, want)
	}
	return key, nil
}

func (p *Policy) group(words []string) error {
	if len(words) < 3 {
		return errors.New("want: group <name> all|any|<k> <members>")
	}
	name, members := words[0], words[2:]
	if len(p.groups) == maxNames {
		return fmt.Errorf("more than %d groups", maxNames)
	}
	if err := p.newName(name); err != nil {
		return err
	}
	for _, m := range members {
		switch {
		case m == None || !p.known(m):
			return fmt.Errorf("group %s: no witness or group before this line is called %.80q", name, m)
		case p.taken(m) || countOf(members, m) > 1:
			return fmt.Errorf("group %s: %s is a member of a group already", name, m)
		}
	}
	least, err := threshold(words[1], len(members))
	if err != nil {
		return fmt.Errorf("group %s: %w", name, err)
	}
	p.groups = append(p.groups, group{name: name, least: least, members: members})
	return nil
}

func threshold(word string, n int) (int, error) {
	switch word {
	case "all":
		return n, nil
	case "any":
		return 1, nil
	}
	k, err := strconv.Atoi(word)
	if err != nil || strconv.Itoa(k) != word || k < 1 || k > n {
		return 0, fmt.Errorf("%.20q is not all, any or a number from 1 to its %d members", word, n)
	}
	return k, nil
}

func (p *Policy) setQuorum(words []string) error {
	switch {
	case len(words) != 1:
		return errors.New("want: quorum <name>, or: quorum none")
	case p.quorum != "":
		return errors.New("there is a quorum line already")
	case words[0] != None && !p.known(words[0]):
		return fmt.Errorf("no witness or group before this line is called %.80q", words[0])
	}
	p.quorum = words[0]
	return nil
}

// newName refuses a name that is taken, and one whose characters people do not
// see: reversed text, spaces of no width.
func (p *Policy) newName(name string) error {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("the name %.80q has characters that cannot be seen", name)
	}
	if name == None || p.known(name) {
		return fmt.Errorf("the name %.80q is taken", name)
	}
	return nil
}

func (p *Policy) known(name string) bool {
	return slices.ContainsFunc(p.Witnesses, func(w Witness) bool { return w.Name == name }) ||
		slices.ContainsFunc(p.groups, func(g group) bool { return g.name == name })
}

func (p *Policy) taken(name string) bool {
	return slices.ContainsFunc(p.groups, func(g group) bool { return slices.Contains(g.members, name) })
}

func countOf(list []string, v string) (n int) {
	for _, e := range list {
		if e == v {
			n++
		}
	}
	return n
}

func optional(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// material returns the key type and key of a vkey, whatever its name; nil where
// they are not in the one form of base64, which the libraries do not ask for: in
// another form one key would be told apart from itself.
func material(vkey string) []byte {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || base64.StdEncoding.EncodeToString(b) != parts[2] {
		return nil
	}
	return b
}

// sameKey reports whether two vkeys wrap one public key, by whatever name and
// key type.
func sameKey(a, b string) bool {
	x, y := material(a), material(b)
	return len(x) > 0 && len(y) > 0 && bytes.Equal(x[1:], y[1:])
}
