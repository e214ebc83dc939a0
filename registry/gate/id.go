package gate

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// crockford is Douglas Crockford's base 32: no letters that look like digits.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// newID returns the id of a decision made at t: "d-" and 26 characters, of
// which the first tell the time, so that ids sort by it, and 82 bits are
// random.
func newID(t time.Time) string {
	var b [17]byte
	binary.BigEndian.PutUint64(b[:8], uint64(t.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // crypto/rand.Read returns no error
	return "d-" + crockford.EncodeToString(b[:])[:26]
}
