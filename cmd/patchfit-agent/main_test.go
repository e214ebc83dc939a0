package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

func TestCommandLine(t *testing.T) {
	state := filepath.Join(t.TempDir(), "none")
	t.Setenv("PATCHFIT_AGENT_STATE", state)
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"":                                {0, "pull"},
		"--help":                          {0, "Usage:"},
		"--version":                       {0, "unknown"},
		"frobnicate":                      {2, "unknown command"},
		"status --frobnicate":             {2, "unknown flag"},
		"status more":                     {2, "unknown command"},
		"status --format xml":             {2, "neither text nor json"},
		"pull":                            {2, "accepts 1 arg"},
		"enroll":                          {2, "token"},
		"enroll --token a --token-file b": {2, "none of the others can be"},
		"enroll --token pfe1.x":           {1, "not a whole enrolment token"},
		"enroll --token-file /none/there": {1, "reading the enrolment token"},
		"enroll --token-file -":           {1, "not an enrolment token"},
		"status":                          {4, "patchfit-agent: hint: enrol it"},
		"record --base a=b":               {4, "not enrolled"},
		"pull lib/a:v1 -o x":              {4, "not enrolled"},
		"why lib/a:v1":                    {4, "not enrolled"},
		"status --state " + t.TempDir() + "/none": {4, "not enrolled"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), strings.Fields(line), strings.NewReader("text"), &out, &out); code != want.code || !strings.Contains(out.String(), want.text) {
			t.Errorf("patchfit-agent %s: exit %d, want %d and %q:\n%s", line, code, want.code, want.text, out.String())
		}
	}
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused command made the state directory: %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	refusal := func(r verify.Reason) error { return fmt.Errorf("wrapped: %w", &verify.Refusal{Reason: r}) }
	denied := func(r verify.Reason) error { return &host.Denied{Reasons: []policy.Finding{{Reason: r}}} }
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("disk full"), 1},
		{badUsage(errors.New("what?")), 2},
		{denied(verify.EnvMismatch), 3},
		{denied(verify.BaseMismatch), 3},
		{denied(verify.Revoked), 3},
		{refusal(verify.StaleHostRecord), 3},
		{&api.Error{Status: http.StatusForbidden, Code: api.CodeDenied, Message: "ENV_MISMATCH: flags/3 (decision d-1)"}, 3},
		{&api.Error{Status: http.StatusForbidden, Code: "FORBIDDEN_ROLE"}, 3},
		{&api.Error{Status: http.StatusUnauthorized, Code: api.CodeUnauthorized}, 4},
		{host.ErrNotEnrolled, 4},
		{&api.Error{Status: http.StatusNotFound, Code: api.CodeNotFound}, 5},
		{&api.Error{Status: http.StatusForbidden, Code: api.CodeDenied, Message: "NO_ATTESTATION: nothing"}, 3},
		{&api.Error{Status: http.StatusForbidden, Code: api.CodeDenied, Message: "CONTESTED: two"}, 7},
		{&api.Error{Status: http.StatusInternalServerError, Code: "CORRUPT"}, 6},
		{denied(verify.NoProvenance), 5},
		{denied(verify.NoAttestation), 5},
		{refusal(verify.Corrupt), 6},
		{refusal(verify.Rollback), 6},
		{refusal(verify.Expired), 6},
		{denied(verify.UntrustedSigner), 6},
		{denied(verify.Contested), 7},
		{&api.Error{Status: http.StatusServiceUnavailable, Code: api.CodeUnavailable}, 1},
	} {
		if got, _ := exit.Judge(tc.err, judge); got != tc.want {
			t.Errorf("%v: exit %d, want %d", tc.err, got, tc.want)
		}
	}
}

// What a server wrote moves no cursor and fakes no second line.
func TestErrorsAreOneLine(t *testing.T) {
	var out bytes.Buffer
	exit.Report(t.Context(), &out, "patchfit-agent", &api.Error{Status: 403, Code: api.CodeDenied, Message: "x\npatchfit-agent: all is well\x1b[2K\r", Remedy: "a\nb"}, judge)
	if n := strings.Count(out.String(), "\n"); n != 2 || strings.ContainsAny(out.String(), "\x1b\r") {
		t.Errorf("%q", out.String())
	}
}

var (
	epoch  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	digest = attest.DigestOf(nil)
	pulled = &host.Pulled{
		Product: "p", Repository: "lib/greet", Digest: digest, File: digest, Size: 4096, Path: "/tmp/greet", Basis: "environment",
		Patch:    &attest.LivePatch{Kind: attest.PatchELFTest, Fixes: []string{"CVE-2026-0001"}},
		Checks:   []policy.Check{{Rule: "base-match", Criterion: "the patch is for the one base the host runs", Passed: true}},
		Evidence: []attest.Digest{digest},
	}
	status = &host.Status{
		Identity: host.Identity{Host: "h", Name: "web-17", Server: "https://p.example"}, PolicyVersion: 3, PolicyExpires: epoch,
		Record: &attest.HostRecord{Sequence: 4}, Received: epoch, ThisBoot: true, Revocations: 2,
		Bases: []host.BaseStatus{
			{Base: host.Base{Product: "p", Path: "/lib/a"}, Repository: "lib/greet", Now: attest.Measurement{Digest: digest, BuildID: "ab"}, Unchanged: true},
			{Base: host.Base{Product: "p", Path: "/lib/b"}, Repository: "lib/greet", Err: errors.New("gone")},
		},
	}
)

func TestText(t *testing.T) {
	why := &host.Explanation{
		Server: &api.Why{Digest: digest, Checks: []api.Check{{Criterion: "fits", Findings: []api.Finding{{Reason: "ENV_MISMATCH", Want: "flags/3 = -O2", Got: "-O3"}}}}},
		Checks: []policy.Check{{Criterion: "fits", Passed: true}},
	}
	for name, tc := range map[string]struct {
		print func(p *program) error
		want  string
	}{
		"pull":   {func(p *program) error { return p.printPulled(pulled) }, "patch    lib/greet@" + string(digest) + "\nfile     /tmp/greet  " + string(digest) + "  4.0 KiB\nfits by  environment\nkind     elf-test  not applied: nothing here applies patches of this kind\n"},
		"status": {func(p *program) error { return p.printStatus(status, false) }, "host          h  web-17\nserver        https://p.example\ntrust policy  version 3  until 2026-03-01T12:00:00Z\nrevocations   2 seen\nrecord        4          2026-03-01T12:00:00Z  of this boot\nbase          lib/greet  /lib/a                as recorded\nbase          lib/greet  /lib/b                gone\n"},
		"enrolled": {func(p *program) error {
			return p.printEnrolled(&host.Identity{Host: "h", Name: "n", Server: "s", Products: []string{"p"}})
		}, "host     h\nname     n\nserver   s\nproduct  p\n"},
		"why": {func(p *program) error { return p.printWhy(host.Reference{Repository: "lib/greet", Tag: "v1"}, why) }, "lib/greet:v1 is " + string(digest) + "\nthe server's rules:\n  FAIL fits\n      ENV_MISMATCH: want flags/3 = -O2, got -O3\nthis host's own, of what the server sent:\n  ok   fits\n"},
	} {
		var out bytes.Buffer
		p := &program{format: "text", out: &out, err: new(bytes.Buffer)}
		if err := tc.print(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, out.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if err := serverDenies(why); exit.ForAnswer(err.(*api.Error)) != exit.Denied || !strings.Contains(err.Error(), "flags/3") {
		t.Errorf("a denial of the server ends as %v", err)
	}
}

// A pull tells each of its criteria once.
func TestCriteriaAreToldOnce(t *testing.T) {
	var out, diagnostics bytes.Buffer
	p := &program{format: "text", out: &out, err: &diagnostics}
	all := *pulled
	all.Checks = policy.Explain(nil)
	p.printAsking(host.Reference{Repository: "lib/greet", Tag: "v1"})
	if err := p.printPulled(&all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Checks {
		if n := strings.Count(diagnostics.String()+out.String(), c.Criterion); n != 1 {
			t.Errorf("%q is told %d times", c.Criterion, n)
		}
	}
	if !strings.HasPrefix(diagnostics.String(), fmt.Sprintf("this host verifies lib/greet:v1 by %d criteria", len(all.Checks))) {
		t.Errorf("%q", diagnostics.String())
	}
}

func TestJSON(t *testing.T) {
	for name, print := range map[string]func(p *program) error{
		"pull":   func(p *program) error { return p.printPulled(pulled) },
		"status": func(p *program) error { return p.printStatus(status, true) },
		"record": func(p *program) error {
			return p.printRecorded(&host.Recorded{Record: &attest.HostRecord{Sequence: 4}})
		},
		"why": func(p *program) error { return p.printWhy(host.Reference{}, &host.Explanation{Server: &api.Why{}}) },
	} {
		var out bytes.Buffer
		p := &program{format: "json", out: &out, err: new(bytes.Buffer)}
		if err := print(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var v struct{ SchemaVersion int }
		if err := json.Unmarshal(out.Bytes(), &v); err != nil || v.SchemaVersion != 1 || strings.Contains(out.String(), "null") {
			t.Errorf("%s: %s (%v): want one object of schemaVersion 1 without null", name, out.String(), err)
		}
	}
}

// The agent runs as root everywhere: it is one static file, and nothing of a
// registry, a log or a database is in it.
func TestStaticAndLight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patchfit-agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the agent is not static: it has %v", p.Type)
		}
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) == 0 {
		t.Fatal("the build says nothing of its modules")
	}
	for _, m := range info.Deps {
		for _, heavy := range []string{"distribution/distribution", "tessera", "sqlite", "badger", "bbolt", "pgx", "pebble"} {
			if strings.Contains(m.Path, heavy) {
				t.Errorf("the agent links %s %s", m.Path, m.Version)
			}
		}
	}
}
