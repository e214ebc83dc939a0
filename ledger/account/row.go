package account

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// A sayer collects where a row says something else than it should.
type sayer []string

func say[T comparable](s *sayer, what string, row, want T) {
	if row != want {
		*s = append(*s, fmt.Sprintf("%s is %v, want %v", what, row, want))
	}
}

// differs returns in what a row is not what its bundle says, and the parsed
// bundle.
func (r *Row) differs() (*attest.Bundle, sayer, error) {
	var s sayer
	say(&s, "bundle", r.Bundle, attest.DigestOf(r.Body))
	b, err := attest.ParseBundle(r.Body)
	if err != nil {
		return nil, s, fmt.Errorf("its bundle cannot be read: %w", err)
	}
	st := b.Statement
	say(&s, "payload", r.Payload, attest.DigestOf(b.Envelope.Payload))
	say(&s, "type", r.Type, st.Type)
	say(&s, "subject", r.Subject, st.Subjects[0].Digest)
	file, builder := attest.Digest(""), ""
	if len(st.Subjects) > 1 {
		file = st.Subjects[1].Digest
	}
	if p, ok := st.Predicate.(*attest.Provenance); ok {
		builder = p.RunDetails.Builder.ID
	}
	say(&s, "file", r.File, file)
	say(&s, "builder", r.BuilderID, builder)
	if product := st.Product(); product != "" {
		say(&s, "product", r.Product, product)
	}
	say(&s, "leaf", r.Index, b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0].GetLogIndex())
	signed, err := signedAt(b)
	if err != nil {
		return nil, s, err
	}
	say(&s, "signed", r.Signed.UTC(), signed)
	return b, s, nil
}

// signedAt returns the latest time in a bundle's timestamps.
func signedAt(b *attest.Bundle) (latest time.Time, err error) {
	for _, t := range b.Sigstore.GetVerificationMaterial().GetTimestampVerificationData().GetRfc3161Timestamps() {
		ts, err := timestamp.ParseResponse(t.GetSignedTimestamp())
		if err != nil {
			return latest, fmt.Errorf("its timestamp cannot be read: %w", err)
		}
		if at := ts.Time.UTC(); at.After(latest) {
			latest = at
		}
	}
	return latest, nil
}

var errLeaf = errors.New("the leaf is another's")

// madeBy reports an error unless leaf is that of an envelope.
func madeBy(e *attest.Envelope, leaf []byte) (attest.Credential, error) {
	entry, err := ledger.ParseEntry(leaf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLeaf, err)
	}
	body, err := ledger.EntryBody(e, entry.By())
	if err != nil || !bytes.Equal(body, leaf) {
		return nil, errLeaf
	}
	return entry.By(), e.Verify(entry.Key)
}

// signedBy says where a row's signer is not by, who made its leaf, or where by
// is not who the bundle says. Of a certificate the row has the identity, which the
// trust policy knows and the leaf does not: all that shows here is that it is one.
func (r *Row) signedBy(s *sayer, by attest.Credential, bundled *attest.Certificate) {
	cert, certified := by.(*attest.Certificate)
	switch key := by.SigningKey().ID(); {
	case !cert.Equal(bundled):
		*s = append(*s, "the leaf's certificate is not the bundle's")
	case !certified:
		say(s, "signer", r.Signer, key)
	case r.Signer == key || r.Signer == cert.Name():
		*s = append(*s, fmt.Sprintf("signer is %v, which is not an identity's", r.Signer))
	default:
		if _, err := attest.ParseDigest(string(r.Signer)); err != nil {
			*s = append(*s, fmt.Sprintf("signer is %q: %v", r.Signer, err))
		}
	}
}

// madeByKey is madeBy of what no certificate may sign.
func madeByKey(e *attest.Envelope, leaf []byte) (*attest.PublicKey, error) {
	by, err := madeBy(e, leaf)
	if err != nil {
		return nil, err
	}
	key, ok := by.(*attest.PublicKey)
	if !ok {
		return nil, errors.New("the leaf is by a certificate")
	}
	return key, nil
}

// admittedAs returns in what a row is not what its journal record says.
func (r *Row) admittedAs(b *ledger.StatementAdmitted) sayer {
	var s sayer
	say(&s, "repository", r.Repository, b.Repository)
	say(&s, "subject", r.Subject, b.Subject)
	say(&s, "referrer", r.Referrer, b.Referrer)
	say(&s, "bundle", r.Bundle, b.Bundle)
	say(&s, "type", r.Type, b.Type)
	say(&s, "by", r.By, b.By)
	return s
}
