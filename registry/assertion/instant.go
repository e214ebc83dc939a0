package assertion

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An Instant is a NumericDate (RFC 7519, section 2) to the millisecond: a
// server that just started has to tell what was signed before from what was
// signed after, within the same second.
type Instant int64 // milliseconds since 1970

// Ten digits of seconds: 2001 to 2286.
const (
	firstInstant Instant = 1_000_000_000_000
	lastInstant  Instant = 9_999_999_999_999
)

var errInstant = errors.New("not seconds since 1970 with at most three decimals, in canonical form")

// At returns the instant of t.
func At(t time.Time) Instant { return Instant(t.UnixMilli()) }

// Time returns i as a time, UTC.
func (i Instant) Time() time.Time { return time.UnixMilli(int64(i)).UTC() }

func (i Instant) String() string { return i.Time().Format("2006-01-02T15:04:05.000Z07:00") }

// MarshalJSON writes i as a canonical number (RFC 8785).
func (i Instant) MarshalJSON() ([]byte, error) {
	if i < firstInstant || i > lastInstant {
		return nil, fmt.Errorf("time %d ms: %w", int64(i), errInstant)
	}
	s := fmt.Sprintf("%d.%03d", int64(i)/1000, int64(i)%1000)
	return []byte(strings.TrimSuffix(strings.TrimRight(s, "0"), ".")), nil
}

// UnmarshalJSON reads the one form MarshalJSON writes.
func (i *Instant) UnmarshalJSON(b []byte) error {
	whole, part, _ := strings.Cut(string(b), ".")
	if len(whole) != 10 || len(part) > 3 {
		return errInstant
	}
	n, err := strconv.ParseUint(whole+part+"000"[len(part):], 10, 63)
	if err != nil {
		return errInstant
	}
	read := Instant(n)
	if again, err := read.MarshalJSON(); err != nil || string(again) != string(b) {
		return errInstant
	}
	*i = read
	return nil
}
