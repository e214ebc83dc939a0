package account

import (
	"slices"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// certified returns a bundle that a name in certificates signed, with its row
// and its leaf.
func certified(t *testing.T) (row Row, leaf, logID []byte) {
	t.Helper()
	a := verifytest.New(t)
	by := a.CA("corp", nil).Certified(string(attest.RoleBase), "spiffe://build.example/bases", "", nil)
	said := a.World(a.Product("lib/demo"), "one").Said()[2]
	raw := a.Bundle(a.Statement(said.Type, said.About.Manifest, said.About.File, said.Predicate), by)
	b, err := attest.ParseBundle(raw)
	if err != nil {
		t.Fatal(err)
	}
	id, err := by.Identity.ID()
	if err != nil {
		t.Fatal(err)
	}
	entry := b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0]
	return Row{
		SchemaVersion: 1, Record: 1, Index: entry.GetLogIndex(), Product: b.Statement.Product(), Type: said.Type,
		Subject: said.About.Manifest, File: b.Statement.Subjects[1].Digest, Payload: attest.DigestOf(b.Envelope.Payload),
		Bundle: attest.DigestOf(raw), Signer: id, Signed: a.Now, Body: raw,
	}, entry.GetCanonicalizedBody(), entry.GetLogId().GetKeyId()
}

// A leaf with a certificate is its row's, and nobody else's: not that of the
// same key without the certificate, nor of another certificate of the same name.
// Who signed it is an identity.
func TestCertifiedLeaf(t *testing.T) {
	row, leaf, logID := certified(t)
	_, other, _ := certified(t)
	e, err := attest.ParseBundle(row.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		leaf   []byte
		change func(*Row)
		says   string
	}{
		"as it is":                      {leaf, func(*Row) {}, ""},
		"the key without a certificate": {bareLeaf(t, e), func(r *Row) { r.Signer = e.Certificate.SigningKey().ID() }, "certificate is not the bundle's"},
		"another's leaf":                {other, func(*Row) {}, errLeaf.Error()},
		"another subject":               {leaf, func(r *Row) { r.Subject = attest.DigestOf(nil) }, "subject is"},
		"the key for the identity":      {leaf, func(r *Row) { r.Signer = e.Certificate.SigningKey().ID() }, "signer is"},
		"the name for the identity":     {leaf, func(r *Row) { r.Signer = e.Certificate.Name() }, "signer is"},
		"nobody":                        {leaf, func(r *Row) { r.Signer = "" }, "signer is"},
	} {
		c, r := NewCheck(Log{"log.example", logID}), row
		tt.change(&r)
		c.Leaf(uint64(row.Index), tt.leaf, []Row{r}, nil)
		found := slices.IndexFunc(c.result.Findings, func(f Finding) bool { return f.Kind == RowChanged && strings.Contains(f.Text, tt.says) })
		if tt.says == "" && (len(c.result.Findings) > 0 || len(c.strangers) > 0) || tt.says != "" && found < 0 {
			t.Errorf("%s: found %+v, strangers %d; want %q", name, c.result.Findings, len(c.strangers), tt.says)
		}
	}
}

// bareLeaf is the leaf of a bundle's envelope by the certificate's key alone.
func bareLeaf(t *testing.T, b *attest.Bundle) []byte {
	t.Helper()
	leaf, err := ledger.EntryBody(b.Envelope, b.Certificate.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}
