package damage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// An Acknowledgement says that damage is known: it is an alarm no more. It ends
// when the object is whole: damage after that is news.
type Acknowledgement struct {
	Time time.Time `json:"time"`
	Why  string    `json:"why"`
}

// ErrNoFinding reports that nothing of a digest is known to be damaged.
var ErrNoFinding = errors.New("nothing with this digest is known to be damaged")

// Acknowledge says that damage of an object is known. A server that has the
// book open sees it at once. The same again says something else.
func Acknowledge(dir string, d attest.Digest, why string) error {
	if len(why) > maxWhy || strings.ContainsFunc(why, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return fmt.Errorf("what is said about it is not one line of at most %d bytes", maxWhy)
	}
	r, err := Read(dir)
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		if f.Digest != d {
			continue
		}
		b, err := strictjson.Canonical(Acknowledgement{Time: time.Now().UTC().Truncate(time.Second), Why: why})
		if err != nil {
			return err
		}
		if err := durable.Replace(filepath.Join(acknowledgements(dir), d.Hex()), b, 0o600); err != nil {
			return fmt.Errorf("acknowledging: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%s: %w", d, ErrNoFinding)
}

func acknowledgements(dir string) string { return filepath.Join(dir, "acknowledged") }

// acknowledge puts what was said about findings into them. What cannot be read
// acknowledges nothing.
func acknowledge(dir string, findings []Finding) {
	for i := range findings {
		f := &findings[i]
		raw, err := os.ReadFile(filepath.Join(acknowledgements(dir), f.Digest.Hex()))
		if err != nil {
			continue
		}
		var a Acknowledgement
		if strictjson.Unmarshal(raw, maxWhy*8, &a) == nil && !a.Time.Before(f.First) {
			f.Acknowledged = &a
		}
	}
}

// withdraw takes an acknowledgement away, if there is one.
func withdraw(dir string, d attest.Digest) error {
	err := os.Remove(filepath.Join(acknowledgements(dir), d.Hex()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
