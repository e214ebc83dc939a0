package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// MaxRecord is the largest canonical form of a record, in bytes.
const MaxRecord = 1 << 20

// frameHeader is a frame's length and checksum, 4 bytes each, big endian.
// docs/spec/journal.md, "Frames".
const frameHeader = 8

// ErrFrame reports bytes that are not a whole frame.
var ErrFrame = errors.New("not a whole frame")

// AppendFrame appends the frame of payload, of 1 to MaxRecord bytes, to dst.
func AppendFrame(dst, payload []byte) []byte {
	var h [frameHeader]byte
	binary.BigEndian.PutUint32(h[:4], uint32(len(payload)))
	binary.BigEndian.PutUint32(h[4:], frameSum(h[:4], payload))
	return append(append(dst, h[:]...), payload...)
}

// NextFrame returns the payload of the frame at the start of b and what
// follows it. The payload is part of b.
func NextFrame(b []byte) (payload, rest []byte, err error) {
	if len(b) < frameHeader {
		return nil, nil, fmt.Errorf("%w: %d bytes of a header", ErrFrame, len(b))
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > MaxRecord {
		return nil, nil, fmt.Errorf("%w: length %d", ErrFrame, n)
	}
	if len(b)-frameHeader < int(n) {
		return nil, nil, fmt.Errorf("%w: %d of %d bytes", ErrFrame, len(b)-frameHeader, n)
	}
	payload, rest = b[frameHeader:frameHeader+n:frameHeader+n], b[frameHeader+n:]
	if frameSum(b[:4], payload) != binary.BigEndian.Uint32(b[4:]) {
		return nil, nil, fmt.Errorf("%w: checksum of %d bytes", ErrFrame, n)
	}
	return payload, rest, nil
}

func frameSum(length, payload []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(length, t), t, payload)
}
