package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/journal"
	"github.com/patchfit/patchfit/ledger/shards"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/ledger/tlog"
)

// A books is the ledger of a server, opened as the server does it, but for the
// state: that is made when the server starts, and checks every record.
type books struct {
	store   string // directory
	journal *journal.Journal
	log     *tlog.Log
	lock    *os.File
}

const closeTime = time.Minute

func open(ctx context.Context, config string) (*books, error) {
	b, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	c, err := serverconfig.Load(b)
	if err != nil {
		return nil, err
	}
	l := &books{store: filepath.Join(c.Data, "store")}
	if err := l.open(ctx, c); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *books) open(ctx context.Context, c *serverconfig.Config) error {
	var err error
	if l.lock, err = os.OpenFile(filepath.Join(c.Data, "lock"), os.O_RDWR, 0); err != nil {
		return err
	}
	if err := unix.Flock(int(l.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use; stop the server first: %w", c.Data, err)
	}
	if all, err := shards.Load(c.Data); err != nil || all != nil {
		return errors.Join(errors.New("the log of this server is not the one it began with, on its disk; fill knows no other"), err)
	}
	logKey, err := keyfile.LoadSigner(filepath.Join(c.Data, "keys/log.pem"))
	if err != nil {
		return err
	}
	ed, ok := logKey.(ed25519.PrivateKey)
	if !ok {
		return errors.New("the log's key is not an Ed25519 key")
	}
	journalKey, err := keyfile.LoadSigner(filepath.Join(c.Data, "keys/journal.pem"))
	if err != nil {
		return err
	}
	public, err := attest.NewPublicKey(journalKey.Public())
	if err != nil {
		return err
	}
	onlyJournal := func(key attest.Digest) bool { return key == public.ID() }
	if l.log, err = tlog.Open(ctx, filepath.Join(c.Data, "log"), c.Origin, ed, &tlog.Options{Allowed: onlyJournal}); err != nil {
		return err
	}
	signer, err := signature.LoadSigner(journalKey, crypto.SHA256)
	if err != nil {
		return err
	}
	s, err := store.Open(l.store)
	if err != nil {
		return err
	}
	taken := func(ledger.Record) error { return nil }
	l.journal, err = journal.Open(filepath.Join(c.Data, "journal"), s, signer, tlog.Segments{Log: l.log}, taken, nil)
	return err
}

// close seals what was written, so that the server finds a journal in order.
func (l *books) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	var errs []error
	if l.journal != nil {
		errs = append(errs, l.journal.Seal(ctx), l.journal.Close())
	}
	if l.log != nil {
		errs = append(errs, l.log.Close(ctx))
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	return errors.Join(errs...)
}
