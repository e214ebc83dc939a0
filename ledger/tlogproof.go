package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxProof is the most bytes a tlog-proof has.
const MaxProof = 256 << 10

const (
	proofHeader   = "c2sp.org/tlog-proof@v1"
	maxProofSteps = 63 // hashes of a proof in any log there can be
)

// A Proof is a C2SP tlog-proof: that a leaf is in a log, in one text file that
// can be checked without a network. Reading one proves nothing: the checkpoint
// has to be opened with keys that are trusted, and then [Checkpoint.Includes]
// asked with the leaf, which the proof does not carry.
type Proof struct {
	Extra      []byte // what nobody signed; nil where there is none
	Index      uint64
	Hashes     [][]byte // from the leaf's sibling upwards, 32 bytes each
	Checkpoint []byte   // the signed note, with its cosignatures
}

// Text returns the proof as its file holds it.
func (p *Proof) Text() []byte {
	b := []byte(proofHeader + "\n")
	if p.Extra != nil {
		b = fmt.Appendf(b, "extra %s\n", base64.StdEncoding.EncodeToString(p.Extra))
	}
	b = fmt.Appendf(b, "index %d\n", p.Index)
	for _, h := range p.Hashes {
		b = fmt.Appendf(b, "%s\n", base64.StdEncoding.EncodeToString(h))
	}
	b = append(b, '\n')
	return append(b, p.Checkpoint...)
}

// ParseProof reads a tlog-proof of at most [MaxProof] bytes, of which there is
// one form.
func ParseProof(b []byte) (*Proof, error) {
	if len(b) > MaxProof {
		return nil, fmt.Errorf("tlog-proof has %d bytes, at most %d are read", len(b), MaxProof)
	}
	head, checkpoint, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok || len(checkpoint) == 0 {
		return nil, errors.New("tlog-proof has no checkpoint after an empty line")
	}
	lines := strings.Split(string(head), "\n")
	if lines[0] != proofHeader {
		return nil, fmt.Errorf("tlog-proof begins with %.40q, want %q", lines[0], proofHeader)
	}
	p := &Proof{Checkpoint: bytes.Clone(checkpoint)}
	lines, err := p.readExtra(lines[1:])
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, errors.New("tlog-proof has no index line")
	}
	if p.Index, err = readIndex(lines[0]); err != nil {
		return nil, err
	}
	if p.Hashes, err = readHashes(lines[1:]); err != nil {
		return nil, err
	}
	if !bytes.Equal(p.Text(), b) {
		return nil, errors.New("tlog-proof is not in the one form there is")
	}
	return p, nil
}

func (p *Proof) readExtra(lines []string) ([]string, error) {
	if len(lines) == 0 {
		return lines, nil
	}
	text, ok := strings.CutPrefix(lines[0], "extra ")
	if !ok {
		return lines, nil
	}
	extra, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("tlog-proof: its extra line is not standard base64")
	}
	p.Extra = extra
	return lines[1:], nil
}

func readIndex(line string) (uint64, error) {
	text, ok := strings.CutPrefix(line, "index ")
	n, err := strconv.ParseUint(text, 10, 64)
	if !ok || err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("tlog-proof: %.40q is not an index line", line)
	}
	return n, nil
}

func readHashes(lines []string) ([][]byte, error) {
	if len(lines) > maxProofSteps {
		return nil, fmt.Errorf("tlog-proof: %d hashes, a proof has at most %d", len(lines), maxProofSteps)
	}
	var hashes [][]byte
	for i, line := range lines {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != 32 {
			return nil, fmt.Errorf("tlog-proof: hash %d, %.60q, is not the base64 of 32 bytes", i, line)
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}
