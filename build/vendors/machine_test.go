package vendors_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors"
	"github.com/patchfit/patchfit/build/vendors/debian"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/internal/machinetest"
)

const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// archiveKeys are the primary keys that sign Debian's archive, of Debian 12 and
// of 13 (https://ftp-master.debian.org/keys.html).
func archiveKeys() []string {
	return []string{"B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8", "04B54C3CDCA79751B16BC6B5225629DF75B188BD"}
}

// aptArchive fetches the lists of the machine's archive and one package, into a
// directory of the test's own.
func aptArchive(t *testing.T, name string) (lists, deb string) {
	t.Helper()
	machinetest.Tools(t, "apt-get")
	if _, err := os.Stat(debianKeyring); err != nil {
		machinetest.LeaveOut(t, "Debian's keyring is not at "+debianKeyring, "install debian-archive-keyring")
	}
	dir := t.TempDir()
	lists = filepath.Join(dir, "lists")
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, verb := range [][]string{{"update"}, {"download", name}} {
		options := []string{"-q", "-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + filepath.Join(dir, "cache"), "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"}
		cmd := exec.Command("apt-get", append(options, verb...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			machinetest.LeaveOut(t, "apt-get "+verb[0]+" does not work here: "+string(bytes.TrimSpace(out)), "let it reach its archive")
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("apt-get download left %v (%v)", found, err)
	}
	return lists, found[0]
}

// TestDebianArchive imports a real package, by Debian's own chain, and by no
// other index of the same archive.
func TestDebianArchive(t *testing.T) {
	lists, deb := aptArchive(t, "hello")
	keyring := read(t, debianKeyring)
	c := debian.Chain{Package: read(t, deb)}
	releases, err := filepath.Glob(filepath.Join(lists, "*_InRelease"))
	if err != nil || len(releases) == 0 {
		t.Fatalf("apt-get update left no InRelease (%v)", err)
	}
	var opened []*vendors.Package
	var refused []error
	for _, release := range releases {
		indexes, err := filepath.Glob(strings.TrimSuffix(release, "InRelease") + "main_binary-*_Packages*")
		if err != nil || len(indexes) == 0 {
			continue
		}
		c.InRelease, c.Packages = read(t, release), read(t, indexes[0])
		for _, fingerprint := range archiveKeys() {
			key, err := openpgp.Find(keyring, fingerprint)
			if err != nil {
				refused = append(refused, err)
				continue
			}
			p, err := vendors.Deb(c, key, time.Now())
			if err != nil {
				refused = append(refused, err)
				continue
			}
			opened = append(opened, p)
		}
	}
	if len(opened) == 0 {
		t.Fatalf("no chain of this archive holds: %v", refused)
	}
	f, err := opened[0].Find("usr/bin/hello")
	if err != nil {
		t.Fatal(err)
	}
	i, err := opened[0].Import(f, vendors.Claim{Product: product, Word: "for the test"})
	if err != nil || i.Kind != attest.BaseELFExecutable || i.Vendor != "debian" || i.Package.Name != "hello" || len(i.Chain) != 4 {
		t.Errorf("%+v, %v", i, err)
	}
	sayable(t, i)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
