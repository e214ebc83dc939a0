package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/ledger/journal"
	"github.com/patchfit/patchfit/ledger/shards"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/ledger/tlog"
	"github.com/patchfit/patchfit/ledger/tuf/repository"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state"
)

// The parts of a data directory. Log, journal, store and registry are the
// truth; the index is made from them.
const (
	keysDir     = "keys"
	logDir      = "log"
	journalDir  = "journal"
	storeDir    = "store"
	registryDir = "registry"
	notifyDir   = "notify"
	tufDir      = "tuf"
	indexFile   = "index.db"
	lockFile    = "lock"
)

// A house is every stateful room of a server, open. One process at a time
// holds it.
type house struct {
	config  *serverconfig.Config
	logger  *slog.Logger
	keys    *keys
	site    *policy.Site
	store   *store.Store
	log     backend.Log
	frozen  []backend.Log // logs that took entries before, oldest first
	shards  *shards.List  // nil: there was never more than one log
	turning bool          // the configuration may name the next log
	next    string        // which is this one
	moving  bool          // the configuration may have the log where it is moved to
	state   *state.State
	journal *journal.Journal
	tuf     *repository.Repository
	watched

	closers []func() error
}

// openHouse opens the rooms bottom up: store, log, then the journal, whose
// replay builds the state the gate decides from. It returns only when the
// state is whole.
func openHouse(ctx context.Context, configPath string, stderr io.Writer) (*house, error) {
	return openOne(ctx, &house{}, configPath, stderr)
}

// openTurning opens a house whose configuration names the log to come.
func openTurning(ctx context.Context, configPath string, stderr io.Writer) (*house, error) {
	return openOne(ctx, &house{turning: true}, configPath, stderr)
}

func openOne(ctx context.Context, h *house, configPath string, stderr io.Writer) (*house, error) {
	h.logger = slog.New(slog.NewJSONHandler(stderr, nil))
	h.meter = meter.New(meter.Config{Version: version, Read: h.condition})
	if err := h.open(ctx, configPath); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *house) open(ctx context.Context, configPath string) error {
	if err := h.readConfig(configPath); err != nil {
		return err
	}
	if err := h.lock(); err != nil {
		return err
	}
	if err := h.readShards(); err != nil {
		return err
	}
	var err error
	if h.keys, err = loadKeys(h.path(keysDir), h.logKeyFile()); err != nil {
		return err
	}
	if h.store, err = store.Open(h.path(storeDir)); err != nil {
		return fmt.Errorf("opening the ledger store: %w", err)
	}
	h.state = state.New(h.store, h.site)
	if err := h.publishJournalKey(); err != nil {
		return err
	}
	if err := h.openLog(ctx); err != nil {
		return err
	}
	if err := h.openJournal(); err != nil {
		return err
	}
	if err := h.openTUF(); err != nil {
		return err
	}
	return h.begun()
}

func (h *house) path(part string) string { return filepath.Join(h.config.Data, part) }

func (h *house) readConfig(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return exit.Hint(fmt.Errorf("reading the configuration: %w", err), "make one with: patchfitd init --config "+path)
	}
	if h.config, err = serverconfig.Load(b); err != nil {
		return fmt.Errorf("reading the configuration %s: %w", path, err)
	}
	h.site = policy.DefaultSite()
	if h.config.SitePolicy == "" {
		return nil
	}
	if b, err = os.ReadFile(h.config.SitePolicy); err != nil {
		return fmt.Errorf("reading the site policy: %w", err)
	}
	if h.site, err = policy.LoadSite(b); err != nil {
		return fmt.Errorf("reading the site policy %s: %w", h.config.SitePolicy, err)
	}
	return nil
}

// lock takes the data directory for this process, until it ends.
func (h *house) lock() error {
	f, err := os.OpenFile(h.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return exit.Hint(fmt.Errorf("opening the data directory: %w", err), "make it with: patchfitd init")
	}
	h.closers = append(h.closers, f.Close)
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return exit.Hint(fmt.Errorf("data directory %s is in use by another patchfitd", h.config.Data), "stop that one first")
	}
	if err := errors.Join(durable.Sweep(h.config.Data), durable.Sweep(h.path(keysDir))); err != nil {
		return fmt.Errorf("tidying the data directory: %w", err)
	}
	return nil
}

func (h *house) openLog(ctx context.Context) error {
	journalKey, err := attest.NewPublicKey(h.keys.journal.Public())
	if err != nil {
		return fmt.Errorf("reading the journal key: %w", err)
	}
	allowed := func(key attest.Digest) bool { return key == journalKey.ID() || h.state.KnownSigner(key) }
	var witnesses []byte
	if h.config.Witnesses != "" {
		if witnesses, err = os.ReadFile(h.config.Witnesses); err != nil {
			return fmt.Errorf("reading the witnesses: %w", err)
		}
	}
	if !h.moving {
		if err := h.settle(); err != nil {
			return err
		}
	}
	all, err := h.logs()
	if err != nil {
		return err
	}
	if err := h.openFrozen(ctx, all); err != nil {
		return err
	}
	if h.log, err = h.openCurrent(ctx, all.Current(), backend.Writers{Allowed: allowed, Certified: h.certified}, witnesses); err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	h.closers = append(h.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return h.log.Close(ctx)
	})
	return nil
}

// certified asks the trust policy in effect about a certificate, now.
func (h *house) certified(c *attest.Certificate) error { return h.state.Certified(c, time.Now()) }

func (h *house) openJournal() error {
	signer, err := signature.LoadSigner(h.keys.journal, crypto.SHA256)
	if err != nil {
		return fmt.Errorf("reading the journal key: %w", err)
	}
	h.journal, err = journal.Open(h.path(journalDir), h.store, signer, tlog.Segments{Log: h.log, Frozen: h.frozen}, h.state.Apply, &journal.Options{Logger: h.logger})
	if err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	h.closers = append(h.closers, h.closeJournal)
	return h.state.SetReady()
}

// closeJournal seals what is open, so that a clean stop leaves nothing
// outside the log, and closes the journal either way.
func (h *house) closeJournal() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.journal.Seal(ctx); err != nil {
		h.logger.Warn("the last segment is not sealed; the next start seals it", "error", err)
	}
	return h.journal.Close()
}

// close closes the rooms top down.
func (h *house) close() error {
	var errs []error
	for i := len(h.closers) - 1; i >= 0; i-- {
		errs = append(errs, h.closers[i]())
	}
	h.closers = nil
	return errors.Join(errs...)
}

// feed is what the index is fed from.
type feed struct{ h *house }

func (h *house) source() index.Source { return feed{h} }

func (f feed) Records(from int64) iter.Seq2[ledger.Record, error] { return f.h.journal.Records(from) }
func (f feed) Blob(d attest.Digest) ([]byte, error)               { return f.h.store.Get(d) }
func (f feed) Statement(bundle attest.Digest) (index.Statement, error) {
	return f.h.state.Statement(bundle)
}
