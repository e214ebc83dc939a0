package ledger_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	checkpoints "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tsa"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newLog(t *testing.T, origin string) (ledger.LogKey, note.Signer) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signature.LoadED25519Signer(key)
	if err != nil {
		t.Fatal(err)
	}
	n, err := rekornote.NewNoteSigner(t.Context(), origin, s)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.LogKey{Origin: origin, Key: pub, Start: start}, n
}

func newChain(t *testing.T) []*x509.Certificate {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := tsa.NewChain(k)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

func TestTrustedRoot(t *testing.T) {
	a, _ := newLog(t, "a.example.org")
	b, _ := newLog(t, "b.example.org")
	b.Start = start.Add(time.Hour)
	chain := newChain(t)
	raw, err := ledger.TrustedRoot([]ledger.LogKey{b, a}, chain)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ledger.TrustedRoot([]ledger.LogKey{b, a}, chain)
	if err != nil || !bytes.Equal(raw, again) {
		t.Errorf("not the same bytes again (%v)", err)
	}
	keys, err := ledger.LogKeys(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]ledger.LogKey{a, b}, keys); d != "" {
		t.Error(d)
	}
	r, err := root.NewTrustedRootFromJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.TimestampingAuthorities()); n != 1 {
		t.Errorf("%d timestamp authorities", n)
	}
	got, ok := r.TimestampingAuthorities()[0].(*root.SigstoreTimestampingAuthority)
	if !ok || !got.Leaf.Equal(chain[0]) || !got.Root.Equal(chain[1]) {
		t.Errorf("timestamp authority %+v", got)
	}
}

func TestTrustedRootRefuses(t *testing.T) {
	good, _ := newLog(t, "a.example.org")
	chain := newChain(t)
	for name, k := range map[string]ledger.LogKey{
		"port":     {Origin: "a.example.org:80", Key: good.Key, Start: start},
		"old log":  {Origin: "a.example.org - 12", Key: good.Key, Start: start},
		"empty":    {Key: good.Key, Start: start},
		"no start": {Origin: good.Origin, Key: good.Key},
		"no key":   {Origin: good.Origin, Start: start},
		"half key": {Origin: good.Origin, Key: ed25519.PublicKey{1}, Start: start},
	} {
		if _, err := ledger.TrustedRoot([]ledger.LogKey{k}, chain); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, c := range map[string][]*x509.Certificate{"none": nil, "one": chain[:1], "reversed": {chain[1], chain[0]}} {
		if _, err := ledger.TrustedRoot([]ledger.LogKey{good}, c); err == nil {
			t.Errorf("chain %s: taken", name)
		}
	}
	for _, bad := range []string{"", "{}", "null", `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`} {
		if _, err := ledger.LogKeys([]byte(bad)); err == nil {
			t.Errorf("trusted root %q was read", bad)
		}
	}
}

func TestSigningConfig(t *testing.T) {
	raw, err := ledger.SigningConfig("https://patches.example.org:8443", start)
	if err != nil {
		t.Fatal(err)
	}
	c, err := root.NewSigningConfigFromJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := root.SelectServices(c.RekorLogURLs(), c.RekorLogURLsConfig(), []uint32{2}, start.Add(time.Hour))
	if err != nil || len(logs) != 1 || logs[0].URL != "https://patches.example.org:8443" {
		t.Errorf("%v, %v", logs, err)
	}
	tsas, err := root.SelectServices(c.TimestampAuthorityURLs(), c.TimestampAuthorityURLsConfig(), []uint32{1}, start.Add(time.Hour))
	if err != nil || len(tsas) != 1 || tsas[0].URL != "https://patches.example.org:8443/api/v1/timestamp" {
		t.Errorf("%v, %v", tsas, err)
	}
	for _, bad := range []string{"", "patches.example.org", "ftp://x", "https://x/", "https://x/y", "https://u@x", "https://x?q"} {
		if _, err := ledger.SigningConfig(bad, start); err == nil {
			t.Errorf("%q: taken", bad)
		}
	}
}

func checkpoint(t *testing.T, s note.Signer, size uint64, root string) []byte {
	t.Helper()
	h := bytes.Repeat([]byte(root), 32)
	text := checkpoints.Checkpoint{Origin: s.Name(), Size: size, Hash: h}.Marshal()
	b, err := note.Sign(&note.Note{Text: string(text)}, s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenCheckpoint(t *testing.T) {
	a, sa := newLog(t, "a.example.org")
	_, sb := newLog(t, "a.example.org") // another key, the same name
	_, sc := newLog(t, "c.example.org")
	good := checkpoint(t, sa, 7, "x")
	cp, err := ledger.OpenCheckpoint(good, []ledger.LogKey{a})
	if err != nil {
		t.Fatal(err)
	}
	want := &ledger.Checkpoint{Origin: "a.example.org", Size: 7, Root: bytes.Repeat([]byte("x"), 32), Raw: good}
	if d := cmp.Diff(want, cp); d != "" {
		t.Error(d)
	}
	for name, bad := range map[string][]byte{
		"nothing":     nil,
		"another key": checkpoint(t, sb, 7, "x"),
		"another log": checkpoint(t, sc, 7, "x"),
		"changed":     bytes.Replace(good, []byte("\n7\n"), []byte("\n8\n"), 1),
		"unsigned":    good[:bytes.Index(good, []byte("\n\n"))+2],
	} {
		if _, err := ledger.OpenCheckpoint(bad, []ledger.LogKey{a}); !errors.Is(err, ledger.ErrUnsigned) {
			t.Errorf("%s: %v, want ErrUnsigned", name, err)
		}
	}
	if _, err := ledger.OpenCheckpoint(good, nil); !errors.Is(err, ledger.ErrUnsigned) {
		t.Errorf("nobody trusted: %v, want ErrUnsigned", err)
	}
	ab := ledger.LogKey{Origin: "a.example.org", Key: mustPub(t), Start: start}
	if _, err := ledger.OpenCheckpoint(good, []ledger.LogKey{ab, a}); err != nil {
		t.Errorf("two keys for one name: %v", err)
	}
}

func mustPub(t *testing.T) crypto.PublicKey {
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func TestPrecedes(t *testing.T) {
	at := func(origin string, size uint64, root string) *ledger.Checkpoint {
		return &ledger.Checkpoint{Origin: origin, Size: size, Root: []byte(strings.Repeat(root, 32))}
	}
	seen := at("a", 5, "x")
	for _, c := range []struct {
		next *ledger.Checkpoint
		want error
	}{
		{at("a", 5, "x"), nil},
		{at("a", 6, "y"), nil},
		{at("a", 5, "y"), ledger.ErrForked},
		{at("a", 4, "x"), ledger.ErrRolledBack},
		{at("b", 6, "x"), ledger.ErrForked},
	} {
		if err := seen.Precedes(c.next); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.next, err, c.want)
		}
	}
}

func TestWithAuthority(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	log, _ := newLog(t, "a.example.org")
	before, err := ledger.TrustedRoot([]ledger.LogKey{log}, newChain(t))
	if err != nil {
		t.Fatal(err)
	}
	once, err := ledger.WithAuthority(before, []*x509.Certificate{ca}, ca.NotBefore, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	twice, err := ledger.WithAuthority(once, []*x509.Certificate{ca}, ca.NotBefore, time.Time{})
	if err != nil || !bytes.Equal(once, twice) {
		t.Errorf("the same authority again changes the trusted root (%v)", err)
	}
	tr, err := root.NewTrustedRootFromJSON(once)
	if err != nil {
		t.Fatal(err)
	}
	was, err := root.NewTrustedRootFromJSON(before)
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.FulcioCertificateAuthorities()) != 1 || len(tr.RekorLogs()) != len(was.RekorLogs()) || len(tr.TimestampingAuthorities()) != len(was.TimestampingAuthorities()) {
		t.Errorf("trusted root is now %s", once)
	}
	if _, err := ledger.WithAuthority(before, nil, time.Now(), time.Time{}); err == nil {
		t.Error("took an authority without a certificate")
	}
}
