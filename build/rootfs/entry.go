package rootfs

import (
	"archive/tar"
	"fmt"
	"path"
	"strings"
)

// An EntryError is an entry of a layer that no builder image has a use for, but
// an attacker.
type EntryError struct {
	Name   string // as the layer has it
	Reason string
}

func (e *EntryError) Error() string { return fmt.Sprintf("entry %.200q: %s", e.Name, e.Reason) }

// Whiteouts remove what lower layers hold (OCI image spec, Whiteouts).
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	ofAUFS   = ".wh..wh." // what else begins so is that file system's own
)

const maxName = 4095

// clean returns a path of a layer relative to the root, "." for the root. One
// that is absolute or climbs is refused, as no tool that packs a tree writes it.
func clean(name string) (string, error) {
	switch {
	case name == "":
		return "", &EntryError{name, "it has no name"}
	case len(name) > maxName:
		return "", &EntryError{name, "its name is too long"}
	case strings.HasPrefix(name, "/"):
		return "", &EntryError{name, "its path is absolute"}
	case strings.ContainsRune(name, 0):
		return "", &EntryError{name, "its name holds a zero byte"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", &EntryError{name, "its path has \"..\""}
		}
		if len(part) > 255 {
			return "", &EntryError{name, "its name is too long"}
		}
	}
	return path.Clean(name), nil
}

// climbs reports whether a link in dir leads above the root. Inside, an absolute
// one leads to the image's own root.
func climbs(dir, target string) bool {
	depth := 0
	if !path.IsAbs(target) && dir != "." {
		depth = strings.Count(dir, "/") + 1
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// sparse reports whether an entry's content is shorter than the file it makes.
func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// inDev reports whether a path is below /dev, which builds never see.
func inDev(name string) bool { return name == "dev" || strings.HasPrefix(name, "dev/") }
