package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	"github.com/digitorus/timestamp"

	"github.com/patchfit/patchfit/ledger"
)

// nonceBits is how long the nonce of a request for a timestamp is.
const nonceBits = 64

// Timestamp has signature timestamped by the server's authority and returns its
// RFC 3161 response, in DER.
func (c *Client) Timestamp(ctx context.Context, signature []byte) ([]byte, error) {
	sum := sha256.Sum256(signature)
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), nonceBits))
	if err != nil {
		return nil, fmt.Errorf("timestamping: %w", err)
	}
	req := timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Nonce: nonce, Certificates: true}
	body, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("timestamping: %w", err)
	}
	answer, err := c.post(ctx, post{ledger.TimestampsPath, "application/timestamp-query", body, maxTimestamp})
	if err != nil {
		return nil, fmt.Errorf("timestamping: %w", err)
	}
	if err := checkTimestamp(answer, &req); err != nil {
		return nil, fmt.Errorf("timestamping: %w: %w", ErrBadAnswer, err)
	}
	return answer, nil
}

// checkTimestamp returns nil if answer is the answer to req.
func checkTimestamp(answer []byte, req *timestamp.Request) error {
	t, err := timestamp.ParseResponse(answer)
	switch {
	case err != nil:
		return err
	case t.HashAlgorithm != req.HashAlgorithm || !bytes.Equal(t.HashedMessage, req.HashedMessage):
		return errors.New("timestamp is of another signature")
	case t.Nonce == nil || t.Nonce.Cmp(req.Nonce) != 0:
		return errors.New("timestamp was made for another request")
	}
	return nil
}
