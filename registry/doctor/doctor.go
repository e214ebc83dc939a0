// Package doctor asks a running server for what it must not give, in every way
// that package spelling knows, and looks at what every answer has to have. It
// is no part of a server: it knows one from outside, as an attacker does, and
// takes no answer for a good one because it looks like an error.
//
// It changes nothing on a sound server. On one that is broken it may leave an
// upload session, which ends by itself.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/patchfit/patchfit/registry/spelling"
)

// Outcomes of a probe.
const (
	OK   = "ok"
	Fail = "FAIL"
	Skip = "skip"
)

// A Finding is what one probe found.
type Finding struct {
	Outcome string `json:"outcome"`
	What    string `json:"what"`
	Fact    string `json:"fact"`
	Next    string `json:"next,omitzero"` // what to do about it
}

// Options say what else may be asked. nil: only what can be asked of any
// server.
type Options struct {
	// Subject is what is asked for; nil: nothing is.
	Subject *spelling.Subject
	// Embargoed is an artifact of a product that an embargo keeps from Host; nil:
	// none is asked for.
	Embargoed *spelling.Subject
	// Host asks as a host that the subject is not for; nil: none does.
	Host *http.Client
	// Now tells the time that the server's is compared with; nil: time.Now.
	Now func() time.Time
}

// A Doctor examines one server.
type Doctor struct {
	Options
	server *url.URL
	nobody *http.Client
	seen   map[string][]string // by header that every answer has to have: the probes whose answer has not
	asked  int                 // answers looked at for that
	found  []Finding
}

// New returns a doctor for the server at this base URL. nobody sends requests
// without credentials, and neither client may follow redirects.
func New(server string, nobody *http.Client, o *Options) (*Doctor, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the server's address: %w", err)
	case u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("server %q is not https:// or http:// and a host", server)
	case nobody == nil:
		return nil, errors.New("nobody to ask as")
	}
	d := &Doctor{server: u, nobody: nobody, seen: make(map[string][]string)}
	if o != nil {
		d.Options = *o
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d, nil
}

// Examine returns what every probe found, in the order they were asked. The
// error is that of ctx, where it ended before.
func (d *Doctor) Examine(ctx context.Context) ([]Finding, error) {
	if d.general(ctx) {
		d.trust(ctx)
		d.asNobody(ctx)
		d.asHost(ctx)
		d.embargo(ctx)
		d.headers()
	}
	return d.found, ctx.Err()
}

func (d *Doctor) note(outcome, what, fact, next string) {
	d.found = append(d.found, Finding{outcome, what, fact, next})
}

// asNobody asks for everything without credentials.
func (d *Doctor) asNobody(ctx context.Context) {
	if d.Subject == nil {
		d.note(Skip, "nobody: an artifact", "none was named", "name one: --probe NAME@sha256:HEX")
		return
	}
	s := *d.Subject
	d.refused(ctx, "nobody: ", d.nobody, spelling.Straight(s), spelling.Swapped(s), spelling.Lists(s), spelling.Crooked(s), spelling.Mounts(s))
}

// asHost asks for the artifact as a host that it is not for.
func (d *Doctor) asHost(ctx context.Context) {
	switch {
	case d.Host == nil:
		d.note(Skip, "host: an artifact", "no host was given to ask as", "give the state of one that the patch is not for: --host-state DIR")
		return
	case d.Subject == nil:
		d.note(Skip, "host: an artifact", "none was named", "name one: --probe NAME@sha256:HEX")
		return
	}
	a, err := d.ask(ctx, d.Host, spelling.Way{Method: http.MethodGet, Target: "/v2/"})
	switch {
	case err != nil:
		d.note(Fail, "host: login", err.Error(), "see why: patchfit-agent status")
		return
	case a.status != http.StatusOK:
		d.note(Fail, "host: login", a.told(), "the host has to be active: patchfit-agent status")
		return
	}
	d.note(OK, "host: login", a.told(), "")
	s := *d.Subject
	d.refused(ctx, "host: ", d.Host, spelling.Straight(s), spelling.Swapped(s), spelling.Crooked(s), spelling.Mounts(s))
}

// refused asks in all these ways, and all have to be refused.
func (d *Doctor) refused(ctx context.Context, who string, c *http.Client, lists ...[]spelling.Way) {
	for _, ways := range lists {
		for _, w := range ways {
			if ctx.Err() != nil {
				return
			}
			a, err := d.ask(ctx, c, w)
			if err != nil {
				d.note(Fail, who+w.Name, err.Error(), "see what stands before the server; an answer is expected")
				continue
			}
			d.look(who+w.Name, w.Target, a)
			d.found = append(d.found, a.judge(who+w.Name, *d.Subject))
		}
	}
}
