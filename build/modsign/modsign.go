// Package modsign appends signatures to kernel modules and checks them, in the
// form Linux takes (scripts/sign-file.c, kernel/module/signing.c): the module,
// a CMS SignedData that is detached and has neither certificates nor attributes
// (RFC 5652), a struct module_signature, and a magic line.
//
// Everything is read strictly: what Linux would not look at is refused, so that
// two readers never see two modules. With an RSA key the same module, key and
// certificate give the same bytes.
package modsign

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Magic ends a module with an appended signature (Linux,
// include/linux/module_signature.h).
const Magic = "~Module signature appended~\n"

// Limits of what is read, in bytes.
const (
	MaxModule    = 512 << 20
	maxSignature = 64 << 10
)

// ErrUnsigned means that a module has no appended signature.
var ErrUnsigned = errors.New("the module has no appended signature")

// infoSize is how large a struct module_signature is: algo, hash, id_type,
// signer_len, key_id_len, three bytes of padding, and the signature's size.
const infoSize = 12

// idPKCS7 is the one type of signature Linux has taken since 4.3.
const idPKCS7 = 2

// Split returns a module without its appended signature, and the signature. A
// module that has none is [ErrUnsigned].
func Split(b []byte) (module, signature []byte, err error) {
	if len(b) > MaxModule {
		return nil, nil, fmt.Errorf("module of %d bytes exceeds the limit of %d", len(b), MaxModule)
	}
	rest, ok := bytes.CutSuffix(b, []byte(Magic))
	if !ok {
		return nil, nil, ErrUnsigned
	}
	if len(rest) < infoSize {
		return nil, nil, errors.New("the appended signature is cut off")
	}
	info, rest := rest[len(rest)-infoSize:], rest[:len(rest)-infoSize]
	size := uint64(binary.BigEndian.Uint32(info[8:]))
	switch {
	case info[2] != idPKCS7:
		return nil, nil, fmt.Errorf("the appended signature is of type %d, want %d, PKCS#7", info[2], idPKCS7)
	case !bytes.Equal(info[:8], []byte{0, 0, idPKCS7, 0, 0, 0, 0, 0}):
		return nil, nil, errors.New("the appended signature has parameters, which one of type PKCS#7 has not")
	case size == 0 || size > maxSignature || size >= uint64(len(rest)):
		return nil, nil, fmt.Errorf("the appended signature says it has %d bytes, want 1 to %d, and a module before it", size, maxSignature)
	}
	at := len(rest) - int(size)
	return rest[:at:at], rest[at:], nil
}

// join is what Split takes apart.
func join(module, signature []byte) []byte {
	info := [infoSize]byte{2: idPKCS7}
	binary.BigEndian.PutUint32(info[8:], uint32(len(signature)))
	return bytes.Join([][]byte{module, signature, info[:], []byte(Magic)}, nil)
}
