package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
)

const schemaVersion = 1

// show prints v as JSON, or what text writes, in columns.
func (p *program) show(v any, text func(w io.Writer)) error {
	if p.format == "json" {
		b, err := strictjson.Canonical(v)
		if err == nil {
			_, err = p.out.Write(append(b, '\n'))
		}
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// line writes cells, each as it was and on one line.
func line(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, term.Printable(fmt.Sprint(c)))
	}
	fmt.Fprintln(w)
}

func (p *program) printEnrolled(id *host.Identity) error {
	v := struct {
		SchemaVersion int      `json:"schemaVersion"`
		Host          string   `json:"host"`
		Name          string   `json:"name"`
		Server        string   `json:"server"`
		Products      []string `json:"products"`
	}{schemaVersion, id.Host, id.Name, id.Server, id.Products}
	err := p.show(v, func(w io.Writer) {
		line(w, "host", id.Host)
		line(w, "name", id.Name)
		line(w, "server", id.Server)
		for _, product := range id.Products {
			line(w, "product", product)
		}
	})
	fmt.Fprintln(p.err, "enrolled. next: patchfit-agent record --base PRODUCT=PATH")
	return err
}

type runningJSON struct {
	Product string        `json:"product"`
	Kind    string        `json:"kind"`
	Digest  attest.Digest `json:"digest"`
	BuildID string        `json:"buildId"`
}

func (p *program) printRecorded(r *host.Recorded) error {
	v := struct {
		SchemaVersion int           `json:"schemaVersion"`
		Host          string        `json:"host"`
		Sequence      int64         `json:"sequence"`
		Time          time.Time     `json:"time"`
		Running       []runningJSON `json:"running"`
		Bases         []api.Base    `json:"bases"`
	}{schemaVersion, r.Record.Host, r.Record.Sequence, r.Record.Time, nil, r.Bases}
	for _, x := range r.Record.Running {
		v.Running = append(v.Running, runningJSON{x.Product, x.Measurement.Kind, x.Measurement.Digest, x.Measurement.BuildID})
	}
	err := p.show(v, func(w io.Writer) {
		line(w, "record", r.Record.Sequence, r.Record.Time.Format(time.RFC3339))
		for _, x := range v.Running {
			line(w, "runs", x.Digest, "build-id "+x.BuildID)
		}
		for _, b := range r.Bases {
			line(w, "base", b.Repository+"@"+string(b.Manifest))
		}
	})
	if len(r.Bases) == 0 {
		fmt.Fprintln(p.err, term.Marks(p.err).Bang, "the server knows no base with these measurements: no patch will fit until somebody publishes it")
	}
	return err
}

type baseJSON struct {
	Product    string        `json:"product"`
	Repository string        `json:"repository"`
	Path       string        `json:"path"`
	Digest     attest.Digest `json:"digest,omitzero"`
	BuildID    string        `json:"buildId,omitzero"`
	Error      string        `json:"error,omitzero"`
	Unchanged  bool          `json:"unchanged"`
}

type channelJSON struct {
	Product string    `json:"product"`
	Name    string    `json:"name"`
	Version int64     `json:"version"` // the highest this host has seen
	Expires time.Time `json:"expires"`
	Stale   bool      `json:"stale"` // it has expired
}

type statusJSON struct {
	SchemaVersion int           `json:"schemaVersion"`
	Host          string        `json:"host"`
	Name          string        `json:"name"`
	Server        string        `json:"server"`
	PolicyVersion int64         `json:"policyVersion"`
	PolicyExpires time.Time     `json:"policyExpires"`
	Sequence      int64         `json:"sequence"` // of the last record; 0: none
	Received      time.Time     `json:"received,omitzero"`
	ThisBoot      bool          `json:"thisBoot"`
	Fresh         bool          `json:"fresh"`
	Revocations   int           `json:"revocations"`
	Channels      []channelJSON `json:"channels"`
	Bases         []baseJSON    `json:"bases"`
	Trust         *trustJSON    `json:"trust,omitzero"` // absent: the trust policy names no TUF repository
}

type trustJSON struct {
	Root      int64     `json:"root"` // versions
	Targets   int64     `json:"targets"`
	Timestamp int64     `json:"timestamp"`
	Until     time.Time `json:"until,omitzero"`
	Stale     bool      `json:"stale"`
}

func (p *program) printStatus(s *host.Status, fresh bool) error {
	v := statusJSON{
		SchemaVersion: schemaVersion, Host: s.Identity.Host, Name: s.Identity.Name, Server: s.Identity.Server,
		PolicyVersion: s.PolicyVersion, PolicyExpires: s.PolicyExpires, Received: s.Received,
		ThisBoot: s.ThisBoot, Fresh: fresh, Revocations: s.Revocations,
	}
	if t := s.Trust; t.Named {
		v.Trust = &trustJSON{t.Root, t.Targets, t.Timestamp, t.Until, t.Stale(time.Now())}
	}
	v.Channels = []channelJSON{}
	for _, c := range s.Channels {
		v.Channels = append(v.Channels, channelJSON{c.Product, c.Name, c.Version, c.Expires, !time.Now().Before(c.Expires)})
	}
	if s.Record != nil {
		v.Sequence = s.Record.Sequence
	}
	for _, b := range s.Bases {
		j := baseJSON{Product: b.Product, Repository: b.Repository, Path: b.Path, Digest: b.Now.Digest, BuildID: b.Now.BuildID, Unchanged: b.Unchanged}
		if b.Err != nil {
			j.Error = b.Err.Error()
		}
		v.Bases = append(v.Bases, j)
	}
	return p.show(v, func(w io.Writer) { p.statusText(w, v) })
}

func (p *program) statusText(w io.Writer, v statusJSON) {
	line(w, "host", v.Host, v.Name)
	line(w, "server", v.Server)
	line(w, "trust policy", fmt.Sprintf("version %d", v.PolicyVersion), "until "+v.PolicyExpires.Format(time.RFC3339))
	if t := v.Trust; t != nil {
		state := "up to date until " + t.Until.Format(time.RFC3339)
		if t.Stale {
			state = "stale since " + t.Until.Format(time.RFC3339)
		}
		line(w, "trust repository", fmt.Sprintf("root %d, targets %d", t.Root, t.Targets), state)
	}
	line(w, "revocations", fmt.Sprintf("%d seen", v.Revocations))
	for _, c := range v.Channels {
		until := "until "
		if c.Stale {
			until = "stale since "
		}
		line(w, "channel", c.Product, c.Name, fmt.Sprintf("version %d", c.Version), until+c.Expires.Format(time.RFC3339))
	}
	if v.Sequence == 0 {
		line(w, "record", "none")
		return
	}
	boot := "of this boot"
	if !v.ThisBoot {
		boot = "of an earlier boot"
	}
	line(w, "record", v.Sequence, v.Received.Format(time.RFC3339), boot)
	for _, b := range v.Bases {
		state := "as recorded"
		switch {
		case b.Error != "":
			state = b.Error
		case !b.Unchanged:
			state = "changed since the record"
		}
		line(w, "base", b.Repository, b.Path, state)
	}
}

// printAsking says how much will be asked, before it is. What, is told once, with
// the outcome.
func (p *program) printAsking(ref host.Reference) {
	if p.format == "json" {
		return
	}
	fmt.Fprintf(p.err, "this host verifies %s by %d criteria, whatever the server says\n", term.Printable(ref.String()), len(policy.Explain(nil)))
}

type pulledJSON struct {
	SchemaVersion int             `json:"schemaVersion"`
	Product       string          `json:"product"`
	Repository    string          `json:"repository"`
	Digest        attest.Digest   `json:"digest"`
	File          attest.Digest   `json:"file"`
	Size          int64           `json:"size"`
	Path          string          `json:"path"`
	Kind          string          `json:"kind"`
	Fixes         []string        `json:"fixes"`
	Basis         string          `json:"basis"`
	Evidence      []attest.Digest `json:"evidence"`
}

func (p *program) printPulled(x *host.Pulled) error {
	if p.format == "text" {
		p.printChecks(p.err, api.Checks(x.Checks))
	}
	v := pulledJSON{
		schemaVersion, x.Product, x.Repository, x.Digest, x.File, x.Size, x.Path,
		x.Patch.Kind, x.Patch.Fixes, x.Basis, x.Evidence,
	}
	return p.show(v, func(w io.Writer) {
		line(w, "patch", x.Repository+"@"+string(x.Digest))
		line(w, "file", x.Path, x.File, term.Size(x.Size))
		line(w, "fits by", x.Basis)
		line(w, "kind", x.Patch.Kind, "not applied: nothing here applies patches of this kind")
	})
}

// printDenied lists what else was wrong, where this host itself said no.
func (p *program) printDenied(ref host.Reference, err error) {
	d := (*host.Denied)(nil)
	if !errors.As(err, &d) {
		return
	}
	m := term.Marks(p.err)
	for _, f := range d.Reasons {
		fmt.Fprintln(p.err, m.Cross, term.Printable(fmt.Sprintf("%s: want %s, got %s", f.Reason, f.Want, f.Got)))
	}
	for _, r := range d.Refused {
		fmt.Fprintln(p.err, m.Cross, term.Printable(fmt.Sprintf("no evidence: %s: %s", r.Reason, r.Fact)))
	}
	if p.format == "text" {
		fmt.Fprintln(p.err, "all criteria, with their outcome: patchfit-agent why "+term.Printable(ref.String()))
	}
}

func (p *program) printChecks(w io.Writer, checks []api.Check) {
	m := term.Marks(w)
	for _, c := range checks {
		fmt.Fprintln(w, " ", m.Check(c.Passed), term.Printable(c.Criterion))
		for _, f := range c.Findings {
			fmt.Fprintln(w, "     ", term.Printable(fmt.Sprintf("%s: want %s, got %s", f.Reason, f.Want, f.Got)))
		}
		for _, f := range c.Warnings {
			fmt.Fprintln(w, "     ", m.Bang, term.Printable(fmt.Sprintf("%s: want %s, got %s; it only warns", f.Reason, f.Want, f.Got)))
		}
	}
}

func (p *program) printWhy(ref host.Reference, x *host.Explanation) error {
	v := struct {
		SchemaVersion int         `json:"schemaVersion"`
		Reference     string      `json:"reference"`
		Allow         bool        `json:"allow"` // by both
		Server        *api.Why    `json:"server"`
		Checks        []api.Check `json:"checks"` // this host's own
		Refusal       string      `json:"refusal,omitzero"`
	}{schemaVersion, ref.String(), x.Server.Allow && x.Denied == nil, x.Server, api.Checks(x.Checks), ""}
	if x.Denied != nil {
		v.Refusal = x.Denied.Error()
	}
	return p.show(v, func(w io.Writer) {
		line(w, fmt.Sprintf("%s is %s", ref, x.Server.Digest))
		line(w, "the server's rules:")
		p.printChecks(w, x.Server.Checks)
		line(w, "this host's own, of what the server sent:")
		p.printChecks(w, v.Checks)
	})
}
