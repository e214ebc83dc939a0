package vendors_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/modsign"
	"github.com/patchfit/patchfit/build/vendors"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/build/vendors/vendorstest"
)

const product = "6f0f6c1e-7f0a-4c57-9d1b-2f6f4f1f7a10"

var (
	about  = attest.Package{Name: "linux-image-6.1", Version: "6.1.4-1", Architecture: "amd64"}
	config = []byte("CONFIG_CC_VERSION_TEXT=\"gcc 12\"\n")
	now    = vendorstest.Epoch.AddDate(0, 0, 8)
	files  = []vendorstest.File{
		{Path: "boot/config-6.1", Data: config},
		{Path: "boot/vmlinuz-6.1", Data: vendorstest.Image(vendorstest.Gzip(vendorstest.Kernel("6.1")))},
		{Path: "lib/modules/6.1/kernel/wifi.ko", Data: vendorstest.Module("wifi")},
		{Path: "lib/modules/6.1/kernel/packed.ko.gz", Data: vendorstest.Gzip(vendorstest.Module("packed"))},
		{Path: "lib/modules/6.1/fix.ko", Data: vendorstest.Module("fix", "livepatch=Y")},
		{Path: "usr/lib/libx.so.1", Data: vendorstest.Library("libx")},
		{Path: "usr/share/doc/readme", Data: []byte("words")},
	}
)

func find(t testing.TB, k *vendorstest.Key) *openpgp.Key {
	t.Helper()
	key, err := openpgp.Find(k.Keyring, k.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// packages are the same files, by every vendor's way.
func packages(t *testing.T) map[string]*vendors.Package {
	k := vendorstest.NewKey(t)
	deb, err := vendors.Deb(vendorstest.Archive(t, k, about, files...), find(t, k), now)
	if err != nil {
		t.Fatal(err)
	}
	rpm, err := vendors.RPM(vendorstest.RPM(t, k, about, files...), find(t, k), now)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*vendors.Package{"deb": deb, "rpm": rpm}
}

func TestImportBases(t *testing.T) {
	for method, p := range packages(t) {
		for path, want := range map[string]struct {
			kind     string
			measured []string
			observed attest.Observed
		}{
			"boot/vmlinuz-6.1":                    {attest.BaseKernel, []string{attest.MeasureKernelNotes, attest.MeasureKernelBTF}, attest.Observed{Compiler: "gcc 12", Configuration: attest.DigestOf(config)}},
			"lib/modules/6.1/kernel/wifi.ko":      {attest.BaseModule, []string{attest.MeasureModuleNotes}, attest.Observed{Compiler: "gcc 12", Configuration: attest.DigestOf(config)}},
			"lib/modules/6.1/kernel/packed.ko.gz": {attest.BaseModule, []string{attest.MeasureModuleNotes}, attest.Observed{Compiler: "gcc 12", Configuration: attest.DigestOf(config)}},
			"usr/lib/libx.so.1":                   {attest.BaseELFLibrary, []string{attest.MeasureELFFile}, attest.Observed{}},
		} {
			f, err := p.Find(path)
			if err != nil {
				t.Errorf("%s: %s: %v", method, path, err)
				continue
			}
			i, err := p.Import(f, vendors.Claim{Product: product, Word: "for the test"})
			if err != nil {
				t.Errorf("%s: %s: %v", method, path, err)
				continue
			}
			var measured []string
			for _, m := range i.Measurements {
				measured = append(measured, m.Kind)
			}
			if diff := cmp.Diff(want.measured, measured); diff != "" || i.Kind != want.kind || i.Observed != want.observed || !strings.HasPrefix(i.Vendor, "example") || i.Method != method {
				t.Errorf("%s: %s: %+v\n%s", method, path, i, diff)
			}
			sayable(t, i)
		}
	}
}

// sayable asks that a statement of an import would be taken.
func sayable(t *testing.T, i *attest.Import) {
	t.Helper()
	subjects := []attest.Subject{{Digest: attest.DigestOf([]byte("manifest"))}, {Digest: i.File.Digest}}
	if _, err := attest.NewStatement(attest.TypeImport, subjects, i); err != nil {
		t.Errorf("%s: %v", i.Path, err)
	}
}

func TestImportPatch(t *testing.T) {
	p := packages(t)["rpm"]
	patch := &vendors.Patch{Base: attest.DigestOf([]byte("base")), BaseFile: attest.DigestOf([]byte("base file")), Fixes: []string{"CVE-2026-0001"}}
	for path, want := range map[string]string{"lib/modules/6.1/fix.ko": "", "lib/modules/6.1/kernel/wifi.ko": "no live patch", "usr/share/doc/readme": "not a readable ELF file"} {
		f, err := p.Find(path)
		if err != nil {
			t.Fatal(err)
		}
		i, err := p.Import(f, vendors.Claim{Product: product, Word: "for the test", Vendor: "another", Patch: patch})
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", path, err, want)
			}
			continue
		}
		if err != nil || i.Kind != attest.PatchKernel || i.Vendor != "another" || i.Patch.BaseFile != patch.BaseFile || len(i.Measurements) != 0 {
			t.Fatalf("%+v, %v", i, err)
		}
		sayable(t, i)
	}
}

func TestWhatCannotBeImported(t *testing.T) {
	p := packages(t)["deb"]
	if _, err := p.Find("usr/bin/nothing"); !errors.Is(err, vendors.ErrNoFile) {
		t.Errorf("a file that is not there: %v", err)
	}
	f, err := p.Find("usr/share/doc/readme")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Import(f, vendors.Claim{Product: product, Word: "x"}); err == nil {
		t.Error("a text is a base")
	}
	nobody := vendors.File("x.so", vendorstest.Library("x"), about)
	f, err = nobody.Find("x.so")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nobody.Import(f, vendors.Claim{Product: product, Word: "x"}); !errors.Is(err, vendors.ErrNoVendor) {
		t.Errorf("of no vendor: %v", err)
	}
	i, err := nobody.Import(f, vendors.Claim{Product: product, Word: "x", Vendor: "example"})
	if err != nil || i.Origin != attest.OriginObserved || i.Verified() {
		t.Errorf("%+v, %v", i, err)
	}
	sayable(t, i)
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "valid until") {
		t.Errorf("an ended InRelease is not told: %q", p.Notes)
	}
	if all, err := p.List(); err != nil || len(all) != len(files) {
		t.Errorf("%d files (%v), want %d", len(all), err, len(files))
	}
}

func TestModule(t *testing.T) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "modules"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := modsign.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signature.LoadSigner(k, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	module := vendorstest.Module("wifi")
	signed, err := modsign.Sign(module, s, cert)
	if err != nil {
		t.Fatal(err)
	}
	p, err := vendors.Module("dir/wifi.ko", signed, about, cert)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Find("wifi.ko")
	if err != nil {
		t.Fatal(err)
	}
	i, err := p.Import(f, vendors.Claim{Product: product, Word: "x", Vendor: "example"})
	if err != nil || i.Kind != attest.BaseModule || i.Chain[0].Digest != attest.DigestOf(module) || i.Chain[0].Key != attest.DigestOf(der).Hex() {
		t.Errorf("%+v, %v", i, err)
	}
	sayable(t, i)
	if _, err := vendors.Module("wifi.ko", module, about, cert); !errors.Is(err, modsign.ErrUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
}
