package publishing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

func (a verbs) channelShowCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "show REPOSITORY",
		Short:   "show the channels of a product, verified",
		Example: "  patchfit channel show demo/greet",
		Args:    shell.Exactly("REPOSITORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := shell.ParseReference(args[0])
			if err != nil {
				return err
			}
			r, err := a.channelsOf(cmd.Context(), ref)
			if err != nil {
				return err
			}
			all, err := r.channels(cmd.Context())
			if err != nil {
				return err
			}
			var shown []ShownChannel
			for _, e := range all {
				c := verify.As[attest.Channel](e)
				if name == "" || name == c.Name {
					v := r.shown(c)
					v.LogIndex = e.LogIndex()
					shown = append(shown, v)
				}
			}
			if name != "" && len(shown) == 0 {
				return exit.With(exit.NotFound, fmt.Sprintf("repository %s has no channel %s", ref.Repository, name), "make it: patchfit channel add")
			}
			return a.printChannels(r, shown...)
		},
	}
	cmd.Flags().StringVar(&name, "channel", "", "name of the one to show (default: all)")
	return cmd
}

// A channelReader reads the channels of a product by the trust policy that was
// pinned at login.
type channelReader struct {
	session    *shell.Session
	repository string
	product    string
	verifier   *verify.Verifier
	trust      *policy.Trust
}

func (a verbs) channelsOf(ctx context.Context, ref shell.Reference) (*channelReader, error) {
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	p, err := s.PinnedPolicy(ctx)
	if err != nil {
		return nil, err
	}
	r := &channelReader{session: s, repository: ref.Repository, trust: policy.NewTrust(p, "")}
	product, ok := r.trust.ProductFor(ref.Repository)
	if !ok {
		return nil, exit.With(exit.NotFound, fmt.Sprintf("the trust policy has no product in repository %s", ref.Repository), "patchfit trust show lists its products")
	}
	r.product = product.ID
	r.verifier, err = verify.New(p)
	return r, err
}

// channels returns the newest version of each channel. One that does not verify
// is an error: the next version would be made from it.
func (r *channelReader) channels(ctx context.Context) ([]*verify.Evidence, error) {
	answer, err := r.session.Client.Channels(ctx, r.product)
	if err != nil {
		return nil, err
	}
	var all []*verify.Evidence
	for _, served := range answer.Channels {
		e, err := r.verify(served)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func (r *channelReader) verify(served api.ServedChannel) (*verify.Evidence, error) {
	e, err := r.verifier.Channel(served.Bundle)
	if err != nil {
		return nil, err
	}
	if c := verify.As[attest.Channel](e); c.Product != r.product || c.Name != served.Name {
		return nil, &verify.Refusal{
			Reason: verify.SubjectMismatch, Remedy: verify.SubjectMismatch.Remedy(),
			Fact: fmt.Sprintf("asked for channel %s of product %s, the server sends %s of %s", served.Name, r.product, c.Name, c.Product),
		}
	}
	if !r.trust.Trusted(r.product, attest.RoleChannel, e) {
		return nil, &verify.Refusal{
			Reason: verify.UntrustedSigner, Remedy: verify.UntrustedSigner.Remedy(),
			Fact: fmt.Sprintf("channel %s is by key %s, which has no role channel in product %s", served.Name, e.Signer(), r.product),
		}
	}
	return e, nil
}

// next returns the version after the newest of a channel, with the revocations
// there are now.
func (r *channelReader) next(ctx context.Context, name string) (*attest.Channel, error) {
	next := &attest.Channel{Product: r.product, Name: name, Version: 1, Bases: []attest.ChannelBase{}}
	served, err := r.session.Client.Channel(ctx, r.product, name)
	var no *api.Error
	switch {
	case errors.As(err, &no) && no.Status == 404:
	case err != nil:
		return nil, err
	default:
		e, err := r.verify(served.ServedChannel)
		if err != nil {
			return nil, err
		}
		last := verify.As[attest.Channel](e)
		next.Version = last.Version + 1
		for _, b := range last.Bases { // what was signed stays as it was
			next.Bases = append(next.Bases, attest.ChannelBase{Base: b.Base, Patches: slices.Clone(b.Patches), Superseded: slices.Clone(b.Superseded)})
		}
	}
	next.Revocations, err = r.revocations(ctx)
	return next, err
}

// revocations returns the payloads of those that the trust policy believes.
func (r *channelReader) revocations(ctx context.Context) ([]attest.Digest, error) {
	answer, err := r.session.Client.Revocations(ctx, r.product)
	if err != nil {
		return nil, err
	}
	all := []attest.Digest{}
	for _, raw := range answer.Bundles {
		if e, err := r.verifier.Revocation(raw); err == nil && r.trust.Trusted(r.product, attest.RoleRevocation, e) {
			all = append(all, e.Payload())
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// ShownChannels is what the channel verbs answer.
type ShownChannels struct {
	SchemaVersion int            `json:"schemaVersion"`
	Repository    string         `json:"repository"`
	Product       string         `json:"product"`
	Channels      []ShownChannel `json:"channels"`
}

// A ShownChannel is a version of a channel.
type ShownChannel struct {
	Name        string               `json:"name"`
	Version     int64                `json:"version"`
	Expires     time.Time            `json:"expires"`
	Stale       bool                 `json:"stale"` // it has expired
	Bases       []attest.ChannelBase `json:"bases"`
	Revocations []attest.Digest      `json:"revocations"`
	LogIndex    int64                `json:"logIndex"`
	Sequence    int64                `json:"sequence,omitzero"` // of the journal record, where it was made just now
}

func (r *channelReader) shown(c *attest.Channel) ShownChannel {
	return ShownChannel{
		Name: c.Name, Version: c.Version, Expires: c.Expires, Stale: !time.Now().Before(c.Expires),
		Bases: c.Bases, Revocations: c.Revocations,
	}
}

func (a verbs) printChannels(r *channelReader, all ...ShownChannel) error {
	v := ShownChannels{1, r.repository, r.product, append([]ShownChannel{}, all...)}
	return a.Print(v, func(w io.Writer) { channelsText(w, v) })
}

func channelsText(w io.Writer, v ShownChannels) {
	if len(v.Channels) == 0 {
		fmt.Fprintf(w, "repository %s has no channel\n", v.Repository)
	}
	for _, c := range v.Channels {
		until := "good until "
		if c.Stale {
			until = "stale since "
		}
		fmt.Fprintf(w, "channel %s version %d, %s%s, %d revocations\n", c.Name, c.Version, until, c.Expires.Format(time.RFC3339), len(c.Revocations))
		var rows [][]string
		for _, b := range c.Bases {
			rows = append(rows, []string{"  base", string(b.Base), ""})
			for i, d := range b.Patches {
				note := ""
				if i == len(b.Patches)-1 {
					note = "newest"
				}
				rows = append(rows, []string{"    patch", string(d), note})
			}
			for _, d := range b.Superseded {
				rows = append(rows, []string{"    superseded", string(d), ""})
			}
		}
		shell.Cells(w, rows)
	}
}
