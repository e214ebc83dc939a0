package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestFront runs unmodified OCI clients against the registry: one script a
// client, and what it prints when it is denied.
func TestFront(t *testing.T) { area(t, "front", nil, "oras", "crane", "regctl", "cosign", "versitygw") }

// changing is what differs in a client's words from one run to the next.
var changing = []struct {
	is *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`d-[0-9A-HJKMNP-TV-Z]{26}`), "DECISION"},
	{regexp.MustCompile(`127\.0\.0\.1(:|%3A)[0-9]+`), "REGISTRY"},
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "DIGEST"},
	{regexp.MustCompile(`\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
}

// refused PROGRAM ARG... asks that a program fails. What it says of that, on
// its standard error, is then the script's standard output, settled.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: refused PROGRAM ARG...")
	}
	path, err := lookPath(ts.Getenv("PATH"), args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "PATCHFIT_CONFIG", "PATCHFIT_AGENT_STATE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	var out bytes.Buffer
	cmd.Stderr = &out
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		ts.Fatalf("%s was not refused:\n%s", strings.Join(args, " "), out.String())
	case !errors.As(err, &exit):
		ts.Check(err)
	}
	_, err = ts.Stdout().Write([]byte(settled(out.Bytes())))
	ts.Check(err)
}

// settled is a text without what changes between runs, and without empty lines.
func settled(out []byte) string {
	for _, c := range changing {
		out = c.is.ReplaceAll(out, []byte(c.as))
	}
	var text strings.Builder
	for line := range bytes.Lines(out) {
		if line = bytes.TrimRight(line, " \n"); len(line) > 0 {
			text.Write(append(line, '\n'))
		}
	}
	return text.String()
}
