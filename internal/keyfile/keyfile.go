// Package keyfile keeps private keys and secrets in files.
//
// A key is one PEM block, PKCS #8, ECDSA P-256, RSA or Ed25519; a secret is its
// hex. Files are made with mode 0600, are durable when the call returns, and
// are never overwritten: a key that is replaced by accident is lost. A file
// that others than its owner can read is refused, because whoever could read
// it has the key already.
package keyfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/patchfit/patchfit/internal/durable"
)

// maxFile is the longest key file that is read, in bytes.
const maxFile = 16 << 10

const pemPrivateKey = "PRIVATE KEY"

// CreateECDSA makes a new ECDSA P-256 key in the file path, which must not
// exist (fs.ErrExist).
func CreateECDSA(path string) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	return create(path, k)
}

// CreateEd25519 makes a new Ed25519 key in the file path, which must not exist
// (fs.ErrExist).
func CreateEd25519(path string) error {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	return create(path, k)
}

// CreateRSA makes a new RSA key of 2048, 3072 or 4096 bits in the file path,
// which must not exist (fs.ErrExist).
func CreateRSA(path string, bits int) error {
	if !rsaSize(bits) {
		return fmt.Errorf("RSA keys have 2048, 3072 or 4096 bits, not %d", bits)
	}
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	return create(path, k)
}

func rsaSize(bits int) bool { return bits == 2048 || bits == 3072 || bits == 4096 }

func create(path string, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}
	return WriteNew(path, pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}))
}

// CreateSecret makes n random bytes in the file path, which must not exist
// (fs.ErrExist).
func CreateSecret(path string, n int) error {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return fmt.Errorf("making a secret: %w", err)
	}
	return WriteNew(path, []byte(hex.EncodeToString(b)+"\n"))
}

// LoadSigner reads a key: an *[ecdsa.PrivateKey] on P-256, an
// *[rsa.PrivateKey] or an [ed25519.PrivateKey].
func LoadSigner(path string) (crypto.Signer, error) {
	b, err := read(path)
	if err != nil {
		return nil, err
	}
	k, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return k, nil
}

func parse(b []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(b)
	switch {
	case block == nil:
		return nil, errors.New("not a PEM file")
	case block.Type != pemPrivateKey:
		return nil, fmt.Errorf("PEM block is %q, want %q (PKCS #8, not encrypted)", block.Type, pemPrivateKey)
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("trailing data after the key")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a PKCS #8 private key")
	}
	switch k := k.(type) {
	case ed25519.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	case *rsa.PrivateKey:
		if rsaSize(k.N.BitLen()) {
			return k, nil
		}
	}
	return nil, errors.New("neither an ECDSA P-256, an Ed25519 nor an RSA key of 2048, 3072 or 4096 bits")
}

// LoadSecret reads a secret made by [CreateSecret].
func LoadSecret(path string) ([]byte, error) {
	b, err := read(path)
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.TrimSuffix(string(b), "\n"))
	if err != nil || len(secret) == 0 {
		return nil, fmt.Errorf("secret file %s is not one line of hex", path)
	}
	return secret, nil
}

// LoadLine reads a secret somebody else made: one line of printable ASCII
// without spaces.
func LoadLine(path string) (string, error) {
	b, err := read(path)
	if err != nil {
		return "", err
	}
	line := strings.TrimSuffix(string(b), "\n")
	if line == "" || strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("key file %s is not one line of printable characters", path)
	}
	return line, nil
}

// read returns a file only its owner can read. The mode is that of the file
// that was opened, whatever happens to its name meanwhile.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("key file %s can be read by others (mode %04o): chmod 600 %s", path, mode, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("key file %s exceeds %d bytes", path, maxFile)
	}
	return b, nil
}

// WriteNew makes the file path with mode 0600, whole and durable or not at
// all. A file that exists is left alone, and the error is fs.ErrExist.
func WriteNew(path string, data []byte) error { return writeNew(path, data, 0o600) }

// WriteNewPublic is WriteNew of a file with mode 0644: a public key, a trusted
// root, what everybody may read.
func WriteNewPublic(path string, data []byte) error { return writeNew(path, data, 0o644) }

func writeNew(path string, data []byte, mode fs.FileMode) error {
	if err := durable.WriteNew(path, data, mode); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	return nil
}
