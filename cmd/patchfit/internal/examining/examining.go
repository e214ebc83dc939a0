// Package examining has the verbs that look into files: lint, which says what a
// live patch is and what is wrong with it beside its base, and diff, which says
// what differs between two builds. The work is in build/lint and build/compare.
package examining

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.lintCommand(), a.diffCommand()}
}

// A file is one to look into.
type file struct {
	io.ReaderAt
	size  int64
	base  string // of a patch in a repository: the reference of what it is attached to
	close func() error
}

// open returns the file a name leads to: on disk or, where there is none, in a
// repository.
func (a verbs) open(ctx context.Context, name string) (*file, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return a.fetch(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	if err == nil && info.Size() > object.MaxFile {
		err = fmt.Errorf("%s: %d bytes exceed the limit of %d", name, info.Size(), object.MaxFile)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{ReaderAt: f, size: info.Size(), close: f.Close}, nil
}

// fetch gets the one file of a base or patch.
func (a verbs) fetch(ctx context.Context, name string) (*file, error) {
	ref, err := shell.ParseReference(name)
	if err != nil || ref.Name() == "" {
		return nil, exit.With(exit.NotFound, name+" is neither a file nor a reference to one artifact", "name a file, NAME:TAG or NAME@sha256:HEX")
	}
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	shelf, err := publish.Browse(s.Client, ref.Repository)
	if err != nil {
		return nil, err
	}
	item, err := shelf.Item(ctx, ref.Name())
	if err != nil {
		return nil, err
	}
	raw, err := shelf.File(ctx, item, object.MaxFile)
	if errors.Is(err, publish.ErrNoFile) {
		return nil, exit.Hint(err, "name a base or a patch: patchfit tree shows which there are")
	}
	if err != nil {
		return nil, err
	}
	f := &file{ReaderAt: bytes.NewReader(raw), size: int64(len(raw)), close: func() error { return nil }}
	if item.Kind == "live-patch" && item.Subject != "" {
		f.base = ref.Repository + "@" + string(item.Subject)
		if ref.Server != "" {
			f.base = ref.Server + "/" + f.base
		}
	}
	return f, nil
}
