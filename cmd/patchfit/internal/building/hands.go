package building

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/rebuild"
	"github.com/patchfit/patchfit/build/rebuild/queue"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/publish"
)

// hands are the rebuilder's: they build and they sign.
type hands struct{ *watch }

// Run builds a task once.
func (h hands) Run(ctx context.Context, t queue.Task, dir string) (*attest.Rebuild, error) {
	x, err := h.findArtifact(ctx, shell.Reference{Server: t.Server, Repository: t.Repository, Digest: t.Manifest})
	if err != nil {
		return nil, err
	}
	scratch, done, err := h.openScratch()
	if err != nil {
		return nil, err
	}
	defer done()
	o, err := h.carryOut(ctx, &h.rebuilding, x, scratch)
	if err != nil {
		return nil, err
	}
	if err := leave(dir, o); err != nil {
		return nil, err
	}
	return o.Statement(x.product, x.environment, attest.Run{ID: uuid.NewString(), Builder: h.id}), nil
}

// leave writes what a run left, so that it is there after a power cut.
func leave(dir string, o *rebuild.Outcome) error {
	for name, b := range map[string][]byte{queue.LeftLog: o.Log, queue.LeftPage: o.Page} {
		if len(b) == 0 {
			continue
		}
		if err := durable.Replace(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	if o.Result != attest.Differs && o.Result != attest.Equivalent {
		return nil
	}
	out := filepath.Join(dir, queue.LeftOutput)
	if err := os.Mkdir(out, 0o700); err != nil {
		return err
	}
	return keepFile(o.Output, filepath.Join(out, filepath.Base(o.Output)))
}

func keepFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	return errors.Join(err, f.Sync(), f.Close(), durable.SyncDir(filepath.Dir(to)))
}

// Say signs and sends what came of a run.
func (h hands) Say(ctx context.Context, t queue.Task, dir string, said *attest.Rebuild) error {
	s, err := h.Connect(t.Server)
	if err != nil {
		return err
	}
	pub, err := h.rebuilder(ctx, &h.rebuilding, &artifact{session: s, repository: t.Repository, product: said.Product})
	if err != nil {
		return err
	}
	var left publish.Left
	if left.Log, err = readLeft(dir, queue.LeftLog); err != nil {
		return err
	}
	if left.Page, err = readLeft(dir, queue.LeftPage); err != nil {
		return err
	}
	outputs, err := os.ReadDir(filepath.Join(dir, queue.LeftOutput))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(outputs) == 1 {
		left.Output = filepath.Join(dir, queue.LeftOutput, outputs[0].Name())
	}
	_, err = pub.Rebuild(ctx, t.Manifest, left, said)
	return err
}

func readLeft(dir, name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
