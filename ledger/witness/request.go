package witness

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// MaxRequest is the most bytes an add-checkpoint request has.
const MaxRequest = 64 << 10

const maxProof = 63 // lines

// A Request is an add-checkpoint request (C2SP tlog-witness).
type Request struct {
	Old        uint64   // entries of the checkpoint the proof starts from
	Proof      [][]byte // RFC 6962 consistency proof, 32 bytes each
	Checkpoint []byte   // the signed note
}

// ParseRequest reads a request, of which there is one form. Its errors wrap
// [ErrBadRequest].
func ParseRequest(b []byte) (*Request, error) {
	if len(b) > MaxRequest {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrBadRequest, MaxRequest)
	}
	head, checkpoint, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		return nil, fmt.Errorf("%w: no empty line before the checkpoint", ErrBadRequest)
	}
	lines := strings.Split(string(head), "\n")
	text, ok := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseUint(text, 10, 63)
	if !ok || err != nil || strconv.FormatUint(old, 10) != text {
		return nil, fmt.Errorf("%w: %.40q is not an old size line", ErrBadRequest, lines[0])
	}
	r := &Request{Old: old, Checkpoint: bytes.Clone(checkpoint)}
	if len(lines)-1 > maxProof {
		return nil, fmt.Errorf("%w: %d lines of proof, at most %d are read", ErrBadRequest, len(lines)-1, maxProof)
	}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != 32 || base64.StdEncoding.EncodeToString(h) != line { // it passes over carriage returns
			return nil, fmt.Errorf("%w: %.60q is not the base64 of a hash", ErrBadRequest, line)
		}
		r.Proof = append(r.Proof, h)
	}
	return r, nil
}

// Text returns the request as it is sent.
func (r *Request) Text() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.Old)
	for _, h := range r.Proof {
		b = fmt.Appendf(b, "%s\n", base64.StdEncoding.EncodeToString(h))
	}
	b = append(b, '\n')
	return append(b, r.Checkpoint...)
}
