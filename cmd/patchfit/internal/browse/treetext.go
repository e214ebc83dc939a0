package browse

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/term"
)

// branches are what a tree is drawn with.
type branches struct{ tee, corner, bar, gap string }

func branchesFor(w io.Writer) branches {
	if term.IsTerminal(w) {
		return branches{"├─ ", "└─ ", "│  ", "   "}
	}
	return branches{"|- ", "`- ", "|  ", "   "}
}

func (a verbs) treeText(w io.Writer, v *Tree) {
	fmt.Fprintf(w, "%s@%s\n", v.Repository, v.Digest)
	d := drawing{w, branchesFor(w), term.Marks(w), v.Digest}
	d.node(v.Root, "", "")
	if v.Cut {
		a.Note("there is more than is shown")
	}
	if !v.Pinned && v.PolicyVersion != 0 {
		a.Note("no trust policy is pinned: who signers are is this server's word; log in with --roots to pin one")
	}
}

type drawing struct {
	w     io.Writer
	b     branches
	marks term.Marker
	asked attest.Digest
}

// node draws one artifact behind first, and what belongs to it behind rest.
func (d drawing) node(n *treeNode, first, rest string) {
	fmt.Fprintf(d.w, "%s%s %s", first, n.Kind, n.Digest.Short())
	for _, tag := range n.Tags {
		fmt.Fprintf(d.w, " :%s", term.Printable(tag))
	}
	if n.Size > 0 {
		fmt.Fprintf(d.w, "  %s", term.Size(n.Size))
	}
	if n.Kind == "artifact" && n.Type != "" {
		fmt.Fprintf(d.w, "  %s", term.Printable(n.Type))
	}
	if n.Digest == d.asked {
		fmt.Fprint(d.w, "  <- this")
	}
	fmt.Fprintln(d.w)
	if n.Lint != nil {
		bar := d.b.gap
		if len(n.Attestations)+len(n.Children) > 0 {
			bar = d.b.bar
		}
		n.Lint.Text(d.w, rest+bar)
	}
	left := len(n.Attestations) + len(n.Children)
	behind := func() (string, string) {
		if left--; left == 0 {
			return rest + d.b.corner, rest + d.b.gap
		}
		return rest + d.b.tee, rest + d.b.bar
	}
	for _, s := range n.Attestations {
		first, _ := behind()
		fmt.Fprintf(d.w, "%s%s %s\n", first, d.marks.Check(s.Verified), term.Printable(s.text()))
	}
	for _, c := range n.Children {
		first, rest := behind()
		d.node(c, first, rest)
	}
}

func (s treeSaid) text() string {
	if !s.Verified {
		return fmt.Sprintf("%s, not verified: %s: %s", cmp.Or(shell.TypeName(s.Type), "attestation"), s.Reason, s.Fact)
	}
	return fmt.Sprintf("%s by %s, %s, log index %d", shell.TypeName(s.Type), s.Signer, s.Signed.Format(time.RFC3339), s.LogIndex)
}
