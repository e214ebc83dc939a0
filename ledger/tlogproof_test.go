package ledger_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/ledger"
)

// example is the one of C2SP tlog-proof, its elided parts filled in.
const example = `c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJ1roloI=
— witness1.example mJirIqY9v2B/5bg=
`

func TestProofReadsBack(t *testing.T) {
	p, err := ledger.ParseProof([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if p.Index != 73894 || string(p.Extra) != "age-v1.2.1-darwin-arm64.tar.gz" || len(p.Hashes) != 2 || !bytes.HasPrefix(p.Checkpoint, []byte("example.com/fancylog\n109482\n")) {
		t.Errorf("read %+v", p)
	}
	if diff := cmp.Diff(example, string(p.Text())); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	first := &ledger.Proof{Checkpoint: p.Checkpoint}
	if again, err := ledger.ParseProof(first.Text()); err != nil || again.Index != 0 || again.Extra != nil || len(again.Hashes) != 0 {
		t.Errorf("the proof of a log of one entry: %+v, %v", again, err)
	}
}

func TestParseProofRefuses(t *testing.T) {
	for _, tt := range []struct{ name, old, new, says string }{
		{"another version", "proof@v1", "proof@v2", "begins with"},
		{"no index", "index 73894\n", "", "not an index line"},
		{"a negative index", "73894", "-1", "not an index line"},
		{"an index with a zero", "73894", "073894", "one form"},
		{"an index with a sign", "73894", "+73894", "not an index line"},
		{"too large an index", "73894", "9223372036854775808", "not an index line"},
		{"two extras", "index", "extra YQ==\nindex", "not an index line"},
		{"extra after the index", "gSKy", "extra YQ==\ngSKy", "hash 0"},
		{"extra that is no base64", "YWdl", "YW!l", "extra line"},
		{"a short hash", "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=", "gSKy", "hash 0"},
		{"stray bits", "cdPlQ=", "cdPlR=", "hash 0"},
		{"a carriage return", "index 73894", "index 73894\r", "not an index line"},
		{"a carriage return in a hash", "gSKyXoYZ", "gSKy\rXoYZ", "one form"},
		{"a carriage return in the extra", "extra YWdl", "extra YWdl\r", "one form"},
		{"no checkpoint", "\n\nexample.com/fancylog", "\nexample.com/fancylog", "hash"},
		{"too many hashes", "B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n", strings.Repeat("B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n", 63), "at most 63"},
	} {
		bad := strings.Replace(example, tt.old, tt.new, 1)
		if bad == example {
			t.Fatalf("%s: nothing was changed", tt.name)
		}
		if p, err := ledger.ParseProof([]byte(bad)); err == nil || p != nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %+v, %v; want an error that says %q", tt.name, p, err, tt.says)
		}
	}
	for name, b := range map[string]string{"nothing": "", "only a head": "c2sp.org/tlog-proof@v1\nindex 0\n", "an empty checkpoint": "c2sp.org/tlog-proof@v1\nindex 0\n\n", "too long": example + strings.Repeat("x", ledger.MaxProof)} {
		if p, err := ledger.ParseProof([]byte(b)); err == nil || p != nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	f.Add([]byte(example))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ledger.ParseProof(b); err == nil && !bytes.Equal(p.Text(), b) {
			t.Errorf("%q reads as %q", b, p.Text())
		}
	})
}
