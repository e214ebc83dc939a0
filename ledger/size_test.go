package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// TestSizeOfABlob holds docs/spec/journal.md, "Size", to what a blob adds to the
// journal: frames beside the names of repository and principal.
func TestSizeOfABlob(t *testing.T) {
	const repository, principal = "kernel/debian-12-amd64", "0b0f3c62-6f1c-4a3e-9d3b-3f2f6f8f1a10"
	d := attest.DigestOf([]byte("a blob"))
	sha512 := "sha512:" + strings.Repeat("0", 128)
	for name, c := range map[string]struct {
		kind ledger.Kind
		body any
		most int
	}{
		"pushed":            {ledger.KindBlob, ledger.BlobPut{Repository: repository, Digest: d, Size: 10 << 30, By: principal}, 310},
		"pushed by sha512":  {ledger.KindBlob, ledger.BlobPut{Repository: repository, Digest: d, SHA512: sha512, Size: 10 << 30, By: principal}, 460},
		"collected":         {ledger.KindBlobRemoved, ledger.BlobRemoved{Repository: repository, Digest: d, By: "gc"}, 270},
		"deleted by anyone": {ledger.KindBlobRemoved, ledger.BlobRemoved{Repository: repository, Digest: d, By: principal}, 300},
	} {
		body, err := ledger.EncodeBody(c.kind, c.body)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 11, 25, 12, 0, 0, 123456000, time.UTC)
		b, err := ledger.Record{Sequence: 1 << 30, Time: at, Kind: c.kind, Salt: make([]byte, ledger.SaltSize), Body: body}.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		if n := len(ledger.AppendFrame(nil, b)); n > c.most || n < c.most-15 {
			t.Errorf("%s: %d bytes, the page says %d", name, n, c.most)
		}
	}
}
