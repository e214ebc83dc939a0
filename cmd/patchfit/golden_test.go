package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/registry/api"
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
	visit(newRoot(new(shell.Shell)), []string{"patchfit"})
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
		"keygen --type ed25519 -o new.pem",
		"keygen --type rsa -o new.pem",
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
		"why host-a demo/greet:1.0",
		"audit decisions --product demo/greet",
		"audit who-built demo/greet:tag",
		"audit decisions --allowed --denied",
		"trust show draft.json",
		"trust sign missing.json --key key.pem",
		"trust init -o p.json --root not-a-key --product demo/greet --trusted-root draft.json",
		"--token-file token --server https://example.invalid admin product 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11",
		"--token-file none admin product 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11",
		"admin product demo/greet",
		"admin host host-a",
		"admin embargo demo/greet",
		"robot revoke ci",
		"robot revoke robot$ci",
		"audit verify",
		"audit receipt d-nothing",
		"audit prove draft.json -o x.tlog-proof",
		"channel show demo/greet",
		"channel add demo/greet --key key.pem",
		"monitor --state m --once",
		"mirror copy here there",
		"trust update",
		"trust tuf show nothing",
		"trust edit draft.json --log-policy draft.json",
		"witness init w --name a+b",
		"witness policy --trusted-root draft.json",
		"witness serve nothing --policy nothing",
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
		if !strings.Contains(o.stderr, "patchfit: hint: ") && !strings.Contains(o.stderr, ": chmod 600 ") {
			t.Errorf("patchfit %s: no next step: %s", c, o.stderr)
		}
	}
	t.Chdir(packageDir)
	golden(t, "errors.txt", text.String())
}

// TestJudge holds the errors that only this program meets; internal/exit has a
// test for those of all.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"anything", errors.New("x"), exit.Failure},
		{"stranger in the log", &client.Error{Status: http.StatusForbidden}, exit.Denied},
		{"not in the log", &client.Error{Status: http.StatusNotFound}, exit.NotFound},
		{"another error of the log", &client.Error{Status: http.StatusBadGateway}, exit.Failure},
		{"another environment", &build.MismatchError{Differences: []attest.Difference{{Field: "flags/0"}}}, exit.Denied},
		{"outside the image", &build.OutsideError{Path: "/x"}, exit.Unproven},
		{"not logged in", fmt.Errorf("%w to x", config.ErrUnknownServer), exit.Auth},
	} {
		if got, _ := exit.Judge(tt.err, judge); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.want)
		}
	}
	who := api.Errorf(http.StatusUnauthorized, api.CodeUnauthorized, "who?")
	if code, hint := exit.Judge(who, judge); code != exit.Auth || !strings.Contains(hint, "patchfit login") {
		t.Errorf("somebody unknown: exit code %d, hint %q", code, hint)
	}
	if _, hint := exit.Judge(who.Hint("do something"), judge); hint != "do something" {
		t.Errorf("hint %q, want the server's remedy", hint)
	}
}
