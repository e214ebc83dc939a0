// Package openpgp verifies what a vendor signed by OpenPGP, with one key that
// whoever asks has named by its fingerprint: a keyring alone is no reason to
// trust all that is in it.
package openpgp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// MaxSigned is how many bytes of clear-signed text are read.
const MaxSigned = 16 << 20

// A Key is one trusted key.
type Key struct {
	Fingerprint string // lower-case hex
	entity      *pgp.Entity
}

// Find returns the key with this fingerprint in a keyring, binary or armored.
// Only whole fingerprints name a key: ids of keys are made to collide.
func Find(keyring []byte, fingerprint string) (*Key, error) {
	want := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(fingerprint, "0x"), " ", ""))
	if b, err := hex.DecodeString(want); err != nil || len(b) != 20 && len(b) != 32 {
		return nil, fmt.Errorf("%.80q is no fingerprint: want 40 hex digits, or 64", fingerprint)
	}
	list, err := pgp.ReadKeyRing(bytes.NewReader(keyring))
	if err != nil {
		if list, err = pgp.ReadArmoredKeyRing(bytes.NewReader(keyring)); err != nil {
			return nil, fmt.Errorf("reading the keyring: %w", err)
		}
	}
	var others []string
	for _, e := range list {
		got := hex.EncodeToString(e.PrimaryKey.Fingerprint)
		if got == want {
			return &Key{got, e}, nil
		}
		others = append(others, got)
	}
	return nil, fmt.Errorf("the keyring has no key %s, it has %s", want, strings.Join(others, ", "))
}

func at(now time.Time) *packet.Config {
	return &packet.Config{Time: func() time.Time { return now }}
}

// Verify checks a detached binary signature over signed, as of now, and returns
// when it was made.
func (k *Key) Verify(signed, signature []byte, now time.Time) (time.Time, error) {
	s, signer, err := pgp.VerifyDetachedSignature(pgp.EntityList{k.entity}, bytes.NewReader(signed), bytes.NewReader(signature), at(now))
	return k.verified(s, signer, err)
}

func (k *Key) verified(s *packet.Signature, signer *pgp.Entity, err error) (time.Time, error) {
	if err != nil {
		return time.Time{}, fmt.Errorf("signature by key %s: %w", k.Fingerprint, err)
	}
	if signer != k.entity || s == nil {
		return time.Time{}, fmt.Errorf("not signed by key %s", k.Fingerprint)
	}
	return s.CreationTime.UTC(), nil
}

// Open returns the text of a clear-signed message that is wholly signed: with
// nothing before it and nothing after it.
func (k *Key) Open(message []byte, now time.Time) (text []byte, signed time.Time, err error) {
	if len(message) > MaxSigned {
		return nil, signed, fmt.Errorf("message of %d bytes exceeds the limit of %d", len(message), MaxSigned)
	}
	if !bytes.HasPrefix(message, []byte("-----BEGIN PGP SIGNED MESSAGE-----\n")) {
		return nil, signed, errors.New("does not begin as a clear-signed message does")
	}
	block, rest := clearsign.Decode(message)
	switch {
	case block == nil:
		return nil, signed, errors.New("not a whole clear-signed message")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, signed, fmt.Errorf("%d bytes follow the signature", len(rest))
	}
	s, signer, err := pgp.VerifyDetachedSignature(pgp.EntityList{k.entity}, bytes.NewReader(block.Bytes), block.ArmoredSignature.Body, at(now))
	if signed, err = k.verified(s, signer, err); err != nil {
		return nil, signed, err
	}
	return bytes.ReplaceAll(block.Bytes, []byte("\r\n"), []byte("\n")), signed, nil // what was signed, to the byte
}
