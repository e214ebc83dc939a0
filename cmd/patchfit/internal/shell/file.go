package shell

import "github.com/patchfit/patchfit/internal/durable"

// ReplaceFile writes a file that everybody may read, whole or not at all.
func ReplaceFile(path string, b []byte) error { return durable.Replace(path, b, 0o644) }
