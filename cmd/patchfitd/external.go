package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/rekorv2"
	"github.com/patchfit/patchfit/ledger/shards"
	"github.com/patchfit/patchfit/ledger/tlog"
)

// openCurrent opens the log that takes entries, where it is kept.
func (h *house) openCurrent(ctx context.Context, s *shards.Shard, w backend.Writers, witnesses []byte) (backend.Log, error) {
	if s.Kept == shards.External {
		return h.openExternal(ctx, s, w)
	}
	storage, err := h.logStorage(s)
	if err != nil {
		return nil, err
	}
	log, err := tlog.OpenOn(ctx, storage, h.config.Origin, h.keys.log, &tlog.Options{Allowed: w.Allowed, Certified: w.Certified, Logger: h.logger, Witnesses: witnesses})
	if err != nil {
		if h.needsDatabase() {
			err = exit.Hint(err, "where this log has just begun, log.databaseFile has to name an empty database: that of the log before it is no use")
		}
		return nil, err
	}
	return log, nil
}

// needsDatabase reports whether the current log took over from one that had a
// database of its own.
func (h *house) needsDatabase() bool {
	if h.shards == nil || h.shards.Current().Kept != serverconfig.BucketAndDatabase {
		return false
	}
	frozen := h.shards.Frozen()
	return len(frozen) > 0 && frozen[len(frozen)-1].Kept == serverconfig.BucketAndDatabase
}

// openExternal opens a log that somebody else keeps, by the key it began with
// here.
func (h *house) openExternal(ctx context.Context, s *shards.Shard, w backend.Writers) (backend.Log, error) {
	if h.next != "" { // it may be frozen by now, and the configuration names another
		key, err := s.LogKey()
		if err != nil {
			return nil, err
		}
		return rekorv2.OpenFrozen(ctx, h.path(s.Dir), key, nil, &rekorv2.Options{Logger: h.logger})
	}
	if h.kind() != shards.External {
		return nil, exit.Hint(fmt.Errorf("log %s is kept in an external Rekor, which the configuration does not name", s.Origin), "say log: {kind: rekor, …} in the configuration, or begin another log, of another origin, with: patchfitd log rotate")
	}
	der, err := h.externalKey()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(der, s.Key) {
		return nil, exit.Hint(fmt.Errorf("log.rekor.keyFile holds another key than that of the log %s", s.Origin), "another key is another log, of another origin: begin it with patchfitd log rotate")
	}
	key, err := s.LogKey()
	if err != nil {
		return nil, err
	}
	c := h.config.Log.Rekor
	log, err := rekorv2.Open(ctx, rekorv2.Config{URL: c.URL, Tiles: c.Tiles, Key: key, Dir: h.path(s.Dir)}, &rekorv2.Options{Writers: w, Logger: h.logger})
	switch {
	case errors.Is(err, backend.ErrAway):
		return nil, exit.Hint(err, "check log.rekor in the configuration, and ask whoever runs that Rekor; a server opens without it once it knows the log")
	case errors.Is(err, backend.ErrCorrupt):
		return nil, exit.Hint(err, "check origin and log.rekor.keyFile; if they are right, either the mirror in "+s.Dir+" is damaged, and made again when it is moved away, or that Rekor shows another log than before")
	case err != nil:
		return nil, err
	}
	return log, nil
}

// externalKey is the pinned key of the configured Rekor, as SPKI DER.
func (h *house) externalKey() ([]byte, error) {
	b, err := os.ReadFile(h.config.Log.Rekor.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the key of the external log: %w", err)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(b)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("reading the key of the external log: %w", err), "log.rekor.keyFile is a PUBLIC KEY in PEM, Ed25519 or ECDSA, from whoever runs that Rekor")
	}
	return x509.MarshalPKIXPublicKey(key)
}

// external is the shard of the configured Rekor, in place of s.
func (h *house) external(s shards.Shard) (shards.Shard, error) {
	der, err := h.externalKey()
	if err != nil {
		return shards.Shard{}, err
	}
	s.Kept, s.Key = serverconfig.ExternalRekor, der
	_, err = s.LogKey()
	return s, err
}

// externalShard is the next log where the configuration has it in a Rekor: its key
// is there already. It is prepared all the same, so that its start stays.
func (h *house) externalShard(origin string, next *shards.Shard) (*shards.Shard, error) {
	all, err := h.logs()
	if err != nil {
		return nil, err
	}
	s, err := h.external(shards.Shard{Origin: origin, Start: startAfter(all).UTC().Truncate(time.Second), Dir: "log-" + origin, KeyFile: shards.KeyFile(origin)})
	if err != nil {
		return nil, err
	}
	if next == nil {
		return &s, s.Prepare(h.config.Data)
	}
	if !bytes.Equal(next.Key, s.Key) {
		return nil, exit.Hint(fmt.Errorf("the next log %s is prepared, with another key than log.rekor.keyFile holds", origin), "remove next-shard.json in the data directory if nobody was told of it")
	}
	return next, nil
}
