package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

// A Visit is what an auditor remembers of a log.
type Visit struct {
	SchemaVersion int    `json:"schemaVersion"`
	Origin        string `json:"origin"`
	Size          int64  `json:"size"`
	Root          string `json:"root"` // hex
	Checkpoint    []byte `json:"checkpoint"`
	Frozen        bool   `json:"frozen,omitzero"` // another log took the entries then
}

// checkpoint returns what was seen; nil of no visit.
func (v *Visit) checkpoint() *client.Checkpoint {
	if v == nil {
		return nil
	}
	root, err := hex.DecodeString(v.Root)
	if err != nil {
		return nil // read checks it
	}
	return &client.Checkpoint{Origin: v.Origin, Size: uint64(v.Size), Root: root, Raw: v.Checkpoint}
}

// A memory is where the last visits to the logs of a server are remembered: a
// file each, DIR/SERVER@ORIGIN.json. One of before there could be several is
// DIR/SERVER.json, and counts for the log it names.
type memory struct{ stem string }

func memoryOf(server string) (*memory, error) {
	dir, err := config.Dir()
	if err != nil {
		return nil, err
	}
	return &memory{filepath.Join(dir, "checkpoints", strings.ReplaceAll(config.Address(server), ":", "_"))}, nil
}

func (m *memory) path(origin string) string { return m.stem + "@" + origin + ".json" }

// last returns the last visit to a log, nil where there was none.
func (m *memory) last(origin string) (*Visit, error) {
	v, err := readVisit(m.path(origin))
	if err != nil || v != nil {
		return v, err
	}
	if v, err = readVisit(m.stem + ".json"); err != nil || v == nil || v.Origin != origin {
		return nil, err
	}
	return v, nil
}

func readVisit(path string) (*Visit, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last visit: %w", err)
	}
	v := new(Visit)
	if err := strictjson.Unmarshal(b, attest.MaxStatement, v); err != nil {
		return nil, fmt.Errorf("reading the last visit, %s: %w", path, err)
	}
	if root, err := hex.DecodeString(v.Root); err != nil || len(root) != 32 || v.Size < 0 {
		return nil, fmt.Errorf("reading the last visit, %s: no size and root", path)
	}
	return v, nil
}

// missing reports an error where a log that was visited and is trusted is not
// shown any more.
func (m *memory) missing(logs *client.Shards) error {
	for _, l := range logs.Absent {
		v, err := m.last(l.Origin)
		if err != nil {
			return err
		}
		if v != nil {
			return fmt.Errorf("%w: log %s, of which you saw %d entries, is %w", ledger.ErrTampered, v.Origin, v.Size, client.ErrMissing)
		}
	}
	return nil
}

func (m *memory) remember(cp *client.Checkpoint, frozen bool) error {
	b, err := strictjson.Canonical(Visit{1, cp.Origin, int64(cp.Size), hex.EncodeToString(cp.Root), cp.Raw, frozen})
	if err != nil {
		return err
	}
	if err := shell.Remember(m.path(cp.Origin), append(b, '\n')); err != nil {
		return fmt.Errorf("remembering this visit: %w", err)
	}
	return nil
}
