package machinetest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A said is a test that notes how it ended.
type said struct {
	testing.TB
	skipped, failed string
}

func (s *said) Helper() {}
func (s *said) Skipf(format string, args ...any) {
	s.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
func (s *said) Fatalf(format string, args ...any) {
	s.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func ended(t *testing.T, f func(testing.TB)) *said {
	s, done := &said{TB: t}, make(chan struct{})
	go func() { defer close(done); f(s) }()
	<-done
	return s
}

// What is missing leaves a test out, with a next step, and fails it in CI.
func TestNothingIsLeftOutInCI(t *testing.T) {
	t.Setenv("PATCHFIT_TESTDATA", t.TempDir())
	for name, c := range map[string]struct {
		ask  func(testing.TB)
		want string
	}{
		"a program": {func(t testing.TB) { Tools(t, "sh", "no-such-program") }, "no-such-program is not installed; run scripts/setup"},
		"a disk":    {func(t testing.TB) { SmallDisk(t, ",no-such-option") }, "; run it as root, or in a container that may mount"},
		"the suite": {func(t testing.TB) { Conformance(t, "") }, "; set PATCHFIT_TESTDATA to the folder that holds sigstore-conformance"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CI", "")
			if s := ended(t, c.ask); !strings.HasPrefix(s.skipped, "LEFT OUT: ") || !strings.HasSuffix(s.skipped, c.want) || s.failed != "" {
				t.Errorf("skipped %q, failed %q", s.skipped, s.failed)
			}
			t.Setenv("CI", "true")
			if s := ended(t, c.ask); s.skipped != "" || !strings.HasSuffix(s.failed, c.want) {
				t.Errorf("in CI: skipped %q, failed %q", s.skipped, s.failed)
			}
		})
	}
}

func TestWhatIsThere(t *testing.T) {
	if s := ended(t, func(t testing.TB) { Tools(t, "sh") }); s.skipped != "" || s.failed != "" {
		t.Errorf("skipped %q, failed %q", s.skipped, s.failed)
	}
}
