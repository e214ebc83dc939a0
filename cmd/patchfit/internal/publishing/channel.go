package publishing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
)

const (
	defaultChannel = "stable"
	defaultFresh   = 24 * time.Hour
)

func (a verbs) channelCommand() *cobra.Command {
	cmd := shell.Group("channel", "say which patches a product offers, in order, until when",
		a.channelShowCommand(), a.channelAddCommand(), a.channelRemoveCommand(), a.channelPublishCommand())
	cmd.Long = `Say which patches a product offers for each base, in order, and until when that is
so. A channel is one signed list with a version that only rises: hosts that follow
it never go back, and know when a server keeps something from them.

Each verb but show makes the next version from the newest the server has, once that
is verified with the trust policy pinned at login, and signs it with --key, a key
of a signer with the role channel.`
	return cmd
}

// channelFlags are the flags of everything that makes a version.
type channelFlags struct {
	publishFlags
	name    string
	expires time.Duration
	version int64
	only    bool
}

func (c *channelFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.name, "channel", defaultChannel, "name of the channel")
	f.DurationVar(&c.expires, "expires", defaultFresh, "how long the version is good for, from now")
	f.Int64Var(&c.version, "version", 0, "lowest version to make, as after the server was set back (default: the next)")
	f.StringVar(&c.key, "key", "", "private key file that signs the channel")
	shell.Required(cmd, "key")
}

func (a verbs) channelAddCommand() *cobra.Command {
	var c channelFlags
	cmd := &cobra.Command{
		Use:   "add REPOSITORY:TAG|REPOSITORY@DIGEST --key FILE",
		Short: "offer a patch, as the newest for its base",
		Example: `  patchfit channel add demo/greet:fix-1 --expires 24h --key channel.pem
  patchfit channel add demo/greet:fix-2 --only --key channel.pem`,
		Long: `Offer a patch as the newest for the base it is attached to. The patches offered for
that base before stay in the list, in their order; with --only they are superseded.`,
		Args: shell.Exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.nextChannel(cmd.Context(), &c, args[0], func(ch *attest.Channel, f *publish.Found) error {
				offer(ch, f, c.only)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&c.only, "only", false, "offer nothing else for the base: what was offered is superseded")
	c.register(cmd)
	return cmd
}

func (a verbs) channelRemoveCommand() *cobra.Command {
	var c channelFlags
	cmd := &cobra.Command{
		Use:     "remove REPOSITORY:TAG|REPOSITORY@DIGEST --key FILE",
		Short:   "offer a patch no more: it is superseded",
		Example: "  patchfit channel remove demo/greet:fix-1 --key channel.pem",
		Long: `Offer a patch no more. It is listed as superseded, so that hosts which are asked for
channels are told SUPERSEDED. To say that a patch is bad, revoke it.`,
		Args: shell.Exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.nextChannel(cmd.Context(), &c, args[0], withdraw)
		},
	}
	c.register(cmd)
	return cmd
}

func (a verbs) channelPublishCommand() *cobra.Command {
	var c channelFlags
	cmd := &cobra.Command{
		Use:     "publish REPOSITORY --key FILE",
		Short:   "renew a channel: the same list, a later end",
		Example: "  patchfit channel publish demo/greet --expires 24h --key channel.pem",
		Long: `Make the next version of a channel with the same list, a later end and the revocations
there are now; the first version of one that is not there yet is empty. Run it from a
timer, more often than --expires.`,
		Args: shell.Exactly("REPOSITORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.nextChannel(cmd.Context(), &c, args[0], nil)
		},
	}
	c.register(cmd)
	return cmd
}

// nextChannel makes the next version of a channel, changed by edit, which is
// given the patch that text names; without edit text is a repository.
func (a verbs) nextChannel(ctx context.Context, c *channelFlags, text string, edit func(*attest.Channel, *publish.Found) error) error {
	ref, err := shell.ParseReference(text)
	switch {
	case err != nil:
		return err
	case edit != nil && ref.Named() != nil:
		return ref.Named()
	case edit == nil && ref.Name() != "":
		return exit.BadUsage(fmt.Errorf("%s names an artifact, and a channel is a repository's", text), "")
	case c.expires < time.Second:
		return exit.BadUsage(fmt.Errorf("--expires %s is no time to be good for", c.expires), "as in: --expires 24h")
	}
	r, err := a.channelsOf(ctx, ref)
	if err != nil {
		return err
	}
	next, err := r.next(ctx, c.name)
	if err != nil {
		return err
	}
	if edit != nil {
		if err := r.change(ctx, next, ref, edit); err != nil {
			return err
		}
	}
	next.Version = max(next.Version, c.version)
	next.Expires = time.Now().UTC().Truncate(time.Second).Add(c.expires)
	c.product = r.product
	pub, err := a.publisher(ctx, &c.publishFlags, ref, c.key)
	if err != nil {
		return err
	}
	s, taken, err := pub.Channel(ctx, *next)
	if err != nil {
		return err
	}
	shown := r.shown(next)
	shown.LogIndex, shown.Sequence = s.LogIndex, taken.Sequence
	return a.printChannels(r, shown)
}

// change looks for the patch that ref names, and has edit take it.
func (r *channelReader) change(ctx context.Context, next *attest.Channel, ref shell.Reference, edit func(*attest.Channel, *publish.Found) error) error {
	found, err := publish.Resolve(ctx, r.session.Client, ref.Repository, ref.Name())
	if err != nil {
		return err
	}
	if found.Type != attest.ArtifactPatch || found.Subject == "" {
		return exit.BadUsage(fmt.Errorf("%s is no live patch", ref.Name()), "patchfit ls "+ref.Repository+" lists what there is")
	}
	return edit(next, found)
}

// baseIn returns the entry of a base, made where there is none.
func baseIn(c *attest.Channel, base attest.Digest) *attest.ChannelBase {
	i, found := slices.BinarySearchFunc(c.Bases, base, func(b attest.ChannelBase, d attest.Digest) int { return cmp.Compare(b.Base, d) })
	if !found {
		c.Bases = slices.Insert(c.Bases, i, attest.ChannelBase{Base: base, Patches: []attest.Digest{}, Superseded: []attest.Digest{}})
	}
	return &c.Bases[i]
}

// offer puts a patch last for its base.
func offer(c *attest.Channel, f *publish.Found, only bool) {
	b := baseIn(c, f.Subject)
	if only {
		b.Superseded = append(b.Superseded, b.Patches...)
		b.Patches = []attest.Digest{}
	}
	is := func(d attest.Digest) bool { return d == f.Manifest }
	b.Patches = append(slices.DeleteFunc(b.Patches, is), f.Manifest)
	b.Superseded = slices.DeleteFunc(b.Superseded, is)
	slices.Sort(b.Superseded)
}

// withdraw takes a patch out.
func withdraw(c *attest.Channel, f *publish.Found) error {
	b := baseIn(c, f.Subject)
	i := slices.Index(b.Patches, f.Manifest)
	if i < 0 {
		return exit.With(exit.NotFound, fmt.Sprintf("channel %s does not offer %s", c.Name, f.Manifest), "patchfit channel show lists what it offers")
	}
	b.Patches = slices.Delete(b.Patches, i, i+1)
	b.Superseded = append(b.Superseded, f.Manifest)
	slices.Sort(b.Superseded)
	return nil
}
