// Package notify tells others what was acknowledged: it follows the journal
// and sends each fact that has a type, as a CloudEvent, to the endpoints the
// configuration names. docs/spec/notifications.md is its specification.
//
// The journal is the queue. All that is kept beside it is one small file an
// endpoint, its cursor: the newest record the endpoint has taken. So nothing
// is lost in a crash, and what was sent but not noted yet is sent again, with
// the id it had. An endpoint gets its events in order, one at a time.
//
// Each endpoint has a follower of its own: one that is slow or gone holds up
// neither the server nor the others, and costs nothing but its place.
package notify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// Defaults of an [Endpoint].
const (
	DefaultTimeout     = 10 * time.Second
	DefaultGiveUpAfter = time.Hour
)

// minSecret is the shortest key deliveries are signed with, in bytes; what
// Standard Webhooks asks for.
const minSecret = 24

// poll is how often a follower that has told everything looks for more.
const poll = 200 * time.Millisecond

// A Source is where records come from; *journal.Journal is one.
type Source interface {
	// Records returns the acknowledged records from a sequence on, in order.
	Records(from int64) iter.Seq2[ledger.Record, error]
	// Last returns the newest one's sequence.
	Last() int64
}

// An Endpoint is who is told, and of what.
type Endpoint struct {
	Name    string // says whose cursor it is: lower-case letters, digits, hyphens
	URL     string // https, or http on loopback
	Secrets [][]byte
	// Types are of [Types]; none: all.
	Types []string
	// Products are ids; none: all. What is of no product goes to everybody.
	Products []string
	// Timeout is of one attempt; 0: DefaultTimeout.
	Timeout time.Duration
	// GiveUpAfter is how long an event that the endpoint itself refuses is
	// tried before it is set aside; 0: DefaultGiveUpAfter. An endpoint that
	// cannot be reached is tried for ever.
	GiveUpAfter time.Duration
	// Roots vouch for the endpoint's certificate; nil: the system's.
	Roots *x509.CertPool
}

// Config is what a Notifier needs.
type Config struct {
	Dir    string // of cursors and of what was set aside; made where it is missing
	Origin string // the log's name, which never changes: the source of events
	Source Source
	// Product returns the product a repository is, or was, of.
	Product func(repository string) (id string, ok bool)
	// Rebuild returns what an admitted bundle says of a rebuild, which never
	// changes; nil: nothing. A nil function knows of none.
	Rebuild   func(bundle attest.Digest) *attest.Rebuild
	Endpoints []Endpoint
}

// Options may be nil.
type Options struct {
	Logger *slog.Logger // of deliveries that fail; nil: silent
	// Transport carries the requests; nil: each endpoint has one of its own.
	Transport http.RoundTripper
	// FirstWait is how long to wait after a first attempt that failed; each
	// further one doubles it. 0: a second.
	FirstWait time.Duration
}

// A Notifier is running until it is closed.
type Notifier struct {
	quit      context.CancelFunc
	running   sync.WaitGroup
	followers []*follower
}

// Open starts to follow. An endpoint without a cursor is told of what comes
// from here on, and has a durable cursor when Open returns.
func Open(c Config, o *Options) (*Notifier, error) { return open(disk.OS{}, c, o) }

func open(fs disk.FS, c Config, o *Options) (*Notifier, error) {
	if o == nil {
		o = new(Options)
	}
	if len(c.Endpoints) > 0 {
		if err := disk.MkdirAll(fs, c.Dir); err != nil {
			return nil, fmt.Errorf("making the directory of notifications: %w", err)
		}
	}
	var followers []*follower
	for _, e := range c.Endpoints {
		if slices.ContainsFunc(followers, func(f *follower) bool { return f.endpoint.Name == e.Name }) {
			return nil, fmt.Errorf("notifications: two endpoints are called %q", e.Name)
		}
		f, err := newFollower(fs, c, e, o)
		if err != nil {
			return nil, fmt.Errorf("notifications: endpoint %.80q: %w", e.Name, err)
		}
		followers = append(followers, f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &Notifier{quit: cancel, followers: followers}
	for _, f := range followers {
		n.running.Go(func() { f.run(ctx) })
	}
	return n, nil
}

// Close breaks off what is being sent, notes how far each endpoint got, and
// waits for both.
func (n *Notifier) Close() error {
	n.quit()
	n.running.Wait()
	return nil
}

func newFollower(fs disk.FS, c Config, e Endpoint, o *Options) (*follower, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	e.Timeout = orDefault(e.Timeout, DefaultTimeout)
	e.GiveUpAfter = orDefault(e.GiveUpAfter, DefaultGiveUpAfter)
	f := &follower{
		endpoint: e, source: c.Source, teller: newTeller(c, e), sender: newSender(e, o.Transport),
		cursor:    &cursor{fs: fs, name: filepath.Join(c.Dir, e.Name+".cursor")},
		aside:     &aside{fs: fs, dir: filepath.Join(c.Dir, e.Name+".refused")},
		firstWait: orDefault(o.FirstWait, time.Second),
		logger:    o.Logger,
	}
	if f.logger == nil {
		f.logger = slog.New(slog.DiscardHandler)
	}
	f.logger = f.logger.With("endpoint", e.Name)
	return f, f.begin()
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

var endpointName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (e *Endpoint) check() error {
	if !endpointName.MatchString(e.Name) {
		return errors.New("the name is not 1 to 63 lower-case letters, digits and hyphens")
	}
	if err := checkURL(e.URL); err != nil {
		return err
	}
	if n := len(e.Secrets); n < 1 || n > 2 {
		return fmt.Errorf("%d secrets: one signs, and a second one while the first is being replaced", n)
	}
	for _, s := range e.Secrets {
		if len(s) < minSecret {
			return fmt.Errorf("a secret of %d bytes is shorter than %d", len(s), minSecret)
		}
	}
	for _, t := range e.Types {
		if !slices.Contains(Types(), t) {
			return fmt.Errorf("type %.80q is none of %v", t, Types())
		}
	}
	if e.Timeout < 0 || e.GiveUpAfter < 0 {
		return errors.New("a time below zero")
	}
	return nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("the url does not parse") // it may hold a secret
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("the url has no host, or a user or fragment")
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return errors.New("the url must be https:// (plain http is for loopback only)")
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
