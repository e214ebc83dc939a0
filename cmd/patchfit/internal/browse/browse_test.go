package browse

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/term"
)

func TestIsServer(t *testing.T) {
	for text, want := range map[string]bool{
		"https://patches.example.org": true, "patches.example.org": true, "localhost": true, "localhost:5000": true, "127.0.0.1:8443": true,
		"greet": false, "demo/greet": false, "patches.example.org/demo/greet": false, "demo/greet:1.0": false,
	} {
		if got := isServer(text); got != want {
			t.Errorf("%s is a server: %v, want %v", text, got, want)
		}
	}
}

func TestEach(t *testing.T) {
	var n atomic.Int64
	if err := each(t.Context(), 100, func(context.Context, int) error { n.Add(1); return nil }); err != nil || n.Load() != 100 {
		t.Errorf("%d of 100, error %v", n.Load(), err)
	}
	boom := errors.New("boom")
	n.Store(0)
	err := each(t.Context(), 10000, func(_ context.Context, i int) error {
		if n.Add(1) > 10 {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) || n.Load() == 10000 {
		t.Errorf("%d were done, error %v", n.Load(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := each(ctx, 3, func(context.Context, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// TestTreeIsDrawn: lines, and what others wrote cannot move the cursor.
func TestTreeIsDrawn(t *testing.T) {
	var text strings.Builder
	leaf := func(tag string) *treeNode {
		return &treeNode{Digest: attest.DigestOf([]byte(tag)), Kind: "live-patch", Tags: []string{tag}}
	}
	root := &treeNode{
		Digest: attest.DigestOf(nil), Kind: "base", Attestations: []treeSaid{{Type: "https://example.org/x\x1b[2J", Reason: "CORRUPT", Fact: "torn"}},
		Children: []*treeNode{leaf("one"), {Digest: attest.DigestOf([]byte("two")), Kind: "artifact", Children: []*treeNode{leaf("three")}}},
	}
	root.Children[0].Children = []*treeNode{leaf("four")}
	d := drawing{&text, branches{"├─ ", "└─ ", "│  ", "   "}, term.Marker{Cross: "✗"}, root.Children[0].Digest}
	d.node(root, "", "")
	want := `base SHORT
├─ ✗ https://example.org/x�[2J, not verified: CORRUPT: torn
├─ live-patch SHORT :one  <- this
│  └─ live-patch SHORT :four
└─ artifact SHORT
   └─ live-patch SHORT :three
`
	if diff := cmp.Diff(want, regexp.MustCompile(`\b[0-9a-f]{12}\b`).ReplaceAllString(text.String(), "SHORT")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b := branchesFor(&text); b.tee != "|- " {
		t.Errorf("in a pipe: %q", b.tee)
	}
}
