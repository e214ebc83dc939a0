package rpm_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/build/vendors/rpm"
	"github.com/patchfit/patchfit/build/vendors/unpack"
	"github.com/patchfit/patchfit/build/vendors/vendorstest"
)

var (
	about = attest.Package{Name: "kpatch-patch", Version: "1", Architecture: "x86_64"}
	files = []vendorstest.File{
		{Path: "usr/lib/kpatch/fix.ko", Data: []byte("a module")}, {Path: "usr/share/doc/fix", Data: []byte("words")}, {Path: "usr/lib/kpatch/latest", Link: "fix.ko"},
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

// read opens a package and reads all that is in it.
func read(b []byte, key *openpgp.Key) (*rpm.Package, map[string]string, error) {
	p, err := rpm.Open(b, key, now)
	if err != nil {
		return nil, nil, err
	}
	got := map[string]string{}
	err = p.Walk(func(e unpack.Entry, content io.Reader) error {
		b, err := io.ReadAll(content)
		got[e.Path] = string(b) + e.Link
		return err
	})
	return p, got, err
}

func TestOpen(t *testing.T) {
	k := vendorstest.NewKey(t)
	payload := vendorstest.Gzip(vendorstest.Cpio(files...))
	header := vendorstest.Header(vendorstest.HeaderOf(about, payload, files...)...)
	p, got, err := read(vendorstest.RPM(t, k, about, files...), find(t, k))
	if err != nil {
		t.Fatal(err)
	}
	chain := []attest.ImportStep{
		{What: attest.StepHeader, Digest: attest.DigestOf(header), Key: k.Fingerprint, Time: vendorstest.Epoch},
		{What: attest.StepPayload, Digest: attest.DigestOf(payload)},
	}
	want := attest.Package{Name: "kpatch-patch", Version: "1-2", Architecture: "x86_64"}
	if diff := cmp.Diff(chain, p.Chain); diff != "" || p.Package != want || p.Vendor != "Example, Inc." {
		t.Errorf("%+v\n%s", p, diff)
	}
	if diff := cmp.Diff(map[string]string{"usr/lib/kpatch/fix.ko": "a module", "usr/share/doc/fix": "words", "usr/lib/kpatch/latest": "fix.ko"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestBrokenChains breaks each link of the chain.
func TestBrokenChains(t *testing.T) {
	k, stranger := vendorstest.NewKey(t), vendorstest.NewKey(t)
	key := find(t, k)
	payload := vendorstest.Gzip(vendorstest.Cpio(files...))
	tags := func(change func([]vendorstest.Tag) []vendorstest.Tag) []byte {
		return k.Pack(t, vendorstest.Header(change(vendorstest.HeaderOf(about, payload, files...))...), payload)
	}
	without := func(tag uint32) []byte {
		return tags(func(l []vendorstest.Tag) []vendorstest.Tag {
			return slices.DeleteFunc(l, func(x vendorstest.Tag) bool { return x.Tag == tag })
		})
	}
	with := func(tag uint32, value any) []byte {
		return tags(func(l []vendorstest.Tag) []vendorstest.Tag {
			for i := range l {
				if l[i].Tag == tag {
					l[i].Value = value
				}
			}
			return l
		})
	}
	good := vendorstest.RPM(t, k, about, files...)
	other := vendorstest.Gzip(vendorstest.Cpio(vendorstest.File{Path: "usr/lib/kpatch/fix.ko", Data: []byte("another")}))
	header := vendorstest.Header(vendorstest.HeaderOf(about, payload, files...)...)
	for name, c := range map[string]struct {
		b    []byte
		says string
	}{
		"by a stranger":            {vendorstest.RPM(t, stranger, about, files...), "signature by key " + k.Fingerprint},
		"header changed":           {bytes.Replace(good, []byte("Example, Inc."), []byte("Example, Ink."), 1), "signature by key"},
		"payload changed":          {append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), "payload: sha256 is"},
		"another payload":          {k.Pack(t, header, other), "payload: sha256 is"},
		"a byte more":              {append(bytes.Clone(good), 0), "payload: sha256 is"},
		"unsigned":                 {vendorstest.PackWith(vendorstest.Header(vendorstest.Tag{Tag: 1000, Value: uint32(1)}), header, payload), "no signature over the header"},
		"a signature of no type":   {vendorstest.PackWith(vendorstest.Header(vendorstest.Tag{Tag: 268, Value: "text"}), header, payload), "no signature over the header"},
		"no payload digest":        {without(5092), "no sha256 of the payload"},
		"a payload digest of MD5":  {with(5093, uint32(1)), "no sha256 of the payload"},
		"files named by MD5":       {with(5011, uint32(1)), "does not name its files by sha256"},
		"fewer digests than files": {with(1035, []string{"x"}), "as many"},
		"a file in no directory":   {with(1116, []uint32{0, 1, 9}), "in no directory"},
		"a file of another digest": {with(1035, []string{strings.Repeat("0a", 32), strings.Repeat("0a", 32), ""}), "usr/lib/kpatch/fix.ko: sha256 is"},
		"a file it does not name":  {with(1117, []string{"other.ko", "fix", "latest"}), "not in the header"},
		"no name":                  {without(1000), "no name"},
		"another format":           {with(1124, "tar"), "format"},
		"a value twice":            {tags(func(l []vendorstest.Tag) []vendorstest.Tag { return append(l, l[0]) }), "stands twice"},
		"no package":               {[]byte("ar"), "not an RPM package"},
		"the lead alone":           {good[:96], "does not begin as one does"},
		"cut off":                  {good[:200], "header"},
	} {
		if _, _, err := read(c.b, key); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := vendorstest.NewKey(f)
	key := find(f, k)
	good := vendorstest.RPM(f, k, about, files...)
	f.Add(good)
	f.Add(good[:300])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, got, err := read(b, key)
		if err == nil && (p.Name != about.Name || got["usr/lib/kpatch/fix.ko"] != "a module") {
			t.Fatalf("a package nobody signed is taken: %+v %q", p, got)
		}
	})
}
