// Package host is the agent: what a host does to get a live patch it can
// believe in. It measures what runs, says so in a record signed by a key that
// never leaves the host, and pulls a patch only after repeating the whole
// verification itself: with the trust policy it pinned at enrolment, with
// bases it measured a moment ago, and with every revocation it has ever seen.
//
// The server is not trusted with any of that. A stolen one can withhold; it
// cannot inject, swap, roll back or forget. What it says is an offer, and each
// way it can lie has a reason of its own here.
//
// Nothing in this package applies a patch. Kinds it does not know are refused.
//
// State lives in one directory; docs/spec/agent.md lists its files and what
// happens when one is lost or written by somebody else.
package host

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// Options are what a caller may choose. The zero Options are right.
type Options struct {
	// Site holds this host's own minimums; nil: those of site.yaml in the state
	// directory and, without that file, policy.DefaultSite.
	Site *policy.Site
	// Logger is told of steps; nil: nobody is.
	Logger *slog.Logger
	// Transport carries requests; nil: one that knows the server by the key
	// that was pinned at enrolment.
	Transport http.RoundTripper
	// UserAgent is sent along; nothing depends on it.
	UserAgent string
}

// An Agent is one enrolled host. It holds the lock on its state directory
// until Close. It is not safe for concurrent use.
type Agent struct {
	state  *state
	me     Identity
	signer crypto.Signer
	key    *attest.PublicKey
	client *api.Client
	site   *policy.Site
	logger *slog.Logger

	pinned *succession.Policy
	last   *lastRecord
	record *attest.HostRecord // what last holds, verified; nil: none yet
}

// ErrNotEnrolled says that the state directory belongs to no host yet.
var ErrNotEnrolled = errors.New("this host is not enrolled")

// Open reads the state in dir and waits, as long as ctx allows, for other
// agents to be done with it. Key files others can read, and state that was
// changed, are errors.
func Open(ctx context.Context, dir string, o *Options) (*Agent, error) {
	s, err := openState(ctx, dir)
	if err != nil {
		return nil, err
	}
	a := &Agent{state: s}
	if err := a.open(orDefaults(o)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return a, nil
}

func orDefaults(o *Options) Options {
	var all Options
	if o != nil {
		all = *o
	}
	if all.Logger == nil {
		all.Logger = slog.New(slog.DiscardHandler)
	}
	return all
}

func (a *Agent) open(o Options) error {
	me, err := ReadIdentity(a.state.dir)
	if err != nil {
		return err
	}
	a.me, a.logger = *me, o.Logger
	if a.site, err = a.state.readSite(o.Site); err != nil {
		return err
	}
	if a.signer, err = keyfile.LoadSigner(filepath.Join(a.state.dir, keyFile)); err != nil {
		return err
	}
	if a.key, err = attest.NewPublicKey(a.signer.Public()); err != nil {
		return fmt.Errorf("reading the host's key: %w", err)
	}
	if a.pinned, err = a.state.readPolicy(); err != nil {
		return err
	}
	if err := a.readRecord(); err != nil {
		return err
	}
	a.client, err = api.New(me.Server, &api.Options{
		Principal: me.Host, Signer: a.signer,
		TLSKey: me.TLSKey, Transport: o.Transport, UserAgent: o.UserAgent,
	})
	return err
}

// readRecord reads the last record and verifies that it is this host's own.
func (a *Agent) readRecord() error {
	var err error
	if a.last, err = a.state.readRecord(); err != nil || len(a.last.Envelope) == 0 {
		return err
	}
	if a.record, err = verify.StoredHostRecord(a.last.Envelope, a.key, a.me.Host); err != nil {
		return fmt.Errorf("reading %s: %w", recordFile, err)
	}
	return nil
}

// Close gives the state directory back.
func (a *Agent) Close() error { return a.state.close() }

// Identity returns who this host is and which server it belongs to.
func (a *Agent) Identity() Identity { return a.me }

// now is the host's clock, in the precision records have.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// refuse makes a refusal with the remedy that belongs to its reason.
func refuse(reason verify.Reason, format string, args ...any) *verify.Refusal {
	return &verify.Refusal{Reason: reason, Fact: fmt.Sprintf(format, args...), Remedy: reason.Remedy()}
}
