package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// The test's own program is the payload of its images: /bin/payload WHAT ARG…
func TestMain(m *testing.M) {
	if code, ours := Main(); ours {
		os.Exit(code)
	}
	if filepath.Base(os.Args[0]) == "payload" {
		os.Exit(payload(os.Args[1], os.Args[2:]))
	}
	os.Exit(m.Run())
}

func payload(what string, args []string) int {
	switch what {
	case "hello":
		fmt.Println("hello", os.Getuid(), os.Environ())
		return 3
	}
	return 99
}

// image returns a root with nothing but the payload.
func imageRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(root, "bin/payload"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return root
}

// A job runs as uid 0 of a world of its own, and how it ends is told.
func TestRun(t *testing.T) {
	var out, errs bytes.Buffer
	r, err := New(nil).Run(t.Context(), &Job{
		Root: imageRoot(t), Work: t.TempDir(), Command: []string{"payload", "hello"}, Env: Environ(0), Stdout: &out, Stderr: &errs,
	})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || r == nil {
		t.Fatalf("%v, %v; want exit code 3", r, err)
	}
	if got := out.String(); got != "hello 0 [PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/build LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=0]\n" || errs.Len() > 0 {
		t.Errorf("%q, %q", got, &errs)
	}
}
