package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestBuild runs the scripts about builds: what they run in, and what comes out.
func TestBuild(t *testing.T) { area(t, "build", builders(t)) }

// The SPDX project's own schema, in the source of a scanner that checks itself by
// it. Its sum is the one go.sum would have; nothing of it is built.
const (
	spdxModule = "github.com/anchore/syft@v1.20.0"
	spdxSum    = "h1:4nVM/eiqrb2GJCkW+d1xv8M5mxply8vVblpWOvVCgN8="
	spdxSchema = "schema/spdx-json/spdx-schema-2.3.json"
)

// TestBuildInventoryIsSPDX holds an inventory to the schema of SPDX 2.3.
func TestBuildInventoryIsSPDX(t *testing.T) {
	bin, dir := programs(t), t.TempDir()
	schema := officialSchema(t)
	rootfs := filepath.Join(dir, "rootfs.tar")
	writeRootfs(t, rootfs)
	out := filepath.Join(dir, "image")
	must(t, filepath.Join(bin, "patchfit"), "builder", "create", "--from-rootfs", rootfs, "--architecture", "amd64", "--out", out)
	spdx := must(t, filepath.Join(bin, "patchfit"), "builder", "show", out, "--spdx")
	check := func(doc []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	if err := check(spdx); err != nil {
		t.Errorf("%v\n%s", err, spdx)
	}
	if err := check(bytes.ReplaceAll(spdx, []byte("CONTAINS"), []byte("HAS"))); err == nil {
		t.Error("the schema takes anything")
	}
}

func officialSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(must(t, "go", "mod", "download", "-json", spdxModule), &module); err != nil {
		t.Fatal(err)
	}
	if module.Sum != spdxSum {
		t.Fatalf("%s is %s, want %s", spdxModule, module.Sum, spdxSum)
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(module.Dir, spdxSchema))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func must(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stderr = &said
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, said.Bytes())
	}
	return b
}

// writeRootfs writes a root file system with a few packages, one with a licence.
func writeRootfs(t *testing.T, path string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range map[string]string{
		"usr/lib/os-release":             "ID=debian\nVERSION_ID=\"12\"\n",
		"usr/share/doc/make/copyright":   "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-3+\n",
		"var/lib/dpkg/status":            "Package: make\nStatus: install ok installed\nArchitecture: amd64\nVersion: 4.3-4.1\nSource: make-dfsg\n\nPackage: libstdc++6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2.0-14+deb12u1\nSource: gcc-12 (1:12.2.0-14)\n",
		"usr/share/doc/libstdc++6/other": "x",
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
