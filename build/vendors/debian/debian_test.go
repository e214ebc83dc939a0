package debian_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors/debian"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/build/vendors/unpack"
	"github.com/patchfit/patchfit/build/vendors/vendorstest"
)

var (
	about = attest.Package{Name: "linux-image-6.1", Version: "6.1.4-1", Architecture: "amd64"}
	files = []vendorstest.File{
		{Path: "./boot/config-6.1", Data: []byte("CONFIG_X=y\n")}, {Path: "./boot/vmlinuz-6.1", Data: []byte("a kernel")},
		{Path: "./vmlinuz", Link: "boot/vmlinuz-6.1"},
	}
	now = vendorstest.Epoch.Add(time.Hour)
)

func find(t testing.TB, k *vendorstest.Key) *openpgp.Key {
	t.Helper()
	key, err := openpgp.Find(k.Keyring, k.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestOpen(t *testing.T) {
	k := vendorstest.NewKey(t)
	c := vendorstest.Archive(t, k, about, files...)
	p, err := debian.Open(c, find(t, k), now)
	if err != nil {
		t.Fatal(err)
	}
	want := []attest.ImportStep{
		{What: attest.StepInRelease, Digest: attest.DigestOf(c.InRelease), Key: k.Fingerprint, Time: vendorstest.Epoch},
		{What: attest.StepPackages, Digest: attest.DigestOf(c.Packages)},
		{What: attest.StepPackage, Digest: attest.DigestOf(c.Package)},
	}
	if diff := cmp.Diff(want, p.Chain); diff != "" || p.Package != about || p.Origin != "Example" || p.ValidUntil != vendorstest.Epoch.AddDate(0, 0, 7) {
		t.Errorf("%+v\n%s", p, diff)
	}
	got := map[string]string{}
	err = p.Walk(func(e unpack.Entry, content io.Reader) error {
		b, err := io.ReadAll(content)
		got[e.Path] = string(b) + e.Link
		return err
	})
	if diff := cmp.Diff(map[string]string{"boot/config-6.1": "CONFIG_X=y\n", "boot/vmlinuz-6.1": "a kernel", "vmlinuz": "boot/vmlinuz-6.1"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	c.Packages = vendorstest.Gzip(c.Packages) // as a mirror has it: InRelease names what it unpacks to
	if _, err := debian.Open(c, find(t, k), now); err != nil {
		t.Errorf("compressed: %v", err)
	}
	if _, err := debian.Open(c, find(t, k), now.AddDate(1, 0, 0)); err != nil {
		t.Errorf("a year later: %v", err)
	}
}

// TestBrokenChains breaks each link of the chain.
func TestBrokenChains(t *testing.T) {
	k, stranger := vendorstest.NewKey(t), vendorstest.NewKey(t)
	key := find(t, k)
	release := func(text string) func(*debian.Chain) {
		return func(c *debian.Chain) { c.InRelease = k.Clearsign(t, text) }
	}
	good := vendorstest.Archive(t, k, about, files...)
	text := vendorstest.Release(good.Packages)
	repack := func(change func(deb []byte) []byte) func(*debian.Chain) {
		return func(c *debian.Chain) {
			c.Package = change(bytes.Clone(c.Package))
			c.Packages = []byte(vendorstest.Index(about, c.Package))
			c.InRelease = k.Clearsign(t, vendorstest.Release(c.Packages))
		}
	}
	indexed := func(old, new string) func(*debian.Chain) {
		return func(c *debian.Chain) {
			c.Packages = bytes.Replace(c.Packages, []byte(old), []byte(new), 1)
			c.InRelease = k.Clearsign(t, vendorstest.Release(c.Packages))
		}
	}
	for name, c := range map[string]struct {
		change func(*debian.Chain)
		says   string
	}{
		"by a stranger": {func(c *debian.Chain) { c.InRelease = stranger.Clearsign(t, text) }, "signature by key " + k.Fingerprint},
		"text changed": {func(c *debian.Chain) {
			c.InRelease = bytes.Replace(c.InRelease, []byte("Suite: stable"), []byte("Suite: stible"), 1)
		}, "signature by key"},
		"text before it":             {func(c *debian.Chain) { c.InRelease = append([]byte("Origin: Evil\n\n"), c.InRelease...) }, "does not begin as"},
		"text after it":              {func(c *debian.Chain) { c.InRelease = append(c.InRelease, "Origin: Evil\n"...) }, "follow the signature"},
		"a second message after it":  {func(c *debian.Chain) { c.InRelease = append(c.InRelease, c.InRelease...) }, "follow the signature"},
		"cut off":                    {func(c *debian.Chain) { c.InRelease = c.InRelease[:len(c.InRelease)/2] }, "InRelease"},
		"not signed at all":          {func(c *debian.Chain) { c.InRelease = []byte(text) }, "does not begin as"},
		"a field twice":              {release(text + "Origin: Evil\n"), "stands twice"},
		"no date":                    {release(strings.Replace(text, "Date:", "Dote:", 1)), "field Date"},
		"a date in another zone":     {release(strings.Replace(text, "UTC\nValid", "CET\nValid", 1)), "no date in UTC"},
		"no digests":                 {release(strings.Replace(text, "SHA256:", "SHA1:", 1)), "names nothing"},
		"an index it does not name":  {func(c *debian.Chain) { c.Packages = append(c.Packages, '\n') }, "names no index"},
		"named, but no index":        {release(strings.Replace(text, "/Packages", "/Sources", 1)), "names no index"},
		"of another size":            {release(strings.Replace(text, " main/binary-amd64/Packages", "1 main/binary-amd64/Packages", 1)), "names no index"},
		"a package it does not name": {func(c *debian.Chain) { c.Package = append(c.Package, 0) }, "names no package"},
		"a package of another size":  {indexed("Filename: pool/main/linux-image-6.1.deb\nSize: ", "Filename: pool/main/linux-image-6.1.deb\nSize: 1"), "bytes of package"},
		"called otherwise":           {indexed("Version: 6.1.4-1", "Version: 6.1.4-2"), "it says Version"},
		"no archive":                 {repack(func([]byte) []byte { return []byte("zip") }), "not an archive"},
		"no data":                    {repack(func(b []byte) []byte { return bytes.Replace(b, []byte("data.tar.gz "), []byte("_ata.tar.gz "), 1) }), "no data.tar"},
		"control twice":              {repack(func(b []byte) []byte { return bytes.Replace(b, []byte("data.tar.gz   "), []byte("control.tar.gz"), 1) }), "the second one"},
		"archive cut off":            {repack(func(b []byte) []byte { return b[:len(b)-40] }), "ar:"},
	} {
		chain := good
		c.change(&chain)
		if _, err := debian.Open(chain, key, now); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := debian.Open(good, key, vendorstest.Epoch.Add(-time.Hour)); err == nil {
		t.Error("a signature from the future is taken")
	}
}

func TestFindKey(t *testing.T) {
	k := vendorstest.NewKey(t)
	for name, c := range map[string]struct {
		keyring     []byte
		fingerprint string
		says        string
	}{
		"an id":           {k.Keyring, k.Fingerprint[24:], "no fingerprint"},
		"another":         {k.Keyring, strings.Repeat("0a", 20), "the keyring has no key"},
		"no keyring":      {[]byte("junk"), k.Fingerprint, "reading the keyring"},
		"an empty one":    {nil, k.Fingerprint, "key"},
		"not hexadecimal": {k.Keyring, strings.Repeat("zz", 20), "no fingerprint"},
	} {
		if _, err := openpgp.Find(c.keyring, c.fingerprint); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	spaced := strings.ToUpper(k.Fingerprint[:20]) + " " + k.Fingerprint[20:]
	if _, err := openpgp.Find(k.Keyring, spaced); err != nil {
		t.Errorf("as gpg writes it: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	k := vendorstest.NewKey(f)
	key := find(f, k)
	good := vendorstest.Archive(f, k, about, files...)
	f.Add(good.Package, good.Packages)
	f.Add([]byte("!<arch>\n"), []byte("Package: x\nSHA256: y\n\n"))
	f.Fuzz(func(t *testing.T, deb, index []byte) {
		c := debian.Chain{Package: deb, Packages: index, InRelease: good.InRelease}
		p, err := debian.Open(c, key, now)
		if err == nil && (!bytes.Equal(deb, good.Package) || p.Package != about) {
			t.Fatalf("a package nobody signed for is taken: %+v", p)
		}
	})
}
