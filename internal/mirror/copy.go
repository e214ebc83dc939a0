package mirror

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
)

// A Target is a server to copy into, and where what is on the way is kept.
type Target struct {
	Server *api.Client
	// Work is a directory of this one copy. It is made, an interrupted copy goes
	// on from what is in it, and a finished one removes it.
	Work string
}

// CopyOptions are how a copy from server to server goes. The zero options say
// nothing.
type CopyOptions struct {
	Progress *term.Progress
	Now      time.Time // when the trust policy has to be good; zero: now
}

// Copied is what a copy did at both ends.
type Copied struct {
	*Pulled
	*Pushed
}

// Copy brings what is wanted from one server into another, as [Pull] and [Push]
// do with a layout between them. Nothing is sent before everything that is wanted
// is here and verified: a source that lies, or goes away halfway, changes nothing
// at the target. Log entries stay behind, because nothing of them would arrive: a
// bundle has its proof with it, and whoever gets it from the target verifies that.
func Copy(ctx context.Context, src Source, wants []Want, dst Target, o *CopyOptions) (*Copied, error) {
	if o == nil {
		o = &CopyOptions{}
	}
	lock, err := begin(dst.Work)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if _, err := accepts(ctx, src.Envelope, dst.Server); err != nil {
		return nil, err // before anything is fetched
	}
	layout := filepath.Join(dst.Work, "layout")
	out := &Copied{}
	out.Pulled, err = Pull(ctx, src, wants, layout, &PullOptions{Progress: o.Progress, WithoutLog: true, Now: o.Now})
	if err != nil {
		return nil, err
	}
	if out.Pushed, err = pushFrom(ctx, layout, dst.Server, o.Progress); err != nil {
		return nil, err
	}
	return out, os.RemoveAll(dst.Work)
}

// begin makes the directory and holds it for one copy.
func begin(work string) (*os.File, error) {
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(work, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := alone(lock, work); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

func pushFrom(ctx context.Context, layout string, server *api.Client, progress *term.Progress) (*Pushed, error) {
	l, err := Open(layout)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return Push(ctx, l, server, &PushOptions{Progress: progress})
}
