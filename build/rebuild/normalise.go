package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/sandbox"
)

// A Normaliser is a program that takes away what may differ: it is run as NAME
// FILE and changes the file in place, in the sandbox with the builder image around
// it, so it is static or a script for a program that is there.
type Normaliser struct {
	Name string // one lower-case word
	Path string
}

// alike runs the normaliser on what differs. Where both files are the same after
// it the result is equivalent, by that program, and never reproduced.
func (r *run) alike(ctx context.Context, o *Outcome) error {
	if r.Normaliser == nil || o.Result != attest.Differs || len(r.differences) > 0 {
		return nil
	}
	var got [2]attest.Digest
	for i, path := range []string{r.Wanted, o.Output} {
		d, err := r.normalised(ctx, path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			o.explain(fmt.Sprintf("%s; normaliser %s did not come to its end: %s", o.Explanation, r.Normaliser.Name, r.anywhere(err.Error())))
			return nil
		}
		got[i] = d
	}
	if got[0] != got[1] {
		o.explain(fmt.Sprintf("%s; nor are they alike after normaliser %s", o.Explanation, r.Normaliser.Name))
		return nil
	}
	program, err := fileDigest(r.Normaliser.Path)
	if err != nil {
		return err
	}
	o.Result, o.Normaliser = attest.Equivalent, &attest.Normaliser{Name: r.Normaliser.Name, Digest: program}
	o.explain(fmt.Sprintf("alike after normaliser %s; before it: %s", r.Normaliser.Name, o.Explanation))
	return nil
}

// normalised returns the digest of a file after the normaliser.
func (r *run) normalised(ctx context.Context, path string) (attest.Digest, error) {
	work, err := os.MkdirTemp(r.Scratch, "normalise-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	const program, file = "normaliser", "file"
	if err := errors.Join(copyFile(r.Normaliser.Path, filepath.Join(work, program), 0o755), copyFile(path, filepath.Join(work, file), 0o644)); err != nil {
		return "", err
	}
	_, err = r.Runner.Run(ctx, &sandbox.Job{
		Root: r.Root, Work: work, Command: []string{sandbox.Build + "/" + program, file}, Env: sandbox.Environ(r.Recipe.SourceDateEpoch), Limits: r.Limits,
	})
	if err != nil {
		return "", err
	}
	return fileDigest(filepath.Join(work, file))
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// fileDigest is of a regular file, which no link leads to: a build made it.
func fileDigest(path string) (attest.Digest, error) {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, errors.New("it left no regular file"))
	}
	f, err := open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return object.FileDigest(f, f.size)
}
