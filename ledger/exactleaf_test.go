package ledger

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// What the short way reads, the long way reads, and to the same: of every leaf
// that is one byte from a good one.
func TestExactEntry(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := attest.NewPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	good, err := entryBody(Entry{Digest: attest.DigestOf([]byte("x")), Signature: []byte("a signature"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if e := exactEntry(good); e == nil || !same(e, good, t) {
		t.Fatalf("a good leaf: %+v", e)
	}
	changed := 0
	for i := range good {
		for _, to := range [][]byte{{good[i] ^ 1}, {'='}, {'\n'}, {'A'}, {'"'}, {'\\', 'n'}, {}, {good[i], '\r'}, {good[i], ' '}} {
			body := append(append(bytes.Clone(good[:i]), to...), good[i+1:]...)
			if e := exactEntry(body); e != nil {
				changed++
				if !same(e, body, t) {
					t.Errorf("byte %d is %q: read the short way only", i, to)
				}
			}
		}
	}
	if changed == 0 {
		t.Error("no change was read: the test tests nothing")
	}
	for _, bad := range []string{"", beforeDigest, beforeDigest + beforeSignature + beforeKey + afterKey} {
		if e := exactEntry([]byte(bad)); e != nil {
			t.Errorf("%q: %+v", bad, e)
		}
	}
}

func same(e *Entry, body []byte, t *testing.T) bool {
	t.Helper()
	long, err := parseEntry(body)
	return err == nil && long.Digest == e.Digest && bytes.Equal(long.Signature, e.Signature) && long.Key.Equal(e.Key)
}
