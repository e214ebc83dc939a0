package backend

import (
	"errors"
	"fmt"

	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// Writers are who may write to a log. The zero Writers are nobody. Both are
// called concurrently.
type Writers struct {
	// Allowed reports whether a key, by the sha256 of its SPKI, may write.
	Allowed func(key attest.Digest) bool
	// Certified returns nil where a certificate may write now, or why not.
	Certified func(*attest.Certificate) error
}

var errNoCertificate = errors.New("this log takes no certificate")

// Admit returns the leaf for req if its key or certificate may write and did
// sign. Who it is, is looked at first: strangers get no work done.
func (w Writers) Admit(req *pb.HashedRekordRequestV002) (body []byte, err error) {
	by, err := ledger.LeafSigner(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadEntry, err)
	}
	if cert, ok := by.(*attest.Certificate); ok {
		if err := w.certified(cert); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStranger, err)
		}
	} else if key := by.SigningKey().ID(); w.Allowed == nil || !w.Allowed(key) {
		return nil, fmt.Errorf("%w: no signer of the trust policy has the key %s; add it with: patchfit trust edit, sign and push", ErrStranger, key)
	}
	if body, err = ledger.LeafBody(req); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadEntry, err)
	}
	return body, nil
}

func (w Writers) certified(c *attest.Certificate) error {
	if w.Certified == nil {
		return errNoCertificate
	}
	return w.Certified(c)
}
