package monitor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// A sighting is what one witness cosigned last.
type sighting struct {
	witness quorum.Witness
	seen    *ledger.Checkpoint // nil: nothing, or it did not say
	err     error
}

const maxCheckpoint = 64 << 10

// askWitnesses asks every witness of the policy, at once, for what it cosigned
// last of the log. One that does not answer is no alert: too few that cosign
// are.
func (m *Monitor) askWitnesses(ctx context.Context, origin string) []sighting {
	if m.o.Policy == nil {
		return nil
	}
	var all []sighting
	for _, w := range m.o.Policy.Witnesses {
		if w.URL != "" {
			all = append(all, sighting{witness: w})
		}
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].seen, all[i].err = m.askWitness(ctx, all[i].witness, origin) })
	}
	wg.Wait()
	return all
}

// askWitness reads a checkpoint that the log signed. The log's signature is
// what counts, so the witness's own is not asked for.
func (m *Monitor) askWitness(ctx context.Context, w quorum.Witness, origin string) (*ledger.Checkpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, witnessTimeout)
	defer cancel()
	sum := sha256.Sum256([]byte(origin))
	url := strings.TrimSuffix(w.URL, "/") + "/" + hex.EncodeToString(sum[:]) + "/checkpoint"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := m.o.Witnesses.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxCheckpoint+1))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || len(raw) > maxCheckpoint {
		return nil, fmt.Errorf("%s answers %d with %d bytes", url, resp.StatusCode, len(raw))
	}
	cp, err := ledger.OpenCheckpoint(raw, m.keys)
	if err == nil && cp.Origin != origin {
		err = fmt.Errorf("%s answers for the log %.80q", url, cp.Origin)
	}
	return cp, err
}

// furthest returns the size of the largest log a witness has seen.
func furthest(all []sighting) (size uint64) {
	for _, s := range all {
		if s.seen != nil {
			size = max(size, s.seen.Size)
		}
	}
	return size
}

// compareWitnesses compares cp with what each of them saw.
func (m *Monitor) compareWitnesses(ctx context.Context, r *Report, cp *ledger.Checkpoint, all []sighting, proofs *client.Proofs) error {
	for _, s := range all {
		saw := WitnessSaw{Witness: s.witness.Name}
		if s.err != nil {
			saw.Error = s.err.Error()
			m.o.Logger.Warn("a witness did not say what it saw", "witness", s.witness.Name, "error", s.err)
		}
		if s.seen != nil {
			saw.Size = &s.seen.Size
			if err := m.compareWitness(ctx, r, cp, s, proofs); err != nil {
				return err
			}
		}
		r.Witnesses = append(r.Witnesses, saw)
	}
	return nil
}

func (m *Monitor) compareWitness(ctx context.Context, r *Report, cp *ledger.Checkpoint, s sighting, proofs *client.Proofs) error {
	name := s.witness.Name
	if s.seen.Size > cp.Size {
		return m.against(ctx, r, RolledBack, s.seen, cp, fmt.Sprintf("witness %s cosigned %d entries, the log shows %d", name, s.seen.Size, cp.Size))
	}
	root, err := proofs.Root(s.seen.Size)
	if err != nil {
		return m.unreadable(ctx, r, cp, err)
	}
	if bytes.Equal(root, s.seen.Root) {
		return nil
	}
	return m.against(ctx, r, SplitView, s.seen, cp,
		fmt.Sprintf("witness %s has seen another history: its first %d entries have the root %x, here %x", name, s.seen.Size, s.seen.Root, root))
}
