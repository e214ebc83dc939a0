package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/update"
)

// maxRepins is how many TUF repositories one update may lead through.
const maxRepins = 4

// followTUF returns the policy that comes after first by the TUF repository it
// names, or that was named when this server was last asked.
func (s *Session) followTUF(ctx context.Context, first *succession.Policy) (*succession.Policy, error) {
	have, err := s.TUF()
	if err != nil {
		return nil, err
	}
	pin := first.TUF
	if have != nil {
		pin = have.Pin
	}
	client := &update.Client{Server: s.Client.Server(), HTTP: s.Client.HTTP(), Dir: os.TempDir()}
	p := first
	for range maxRepins {
		if pin == (attest.TUFRoot{}) {
			return p, s.forgetTUF()
		}
		next, err := client.Update(ctx, pin, have)
		if next != nil {
			if kept := s.writeTUF(next); kept != nil {
				return nil, errors.Join(err, kept)
			}
		}
		if err != nil {
			return nil, tufError(err)
		}
		if p, err = succession.Open(ctx, s.Client, s.Server.Roots, next.Files[tuf.TrustPolicy]); err != nil {
			return nil, unpinned(err)
		}
		if p.TUF == pin {
			return p, nil
		}
		have, pin = next, p.TUF
	}
	return nil, fmt.Errorf("trust policies lead through more than %d TUF repositories", maxRepins)
}

func tufError(err error) error {
	for _, refused := range []error{update.ErrNone, update.ErrRoot, update.ErrUnsigned, update.ErrRollback, update.ErrExpired, update.ErrCorrupt} {
		if errors.Is(err, refused) {
			return exit.With(exit.Unproven, fmt.Sprintf("the server's TUF repository: %v", err), "the server, or somebody before it, holds back what is new or sends something else: ask its admin and the owners of the trust policy")
		}
	}
	return fmt.Errorf("updating trust: %w", err)
}

// tufPath is where it is kept what was verified of this server's repository.
func (s *Session) tufPath() (string, error) {
	dir, err := config.Dir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "tuf", url.PathEscape(config.Address(s.Client.Server()))+".json"), nil
}

// TUF returns what was verified of this server's repository; nil: nothing was
// yet.
func (s *Session) TUF() (*update.State, error) {
	path, err := s.tufPath()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is known of the server's trust: %w", err)
	}
	t, err := update.ParseState(b)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("reading %s: %w", path, err), "remove it to begin again from the trust policy pinned at login")
	}
	return t, nil
}

func (s *Session) writeTUF(t *update.State) error {
	path, err := s.tufPath()
	if err != nil {
		return err
	}
	b, err := strictjson.Canonical(t)
	if err != nil {
		return err
	}
	if err := Remember(path, append(b, '\n')); err != nil {
		return fmt.Errorf("remembering the server's trust: %w", err)
	}
	return nil
}

// forgetTUF drops what is known of a repository that no policy names any more.
func (s *Session) forgetTUF() error {
	path, err := s.tufPath()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
