package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

const maxTokenFile = 4 << 10

func (p *program) enrollCommand() *cobra.Command {
	var token, file, name string
	cmd := &cobra.Command{
		Use:     "enroll",
		Short:   "make this machine a host of the server a token names",
		Example: "  patchfit-agent enroll --token-file enrol.token",
		Long:    "Makes the host's key, checks the server's TLS key and trust policy against the token, and enrols. A token works once.",
		Args:    cobra.NoArgs,
		RunE: p.verb(func(cmd *cobra.Command, _ []string) error {
			text, err := p.readToken(token, file)
			if err != nil {
				return err
			}
			if name == "" {
				if name, err = os.Hostname(); err != nil {
					return fmt.Errorf("finding a name for this host: %w", err)
				}
			}
			id, err := host.Enroll(cmd.Context(), p.state, host.Enrolment{Token: text, Name: name}, options())
			if err != nil {
				return err
			}
			return p.printEnrolled(id)
		}),
	}
	cmd.Flags().StringVar(&token, "token", "", "enrolment token; others on this machine can see it while this runs")
	cmd.Flags().StringVar(&file, "token-file", "", "file that holds the token; - is standard input")
	cmd.Flags().StringVar(&name, "name", "", "what to call this host (default: its host name)")
	cmd.MarkFlagsOneRequired("token", "token-file")
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
	return cmd
}

func (p *program) readToken(token, file string) (string, error) {
	if file == "" {
		return token, nil
	}
	in := p.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("reading the enrolment token: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxTokenFile))
	if err != nil {
		return "", fmt.Errorf("reading the enrolment token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (p *program) recordCommand() *cobra.Command {
	var bases []string
	cmd := &cobra.Command{
		Use:     "record",
		Short:   "measure the bases this host runs and send a signed record",
		Example: "  patchfit-agent record --base demo/greet=/usr/lib/libgreet.so.1",
		Long:    "Measures each base and sends a record signed by the host's key. Without --base the bases of the last record are measured again.",
		Args:    cobra.NoArgs,
		RunE: p.verb(func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(a *host.Agent) error {
				if err := a.Refresh(cmd.Context()); err != nil {
					return err
				}
				named, err := readBases(a, bases)
				if err != nil {
					return err
				}
				r, err := a.Record(cmd.Context(), named)
				if err != nil {
					return err
				}
				return p.printRecorded(r)
			})
		}),
	}
	cmd.Flags().StringArrayVar(&bases, "base", nil, "PRODUCT=PATH: a product, by id or repository, and the file that is its base here; may be given again")
	return cmd
}

func readBases(a *host.Agent, words []string) ([]host.Base, error) {
	var all []host.Base
	for _, w := range words {
		product, path, ok := strings.Cut(w, "=")
		if !ok || product == "" || path == "" {
			return nil, badUsage(fmt.Errorf("--base %q is not PRODUCT=PATH", w))
		}
		b, err := a.Base(product, path)
		if err != nil {
			return nil, exit.Hint(err, "name a product by its id or its repository, as patchfit trust edit has it")
		}
		all = append(all, b)
	}
	return all, nil
}

func (p *program) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "show who this host is, what it recorded and what it runs now",
		Example: "  patchfit-agent status",
		Long:    "Measures the recorded bases again and asks nobody. Exits 3 where the record no longer says what runs here, or is too old, and where the trust repository may have changed since it was last seen.",
		Args:    cobra.NoArgs,
		RunE: p.verb(func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(a *host.Agent) error {
				s, err := a.Status()
				if err != nil {
					return err
				}
				fresh := s.Fresh(time.Now(), a.Site())
				if err := p.printStatus(s, fresh); err != nil {
					return err
				}
				if s.Trust.Stale(time.Now()) {
					return &verify.Refusal{Reason: verify.Expired, Fact: "the trust repository this host knows was good until " + s.Trust.Until.Format(time.RFC3339), Remedy: "patchfit-agent record brings it up to date; it says what the server sends instead"}
				}
				if fresh {
					return nil
				}
				return &verify.Refusal{Reason: verify.StaleHostRecord, Fact: "the record does not say what this host runs now", Remedy: verify.StaleHostRecord.Remedy()}
			})
		}),
	}
}

// about opens the agent for a verb that is about one patch.
func (p *program) about(cmd *cobra.Command, text, channel string, act func(*host.Agent, host.Reference) error) error {
	return p.with(cmd, func(a *host.Agent) error {
		ref, err := a.Find(text, channel)
		if err != nil {
			return badUsage(err)
		}
		return act(a, ref)
	})
}

func (p *program) pullCommand() *cobra.Command {
	var file, channel string
	cmd := &cobra.Command{
		Use:     "pull REPOSITORY[:TAG|@DIGEST]",
		Short:   "get a live patch, verify everything again, and keep its file",
		Example: "  patchfit-agent pull demo/greet:fix-1 -o fix-1.so\n  patchfit-agent pull demo/greet --channel stable -o fix.so",
		Long:    "Gets a live patch the server allows, repeats the whole verification with this host's own trust policy and freshly measured bases, and keeps the file only then. Nothing is applied.\n\nWithout tag and digest it gets what a channel of the product offers last for the base this host runs. A channel that has expired, or is older than this host has seen it, is refused.",
		Args:    cobra.ExactArgs(1),
		RunE: p.verb(func(cmd *cobra.Command, args []string) error {
			return p.about(cmd, args[0], channel, func(a *host.Agent, ref host.Reference) error {
				if file == "" {
					return badUsage(errors.New("name the file to keep the patch in: -o FILE"))
				}
				path, err := filepath.Abs(file)
				if err != nil {
					return fmt.Errorf("finding %s: %w", file, err)
				}
				p.printAsking(ref)
				pulled, err := a.Pull(cmd.Context(), ref, path)
				if err != nil {
					p.printDenied(ref, err)
					return err
				}
				return p.printPulled(pulled)
			})
		}),
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to keep the patch in; it is replaced, whole, or left as it is")
	channelFlag(cmd, &channel)
	return cmd
}

func (p *program) whyCommand() *cobra.Command {
	var channel string
	cmd := &cobra.Command{
		Use:     "why REPOSITORY[:TAG|@DIGEST]",
		Short:   "explain whether this host may have a live patch: the server's rules, and its own",
		Example: "  patchfit-agent why demo/greet:fix-1",
		Long:    "Downloads no patch and records nothing. Exits 0 where pull would keep the patch.",
		Args:    cobra.ExactArgs(1),
		RunE: p.verb(func(cmd *cobra.Command, args []string) error {
			return p.about(cmd, args[0], channel, func(a *host.Agent, ref host.Reference) error {
				x, err := a.Why(cmd.Context(), ref)
				if err != nil {
					return err
				}
				if err := p.printWhy(ref, x); err != nil {
					return err
				}
				return serverDenies(x)
			})
		}),
	}
	channelFlag(cmd, &channel)
	return cmd
}

func channelFlag(cmd *cobra.Command, channel *string) {
	cmd.Flags().StringVar(channel, "channel", "", "channel of a repository that is named without tag and digest (default: "+host.DefaultChannel+")")
}

// serverDenies returns why a pull would fail: the server's answer comes first,
// because it does in a pull.
func serverDenies(x *host.Explanation) error {
	if x.Server.Allow {
		return x.Denied
	}
	for _, c := range x.Server.Checks {
		for _, f := range c.Findings {
			return &api.Error{Status: 403, Code: f.Reason, Message: "the server: want " + f.Want + ", got " + f.Got, Remedy: f.Remedy}
		}
	}
	return &api.Error{Status: 403, Code: api.CodeDenied, Message: "the server denies it"}
}

// with runs use with the agent of the state directory.
func (p *program) with(cmd *cobra.Command, use func(a *host.Agent) error) error {
	a, err := host.Open(cmd.Context(), p.state, options())
	if err != nil {
		return err
	}
	return errors.Join(use(a), a.Close())
}

func options() *host.Options { return &host.Options{UserAgent: "patchfit-agent/" + version} }
