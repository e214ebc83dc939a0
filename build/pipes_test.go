package build

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A build that leaves a pipe where a file is looked for keeps nobody waiting.
func TestAttackPipesForFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "libpipe.so")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() error{
		"configuration or tool": func() error { _, err := digestFile(pipe); return err },
		"artifact":              func() error { _, err := ReadELF(pipe); return err },
		"witness":               func() error { _, err := readWitness(pipe); return err },
		"library": func() error {
			l := &linkLine{world: here, dir: dir}
			l.read([]string{"ld", pipe})
			_, err := l.libraries()
			return err
		},
		"output": func() error {
			c := &contained{work: dir}
			_, err := c.copy("libpipe.so", t.TempDir())
			return err
		},
	} {
		done := make(chan error, 1)
		go func() { done <- read() }()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: a pipe is taken for a file", name)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: whoever reads it waits for a pipe", name)
		}
	}
}
