package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/rekorv2"
	"github.com/patchfit/patchfit/ledger/shards"
	"github.com/patchfit/patchfit/ledger/tlog"
)

// readShards reads which logs there are, and refuses a configuration that
// means another than the one that takes entries.
func (h *house) readShards() error {
	var err error
	if h.shards, err = shards.Load(h.config.Data); err != nil {
		return exit.Hint(err, "restore it from a backup, as new as the logs")
	}
	origin, err := h.currentOrigin()
	if err != nil || origin == h.config.Origin {
		return err
	}
	if h.turning {
		h.next, h.config.Origin = h.config.Origin, origin
		return nil
	}
	return exit.Hint(fmt.Errorf("origin %s of the configuration is not that of the log, which is %s", h.config.Origin, origin),
		"set origin: "+origin+", or freeze that log and begin the other with: patchfitd log rotate")
}

// currentOrigin is the name of the log that takes entries: by the list, by the
// log's own checkpoint, or of a new one by the configuration.
func (h *house) currentOrigin() (string, error) {
	if h.shards != nil {
		return h.shards.Current().Origin, nil
	}
	raw, err := os.ReadFile(filepath.Join(h.path(logDir), "checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return h.config.Origin, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the log's checkpoint: %w", err)
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	if ledger.CheckOrigin(string(line)) != nil {
		return h.config.Origin, nil // damaged: the log says so when it opens
	}
	return string(line), nil
}

// logKeyFile is the name of the private key that signs checkpoints.
func (h *house) logKeyFile() string {
	switch {
	case h.shards == nil:
		return keyLog
	case h.shards.Current().Kept == shards.External:
		return ""
	}
	return h.shards.Current().KeyFile
}

// logs lists all logs; without a list, the only one.
func (h *house) logs() (*shards.List, error) {
	if h.shards != nil {
		return h.shards, nil
	}
	der, err := x509.MarshalPKIXPublicKey(h.keys.log.Public())
	if err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	return &shards.List{Shards: []shards.Shard{{Origin: h.config.Origin, Key: der, Start: h.began(), Dir: logDir, KeyFile: keyLog}}}, nil
}

// openFrozen opens the logs that are only read.
func (h *house) openFrozen(ctx context.Context, all *shards.List) error {
	for i := range all.Frozen() {
		s := &all.Frozen()[i]
		l, err := h.openShard(ctx, s)
		if err != nil {
			return exit.Hint(fmt.Errorf("opening the frozen log %s: %w", s.Origin, err), "restore its directory "+s.Dir+" from a backup made since it was frozen")
		}
		h.frozen = append(h.frozen, l)
	}
	return nil
}

func (h *house) openShard(ctx context.Context, s *shards.Shard) (backend.Log, error) {
	key, err := s.LogKey()
	if err != nil {
		return nil, err
	}
	final, err := s.Checkpoint()
	if err != nil {
		return nil, err
	}
	if s.Kept == shards.External {
		return rekorv2.OpenFrozen(ctx, h.path(s.Dir), key, final, &rekorv2.Options{Logger: h.logger})
	}
	storage, err := h.logStorage(s)
	if err != nil {
		return nil, err
	}
	return tlog.OpenFrozen(ctx, storage, key, final, &tlog.Options{Logger: h.logger})
}

// birthName is the origin of the first log, which names the server to those it
// notifies: it does not change when the log does.
func (h *house) birthName() string {
	if h.shards == nil {
		return h.config.Origin
	}
	return h.shards.Shards[0].Origin
}

// trustedRoot is what others need to verify what this server logged.
func (h *house) trustedRoot(more ...shards.Shard) ([]byte, error) {
	all, err := h.logs()
	if err != nil {
		return nil, err
	}
	keys, err := (&shards.List{Shards: append(append([]shards.Shard(nil), all.Shards...), more...)}).LogKeys()
	if err != nil {
		return nil, err
	}
	chains, err := loadChains(h.path(keysDir))
	if err != nil {
		return nil, err
	}
	return ledger.TrustedRoot(keys, chains...)
}

// writeTrustedRoot replaces the copy in the data directory.
func (h *house) writeTrustedRoot() error {
	b, err := h.trustedRoot()
	if err != nil {
		return fmt.Errorf("making the trusted root: %w", err)
	}
	if err := durable.Replace(h.path(trustedRootFile), b, 0o644); err != nil {
		return fmt.Errorf("writing the trusted root: %w", err)
	}
	return nil
}
