package browse

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/verify"
)

func (a verbs) treeCommand() *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use:     "tree REPOSITORY:TAG|REPOSITORY@DIGEST",
		Short:   "show what an artifact stands on, what stands on it, and who said what",
		Example: "  patchfit tree demo/greet:fix-1",
		Long: `Show an artifact with everything it stands on (a patch: its base, the environment,
the builder image) and everything attached to it, each with its tags and the
attestations about it: predicate type and signer.

Attestations are verified by the trust policy pinned at login, or, where none is
pinned, by the server's own, which is said. What the server found in a live patch is shown to
those it tells: auditors. A tree is a list: what counts for a host is the gate's
answer (why), and revocations are in audit who-built.`,
		Args: shell.Exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := shell.ParseOne(args[0])
			if err != nil {
				return err
			}
			return a.tree(cmd.Context(), ref, whole)
		},
	}
	cmd.Flags().BoolVar(&whole, "all", false, "everything that stands on the same builder image")
	return cmd
}

// A Tree is an artifact in its place.
type Tree struct {
	SchemaVersion int           `json:"schemaVersion"`
	Server        string        `json:"server"`
	Repository    string        `json:"repository"`
	Digest        attest.Digest `json:"digest"`        // of what was asked for
	PolicyVersion int64         `json:"policyVersion"` // that attestations were verified by; 0: none
	Pinned        bool          `json:"pinned"`        // the policy was pinned at login; else it is the server's word
	Root          *treeNode     `json:"root"`
	Cut           bool          `json:"cut"` // there is more than is shown
}

type treeNode struct {
	Digest       attest.Digest `json:"digest"`
	Kind         string        `json:"kind"` // "missing": named by what stands on it, and not there
	Type         string        `json:"type,omitzero"`
	Size         int64         `json:"size"`
	Tags         []string      `json:"tags"`
	Attestations []treeSaid    `json:"attestations"`
	Lint         *shell.Linted `json:"lint,omitzero"` // of the patch that was asked for, where the server tells us
	Children     []*treeNode   `json:"children"`
	file         attest.Digest // its one file
	only         bool          // the children it has are the ones that are wanted
}

// A treeSaid is one attestation.
type treeSaid struct {
	Digest   attest.Digest `json:"digest"` // of the manifest that carries it
	Verified bool          `json:"verified"`
	Type     string        `json:"predicateType"` // as it says itself where it was not verified
	Signer   string        `json:"signer,omitzero"`
	Key      attest.Digest `json:"key,omitzero"`
	Signed   time.Time     `json:"signed,omitzero"`
	LogIndex int64         `json:"logIndex"` // -1 where it was not verified
	Reason   string        `json:"reason,omitzero"`
	Fact     string        `json:"fact,omitzero"`
}

// Limits of a tree: it is for people.
const (
	maxDepth = 16
	maxNodes = 2000
)

func (a verbs) tree(ctx context.Context, ref shell.Reference, whole bool) error {
	s, shelf, err := a.open(ref)
	if err != nil {
		return err
	}
	g := &grower{shelf: shelf, names: map[attest.Digest][]string{}}
	v := &Tree{SchemaVersion: 1, Server: s.Client.Server(), Repository: ref.Repository}
	if err := g.trusts(ctx, s, v); err != nil {
		return err
	}
	target, err := g.shelf.Item(ctx, ref.Name())
	if err != nil {
		return err
	}
	v.Digest = target.Manifest
	if g.names, err = tagsByDigest(ctx, g.shelf); err != nil {
		return err
	}
	if v.Root, err = g.climb(ctx, target, whole); err != nil {
		return err
	}
	if err := g.grow(ctx, v.Root, 0); err != nil {
		return err
	}
	v.Cut = g.cut
	if target.Kind == "live-patch" {
		if err := g.linted(ctx, s, v); err != nil {
			return err
		}
	}
	return a.Print(v, func(w io.Writer) { a.treeText(w, v) })
}

// A grower makes a tree of what a repository tells.
type grower struct {
	shelf   *publish.Shelf
	names   map[attest.Digest][]string // tags
	checker *verifying.Checker         // nil: there is no trust policy
	nodes   int
	cut     bool
}

// trusts prepares to verify, by the trust policy there is.
func (g *grower) trusts(ctx context.Context, s *shell.Session, v *Tree) error {
	p, pinned, err := s.ServedPolicy(ctx)
	if isStatus(err, http.StatusNotFound) {
		return nil // nobody is trusted with anything yet
	}
	if err != nil {
		return err
	}
	v.PolicyVersion, v.Pinned = p.Version, pinned
	for _, product := range p.Products {
		if product.Repository == v.Repository {
			g.checker, err = verifying.NewChecker(p, product.ID)
		}
	}
	return err
}

// climb returns the node of what the target stands on in the end, with the way
// from there to it.
func (g *grower) climb(ctx context.Context, target *publish.Item, whole bool) (*treeNode, error) {
	at := g.node(target)
	for subject := target.Subject; subject != ""; {
		if g.nodes > maxDepth {
			g.cut = true
			return at, nil
		}
		below := at
		item, err := g.shelf.Item(ctx, string(subject))
		if err := unlessGone(err); err != nil {
			return nil, err
		}
		if err != nil {
			item = &publish.Item{Found: publish.Found{Manifest: subject}, Kind: "missing"}
		}
		at, subject = g.node(item), item.Subject
		at.only, at.Children = !whole, []*treeNode{below}
	}
	return at, nil
}

func (g *grower) node(i *publish.Item) *treeNode {
	g.nodes++
	return &treeNode{
		Digest: i.Manifest, Kind: i.Kind, Type: i.Type, Size: i.Size, file: i.File,
		Tags: append([]string{}, g.names[i.Manifest]...), Attestations: []treeSaid{}, Children: []*treeNode{},
	}
}

// grow adds what is attached to a node, and to that.
func (g *grower) grow(ctx context.Context, n *treeNode, depth int) error {
	list, err := g.shelf.Referrers(ctx, n.Digest)
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := g.attach(ctx, n, r); err != nil {
			return err
		}
	}
	if depth == maxDepth {
		g.cut = g.cut || len(n.Children) > 0
		n.Children = []*treeNode{}
	}
	for _, c := range n.Children {
		if err := g.grow(ctx, c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// attach adds one manifest that is attached to n, unless it is there already or
// not wanted.
func (g *grower) attach(ctx context.Context, n *treeNode, r publish.Referrer) error {
	switch {
	case g.nodes >= maxNodes:
		g.cut = true
		return nil
	case r.Kind == "attestation":
		g.nodes++
		said, err := g.said(ctx, n, r)
		n.Attestations = append(n.Attestations, said)
		return err
	case n.only, slices.ContainsFunc(n.Children, func(c *treeNode) bool { return c.Digest == r.Manifest }):
		return nil
	}
	item, err := g.shelf.Item(ctx, string(r.Manifest))
	if err != nil {
		return unlessGone(err)
	}
	if item.Subject != n.Digest {
		return fmt.Errorf("the server lists %s as attached to %s, and it is not", r.Manifest, n.Digest)
	}
	n.Children = append(n.Children, g.node(item))
	return nil
}

func (g *grower) said(ctx context.Context, n *treeNode, r publish.Referrer) (treeSaid, error) {
	said := treeSaid{Digest: r.Manifest, Type: r.Predicate, LogIndex: -1}
	raw, err := g.shelf.Bundle(ctx, r.Manifest)
	if err != nil {
		said.Reason, said.Fact = string(verify.Corrupt), err.Error()
		return said, ctx.Err()
	}
	if g.checker == nil {
		said.Reason, said.Fact = string(verify.UntrustedSigner), "no trust policy names this repository"
		return said, nil
	}
	v := g.checker.About(verify.Artifact{Manifest: n.Digest, File: n.file}, n.Type).One(string(r.Manifest), raw)
	said.Verified, said.Signer, said.Key, said.Signed, said.LogIndex = v.Verified, v.Signer, v.Key, v.Signed, v.LogIndex
	said.Reason, said.Fact = v.Reason, v.Fact
	if v.Verified {
		said.Type = v.Type
	}
	return said, nil
}
