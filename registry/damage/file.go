package damage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/strictjson"
)

const (
	bookName = "damage.json"
	maxBook  = 16 << 20 // bytes of the longest book that is read
	maxWhy   = 500      // bytes of what is said in an acknowledgement
)

// notes are the content of the file.
type notes struct {
	Version  int            `json:"version"` // 1
	Pass     Pass           `json:"pass,omitzero"`
	Findings []Finding      `json:"findings"`
	Omitted  int64          `json:"omitted,omitzero"`
	Found    map[Kind]int64 `json:"found,omitzero"`
	Last     time.Time      `json:"last,omitzero"`
}

// Read returns what the book in dir says, whether a server has it open or not.
func Read(dir string) (Report, error) {
	_, n, err := read(dir)
	if err != nil {
		return Report{}, fmt.Errorf("reading the book of damage: %w", err)
	}
	r := n.report()
	acknowledge(dir, r.Findings)
	return r, nil
}

// read returns the book, and its bytes where there are some; none is an empty
// one.
func read(dir string) (raw []byte, n notes, err error) {
	name := filepath.Join(dir, bookName)
	raw, err = os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notes{}, nil
	}
	if err != nil {
		return nil, notes{}, err
	}
	if err := strictjson.Unmarshal(raw, maxBook, &n); err != nil {
		return raw, notes{}, fmt.Errorf("%s: %w", name, err)
	}
	return raw, n, n.check(name)
}

func (n *notes) check(name string) error {
	if n.Version != 1 {
		return fmt.Errorf("%s: version %d, want 1", name, n.Version)
	}
	for _, f := range n.Findings {
		if _, err := attest.ParseDigest(string(f.Digest)); err != nil || !slices.Contains(Kinds(), f.Kind) || f.Acknowledged != nil {
			return fmt.Errorf("%s: %.80q of kind %.40q is no finding", name, f.Digest, f.Kind)
		}
	}
	return nil
}

func (n *notes) write(dir string) error {
	n.Version = 1
	b, err := strictjson.Canonical(n)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, bookName), b, 0o600)
}
