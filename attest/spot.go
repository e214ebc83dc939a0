package attest

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// A spot is a place in a document: a JSON pointer. Each check of a value
// returns an error that names its spot, or nil.
type spot string

func (s spot) member(name string) spot {
	return s + spot("/"+pointerEscapes.Replace(name))
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901, section 3

func (s spot) index(i int) spot { return s + spot(fmt.Sprintf("/%d", i)) }

func (s spot) errorf(format string, args ...any) error {
	return strictjson.Errorf(string(s), format, args...)
}

// oneOf asks for one of a few words.
func (s spot) oneOf(v string, words ...string) error {
	for _, w := range words {
		if v == w {
			return nil
		}
	}
	return s.errorf("%.80q is not %s", v, quotedOr(words))
}

func quotedOr(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(q, " or ")
}

// line asks for one line of printable text.
func (s spot) line(v string) error {
	switch {
	case v == "":
		return s.errorf("empty")
	case len(v) > maxText:
		return s.errorf("text of %d bytes exceeds the limit of %d", len(v), maxText)
	case !utf8.ValidString(v):
		return s.errorf("not valid UTF-8")
	case strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }):
		return s.errorf("%.80q holds characters that do not print", v)
	}
	return nil
}

// below asks for a path that is relative, in its shortest form and leads to
// something below where it begins.
func (s spot) below(v string) error {
	if err := s.line(v); err != nil {
		return err
	}
	if path.IsAbs(v) || path.Clean(v) != v || v == "." || v == ".." || strings.HasPrefix(v, "../") {
		return s.errorf("%.80q is no path below a directory in its shortest form", v)
	}
	return nil
}

// argument asks for something a process can get as an argument.
func (s spot) argument(v string) error {
	if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return s.errorf("%.80q holds a NUL or is not valid UTF-8", v)
	}
	return nil
}

var token = regexp.MustCompile(`^[a-z0-9][a-z0-9_.+-]{0,63}$`)

// token asks for a short lower-case word.
func (s spot) token(v string) error {
	if !token.MatchString(v) {
		return s.errorf("%.80q is not a lower-case word", v)
	}
	return nil
}

// uuid asks for a UUID in its one lower-case form that is not zero.
func (s spot) uuid(v string) error {
	u, err := uuid.Parse(v)
	if err != nil || u.String() != v || u == uuid.Nil {
		return s.errorf("%.80q is not a lower-case UUID", v)
	}
	return nil
}

// digest asks for a digest that is there: documents are checked for form as
// they are read, values made in Go are not.
func (s spot) digest(d Digest) error {
	if _, err := ParseDigest(string(d)); err != nil {
		return s.errorf("%v", err)
	}
	return nil
}

// buildID asks for the lower-case hex of a GNU build-id.
func (s spot) buildID(v string) error {
	b, err := hex.DecodeString(v)
	if err != nil || len(b) == 0 || len(b) > 64 || hex.EncodeToString(b) != v {
		return s.errorf("%.140q is not a build-id in lower-case hex", v)
	}
	return nil
}

// number asks for a count that every JSON reader keeps exact.
func (s spot) number(v, least int64) error {
	if v < least || v > strictjson.MaxInteger {
		return s.errorf("%d is not between %d and %d", v, least, int64(strictjson.MaxInteger))
	}
	return nil
}

// time asks for a moment in UTC and whole seconds.
func (s spot) time(t time.Time) error {
	switch {
	case t.IsZero():
		return s.errorf("no time")
	case t.Location() != time.UTC:
		return s.errorf("%s is not in UTC", t.Format(time.RFC3339Nano))
	case t.Nanosecond() != 0:
		return s.errorf("%s is not in whole seconds", t.Format(time.RFC3339Nano))
	case t.Year() < 1970 || t.Year() > 9999:
		return s.errorf("year %d is out of range", t.Year())
	}
	return nil
}

// each checks every element of a list.
func each[T any](at spot, list []T, check func(spot, T) error) error {
	for i, v := range list {
		if err := check(at.index(i), v); err != nil {
			return err
		}
	}
	return nil
}

// unique asks that no two elements of a list have the same key.
func unique[T any, K cmp.Ordered](at spot, list []T, key func(T) K) error {
	seen := make(map[K]int, len(list))
	for i, v := range list {
		if j, dup := seen[key(v)]; dup {
			return at.index(i).errorf("repeats element %d, %.80q", j, fmt.Sprint(key(v)))
		}
		seen[key(v)] = i
	}
	return nil
}

func self[T any](v T) T { return v }

// digests asks for a list of digests without duplicates.
func (s spot) digests(list []Digest) error {
	return cmp.Or(each(s, list, spot.digest), unique(s, list, self))
}

// lines asks for a list of lines without duplicates.
func (s spot) lines(list []string) error {
	return cmp.Or(each(s, list, spot.line), unique(s, list, self))
}

// sound returns v, or nothing but the error there is.
func sound[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}
