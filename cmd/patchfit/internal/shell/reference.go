package shell

import (
	"fmt"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
)

// A Reference names something in a repository: [HOST[:PORT]/]NAME[:TAG][@DIGEST].
type Reference struct {
	Server     string // "" where it names none
	Repository string
	Tag        string
	Digest     attest.Digest
}

// ParseReference reads a reference. The first element is a server where it
// has a dot or a port, or is localhost, as OCI clients have it.
func ParseReference(s string) (Reference, error) {
	var r Reference
	rest, digest, pinned := strings.Cut(s, "@")
	if pinned {
		d, err := attest.ParseDigest(digest)
		if err != nil {
			return r, exit.BadUsage(fmt.Errorf("reference %q: %w", s, err), "as in: demo/greet@sha256:…")
		}
		r.Digest = d
	}
	if i := strings.LastIndex(rest, ":"); i > strings.LastIndex(rest, "/") {
		rest, r.Tag = rest[:i], rest[i+1:]
	}
	if first, after, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		r.Server, rest = first, after
	}
	r.Repository = rest
	if rest == "" || pinned && r.Digest == "" {
		return r, exit.BadUsage(fmt.Errorf("reference %q names no repository", s), "as in: demo/greet:1.0 or demo/greet@sha256:…")
	}
	return r, nil
}

// Name returns what the reference resolves by: its digest, else its tag.
func (r Reference) Name() string {
	if r.Digest != "" {
		return string(r.Digest)
	}
	return r.Tag
}

// Named refuses a reference that could be any of several things.
func (r Reference) Named() error {
	if r.Name() == "" {
		return exit.BadUsage(fmt.Errorf("reference %s names neither tag nor digest", r.Repository), "as in: "+r.Repository+":1.0 or "+r.Repository+"@sha256:…")
	}
	return nil
}

// ParseOne reads a reference that has to name one thing.
func ParseOne(s string) (Reference, error) {
	r, err := ParseReference(s)
	if err == nil {
		err = r.Named()
	}
	return r, err
}
