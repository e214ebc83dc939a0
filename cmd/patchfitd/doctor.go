package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/distribution/reference"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/doctor"
	"github.com/patchfit/patchfit/registry/spelling"
)

// An examination is what doctor was asked to do.
type examination struct {
	server, probe, file, embargoed, tlsKey, hostState, format string
}

// doctorCommand asks a running server, from outside, for what it must not give.
func doctorCommand() *cobra.Command {
	var e examination
	cmd := &cobra.Command{
		Use:   "doctor URL",
		Short: "ask a running server, from outside, for what it must not give",
		Long: `Ask the server at URL for an artifact in every way there is to write the request,
and see that none leads around the gate: as nobody, and with the state of a host
that the artifact is not for. With --embargoed, also see that a product which an
embargo keeps from that host answers it as one that does not exist. Also look at the headers of every answer, TLS, the
clocks, whether the server is ready, and whether a host gets through its trust
repository and for how long that is good. Nothing is changed on the server.

One line per probe: ok, FAIL or skip, what was asked, the fact and the next step.
The exit code is 0 only where nothing failed. Run it through whatever stands
before the server: that is a part of it.`,
		Example: `  patchfitd doctor https://registry.example:8443
  patchfitd doctor https://registry.example:8443 --probe lib/greet@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  patchfitd doctor https://registry.example:8443 --host-state ./other-host --probe lib/greet@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --format json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return exit.BadUsage(fmt.Errorf("%d arguments, want the server's address", len(args)), "as in: patchfitd doctor https://registry.example:8443")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e.server = strings.TrimSuffix(args[0], "/")
			return e.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.probe, "probe", "", "the artifact to ask for: NAME@sha256:HEX, by the digest of its manifest")
	f.StringVar(&e.file, "file", "", "digest of the artifact's one file, to ask for it, too")
	f.StringVar(&e.embargoed, "embargoed", "", "NAME@sha256:HEX of an artifact whose product an embargo keeps from the host of --host-state")
	f.StringVar(&e.hostState, "host-state", "", "state directory of a host that the artifact is not for; that host is asked as")
	f.StringVar(&e.tlsKey, "tls-key", "", "hex sha256 of the server key's SPKI, where no authority vouches for it (default: as the host knows it)")
	f.StringVar(&e.format, "format", "text", "text or json")
	return cmd
}

func (e examination) run(ctx context.Context, w io.Writer) error {
	if e.format != "text" && e.format != "json" {
		return exit.BadUsage(fmt.Errorf("--format %q is neither text nor json", e.format), "say --format json")
	}
	d, err := e.doctor()
	if err != nil {
		return err
	}
	found, err := d.Examine(ctx)
	if err != nil {
		return err
	}
	failed := 0
	for _, f := range found {
		if f.Outcome == doctor.Fail {
			failed++
		}
	}
	if err := e.print(w, found, failed); err != nil {
		return err
	}
	if failed > 0 {
		return exit.Hint(fmt.Errorf("%d of %d probes failed", failed, len(found)), "each says what to do about it")
	}
	return nil
}

// doctor makes one with the clients it asks as.
func (e examination) doctor() (*doctor.Doctor, error) {
	var o doctor.Options
	var err error
	if o.Subject, err = e.subject(); err != nil {
		return nil, err
	}
	if e.embargoed != "" {
		if o.Embargoed, err = named("--embargoed", e.embargoed); err != nil {
			return nil, err
		}
	}
	if e.hostState != "" {
		if err := e.asHost(&o); err != nil {
			return nil, err
		}
	}
	nobody, err := api.New(e.server, &api.Options{TLSKey: e.tlsKey})
	if err != nil {
		return nil, exit.BadUsage(err, "as in: patchfitd doctor https://registry.example:8443")
	}
	return doctor.New(e.server, nobody.HTTP(), &o)
}

// asHost lets the doctor ask as an enrolled host, which signs its proof itself.
func (e *examination) asHost(o *doctor.Options) error {
	me, err := host.ReadIdentity(e.hostState)
	if err != nil {
		return exit.Hint(err, "enrol one: patchfit-agent enroll")
	}
	if me.Server != e.server {
		return exit.BadUsage(fmt.Errorf("the host belongs to %s, and %s was named", me.Server, e.server), "name the host's server, or another host")
	}
	signer, err := keyfile.LoadSigner(host.KeyFile(e.hostState))
	if err != nil {
		return err
	}
	if e.tlsKey == "" {
		e.tlsKey = me.TLSKey
	}
	c, err := api.New(me.Server, &api.Options{Principal: me.Host, Signer: signer, TLSKey: e.tlsKey})
	if err != nil {
		return err
	}
	o.Host = c.HTTP()
	return nil
}

// subject reads what is to be asked for; nil for nothing.
func (e examination) subject() (*spelling.Subject, error) {
	const form = "as in: --probe lib/greet@sha256:HEX"
	if e.probe == "" {
		if e.file != "" {
			return nil, exit.BadUsage(errors.New("--file without --probe"), form)
		}
		return nil, nil
	}
	s, err := named("--probe", e.probe)
	if err != nil {
		return nil, err
	}
	if e.file != "" {
		if _, err := attest.ParseDigest(e.file); err != nil {
			return nil, exit.BadUsage(fmt.Errorf("--file: %w", err), "it is the digest of the one layer in the manifest")
		}
	}
	s.File = e.file
	return s, nil
}

// named reads NAME@sha256:HEX, the value of a flag.
func named(flag, value string) (*spelling.Subject, error) {
	form := "as in: " + flag + " lib/greet@sha256:HEX"
	name, digest, _ := strings.Cut(value, "@")
	if _, err := attest.ParseDigest(digest); err != nil {
		return nil, exit.BadUsage(fmt.Errorf("%s: %w", flag, err), form)
	}
	if _, err := reference.WithName(name); err != nil {
		return nil, exit.BadUsage(fmt.Errorf("%s: %.200q is no repository", flag, name), form)
	}
	return &spelling.Subject{Repository: name, Manifest: digest, Elsewhere: name}, nil
}

// A diagnosis is the JSON form (docs/spec/cli.md).
type diagnosis struct {
	SchemaVersion int              `json:"schemaVersion"`
	Server        string           `json:"server"`
	Failed        int              `json:"failed"`
	Probes        []doctor.Finding `json:"probes"`
}

func (e examination) print(w io.Writer, found []doctor.Finding, failed int) error {
	if e.format == "json" {
		b, err := strictjson.Canonical(diagnosis{1, e.server, failed, found})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	for _, f := range found {
		why := f.Fact
		if f.Next != "" {
			why += "; " + f.Next
		}
		if _, err := fmt.Fprintln(w, term.Printable(fmt.Sprintf("%-4s  %s  (%s)", f.Outcome, f.What, why))); err != nil {
			return err
		}
	}
	return nil
}
