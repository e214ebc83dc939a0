package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
)

// drafts are statements on their way to one server: signed, or logged, and
// perhaps not pushed yet. Each is a file named by its payload and key. They
// hold no secret; losing them costs a second leaf, no more.
type drafts struct{ dir string }

func newDrafts(state, server string) drafts {
	return drafts{filepath.Join(state, strings.ReplaceAll(server, ":", "_"))}
}

func (d drafts) path(payload []byte, key *attest.PublicKey, suffix string) string {
	return filepath.Join(d.dir, attest.DigestOf(payload).Hex()+"."+key.ID().Short()+suffix)
}

const (
	envelopeSuffix = ".dsse.json"
	bundleSuffix   = ".sigstore.json"
)

// envelope returns the signed envelope of payload that is kept here; where
// there is none, sign makes one, which is durable when envelope returns. fresh
// reports that it was made just now.
func (d drafts) envelope(payload []byte, key *attest.PublicKey, sign func() ([]byte, error)) (envelope []byte, fresh bool, err error) {
	path := d.path(payload, key, envelopeSuffix)
	for {
		b, err := os.ReadFile(path)
		if err == nil {
			return b, fresh, checkDraft(path, b, payload, key)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, false, fmt.Errorf("reading the publish state: %w", err)
		}
		if b, err = sign(); err != nil {
			return nil, false, err
		}
		// Somebody may publish the same at the same time: the first one counts.
		if err := d.write(path, b); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, false, fmt.Errorf("keeping the signed envelope: %w", err)
		}
		fresh = true
	}
}

// checkDraft refuses an envelope that is not key's over payload: whoever put
// it here would choose what is logged in our name.
func checkDraft(path string, envelope, payload []byte, key *attest.PublicKey) error {
	e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
	if err == nil && !bytes.Equal(e.Payload, payload) {
		err = errors.New("it is of another statement")
	}
	if err == nil {
		err = e.Verify(key)
	}
	if err != nil {
		return fmt.Errorf("publish state %s is not what was signed: %w; remove it", path, err)
	}
	return nil
}

// bundle returns the bundle of payload, by by, that is kept here, or nil.
func (d drafts) bundle(payload []byte, by attest.Credential) []byte {
	key := by.SigningKey()
	certificate, _ := by.(*attest.Certificate)
	b, err := os.ReadFile(d.path(payload, key, bundleSuffix))
	if err != nil {
		return nil
	}
	parsed, err := attest.ParseBundle(b)
	if err != nil || !bytes.Equal(parsed.Envelope.Payload, payload) || parsed.Envelope.Verify(key) != nil ||
		!parsed.Certificate.Equal(certificate) {
		return nil // of no use: the envelope is logged again, which makes the same leaf
	}
	return b
}

// keep keeps the bundle of payload.
func (d drafts) keep(payload []byte, key *attest.PublicKey, bundle []byte) error {
	path := d.path(payload, key, bundleSuffix)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	if err := d.write(path, bundle); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	return nil
}

// write makes a file, whole and durable or not at all; fs.ErrExist where there
// is one already.
func (d drafts) write(path string, b []byte) error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	if err := durable.Sweep(d.dir); err != nil {
		return err
	}
	return durable.WriteNew(path, b, 0o600)
}
