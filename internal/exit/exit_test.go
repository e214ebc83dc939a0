package exit_test

import (
	"bytes"
	"cmp"
	"context"
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

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// TestCodesAreFrozen holds the codes to their numbers and to the page that
// promises them.
func TestCodesAreFrozen(t *testing.T) {
	want := map[string]string{}
	for code, meaning := range map[int]string{
		exit.OK: "ok", exit.Failure: "error", exit.Usage: "usage", exit.Denied: "denied by policy", exit.Auth: "authentication required",
		exit.NotFound: "not found", exit.Unproven: "verification failed", exit.Contested: "contested", exit.Partial: "partial success",
	} {
		want[strconv.Itoa(code)] = meaning
	}
	told := map[string]string{}
	for _, e := range exit.Codes() {
		told[e.Code], _, _ = strings.Cut(e.Meaning, ":")
	}
	if diff := gocmp.Diff(want, told); diff != "" {
		t.Errorf("manual pages (-code +page):\n%s", diff)
	}
	if diff := gocmp.Diff(want, promised(t)); diff != "" {
		t.Errorf("docs/spec/cli.md (-code +page):\n%s", diff)
	}
	if exit.OK != 0 || exit.Failure != 1 || exit.Usage != 2 || exit.Denied != 3 || exit.Auth != 4 || exit.NotFound != 5 || exit.Unproven != 6 || exit.Contested != 7 || exit.Partial != 8 {
		t.Error("an exit code changed its number")
	}
}

// tables returns the two tables docs/spec/cli.md has about exit codes: what they
// mean, and which reasons end with which.
func tables(t *testing.T) (codes, reasons string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Exit codes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	codes, reasons, both := strings.Cut(section, "\n| code | reasons |\n")
	if !found || !both {
		t.Fatal("docs/spec/cli.md has no section Exit codes with two tables")
	}
	return codes, reasons
}

// promised reads the first.
func promised(t *testing.T) map[string]string {
	t.Helper()
	page, _ := tables(t)
	codes := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| ([^|.:(]+)`).FindAllStringSubmatch(page, -1) {
		codes[m[1]] = strings.TrimSpace(m[2])
	}
	return codes
}

// What went well has no next step, and is nobody's fault.
func TestNilStaysNil(t *testing.T) {
	if err := exit.Hint(nil, "x"); err != nil {
		t.Errorf("a hint made an error of nothing: %#v", err)
	}
	if err := exit.BadUsage(nil, "x"); err != nil {
		t.Errorf("usage made an error of nothing: %#v", err)
	}
}

func answer(status int, code, message string) error {
	return fmt.Errorf("asking: %w", api.Errorf(status, code, "%s", message).Hint("do something"))
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, exit.OK},
		{"anything", errors.New("x"), exit.Failure},
		{"usage", exit.BadUsage(errors.New("x"), ""), exit.Usage},
		{"a hint on usage", exit.Hint(fmt.Errorf("y: %w", exit.BadUsage(errors.New("x"), "")), "z"), exit.Usage},
		{"usage beside another", errors.Join(fs.ErrClosed, exit.BadUsage(errors.New("x"), "")), exit.Usage},
		{"a code of its own", exit.With(exit.Contested, "", ""), exit.Contested},
		{"401", answer(http.StatusUnauthorized, api.CodeUnauthorized, "who?"), exit.Auth},
		{"403", answer(http.StatusForbidden, api.CodeDenied, "ENV_MISMATCH: flags/3"), exit.Denied},
		{"403 without evidence", answer(http.StatusForbidden, api.CodeDenied, "NO_ATTESTATION: nothing"), exit.Denied},
		{"403 contested", answer(http.StatusForbidden, api.CodeDenied, "CONTESTED: two mappings"), exit.Contested},
		{"404", answer(http.StatusNotFound, api.CodeNotFound, "no tag"), exit.NotFound},
		{"400 corrupt", answer(http.StatusBadRequest, "MANIFEST_INVALID", "CORRUPT: /layers"), exit.Unproven},
		{"400", answer(http.StatusBadRequest, api.CodeInvalid, "/ttl"), exit.Failure},
		{"503", answer(http.StatusServiceUnavailable, api.CodeUnavailable, "later"), exit.Failure},
		{"forked", fmt.Errorf("x: %w", ledger.ErrForked), exit.Unproven},
		{"exists", fmt.Errorf("x: %w", fs.ErrExist), exit.Failure},
	} {
		if got, _ := exit.Judge(tt.err, nil); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.want)
		}
	}
}

// A server that knows no next step for what is not there: then this is one.
func TestNotFoundHasANextStep(t *testing.T) {
	bare := func(status int) error { return api.Errorf(status, "X", "no such thing") }
	if _, hint := exit.Judge(bare(http.StatusNotFound), nil); !strings.Contains(hint, "patchfit ls") {
		t.Errorf("hint %q", hint)
	}
	if _, hint := exit.Judge(bare(http.StatusInternalServerError), nil); hint != "" {
		t.Errorf("hint %q of another answer", hint)
	}
	if _, hint := exit.Judge(answer(http.StatusNotFound, api.CodeNotFound, "no tag"), nil); strings.Contains(hint, "patchfit ls") {
		t.Errorf("hint %q in place of the server's own", hint)
	}
}

// What is wrong with evidence fails verification; what good evidence says
// against whoever asks is a denial. docs/spec/cli.md lists them.
func TestEveryReasonHasACode(t *testing.T) {
	_, page := tables(t)
	want := map[verify.Reason]int{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([567]) \| (.+) \|$`).FindAllStringSubmatch(page, -1) {
		for _, r := range strings.Fields(strings.ReplaceAll(m[2], "`", "")) {
			want[verify.Reason(r)] = int(m[1][0] - '0')
		}
	}
	if len(want) != 10 {
		t.Errorf("the page has %d reasons that are no denials: %v", len(want), want)
	}
	for _, r := range verify.Reasons() {
		if got, _ := exit.Judge(&verify.Refusal{Reason: r}, nil); got != cmp.Or(want[r], exit.Denied) {
			t.Errorf("refused for %s: exit code %d, want %d", r, got, cmp.Or(want[r], exit.Denied))
		}
	}
}

// A program's own table is asked first, and only for what it knows.
func TestOwnTable(t *testing.T) {
	own := func(err error) (int, string, bool) { return exit.Denied, "own", errors.Is(err, fs.ErrExist) }
	if code, hint := exit.Judge(fs.ErrExist, own); code != exit.Denied || hint != "own" {
		t.Errorf("exit code %d, hint %q", code, hint)
	}
	if code, hint := exit.Judge(exit.Hint(fs.ErrExist, "nearer"), own); code != exit.Denied || hint != "nearer" {
		t.Errorf("exit code %d, hint %q", code, hint)
	}
	if code, hint := exit.Judge(fs.ErrNotExist, own); code != exit.Failure || hint != "check the path" {
		t.Errorf("exit code %d, hint %q", code, hint)
	}
}

func TestReport(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		code int
		want string
	}{
		{t.Context(), nil, exit.OK, ""},
		{t.Context(), exit.With(exit.Unproven, "", ""), exit.Unproven, ""},
		{t.Context(), exit.Hint(errors.New("no disk"), "buy one"), exit.Failure, "prog: error: no disk\nprog: hint: buy one\n"},
		{t.Context(), errors.New("x\nprog: all is well\x1b[2K"), exit.Failure, "prog: error: x\ufffdprog: all is well\ufffd[2K\n"},
		{ended, fmt.Errorf("copying: %w", context.Canceled), exit.Failure, "prog: error: interrupted\nprog: hint: run it again: what is done is not done twice\n"},
		{t.Context(), fmt.Errorf("copying: %w", context.Canceled), exit.Failure, "prog: error: copying: context canceled\n"},
	} {
		var text bytes.Buffer
		if code := exit.Report(tt.ctx, &text, "prog", tt.err, nil); code != tt.code || text.String() != tt.want {
			t.Errorf("%v: exit code %d, want %d: %q", tt.err, code, tt.code, text.String())
		}
	}
}
