package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/update"
	"github.com/patchfit/patchfit/verify"
)

// maxRepins is how many TUF repositories one update may lead through, each
// named by a trust policy that came by the one before.
const maxRepins = 4

// followTUF brings the trust policy up to date by the TUF repository it names,
// if it names one. What was verified on the way is kept whatever comes after
// it. Trust that cannot be brought up to date is stale, and the host takes
// nothing on it: it is online now, and the server answers.
func (a *Agent) followTUF(ctx context.Context) error {
	have, err := a.state.readTUF()
	if err != nil {
		return err
	}
	if err := a.state.sweepTUF(); err != nil {
		return err
	}
	client := &update.Client{Server: a.client.Server(), HTTP: a.client.HTTP(), Dir: a.state.dir}
	for range maxRepins {
		pin := a.pinned.TUF
		if pin == (attest.TUFRoot{}) {
			return nil
		}
		next, err := client.Update(ctx, pin, have)
		if kept := a.state.keepTUF(have, next); kept != nil {
			return errors.Join(err, kept)
		}
		if err != nil {
			return tufRefusal(err)
		}
		have = next
		if err := a.take(ctx, next.Files[tuf.TrustPolicy]); err != nil {
			return err
		}
		if a.pinned.TUF == pin {
			return nil
		}
	}
	return refuse(verify.Contested, "trust policies lead through more than %d TUF repositories", maxRepins)
}

// tufRefusal says in the words of reasons why an update was refused. What is
// about reaching the server stays as it is.
func tufRefusal(err error) error {
	for _, m := range []struct {
		is     error
		reason verify.Reason
		remedy string
	}{
		{update.ErrNone, verify.Expired, "the trust policy came by a TUF repository: the server's admin has to push it: patchfit trust tuf push"},
		{update.ErrRoot, verify.UntrustedSigner, "ask the owners of the trust policy which root it means to name"},
		{update.ErrUnsigned, verify.BadSignature, ""},
		{update.ErrRollback, verify.Rollback, ""},
		{update.ErrExpired, verify.Expired, "the server, or somebody before it, holds back what is new: ask its admin; what has to be signed again, patchfit trust tuf show says"},
		{update.ErrCorrupt, verify.Corrupt, ""},
	} {
		if errors.Is(err, m.is) {
			r := refuse(m.reason, "the server's TUF repository: %v", err)
			if m.remedy != "" {
				r.Remedy = m.remedy
			}
			return r
		}
	}
	return fmt.Errorf("updating trust: %w", err)
}

// readTUF reads what was verified of the TUF repository; nil: nothing yet.
func (s *state) readTUF() (*update.State, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, tufFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the agent's state: %w", err)
	}
	t, err := update.ParseState(b)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(s.dir, tufFile), err)
	}
	return t, nil
}

// keepTUF writes what is new.
func (s *state) keepTUF(have, next *update.State) error {
	if next == nil || reflect.DeepEqual(have, next) {
		return nil
	}
	return s.write(tufFile, next)
}

// sweepTUF removes what an update left that did not come to its end. Nobody
// else updates: the directory is locked.
func (s *state) sweepTUF() error {
	left, err := filepath.Glob(filepath.Join(s.dir, ".tuf-*.partial"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return fmt.Errorf("tidying the state directory: %w", err)
	}
	return nil
}

// A TrustStatus is what this host last verified of the TUF repository by which
// its trust policy comes. The zero value: it comes by none.
type TrustStatus struct {
	Named     bool      // the trust policy names a repository
	Root      int64     // versions
	Targets   int64     //
	Timestamp int64     //
	Until     time.Time // when the first of it is over; zero: nothing was verified
}

// Stale reports whether there may be newer trust than this host knows of.
func (t TrustStatus) Stale(now time.Time) bool { return t.Named && !now.Before(t.Until) }

func (a *Agent) trustStatus() (TrustStatus, error) {
	t := TrustStatus{Named: a.pinned.TUF != attest.TUFRoot{}}
	have, err := a.state.readTUF()
	if err != nil || have == nil || have.Pin != a.pinned.TUF {
		return t, err
	}
	t.Root, t.Targets, t.Timestamp = have.Heading(tuf.RoleRoot).Version, have.Heading(tuf.RoleTargets).Version, have.Heading(tuf.RoleTimestamp).Version
	t.Until = have.Until()
	return t, nil
}
