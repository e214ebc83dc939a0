package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/tuf"
)

// trustChanges are the flags by which a policy is made and changed.
type trustChanges struct {
	roots         []string
	threshold     int
	products      []string
	noProducts    []string
	signers       []string
	noSigners     []string
	noRoots       []string
	until         []string
	authorities   []string
	noAuthorities []string
	expires       time.Duration
	trustedRoot   string
	trustedSHA    string
	logPolicy     string
	tufRoot       string
	channels      []string
	journals      []string
	noJournals    []string
	fitBases      []string
	from          string
	certified     certified
	rebuilds      rebuildChanges
}

const defaultExpiry = 365 * 24 * time.Hour

func (t *trustChanges) flags(cmd *cobra.Command, prefix string) {
	f := cmd.Flags()
	f.StringArrayVar(&t.roots, prefix+"root", nil, "root key file, public or private; repeat for each")
	f.IntVar(&t.threshold, "threshold", 0, "how many roots have to sign (default: all of them at first)")
	f.StringArrayVar(&t.products, prefix+"product", nil, "repository of a new product; its id is made here; repeat for each")
	f.StringArrayVar(&t.signers, prefix+"signer", nil, "NAME=FILE: a signer and a public key, valid from now; repeat for each")
	t.certified.flags(cmd, prefix)
	t.rebuilds.flags(cmd)
	f.StringArrayVar(&t.authorities, "authority", nil, "PRODUCT:ROLE=NAME: who may say what; product by id or repository; roles builder, base, patch, revocation, channel, import, rebuilder, adjudicator")
	f.DurationVar(&t.expires, "expires", 0, "how long the policy is good for, from now (default: a year at first)")
	f.StringVar(&t.trustedRoot, "trusted-root", "", "trusted_root.json of the log and timestamp authority: a file, or a URL together with --trusted-root-sha256")
	f.StringVar(&t.logPolicy, "log-policy", "", "tlog-policy file: which witnesses have to have cosigned; none takes it away")
	f.StringArrayVar(&t.journals, prefix+"journal", nil, "public key file a server seals its journal with (DATA/journal.pub): monitors and auditors know its entries in the log; repeat for each")
	f.StringVar(&t.tufRoot, "tuf-root", "", "N.root.json of the TUF repository by which hosts are to get this policy and those after it; none: by none any more")
	f.StringArrayVar(&t.fitBases, "fit-bases", nil, "PRODUCT=LIST: why patches may count as fitting: environment, equivalent, vendor, with commas; repeat for each product")
	f.StringArrayVar(&t.channels, "channels", nil, "PRODUCT=required or PRODUCT=optional: whether a patch counts only while a channel offers it; repeat for each")
	f.StringVar(&t.trustedSHA, "trusted-root-sha256", "", "hex sha256 the fetched trusted_root.json has to have")
}

func (a verbs) initCommand() *cobra.Command {
	var t trustChanges
	var output string
	cmd := &cobra.Command{
		Use:     "init --output FILE --root ROOT.pub --product REPOSITORY --trusted-root FILE",
		Short:   "make the draft of a first trust policy",
		Example: "  patchfit trust init -o policy.json --root root.pem.pub --product demo/greet --trusted-root trusted_root.json",
		Long: `Make the draft of a first trust policy: who the roots are, which products there
are and in which repositories, and which log and timestamp authority count.
Product ids are made here. Nothing is sent anywhere.

Next: trust sign with the root keys, then trust push.`,
		Args: shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.trustInit(cmd.Context(), output, &t)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write")
	t.flags(cmd, "")
	shell.Required(cmd, "output", "root", "product", "trusted-root")
	return cmd
}

func (a verbs) trustInit(ctx context.Context, output string, t *trustChanges) error {
	if _, err := os.Lstat(output); err == nil {
		return exit.Hint(fmt.Errorf("%s exists already", output), "change it with: patchfit trust edit "+output)
	}
	if t.expires == 0 {
		t.expires = defaultExpiry
	}
	p := &attest.TrustPolicy{Version: 1, Roots: attest.Roots{Keys: []string{}}, Signers: []attest.Signer{}, Products: []attest.Product{}}
	if err := t.apply(ctx, p, time.Now()); err != nil {
		return err
	}
	if t.threshold == 0 {
		p.Roots.Threshold = len(p.Roots.Keys)
	}
	if err := writeDraft(output, p); err != nil {
		return err
	}
	_, err := Show(a.Shell, output)
	return err
}

func (a verbs) editCommand() *cobra.Command {
	var t trustChanges
	var output string
	cmd := &cobra.Command{
		Use:     "edit FILE",
		Short:   "change a draft, or begin the next version of a signed policy",
		Example: "  patchfit trust edit policy.json --add-signer acme=ci.pem.pub --authority demo/greet:patch=acme",
		Long: `Change a draft in place, or begin the next version of a signed policy in the
file --output names. --from takes over signers, products, expiry and trusted
root of another draft before the other changes.`,
		Args: shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.trustEdit(cmd.Context(), args[0], output, &t)
		},
	}
	f := cmd.Flags()
	t.flags(cmd, "add-")
	f.StringArrayVar(&t.noRoots, "remove-root", nil, "key file of a root to drop, public or private; repeat for each")
	f.StringArrayVar(&t.noJournals, "remove-journal", nil, "key file of a journal to drop; repeat for each")
	f.StringArrayVar(&t.noProducts, "remove-product", nil, "id or repository of a product to drop")
	f.StringArrayVar(&t.noSigners, "remove-signer", nil, "name of a signer to drop, with all it was entrusted")
	f.StringArrayVar(&t.until, "signer-until", nil, "NAME=TIME: the signer's keys and identities count for what was signed before; TIME is now or RFC 3339")
	f.StringArrayVar(&t.noAuthorities, "no-authority", nil, "PRODUCT:ROLE=NAME: take a role away")
	f.StringVar(&t.from, "from", "", "draft to take over first")
	f.StringVarP(&output, "output", "o", "", "file to write (default: the draft itself)")
	return cmd
}

func (a verbs) trustEdit(ctx context.Context, path, output string, t *trustChanges) error {
	f, err := readPolicy(path)
	if err != nil {
		return err
	}
	p := f.policy
	if f.envelope != nil {
		if output == "" {
			return exit.BadUsage(fmt.Errorf("%s is signed and stays as it is", path), "name a file for the next version with --output")
		}
		p.Version++
	}
	if output == "" {
		output = path
	}
	if t.from != "" {
		other, err := readPolicy(t.from)
		if err != nil {
			return err
		}
		p.Signers, p.Products, p.TrustedRoot, p.Expires = other.policy.Signers, other.policy.Products, other.policy.TrustedRoot, other.policy.Expires
		p.LogPolicy, p.Journals = other.policy.LogPolicy, other.policy.Journals
	}
	if err := t.apply(ctx, p, time.Now()); err != nil {
		return err
	}
	if err := writeDraft(output, p); err != nil {
		return err
	}
	_, err = Show(a.Shell, output)
	return err
}

// apply makes the changes, removals first.
func (t *trustChanges) apply(ctx context.Context, p *attest.TrustPolicy, now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	if t.expires != 0 {
		p.Expires = now.Add(t.expires)
	}
	if t.threshold != 0 {
		p.Roots.Threshold = t.threshold
	}
	steps := []func(*attest.TrustPolicy) error{
		func(p *attest.TrustPolicy) error { return t.dropRoots(ctx, p) }, t.dropProducts, t.dropSigners,
		func(p *attest.TrustPolicy) error { return t.endSigners(p, now) },
		func(p *attest.TrustPolicy) error { return t.addRoots(ctx, p) }, t.addProducts,
		func(p *attest.TrustPolicy) error { return t.addSigners(ctx, p, now) },
		func(p *attest.TrustPolicy) error { return t.takeTrustedRoot(ctx, p) },
		func(p *attest.TrustPolicy) error { return t.certified.apply(p, now) },
		t.dropAuthorities, t.addAuthorities, t.rebuilds.apply, t.askChannels, t.acceptBases, t.takeLogPolicy, t.takeTUFRoot,
		func(p *attest.TrustPolicy) error { return t.changeJournals(ctx, p) },
	}
	for _, step := range steps {
		if err := step(p); err != nil {
			return err
		}
	}
	return nil
}

// takeTUFRoot pins a version of the root of a TUF repository.
func (t *trustChanges) takeTUFRoot(p *attest.TrustPolicy) error {
	if t.tufRoot == "" {
		return nil
	}
	if t.tufRoot == "none" {
		p.TUF = attest.TUFRoot{}
		return nil
	}
	b, err := os.ReadFile(t.tufRoot)
	if err != nil {
		return fmt.Errorf("reading the root of the TUF repository: %w", err)
	}
	h, err := tuf.ReadHeading(tuf.RoleRoot, b)
	if err != nil {
		return fmt.Errorf("reading the root of the TUF repository: %w", err)
	}
	if t, err := tuf.Signatures(b, tuf.RoleRoot, b); err != nil || !t.Enough() {
		return exit.Hint(fmt.Errorf("root version %d is signed by %d of its root keys, %d are needed", h.Version, len(t.By), t.Need), "sign it first: its hash is what is pinned")
	}
	p.TUF = attest.TUFRoot{Version: h.Version, Root: attest.DigestOf(b)}
	return nil
}

func (t *trustChanges) dropRoots(ctx context.Context, p *attest.TrustPolicy) error {
	for _, path := range t.noRoots {
		k, err := shell.ReadPublic(ctx, path)
		if err != nil {
			return err
		}
		i := slices.Index(p.Roots.Keys, k.Base64())
		if i < 0 {
			return fmt.Errorf("%s is no root of the trust policy", path)
		}
		p.Roots.Keys = slices.Delete(p.Roots.Keys, i, i+1)
	}
	return nil
}

func (t *trustChanges) addRoots(ctx context.Context, p *attest.TrustPolicy) error {
	for _, path := range t.roots {
		k, err := shell.ReadPublic(ctx, path)
		if err != nil {
			return err
		}
		p.Roots.Keys = append(p.Roots.Keys, k.Base64())
	}
	return nil
}

func (t *trustChanges) addProducts(p *attest.TrustPolicy) error {
	for _, repository := range t.products {
		p.Products = append(p.Products, attest.Product{
			ID: uuid.NewString(), Repository: repository,
			Authorities: map[attest.Role][]string{}, FitBases: []string{attest.FitEnvironment},
		})
	}
	return nil
}

func (t *trustChanges) dropProducts(p *attest.TrustPolicy) error {
	for _, name := range t.noProducts {
		i, err := findProduct(p, name)
		if err != nil {
			return err
		}
		p.Products = slices.Delete(p.Products, i, i+1)
	}
	return nil
}

func findProduct(p *attest.TrustPolicy, name string) (int, error) {
	i := slices.IndexFunc(p.Products, func(q attest.Product) bool { return q.ID == name || q.Repository == name })
	if i < 0 {
		return 0, fmt.Errorf("the trust policy has no product %q", name)
	}
	return i, nil
}

func findSigner(p *attest.TrustPolicy, name string) int {
	return slices.IndexFunc(p.Signers, func(s attest.Signer) bool { return s.Name == name })
}

func (t *trustChanges) addSigners(ctx context.Context, p *attest.TrustPolicy, now time.Time) error {
	for _, s := range t.signers {
		name, path, err := shell.Pair(s, "NAME=FILE")
		if err != nil {
			return err
		}
		k, err := shell.ReadPublic(ctx, path)
		if err != nil {
			return err
		}
		key := attest.SignerKey{Key: k.Base64(), ValidFrom: now}
		if i := findSigner(p, name); i >= 0 {
			p.Signers[i].Keys = append(p.Signers[i].Keys, key)
		} else {
			p.Signers = append(p.Signers, attest.Signer{Name: name, Keys: []attest.SignerKey{key}})
		}
	}
	return nil
}

func (t *trustChanges) dropSigners(p *attest.TrustPolicy) error {
	for _, name := range t.noSigners {
		i := findSigner(p, name)
		if i < 0 {
			return fmt.Errorf("the trust policy has no signer %q", name)
		}
		p.Signers = slices.Delete(p.Signers, i, i+1)
		for _, product := range p.Products {
			for role := range product.Authorities {
				withdraw(product, role, name)
			}
		}
	}
	return nil
}

func withdraw(p attest.Product, role attest.Role, name string) bool {
	before := len(p.Authorities[role])
	left := slices.DeleteFunc(p.Authorities[role], func(n string) bool { return n == name })
	p.Authorities[role] = left
	if len(left) == 0 {
		delete(p.Authorities, role)
	}
	return len(left) < before
}

// endSigners ends the windows of keys and identities that have no end yet.
func (t *trustChanges) endSigners(p *attest.TrustPolicy, now time.Time) error {
	for _, s := range t.until {
		name, text, err := shell.Pair(s, "NAME=TIME")
		if err != nil {
			return err
		}
		end := now
		if text != "now" {
			if end, err = time.Parse(time.RFC3339, text); err != nil {
				return exit.BadUsage(fmt.Errorf("%q is not now or a time as 2026-09-30T00:00:00Z", text), "")
			}
		}
		i := findSigner(p, name)
		if i < 0 {
			return fmt.Errorf("the trust policy has no signer %q", name)
		}
		for j := range p.Signers[i].Keys {
			if p.Signers[i].Keys[j].ValidUntil.IsZero() {
				p.Signers[i].Keys[j].ValidUntil = end.UTC()
			}
		}
		for j := range p.Signers[i].Identities {
			if p.Signers[i].Identities[j].ValidUntil.IsZero() {
				p.Signers[i].Identities[j].ValidUntil = end.UTC()
			}
		}
	}
	return nil
}

// authority reads PRODUCT:ROLE=NAME; the product may have colons of its own.
func authority(p *attest.TrustPolicy, s string) (product int, role attest.Role, name string, err error) {
	left, name, err := shell.Pair(s, "PRODUCT:ROLE=NAME")
	if err != nil {
		return 0, "", "", err
	}
	i := strings.LastIndex(left, ":")
	if i < 0 {
		return 0, "", "", exit.BadUsage(fmt.Errorf("%q is not PRODUCT:ROLE=NAME", s), "")
	}
	product, err = findProduct(p, left[:i])
	return product, attest.Role(left[i+1:]), name, err
}

func (t *trustChanges) addAuthorities(p *attest.TrustPolicy) error {
	for _, s := range t.authorities {
		i, role, name, err := authority(p, s)
		if err != nil {
			return err
		}
		if all := p.Products[i].Authorities; !slices.Contains(all[role], name) {
			all[role] = append(all[role], name)
		}
	}
	return nil
}

func (t *trustChanges) dropAuthorities(p *attest.TrustPolicy) error {
	for _, s := range t.noAuthorities {
		i, role, name, err := authority(p, s)
		if err != nil {
			return err
		}
		if !withdraw(p.Products[i], role, name) {
			return fmt.Errorf("signer %q has no role %s in product %s", name, role, p.Products[i].Repository)
		}
	}
	return nil
}

const maxTrustedRoot = 256 << 10

func (t *trustChanges) takeTrustedRoot(ctx context.Context, p *attest.TrustPolicy) error {
	if t.trustedRoot == "" {
		return nil
	}
	var b []byte
	var err error
	if strings.HasPrefix(t.trustedRoot, "https://") || strings.HasPrefix(t.trustedRoot, "http://") {
		b, err = fetchTrustedRoot(ctx, t.trustedRoot, t.trustedSHA)
	} else {
		b, err = os.ReadFile(t.trustedRoot)
	}
	if err != nil {
		return fmt.Errorf("reading the trusted root: %w", err)
	}
	if t.trustedSHA != "" && attest.DigestOf(b).Hex() != t.trustedSHA {
		return exit.With(exit.Unproven, fmt.Sprintf("trusted root %s has sha256 %s, want %s", t.trustedRoot, attest.DigestOf(b).Hex(), t.trustedSHA), "get the hash from whoever runs the server, on another way than the file")
	}
	c, err := strictjson.Canonicalize(b)
	p.TrustedRoot = jsontext.Value(c)
	return err
}

// fetchTrustedRoot fetches what a hash from elsewhere vouches for.
func fetchTrustedRoot(ctx context.Context, url, sum string) ([]byte, error) {
	if sum == "" {
		return nil, exit.BadUsage(errors.New("--trusted-root-sha256 is missing"), "a trusted root from the network is trusted by its hash only")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxTrustedRoot))
}
