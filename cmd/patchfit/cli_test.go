package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/trust"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/machinetest"
)

//go:generate go test -run ^TestGolden -update .

// packageDir is where the tests start, before they go home.
var packageDir string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if packageDir, err = os.Getwd(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var update = flag.Bool("update", false, "write the golden outputs again")

// An outcome is how one run of the program ended.
type outcome struct {
	code           int
	stdout, stderr string
}

func cli(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// ok runs a command that has to succeed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	o := cli(t, args...)
	if o.code != 0 {
		t.Fatalf("patchfit %s: exit code %d\n%s%s", strings.Join(args, " "), o.code, o.stdout, o.stderr)
	}
	return strings.TrimSpace(o.stdout)
}

// answer runs a command that has to succeed, and reads its JSON.
func answer[T any](t *testing.T, args ...string) T {
	t.Helper()
	return read[T](t, ok(t, append([]string{"--format", "json"}, args...)...))
}

// read reads what a command printed.
func read[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// fails runs a command that has to end with a code and say words.
func fails(t *testing.T, code int, words string, args ...string) {
	t.Helper()
	o := cli(t, args...)
	if o.code != code || !strings.Contains(o.stderr+o.stdout, words) {
		t.Errorf("patchfit %s: exit code %d, want %d and %q\n%s%s", strings.Join(args, " "), o.code, code, words, o.stdout, o.stderr)
	}
}

// home gives the test a configuration and working directory of its own.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(config.EnvDir, filepath.Join(dir, "config"))
	t.Setenv(shell.EnvState, "")
	t.Chdir(dir)
	return dir
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (make golden writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; make golden writes it):\n%s", name, diff)
	}
}

// A site is a server with one product, a publisher and an auditor.
type site struct {
	*testServer
	product string
	roots   attest.Digest
	admin   []string // flags of the first admin
}

const repository = "demo/greet"

// newSite sets a server up with the verbs a person would use.
func newSite(t *testing.T) *site {
	t.Helper()
	home(t)
	s := &site{testServer: newServer(t)}
	for name, content := range map[string]string{"admin.token": s.adminToken, "trusted_root.json": string(s.trustedRoot)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.admin = []string{"--server", s.url, "--token-file", "admin.token"}
	for _, key := range []string{"root.pem", "signer.pem", "publisher.pem", "auditor.pem", "stranger.pem"} {
		ok(t, "keygen", "-o", key)
	}
	ok(t, "trust", "init", "-o", "policy.json", "--root", "root.pem.pub", "--product", repository, "--trusted-root", "trusted_root.json")
	ok(t, "trust", "edit", "policy.json", "--add-signer", "acme=signer.pem.pub",
		"--authority", repository+":builder=acme", "--authority", repository+":base=acme", "--authority", repository+":patch=acme", "--authority", repository+":revocation=acme")
	policy := answer[trust.Answer](t, "trust", "sign", "policy.json", "--key", "root.pem")
	s.product, s.roots = policy.Products[0].ID, policy.Roots
	ok(t, append(s.admin, "trust", "push", "policy.signed.json")...)
	ok(t, append(s.admin, "admin", "product", s.product)...)
	s.enlist(t, "publisher", "publisher.pem")
	s.enlist(t, "auditor", "auditor.pem")
	return s
}

// enlist makes a principal with a role, and logs in as it.
func (s *site) enlist(t *testing.T, role, key string) {
	t.Helper()
	id := ok(t, append(s.admin, "admin", "principal", "--name", role, "--key", key+".pub")...)
	ok(t, append(s.admin, "admin", "grant", "--principal", id, "--product", s.product, "--role", role)...)
	if err := os.WriteFile(role+".id", []byte(id), 0o600); err != nil {
		t.Fatal(err)
	}
}

// as logs in.
func (s *site) as(t *testing.T, role string) {
	t.Helper()
	id, err := os.ReadFile(role + ".id")
	if err != nil {
		t.Fatal(err)
	}
	ok(t, "login", s.url, "--principal", string(id), "--key", role+".pem", "--roots", string(s.roots))
}

const greetSource = `enum mood { CALM, LOUD };
struct { enum mood a, b; int n; } state;
int greet(void) { return ++state.n; }
`

const patchSource = "int greet(void) { return 7; }\n"

// builds captures two bases that differ in one flag, and a patch for the first.
func builds(t *testing.T) {
	t.Helper()
	machinetest.Tools(t, "gcc", "strace")
	for path, content := range map[string]string{"src/greet.c": greetSource, "src/patch.c": patchSource} {
		if err := os.MkdirAll("src", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	gcc := func(out, source string, more ...string) []string {
		return append(append([]string{"--", "gcc", "-O2", "-fPIC", "-shared", "-Wl,-soname,libgreet.so.1"}, more...), "-o", out, source)
	}
	ok(t, append([]string{"env", "capture", "-o", "a.json", "--pack", "builder", "--source", "src"}, gcc("a.so", "src/greet.c")...)...)
	ok(t, append([]string{"env", "capture", "-o", "b.json", "--builder", "builder", "--source", "src"}, gcc("b.so", "src/greet.c", "-fshort-enums")...)...)
	ok(t, append([]string{"env", "capture", "-o", "patch.json", "--builder", "builder", "--source", "src", "--patch-of", "a.json"}, gcc("patch.so", "src/patch.c")...)...)
}

// capturedFile writes a file, and a capture that says base's build made it.
func capturedFile(t *testing.T, path string, content []byte) {
	t.Helper()
	b, err := os.ReadFile("patch.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := build.ParseCapture(b)
	if err != nil {
		t.Fatal(err)
	}
	c.Artifact = build.Artifact{Name: path, Digest: attest.DigestOf(content), Size: int64(len(content)), BuildID: c.Artifact.BuildID}
	if b, err = c.Marshal(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{path: content, path + ".json": b} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
