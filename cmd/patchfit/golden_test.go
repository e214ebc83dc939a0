package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/manual"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// TestGoldenHelp holds the help of every command.
func TestGoldenHelp(t *testing.T) {
	home(t)
	var text strings.Builder
	var visit func(cmd *cobra.Command, path []string)
	visit = func(cmd *cobra.Command, path []string) {
		if cmd.Name() == "help" {
			return
		}
		fmt.Fprintf(&text, "$ %s --help\n%s\n\n", strings.Join(path, " "), ok(t, append(path[1:], "--help")...))
		for _, c := range cmd.Commands() {
			visit(c, append(append([]string{}, path...), c.Name()))
		}
	}
	visit((&app{}).root(), []string{"patchfit"})
	t.Chdir(packageDir)
	golden(t, "help.txt", text.String())
}

// TestGoldenErrors holds what a person sees who does something wrong, where no
// server is needed for it.
func TestGoldenErrors(t *testing.T) {
	home(t)
	for name, content := range map[string]string{"draft.json": "{}", "token": "t", "not-a-key": "hello"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ok(t, "keygen", "-o", "key.pem")
	if err := os.Chmod("key.pem", 0o640); err != nil {
		t.Fatal(err)
	}
	commands := []string{
		"pubish",
		"trust",
		"trust mak",
		"--format yaml audit verify",
		"keygen",
		"keygen -o key.pem",
		"keygen --no-such-flag",
		"env capture -o x",
		"env capture -o x -- gcc x.c",
		"env capture -o x --pack b -- clang x.c",
		"env capture -o x --pack b -- sh build.sh",
		"env show nothing",
		"env diff draft.json draft.json",
		"publish base lib.so --to demo/greet",
		"publish base lib.so --capture c --to demo/greet --key key.pem",
		"publish base lib.so --capture c --to demo/greet --key missing.pem",
		"verify",
		"verify draft.json",
		"verify demo/greet",
		"verify demo/greet@sha256:12",
		"verify draft.json --bundle draft.json --trusted-root draft.json",
		"verify draft.json --bundle draft.json --trusted-root draft.json --certificate-identity me",
		"verify draft.json --bundle draft.json --trusted-root draft.json --key key.pem.pub --certificate-identity me",
		"verify draft.json --bundle draft.json --trusted-root draft.json --key key.pem.pub --product x",
		"verify draft.json --bundle draft.json --key key.pem.pub",
		"verify draft.json --bundle draft.json --trusted-root draft.json --key key.pem.pub",
		"why host",
		"audit who-built demo/greet:tag",
		"audit decisions --allowed --denied",
		"trust show draft.json",
		"trust sign missing.json --key key.pem",
		"trust init -o p.json --root not-a-key --product demo/greet --trusted-root draft.json",
		"--token-file token --server https://example.invalid admin product x",
		"--token-file none admin product x",
		"audit verify",
		"login ftp:nothing --principal x --key key.pem",
		"revoke --to demo/greet --kind subject --digest x --reason y --key key.pem",
	}
	var text strings.Builder
	for _, c := range commands {
		o := cli(t, strings.Fields(c)...)
		fmt.Fprintf(&text, "$ patchfit %s\n%s%s# exit code %d\n\n", c, o.stdout, o.stderr, o.code)
		if o.code == 0 || o.stdout != "" {
			t.Errorf("patchfit %s: exit code %d, standard output %q", c, o.code, o.stdout)
		}
	}
	t.Chdir(packageDir)
	golden(t, "errors.txt", text.String())
}

// TestExitCodesAreFrozen holds the codes to the page that promises them.
func TestExitCodesAreFrozen(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(packageDir, "..", "..", "docs", "spec", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Exit codes\n")
	if !found {
		t.Fatal("docs/spec/cli.md has no section Exit codes")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	got := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| ([^|.:(]+)`).FindAllStringSubmatch(section, -1) {
		got[m[1]] = strings.TrimSpace(m[2])
	}
	want, told := map[string]string{}, map[string]string{}
	for code, meaning := range map[int]string{
		exitOK: "ok", exitError: "error", exitUsage: "usage", exitDenied: "denied by policy", exitAuth: "authentication required",
		exitNotFound: "not found", exitUnproven: "verification failed", exitContested: "contested", exitPartial: "partial success",
	} {
		want[strconv.Itoa(code)] = meaning
	}
	for _, e := range manual.Exits() {
		told[e.Code], _, _ = strings.Cut(e.Meaning, ":")
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("manual pages (-code +page):\n%s", diff)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/spec/cli.md (-code +page):\n%s", diff)
	}
	if exitOK != 0 || exitError != 1 || exitUsage != 2 || exitDenied != 3 || exitAuth != 4 || exitNotFound != 5 || exitUnproven != 6 || exitContested != 7 || exitPartial != 8 {
		t.Error("an exit code changed its number")
	}
}

func TestJudge(t *testing.T) {
	answer := func(status int, code, message string) error {
		return fmt.Errorf("asking: %w", api.Errorf(status, code, "%s", message).Hint("do something"))
	}
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"anything", errors.New("x"), exitError},
		{"usage", usageError{errors.New("x"), ""}, exitUsage},
		{"401", answer(http.StatusUnauthorized, api.CodeUnauthorized, "who?"), exitAuth},
		{"403", answer(http.StatusForbidden, api.CodeDenied, "ENV_MISMATCH: flags/3"), exitDenied},
		{"403 contested", answer(http.StatusForbidden, api.CodeDenied, "CONTESTED: two mappings"), exitContested},
		{"404", answer(http.StatusNotFound, api.CodeNotFound, "no tag"), exitNotFound},
		{"400 corrupt", answer(http.StatusBadRequest, "MANIFEST_INVALID", "CORRUPT: /layers"), exitUnproven},
		{"400", answer(http.StatusBadRequest, api.CodeInvalid, "/ttl"), exitError},
		{"503", answer(http.StatusServiceUnavailable, api.CodeUnavailable, "later"), exitError},
		{"stranger in the log", &client.Error{Status: http.StatusForbidden}, exitDenied},
		{"bad signature", &verify.Refusal{Reason: verify.BadSignature}, exitUnproven},
		{"no attestation", &verify.Refusal{Reason: verify.NoAttestation}, exitNotFound},
		{"contested", &verify.Refusal{Reason: verify.Contested}, exitContested},
		{"another environment", &build.MismatchError{Differences: []attest.Difference{{Field: "flags/0"}}}, exitDenied},
		{"outside the image", &build.OutsideError{Path: "/x"}, exitUnproven},
		{"forked", fmt.Errorf("x: %w", ledger.ErrForked), exitUnproven},
		{"not logged in", fmt.Errorf("%w to x", config.ErrUnknownServer), exitAuth},
		{"exists", fmt.Errorf("x: %w", fs.ErrExist), exitError},
	} {
		if got, _ := judge(tt.err); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.want)
		}
	}
	if _, hint := judge(answer(http.StatusForbidden, api.CodeDenied, "REVOKED: x")); hint != "do something" {
		t.Errorf("hint %q, want the server's remedy", hint)
	}
	for _, r := range verify.Reasons() {
		if refused(r) < exitDenied {
			t.Errorf("refusal %s ends with exit code %d", r, refused(r))
		}
	}
}

func TestParseReference(t *testing.T) {
	d := string(attest.DigestOf(nil))
	for text, want := range map[string]reference{
		"demo/greet":                       {repository: "demo/greet"},
		"demo/greet:1.0":                   {repository: "demo/greet", tag: "1.0"},
		"demo/greet@" + d:                  {repository: "demo/greet", digest: attest.Digest(d)},
		"demo/greet:1.0@" + d:              {repository: "demo/greet", tag: "1.0", digest: attest.Digest(d)},
		"patches.example.org/demo/greet:1": {server: "patches.example.org", repository: "demo/greet", tag: "1"},
		"127.0.0.1:8443/demo/greet":        {server: "127.0.0.1:8443", repository: "demo/greet"},
		"localhost/greet":                  {server: "localhost", repository: "greet"},
		"localhost:5000/greet@" + d:        {server: "localhost:5000", repository: "greet", digest: attest.Digest(d)},
	} {
		got, err := parseReference(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "demo/greet@", "demo/greet@sha256:12", "@" + d, "demo/greet@md5:" + strings.Repeat("0", 32)} {
		if got, err := parseReference(text); err == nil {
			t.Errorf("%q reads as %+v", text, got)
		}
	}
}
