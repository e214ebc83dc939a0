package object

import (
	"encoding/binary"
	"io"
)

// SignatureMagic ends a kernel module with an appended signature; before it
// come the signature and 12 bytes that describe it (Linux,
// include/linux/module_signature.h).
const SignatureMagic = "~Module signature appended~\n"

const signatureHead = 12

// A Signature is appended to a kernel module.
type Signature struct {
	Offset int64 // of its first byte: the size of the module without it
	Size   int64 // of the signature itself
	Type   uint8 // 2: PKCS#7, the only one that kernels know today
	Hash   uint8 // these two are zero in PKCS#7
	Algo   uint8
}

// readSignature returns the signature appended to r; nil: none. A magic whose
// size leads outside the file is an error: two readers would cut it in two
// places.
func readSignature(r io.ReaderAt, size int64) (*Signature, error) {
	const tail = signatureHead + int64(len(SignatureMagic))
	if size < tail {
		return nil, nil
	}
	b, err := take(r, "signature", uint64(size-tail), uint64(tail), uint64(size))
	if err != nil {
		return nil, err
	}
	if string(b[signatureHead:]) != SignatureMagic {
		return nil, nil
	}
	n := int64(binary.BigEndian.Uint32(b[8:]))
	if n > size-tail {
		return nil, malformed("signature", "%d bytes in a file of %d", n, size)
	}
	return &Signature{Offset: size - tail - n, Size: n, Algo: b[0], Hash: b[1], Type: b[2]}, nil
}
