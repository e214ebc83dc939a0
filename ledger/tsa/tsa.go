// Package tsa is a timestamp authority (RFC 3161): it signs that it has seen a
// hash, and when. Verifiers ask for its word that a statement was signed while
// its signer's key was valid, and so keep statements whose keys have ended.
//
// Its time is the clock of the server it runs on, and proves no more than the
// server's word. It is a door of its own, with a key of its own, so that a
// site can name another authority in its trust policy instead.
//
// It answers anybody: a timestamp vouches for nothing but the time.
package tsa

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/patchfit/patchfit/ledger"
)

// maxRequest is the longest request that is read, in bytes; real ones have
// less than 200.
const maxRequest = 4 << 10

const (
	queryType = "application/timestamp-query"
	replyType = "application/timestamp-reply"
)

// policy is what timestamps say they are issued under: the policy of
// Sigstore's authorities, whose protocol this is.
var policy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}

// accuracy is how far from the clock a timestamp may be, since it has whole
// seconds.
const accuracy = time.Second

// ErrBadRequest reports a request that no authority of this kind can grant.
var ErrBadRequest = errors.New("bad timestamp request")

// An Authority signs timestamps. Its methods can be called concurrently.
type Authority struct {
	key  crypto.Signer
	leaf *x509.Certificate
}

// New returns an authority that signs with key, an ECDSA key. chain begins
// with key's own certificate, which allows time stamping and nothing else,
// critically (RFC 3161, section 2.3), and ends with a self-signed one.
func New(key crypto.Signer, chain []*x509.Certificate) (*Authority, error) {
	if err := checkChain(chain); err != nil {
		return nil, fmt.Errorf("certificates of the timestamp authority: %w", err)
	}
	pub, ok := chain[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || !pub.Equal(key.Public()) {
		return nil, errors.New("first certificate of the timestamp authority is not that of its key, or the key is not ECDSA")
	}
	return &Authority{key: key, leaf: chain[0]}, nil
}

// Timestamp answers an RFC 3161 request, in DER, with a response that says the
// authority saw the hash in it now. Requests it cannot grant as they are give
// an error that wraps [ErrBadRequest].
func (a *Authority) Timestamp(request []byte) ([]byte, error) {
	req, err := parse(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	if now.Before(a.leaf.NotBefore) || now.After(a.leaf.NotAfter) {
		return nil, fmt.Errorf("certificate of the timestamp authority is not valid now (from %s until %s)", a.leaf.NotBefore.Format(time.RFC3339), a.leaf.NotAfter.Format(time.RFC3339))
	}
	t := timestamp.Timestamp{
		HashAlgorithm: req.HashAlgorithm, HashedMessage: req.HashedMessage,
		Time: now, Accuracy: accuracy, Policy: policy,
		Nonce: req.Nonce, AddTSACertificate: req.Certificates,
	}
	return t.CreateResponseWithOpts(a.leaf, a.key, crypto.SHA256)
}

func parse(request []byte) (*timestamp.Request, error) {
	if len(request) > maxRequest {
		return nil, fmt.Errorf("%d bytes exceed the limit of %d", len(request), maxRequest)
	}
	req, err := timestamp.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	switch req.HashAlgorithm {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return nil, fmt.Errorf("hash %v is not taken; use SHA-256", req.HashAlgorithm)
	}
	switch {
	case len(req.HashedMessage) != req.HashAlgorithm.Size():
		return nil, fmt.Errorf("hash of %d bytes is no %v", len(req.HashedMessage), req.HashAlgorithm)
	case req.TSAPolicyOID != nil && !req.TSAPolicyOID.Equal(policy):
		return nil, fmt.Errorf("policy %v is not this authority's, %v", req.TSAPolicyOID, policy)
	case len(req.Extensions) > 0:
		return nil, errors.New("extensions are not taken")
	}
	return req, nil
}

// ServeHTTP answers POST [ledger.TimestampsPath] (RFC 3161, section 3.4), with
// 201 as Sigstore's authorities do.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, reply := a.serve(w, r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusCreated {
		w.Header().Set("Content-Type", replyType)
	} else {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(status)
	_, _ = io.Copy(w, bytes.NewReader(reply))
}

func (a *Authority) serve(w http.ResponseWriter, r *http.Request) (status int, reply []byte) {
	if r.URL.Path != ledger.TimestampsPath {
		return http.StatusNotFound, []byte("not found\n")
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, []byte("send a POST\n")
	}
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != queryType {
		return http.StatusUnsupportedMediaType, []byte("send a " + queryType + "\n")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, fmt.Appendf(nil, "request exceeds %d bytes\n", maxRequest)
	}
	if err != nil {
		return http.StatusBadRequest, []byte("request was cut off\n")
	}
	reply, err = a.Timestamp(body)
	switch {
	case errors.Is(err, ErrBadRequest):
		return http.StatusBadRequest, []byte(err.Error() + "\n")
	case err != nil:
		return http.StatusInternalServerError, []byte("cannot sign timestamps: " + err.Error() + "\n")
	}
	return http.StatusCreated, reply
}
