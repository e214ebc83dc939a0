package main

import (
	"crypto"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/gorilla/mux"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/ledger/tuf/repository"
)

// The key that signs timestamps of the TUF repository. A key that is to
// replace it is another file of this pattern: a server signs with those the
// root in effect names (docs/spec/tuf.md).
const (
	keyTimestamp    = "tuf-timestamp.pem"
	keysTimestamp   = "tuf-timestamp*.pem"
	publicTimestamp = "tuf-timestamp.pub" // in DATA, for whoever makes the root
)

// makeTimestampKey makes the timestamp key where there is none: a key that no
// root names stands for nothing yet.
func (h *house) makeTimestampKey() error {
	dir := h.path(keysDir)
	found, err := filepath.Glob(filepath.Join(dir, keysTimestamp))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if err := unlessThere(dir, keyTimestamp, keyfile.CreateECDSA); err != nil {
			return err
		}
	} else if found[0] != filepath.Join(dir, keyTimestamp) {
		return nil // it was replaced
	}
	signer, err := keyfile.LoadSigner(filepath.Join(dir, keyTimestamp))
	if err != nil {
		return err
	}
	key, err := attest.NewPublicKey(signer.Public())
	if err != nil {
		return fmt.Errorf("reading the timestamp key: %w", err)
	}
	return unlessThere(h.config.Data, publicTimestamp, func(p string) error { return keyfile.WriteNewPublic(p, key.PEM()) })
}

// timestampKeys returns the timestamp keys there are now.
func (h *house) timestampKeys() ([]crypto.Signer, error) {
	paths, err := filepath.Glob(filepath.Join(h.path(keysDir), keysTimestamp))
	if err != nil {
		return nil, err
	}
	var keys []crypto.Signer
	for _, path := range paths {
		k, err := keyfile.LoadSigner(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// openTUF opens the server's side of the TUF repository.
func (h *house) openTUF() error {
	if err := h.makeTimestampKey(); err != nil {
		return fmt.Errorf("making the timestamp key: %w", err)
	}
	if err := os.MkdirAll(h.path(tufDir), 0o700); err != nil {
		return fmt.Errorf("opening the TUF repository: %w", err)
	}
	h.tuf = repository.New(h.path(tufDir), h.state, h.store, h.timestampKeys, &repository.Options{Logger: h.logger})
	return nil
}

const tufPath = "/tuf/"

// serveTUF answers reads of the repository, for everybody.
func (h *house) serveTUF(r *mux.Router) {
	r.PathPrefix(tufPath).Handler(http.StripPrefix(tufPath, h.tuf))
}
