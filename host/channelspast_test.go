package host

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// TestAttackBehindTheThief: where the version a host saw last is void, with the
// key of a thief from a place in the log on, the one it saw before still is the
// least it takes: a server does not go behind it.
func TestAttackBehindTheThief(t *testing.T) {
	m := enrolled(t)
	s := m.server
	pulls := func(version int64) []api.ServedChannel {
		t.Helper()
		if version > 0 {
			s.offer(version, nil)
		}
		if err := os.Remove(m.file()); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if _, err := m.pullChannel(""); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		return slices.Clone(s.channels)
	}
	older := pulls(5)
	honest := pulls(6)
	size, err := strconv.ParseInt(strings.Split(s.authority.Since(0).Checkpoint, "\n")[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	place := s.authority.Since(size)
	pulls(7) // the thief's
	s.revocations = [][]byte{s.authority.RevokeKey(s.product.ID, s.authority.Signer(string(attest.RoleChannel)).Key.ID(), place)}
	if err := os.Remove(m.file()); err != nil {
		t.Fatal(err)
	}
	s.channels = older
	m.channelRefused(t, verify.Rollback, "offers version 5 of channel stable, this host has seen version 6")
	s.channels = honest
	pulls(0)
}

// TestSeenVersionsAreFew: what is kept of a channel does not grow for ever.
func TestSeenVersionsAreFew(t *testing.T) {
	m := enrolled(t)
	for version := range int64(keptVersions + 3) {
		m.server.offer(version+1, nil)
		if _, err := m.pullChannel(""); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(m.file()); err != nil {
			t.Fatal(err)
		}
	}
	err := m.with(func(a *Agent) error {
		seen, err := a.state.readChannels()
		if err != nil {
			return err
		}
		var versions []int64
		for _, b := range seen.of(m.server.product.ID).Bundles {
			parsed, err := attest.ParseBundle(b)
			if err != nil {
				return err
			}
			versions = append(versions, parsed.Statement.Predicate.(*attest.Channel).Version)
		}
		if want := []int64{4, 5, 6, 7, 8, 9, 10, 11}; !slices.Equal(versions, want) {
			t.Errorf("kept versions %v, want %v", versions, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
