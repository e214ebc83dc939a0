package kernel_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors/kernel"
	"github.com/patchfit/patchfit/build/vendors/vendorstest"
)

var order = binary.LittleEndian

// images are boot images of one kernel, by how it is packed.
func images(t testing.TB, elf []byte) map[string][]byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var l bytes.Buffer
	w := lz4.NewWriter(&l)
	if err := w.Apply(lz4.LegacyOption(true)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(elf); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sized := func(b []byte) []byte { return order.AppendUint32(b, uint32(len(elf))) }
	return map[string][]byte{
		"gzip": vendorstest.Image(vendorstest.Gzip(elf)), "zstd": vendorstest.Image(sized(z.EncodeAll(elf, nil))), "LZ4": vendorstest.Image(sized(l.Bytes())), "an ELF file": elf,
	}
}

func TestMeasure(t *testing.T) {
	elf := vendorstest.Kernel("6.1")
	id := hex.EncodeToString(vendorstest.BuildID("6.1"))
	notes := append(vendorstest.Note(order, "GNU", 3, vendorstest.BuildID("6.1")), vendorstest.Note(order, "Linux", 0x100, []byte("6.1\x00"))...)
	want := []attest.Measurement{
		{Kind: attest.MeasureKernelNotes, Digest: attest.DigestOf(notes), BuildID: id},
		{Kind: attest.MeasureKernelBTF, Digest: attest.DigestOf([]byte("the types of 6.1")), BuildID: id},
	}
	for name, image := range images(t, elf) {
		got, err := kernel.Measure(image)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

// TestXenNotesDoNotCount: they hold addresses that a kernel may move when it
// starts, so that two hosts would measure the same kernel otherwise.
func TestXenNotesDoNotCount(t *testing.T) {
	one := append(vendorstest.Note(order, "Xen", 1, []byte{1}), vendorstest.Note(order, "GNU", 3, vendorstest.BuildID("x"))...)
	two := append(vendorstest.Note(order, "GNU", 3, vendorstest.BuildID("x")), vendorstest.Note(order, "Xen", 1, []byte{2, 3})...)
	a, idA, errA := kernel.Notes(one, order)
	b, idB, errB := kernel.Notes(two, order)
	if errA != nil || errB != nil || !bytes.Equal(a, b) || idA != idB {
		t.Errorf("%x %s (%v), %x %s (%v)", a, idA, errA, b, idB, errB)
	}
}

func TestNotes(t *testing.T) {
	good := vendorstest.Note(order, "GNU", 3, vendorstest.BuildID("x"))
	for name, c := range map[string]struct {
		b    []byte
		says string
	}{
		"none":          {nil, "no build-id"},
		"of others":     {vendorstest.Note(order, "Linux", 0x100, []byte("6.1")), "no build-id"},
		"two":           {append(bytes.Clone(good), good...), "two build-ids"},
		"cut off":       {good[:len(good)-1], "cut off"},
		"a size beyond": {append([]byte{4, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0}, "GNU\x00"...), "cut off"},
		"junk behind":   {append(bytes.Clone(good), 1, 2, 3), "cut off"},
	} {
		if _, _, err := kernel.Notes(c.b, order); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestBrokenImages(t *testing.T) {
	good := images(t, vendorstest.Kernel("6.1"))["zstd"]
	change := func(at int, b ...byte) []byte { c := bytes.Clone(good); copy(c[at:], b); return c }
	for name, c := range map[string]struct {
		b    []byte
		says string
	}{
		"nothing":             {nil, "neither"},
		"a text":              {bytes.Repeat([]byte("kernel "), 200), "neither"},
		"an old protocol":     {change(0x206, 7, 2), "protocol 0x207"},
		"a payload beyond it": {change(0x24c, 255, 255, 255, 255), "says its payload"},
		"an empty payload":    {change(0x24c, 0, 0, 0, 0), "says its payload"},
		"of another size":     {append(bytes.Clone(good[:len(good)-1]), 1), "unpacks to"},
		"packed by others":    {vendorstest.Image([]byte("BZh91AY&SY and more of it")), "not gzip, xz, zstd or LZ4"},
		"no ELF file in it":   {vendorstest.Image(vendorstest.Gzip([]byte("not ELF"))), "not an ELF file"},
	} {
		if _, err := kernel.Measure(c.b); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := kernel.Measure(vendorstest.Library("no kernel")); err == nil {
		t.Error("a library is measured as a kernel")
	}
}

func TestMeasureModule(t *testing.T) {
	got, err := kernel.MeasureModule(vendorstest.Module("wifi"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for _, n := range []struct {
		name string
		b    []byte
	}{{".note.Linux", vendorstest.Note(order, "Linux", 0x100, []byte("6.1.0\x00"))}, {".note.gnu.build-id", vendorstest.Note(order, "GNU", 3, vendorstest.BuildID("wifi"))}} {
		sum.Write(append([]byte(n.name), 0))
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(n.b))))
		sum.Write(n.b)
	}
	want := []attest.Measurement{{Kind: attest.MeasureModuleNotes, Digest: attest.DigestFromSum(sum.Sum(nil)), BuildID: hex.EncodeToString(vendorstest.BuildID("wifi"))}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := kernel.MeasureModule(vendorstest.ELF(order, 1)); err == nil {
		t.Error("a module without a build-id is measured")
	}
}

// TestBigEndian: machines of both byte orders are read.
func TestBigEndian(t *testing.T) {
	big := binary.BigEndian
	b := vendorstest.ELF(big, 1, vendorstest.Section{Name: ".note.gnu.build-id", Type: 7, Flags: 2, Data: vendorstest.Note(big, "GNU", 3, vendorstest.BuildID("big"))})
	got, err := kernel.MeasureModule(b)
	if err != nil || got[0].BuildID != hex.EncodeToString(vendorstest.BuildID("big")) {
		t.Errorf("%v, %v", got, err)
	}
	if target, err := kernel.Target(b); err != nil || target.ByteOrder != "big" || target.WordSize != 64 {
		t.Errorf("%+v, %v", target, err)
	}
}

// What an import says of a compiler is what the environment of a build says.
func TestCompiler(t *testing.T) {
	for line, want := range map[string]string{
		`CONFIG_CC_VERSION_TEXT="gcc-12 (Debian 12.2.0-14) 12.2.0"`:                  "gcc (Debian 12.2.0-14) 12.2.0",
		`CONFIG_CC_VERSION_TEXT="gcc (GCC) 11.4.1 20231218 (Red Hat 11.4.1-3)"`:      "gcc (GCC) 11.4.1 20231218 (Red Hat 11.4.1-3)",
		`CONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-12 (Debian 12.2.0-14) 12.2.0"`: "gcc (Debian 12.2.0-14) 12.2.0",
		`CONFIG_CC_VERSION_TEXT="Debian clang version 14.0.6"`:                       "Debian clang version 14.0.6",
		`CONFIG_Y=y`: "",
	} {
		if got := kernel.Compiler([]byte("CONFIG_X=y\n" + line + "\n")); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func FuzzMeasure(f *testing.F) {
	for _, b := range images(f, vendorstest.Kernel("6.1")) {
		f.Add(b)
	}
	f.Add(vendorstest.Module("wifi"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, measure := range []func([]byte) ([]attest.Measurement, error){kernel.Measure, kernel.MeasureModule} {
			list, err := measure(b)
			if err != nil {
				continue
			}
			for _, m := range list {
				if m.BuildID == "" || m.Digest == "" {
					t.Fatalf("measured %+v", m)
				}
			}
		}
	})
}
