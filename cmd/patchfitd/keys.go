package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/ledger/tsa"
)

// The names of a server's keys and secrets, in DATA/keys. Each has one use, so
// that losing one loses one thing.
const (
	keyLog      = "log.pem"        // Ed25519: signs checkpoints
	keyTSA      = "timestamps.pem" // P-256: signs timestamps
	chainTSA    = "timestamps-chain.pem"
	chainsTSA   = "timestamps-chain*.pem" // the one in use, those before it, the next one
	keyTokens   = "tokens.pem"            // P-256: signs access tokens
	keyReceipts = "receipts.pem"          // P-256: signs receipts of decisions
	keyJournal  = "journal.pem"           // P-256: signs sealed segments
	secretMAC   = "pepper"                // keys the MACs of bearer and enrolment tokens
)

const secretSize = 32

// keys are a server's own keys, none of which vouches for a patch.
type keys struct {
	log      ed25519.PrivateKey
	tsa      crypto.Signer
	tsaChain []*x509.Certificate
	tokens   crypto.Signer
	journal  crypto.Signer
	receipts crypto.Signer
	pepper   []byte
}

// makeKeys makes every key that is not there yet; it never replaces one.
func makeKeys(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the key directory: %w", err)
	}
	var errs []error
	errs = append(errs, unlessThere(dir, keyLog, keyfile.CreateEd25519))
	for _, name := range []string{keyTSA, keyTokens, keyReceipts, keyJournal} {
		errs = append(errs, unlessThere(dir, name, keyfile.CreateECDSA))
	}
	errs = append(errs, unlessThere(dir, secretMAC, func(p string) error { return keyfile.CreateSecret(p, secretSize) }))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return unlessThere(dir, chainTSA, func(p string) error { return makeChain(filepath.Join(dir, keyTSA), p) })
}

func unlessThere(dir, name string, create func(path string) error) error {
	path := filepath.Join(dir, name)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making %s: %w", name, err)
	}
	return nil
}

func makeChain(keyPath, path string) error {
	key, err := keyfile.LoadSigner(keyPath)
	if err != nil {
		return err
	}
	chain, err := tsa.NewChain(key)
	if err != nil {
		return err
	}
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return keyfile.WriteNew(path, out)
}

// loadKeys loads every key; that of the log is in the file logKey, "" where
// somebody else has it.
func loadKeys(dir, logKey string) (*keys, error) {
	k := &keys{}
	var err error
	if logKey != "" {
		if k.log, err = loadLogKey(filepath.Join(dir, logKey)); err != nil {
			return nil, err
		}
	}
	for name, to := range map[string]*crypto.Signer{keyTSA: &k.tsa, keyTokens: &k.tokens, keyJournal: &k.journal, keyReceipts: &k.receipts} {
		if *to, err = keyfile.LoadSigner(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	if k.pepper, err = keyfile.LoadSecret(filepath.Join(dir, secretMAC)); err != nil {
		return nil, err
	}
	k.tsaChain, err = loadChain(filepath.Join(dir, chainTSA))
	return k, err
}

// loadChains returns the chains of the authority in use, of those before it,
// whose timestamps still count, and of the one that is to replace it.
func loadChains(dir string) ([][]*x509.Certificate, error) {
	paths, err := filepath.Glob(filepath.Join(dir, chainsTSA))
	if err != nil {
		return nil, err
	}
	var chains [][]*x509.Certificate
	for _, path := range paths {
		chain, err := loadChain(path)
		if err != nil {
			return nil, err
		}
		chains = append(chains, chain)
	}
	return chains, nil
}

func loadLogKey(path string) (ed25519.PrivateKey, error) {
	s, err := keyfile.LoadSigner(path)
	if err != nil {
		return nil, err
	}
	key, ok := s.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", filepath.Base(path))
	}
	return key, nil
}

func loadChain(path string) ([]*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the timestamp chain: %w", err)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the timestamp chain: %w", err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("reading the timestamp chain: %s holds no certificate", path)
	}
	return chain, nil
}

// publicJournal, in DATA, is for whoever makes the trust policy, which is where
// monitors and auditors have it from.
const publicJournal = "journal.pub"

func (h *house) publishJournalKey() error {
	key, err := attest.NewPublicKey(h.keys.journal.Public())
	if err != nil {
		return fmt.Errorf("reading the journal key: %w", err)
	}
	return unlessThere(h.config.Data, publicJournal, func(p string) error { return keyfile.WriteNewPublic(p, key.PEM()) })
}
