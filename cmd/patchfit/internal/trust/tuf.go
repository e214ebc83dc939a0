package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/registry/api"
)

func (a verbs) tufCommand() *cobra.Command {
	return shell.Group("tuf", "make, sign and push the TUF repository that trust is handed out by",
		a.rootCommand(), a.tufTargetsCommand(), a.tufSignCommand(), a.tufShowCommand(), a.tufPushCommand())
}

// How long what is made here is good for, unless somebody says otherwise.
const (
	rootExpiry    = 365 * 24 * time.Hour
	targetsExpiry = 90 * 24 * time.Hour
)

// rootChanges are the flags by which a root is made and changed.
type rootChanges struct {
	add, remove, thresholds []string
	expires                 time.Duration
}

func (a verbs) rootCommand() *cobra.Command {
	var c rootChanges
	cmd := &cobra.Command{
		Use:   "root DIR",
		Short: "make the draft of the first root, or of the next version",
		Example: `  patchfit trust tuf root tuf --add-key root=alice.pub --add-key root=bob.pub --threshold root=1 --add-key targets=alice.pub --add-key timestamp=tuf-timestamp.pub
  patchfit trust tuf root tuf --remove-key root=bob.pub --add-key root=carol.pub`,
		Long: `Make the draft of the first root of a TUF repository in the directory DIR, or
change the draft there is, or begin the next version of a signed root. Roles are
root, targets, snapshot and timestamp. The timestamp key is the server's, whose
public key is in DATA/tuf-timestamp.pub; the others never touch a server.
Without keys of its own, snapshot has those of targets.

Next: trust tuf sign with the root keys, and those of the version before.`,
		Args: shell.Exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tufRoot(cmd.Context(), args[0], &c, time.Now())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&c.add, "add-key", nil, "ROLE=FILE: a key of a role, public or private; repeat for each")
	f.StringArrayVar(&c.remove, "remove-key", nil, "ROLE=FILE: take a key from a role; repeat for each")
	f.StringArrayVar(&c.thresholds, "threshold", nil, "ROLE=N: how many of a role's keys have to sign (default: all of them at first)")
	f.DurationVar(&c.expires, "expires", rootExpiry, "how long the root is good for, from now")
	return cmd
}

func (a verbs) tufRoot(ctx context.Context, dir string, c *rootChanges, now time.Time) error {
	d, err := openTUFDir(dir)
	if err != nil {
		return err
	}
	version, roles := int64(1), tuf.Roles{}
	if n := len(d.roots); n > 0 {
		if roles, err = tuf.RolesOf(d.roots[n-1]); err != nil {
			return err
		}
		if version = int64(n); tuf.Whole(d.roots) == nil {
			version++ // the newest is signed and stays as it is
		}
	}
	if err := c.apply(ctx, roles); err != nil {
		return err
	}
	root, err := tuf.NewRoot(version, now.Add(c.expires), roles)
	if err != nil {
		return exit.Hint(fmt.Errorf("making root version %d: %w", version, err), "see: patchfit trust tuf root --help")
	}
	if err := d.write(fmt.Sprintf("%d.root.json", version), root); err != nil {
		return err
	}
	return a.tufShow(dir, false)
}

// apply changes roles, removals first.
func (c *rootChanges) apply(ctx context.Context, roles tuf.Roles) error {
	for _, s := range c.remove {
		if err := changeKey(ctx, roles, s, false); err != nil {
			return err
		}
	}
	fresh := len(roles[tuf.RoleRoot].Keys) == 0
	for _, s := range c.add {
		if err := changeKey(ctx, roles, s, true); err != nil {
			return err
		}
	}
	if len(roles[tuf.RoleSnapshot].Keys) == 0 {
		roles[tuf.RoleSnapshot] = tuf.Role{Keys: slices.Clone(roles[tuf.RoleTargets].Keys), Threshold: roles[tuf.RoleTargets].Threshold}
	}
	if fresh {
		for name, r := range roles {
			r.Threshold = len(r.Keys)
			roles[name] = r
		}
	}
	for _, s := range c.thresholds {
		role, text, err := shell.Pair(s, "ROLE=N")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(text)
		r, ok := roles[role]
		if err != nil || !ok {
			return exit.BadUsage(fmt.Errorf("--threshold %q is not ROLE=N", s), "roles: root, targets, snapshot, timestamp")
		}
		r.Threshold = n
		roles[role] = r
	}
	return nil
}

func changeKey(ctx context.Context, roles tuf.Roles, s string, add bool) error {
	role, path, err := shell.Pair(s, "ROLE=FILE")
	if err != nil {
		return err
	}
	if !slices.Contains([]string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp}, role) {
		return exit.BadUsage(fmt.Errorf("there is no role %q", role), "roles: root, targets, snapshot, timestamp")
	}
	key, err := shell.ReadPublic(ctx, path)
	if err != nil {
		return err
	}
	r := roles[role]
	i := slices.IndexFunc(r.Keys, func(k *attest.PublicKey) bool { return k.ID() == key.ID() })
	switch {
	case add && i >= 0:
		return fmt.Errorf("%s is a key of role %s already", path, role)
	case !add && i < 0:
		return fmt.Errorf("%s is no key of role %s", path, role)
	case add:
		r.Keys = append(r.Keys, key)
	default:
		r.Keys = slices.Delete(slices.Clone(r.Keys), i, i+1)
	}
	roles[role] = r
	return nil
}

func (a verbs) tufTargetsCommand() *cobra.Command {
	var policy, url string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:     "targets DIR",
		Short:   "make the draft of targets and snapshot: the trust policy and what belongs to it",
		Example: "  patchfit trust tuf targets tuf --policy policy.signed.json --url https://patches.example.org",
		Long: `Make the draft of the next targets and snapshot: the signed trust policy, its
trusted root, and the signing configuration of the server at --url. What is not
named stays as it was, so that without flags the same is made to be good for
longer.

Next: trust tuf sign with the targets and snapshot keys, then trust tuf push.`,
		Args: shell.Exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.tufTargets(args[0], policy, url, time.Now().Add(expires))
		},
	}
	cmd.Flags().StringVar(&policy, "policy", "", "signed trust policy file")
	cmd.Flags().StringVar(&url, "url", "", "the server's address, as https://patches.example.org")
	cmd.Flags().DurationVar(&expires, "expires", targetsExpiry, "how long targets and snapshot are good for, from now")
	return cmd
}

func (a verbs) tufTargets(dir, policy, url string, expires time.Time) error {
	d, err := openTUFDir(dir)
	if err != nil {
		return err
	}
	if err := tuf.Whole(d.roots); err != nil {
		return exit.Hint(fmt.Errorf("the root is not ready: %w", err), "sign it first: patchfit trust tuf sign "+dir+" --key ROOT.pem")
	}
	files, err := nextFiles(d.files, policy, url)
	if err != nil {
		return err
	}
	targets, snapshot, err := d.nextVersions()
	if err != nil {
		return err
	}
	t, err := tuf.NewTargets(targets, expires, files)
	if err != nil {
		return err
	}
	s, err := tuf.NewSnapshot(snapshot, targets, expires)
	if err != nil {
		return err
	}
	for name, b := range files {
		if err := d.write(tuf.PathOf(name, b), b); err != nil {
			return err
		}
	}
	err = errors.Join(d.write(fmt.Sprintf("%d.targets.json", targets), t), d.write(fmt.Sprintf("%d.snapshot.json", snapshot), s))
	if err != nil {
		return err
	}
	return a.tufShow(dir, false)
}

// nextFiles makes the targets out of those there are, and what is new.
func nextFiles(have map[string][]byte, policy, url string) (map[string][]byte, error) {
	files := map[string][]byte{tuf.TrustPolicy: have[tuf.TrustPolicy], tuf.SigningConfig: have[tuf.SigningConfig]}
	if policy != "" {
		f, err := readPolicy(policy)
		if err != nil {
			return nil, err
		}
		if f.envelope == nil {
			return nil, exit.Hint(fmt.Errorf("%s is a draft", policy), "sign it first: patchfit trust sign "+policy+" --key ROOT.pem")
		}
		files[tuf.TrustPolicy] = f.envelope.Raw
	}
	if len(files[tuf.TrustPolicy]) == 0 || len(files[tuf.SigningConfig]) == 0 && url == "" {
		return nil, exit.BadUsage(errors.New("--policy or --url is missing"), "the first targets need both")
	}
	e, err := attest.ParseEnvelope(files[tuf.TrustPolicy], attest.PolicyPayload)
	if err != nil {
		return nil, err
	}
	p, err := attest.ParseTrustPolicy(e.Payload)
	if err != nil {
		return nil, err
	}
	if files[tuf.TrustedRoot], err = strictjson.Canonicalize(p.TrustedRoot); err != nil {
		return nil, err
	}
	if url == "" {
		return files, nil
	}
	logs, err := ledger.LogKeys(p.TrustedRoot)
	if err != nil {
		return nil, err
	}
	files[tuf.SigningConfig], err = ledger.SigningConfig(strings.TrimSuffix(url, "/"), logs[0].Start)
	return files, err
}

func (a verbs) tufSignCommand() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:     "sign DIR --key FILE",
		Short:   "sign what a key may sign of the newest versions; needs no server",
		Example: "  patchfit trust tuf sign tuf --key alice.pem",
		Long: `Add the signatures of a key to the newest versions in DIR: to the root, if it is
one of the root keys or of those of the version before; to targets and snapshot,
if it is one of their keys. What has enough of them stays as it is.`,
		Args: shell.Exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error { return a.tufSign(args[0], keys) },
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "private key file; repeat for each")
	shell.Required(cmd, "key")
	return cmd
}

func (a verbs) tufSign(dir string, keys []string) error {
	d, err := openTUFDir(dir)
	if err != nil {
		return err
	}
	for _, path := range keys {
		key, err := shell.LoadKey(path)
		if err != nil {
			return err
		}
		n, err := d.sign(key)
		if err != nil {
			return err
		}
		if n == 0 {
			return exit.Hint(fmt.Errorf("there is nothing in %s that needs a signature of %s", dir, path), "see who may: patchfit trust tuf show "+dir)
		}
	}
	return a.tufShow(dir, false)
}

func (a verbs) tufPushCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "push DIR",
		Short:   "have the server take the repository, and the trust policy in it (role admin)",
		Example: "  patchfit trust tuf push tuf --server https://patches.example.org --token-file admin-token",
		Long: `Verify the repository in DIR completely and have the server take it, which
verifies it again. A trust policy in it that is not in effect yet takes effect.`,
		Args: shell.Exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.tufPush(cmd.Context(), args[0]) },
	}
}

func (a verbs) tufPush(ctx context.Context, dir string) error {
	d, err := openTUFDir(dir)
	if err != nil {
		return err
	}
	r, err := tuf.Accept(nil, d.offer())
	if err == nil {
		err = r.Current(time.Now())
	}
	if err != nil {
		return exit.Hint(err, "see what is missing: patchfit trust tuf show "+dir)
	}
	s, err := a.Connect("")
	if err != nil {
		return err
	}
	v, err := s.Client.PushTUF(ctx, wireOffer(r))
	if err != nil {
		return err
	}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "the server took root version %d, targets version %d, snapshot version %d, trust policy version %d\n", v.Root, v.Targets, v.Snapshot, v.Policy)
	})
}

func wireOffer(r *tuf.Repository) api.TUFOffer {
	o := api.TUFOffer{Targets: string(r.Targets), Snapshot: string(r.Snapshot), Files: map[string]string{}}
	for _, b := range r.Roots {
		o.Roots = append(o.Roots, string(b))
	}
	for name, b := range r.Files {
		o.Files[name] = string(b)
	}
	return o
}
