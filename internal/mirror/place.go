package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// begin opens the place to write to and the mirror that is there already.
func (p *pull) begin(wants []Want) error {
	if len(wants) == 0 {
		return errors.New("nothing to copy was named")
	}
	if err := vacant(p.work); err != nil {
		return err
	}
	old := p.work
	if p.file != "" {
		old = p.file
	}
	before, err := Open(old)
	if err := p.judge(old, before, err); err != nil {
		return err
	}
	if p.in, err = newIngest(p.work); err != nil {
		return p.closed(err)
	}
	if p.before != nil {
		p.in.seed = p.before
		if err := p.covers(wants); err != nil {
			return errors.Join(err, p.in.Close())
		}
	}
	return nil
}

func (p *pull) closed(err error) error {
	if p.before == nil {
		return err
	}
	return errors.Join(err, p.before.Close())
}

// judge tells a mirror from nothing, from a damaged one, which is repaired, and
// from what is somebody else's.
func (p *pull) judge(path string, before *Layout, err error) error {
	var bad *Problem
	switch {
	case err == nil:
		p.before = before
	case !errors.As(err, &bad):
		return err
	case bad.Code == Corrupt || bad.Code == Missing:
		p.result.Damaged = err
	case bad.Code == Unfinished && exists(filepath.Join(path, indexFile)):
		return err // another OCI layout
	case bad.Code == Unfinished && p.file == "":
	case bad.Code == Unfinished && !exists(path):
	default:
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// vacant refuses a directory in which something else is.
func vacant(path string) error {
	list, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if !slices.Contains([]string{layoutFile, indexFile, "blobs", ingestDir}, e.Name()) {
			return fmt.Errorf("%s holds %q, and is no mirror: name a directory of its own", path, e.Name())
		}
	}
	return nil
}

// covers refuses to drop a repository from a mirror by not naming it.
func (p *pull) covers(wants []Want) error {
	for _, repo := range p.before.Record.Repositories {
		if !slices.ContainsFunc(wants, func(w Want) bool { return w.Repository == repo.Repository }) {
			return fmt.Errorf("the mirror holds %s too, and it is not named: name it, or another place to copy to", repo.Repository)
		}
	}
	return nil
}
