package shell

import (
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/internal/durable"
)

// ReplaceFile writes a file that everybody may read, whole or not at all.
func ReplaceFile(path string, b []byte) error { return durable.Replace(path, b, 0o644) }

// Remember writes a file of the program's own, in a directory of its own, which
// is made where it is not there, and rid of what a killed run left.
func Remember(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := durable.Sweep(dir); err != nil {
		return err
	}
	return ReplaceFile(path, b)
}
