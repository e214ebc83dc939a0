package examining

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/build/compare"
	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/object/objecttest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
)

// run is one run of a verb: its output and its exit code.
func run(t *testing.T, format string, args ...string) (string, int) {
	t.Helper()
	var out strings.Builder
	sh := &shell.Shell{Stdout: &out, Stderr: &out, Format: format}
	root := shell.Group("patchfit", "", Commands(sh)...)
	root.SetArgs(args)
	root.SetContext(t.Context())
	root.SilenceErrors, root.SilenceUsage = true, true
	err := root.ExecuteContext(t.Context())
	if err == nil {
		return out.String(), exit.OK
	}
	code, hint := exit.Judge(err, nil)
	return out.String() + err.Error() + "\n" + hint, code
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func livepatch(name string) []byte {
	p := objecttest.Livepatch{
		File: &objecttest.File{}, Vermagic: "6.1.0-56-amd64 SMP ", Salt: "6.1.0-56-amd64", Versions: []object.Version{{Symbol: "klp_enable_patch", CRC: 1}},
		Imports: []string{"klp_enable_patch"}, Objects: []objecttest.Object{{Functions: []object.Function{{Name: name}}}},
	}
	return p.Bytes()
}

func TestLint(t *testing.T) {
	ko := write(t, "fix.ko", livepatch("cmdline_proc_show"))
	symbols := write(t, "System.map", []byte("1 T cmdline_proc_show\n"))
	exports := write(t, "Module.symvers", []byte("0x00000002\tklp_enable_patch\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"))
	out, code := run(t, "text", "lint", ko, "--symbols", symbols, "--release", "6.1.0-56-amd64")
	if code != exit.OK || !strings.Contains(out, "vmlinux:cmdline_proc_show") || !strings.Contains(out, "warning module.unsigned") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	out, code = run(t, "json", "lint", ko, "--exports", exports, "--release", "6.1.0-55-amd64")
	var r lint.Report
	if err := json.Unmarshal([]byte(strings.TrimSpace(out)), &r); err != nil || code != exit.Unproven || !r.Has(lint.ImportCRC) || !r.Has(lint.ModuleVermagic) {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
	if out, code := run(t, "text", "lint", ko, "--symbols", exports); code != exit.Failure || !strings.Contains(out, "kallsyms") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := run(t, "text", "lint", filepath.Join(t.TempDir(), "nothing")); code != exit.NotFound || !strings.Contains(out, "name a file") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestDiff(t *testing.T) {
	a, b := write(t, "a.ko", livepatch("one")), write(t, "b.ko", livepatch("two"))
	page := filepath.Join(t.TempDir(), "diff.html")
	out, code := run(t, "text", "diff", a, b, "--html", page)
	if code != exit.Unproven || !strings.HasPrefix(out, "code: 1 function added: new_two; 1 function removed: new_one") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), "new_two") {
		t.Errorf("%v\n%s", err, html)
	}
	out, code = run(t, "json", "diff", a, a)
	var r compare.Report
	if err := json.Unmarshal([]byte(strings.TrimSpace(out)), &r); err != nil || code != exit.OK || r.Explanation.Category != compare.Identical {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
	if _, code := run(t, "text", "diff", a, t.TempDir()); code != exit.Failure {
		t.Errorf("a directory: exit code %d", code)
	}
}
