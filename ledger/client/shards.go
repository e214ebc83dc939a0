package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/patchfit/patchfit/ledger"
)

// A Shard is one of the logs of a trusted root, and where a server shows it.
type Shard struct {
	Origin string
	Keys   []ledger.LogKey // of that origin, mostly one
	Log    *Client         // reads it
}

// Shards are the logs of a trusted root as a server shows them. Which is which is
// the server's word; what each of them holds is verified by its own key.
type Shards struct {
	Frozen  []Shard // logs that another took over from, oldest first
	Current *Shard  // which takes the entries; nil: it shows none, or one that is not trusted
	Absent  []Shard // logs it does not show: another server's, or not begun
	Raw     []byte  // what it shows as the current checkpoint; anybody may have signed it
}

// Shards asks which of the logs in trustedRoot the server has. A log that is not
// the current one is looked for where frozen ones are.
func (c *Client) Shards(ctx context.Context, trustedRoot []byte) (*Shards, error) {
	all, err := c.trusted(trustedRoot)
	if err != nil {
		return nil, err
	}
	s := &Shards{}
	if s.Raw, err = c.RawCheckpoint(ctx); err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	line, _, _ := bytes.Cut(s.Raw, []byte("\n"))
	for _, shard := range all {
		if shard.Origin == string(line) {
			shard.Log = c
			s.Current = &shard
			continue
		}
		switch _, err := shard.Log.RawCheckpoint(ctx); {
		case err == nil:
			s.Frozen = append(s.Frozen, shard)
		case errors.Is(err, ErrNotFound):
			s.Absent = append(s.Absent, shard)
		default:
			return nil, fmt.Errorf("log %s: %w", shard.Origin, err)
		}
	}
	return s, nil
}

// Shown returns the logs the server shows, oldest first, the current one last.
func (s *Shards) Shown() []Shard {
	all := slices.Clone(s.Frozen)
	if s.Current != nil {
		all = append(all, *s.Current)
	}
	return all
}

// trusted returns the logs of a trusted root, oldest first, each where it is read
// when it is frozen.
func (c *Client) trusted(trustedRoot []byte) ([]Shard, error) {
	keys, err := ledger.LogKeys(trustedRoot)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(keys, func(a, b ledger.LogKey) int { return a.Start.Compare(b.Start) })
	var all []Shard
	for _, k := range keys {
		if i := slices.IndexFunc(all, func(s Shard) bool { return s.Origin == k.Origin }); i >= 0 {
			all[i].Keys = append(all[i].Keys, k)
			continue
		}
		if ledger.CheckOrigin(k.Origin) != nil {
			continue // a log of another kind, which no server of ours has
		}
		all = append(all, Shard{Origin: k.Origin, Keys: []ledger.LogKey{k}, Log: &Client{base: c.base + ledger.ShardsPath + k.Origin, http: c.http}})
	}
	return all, nil
}

// Checkpoint returns the log's checkpoint, signed by its own key.
func (s *Shard) Checkpoint(ctx context.Context) (*Checkpoint, error) {
	raw, err := s.Log.RawCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	return ledger.OpenCheckpoint(raw, s.Keys)
}

// Verify is [Client.VerifyLog] of one log, by its own key.
func (s *Shard) Verify(ctx context.Context, seen *Checkpoint, visit func(index uint64, leaf []byte) error) (*Checkpoint, error) {
	cp, err := s.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return cp, s.Log.verify(ctx, cp, seen, visit)
}
