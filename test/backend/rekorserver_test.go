package backend

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/ledger"
)

const external = origin // what the Rekor calls its log

// all reads every log a server shows, each from its first entry to its last.
func all(t *testing.T, url string) map[string]uint64 {
	t.Helper()
	c, root := asking(t, url)
	logs, err := c.Shards(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	sizes := make(map[string]uint64)
	for _, l := range logs.Shown() {
		cp, err := l.Verify(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		sizes[l.Origin] = cp.Size
	}
	if logs.Current == nil || len(logs.Absent) > 0 {
		t.Errorf("not shown are %v; current is %v", logs.Absent, logs.Current)
	}
	return sizes
}

// TestRekorServer: a server begins a log in a Rekor, goes on without it as far as
// reading goes, and leaves it for another log: all of them stay verifiable.
func TestRekorServer(t *testing.T) {
	r := newRekor(t)
	dir := t.TempDir()
	config, key := filepath.Join(dir, "patchfitd.yaml"), filepath.Join(dir, "rekor.pub")
	der, err := x509.MarshalPKIXPublicKey(r.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	patchfitd(t, "init", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--origin", "first.example.org", "--admin-token", filepath.Join(dir, "admin"))
	plain, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	configure := func(origin, log string) {
		t.Helper()
		text := strings.Replace(string(plain), "first.example.org", origin, 1) + log
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(words string) {
		t.Helper()
		if out, err := exec.Command(program(t), "serve", "--config", config).CombinedOutput(); err == nil || !strings.Contains(string(out), words) {
			t.Errorf("%v, want %q\n%s", err, words, out)
		}
	}
	inRekor := fmt.Sprintf("log: {kind: rekor, rekor: {url: '%s', keyFile: %s}}\n", r.front.URL, key)
	configure("first.example.org", inRekor)
	refused("patchfitd log rotate")
	configure(external, inRekor+"witnesses: /dev/null\n")
	refused("leave witnesses out")
	configure("first.example.org", inRekor)
	next := patchfitd(t, "log", "next", external, "--config", config)
	if again := patchfitd(t, "log", "next", external, "--config", config); again != next || !strings.Contains(next, "https://"+external) {
		t.Errorf("announced was %s, then %s", next, again)
	}
	configure(external, inRekor)
	patchfitd(t, "log", "rotate", "--config", config)

	url, stop := serving(t, config)
	before := all(t, url)
	stop()
	patchfitd(t, "admin-token", "--name", "another", "--config", config) // a record more, sealed in the Rekor
	r.away.Store(true)
	url, stop = serving(t, config) // which is away
	after := all(t, url)
	if after[external] <= before[external] || after["first.example.org"] != before["first.example.org"] {
		t.Errorf("entries were %v, and are %v", before, after)
	}
	resp, err := http.Post(url+ledger.EntriesPath, "application/json", strings.NewReader("{}"))
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v", resp, err)
	}
	resp.Body.Close()
	stop()

	configure(external, "")
	refused("patchfitd log rotate")
	configure("third.example.org", "")
	patchfitd(t, "log", "rotate", "--config", config)
	patchfitd(t, "admin-token", "--name", "a-third", "--config", config)
	url, stop = serving(t, config)
	defer stop()
	if last := all(t, url); len(last) != 3 || last[external] != after[external] || last["third.example.org"] == 0 {
		t.Errorf("entries were %v, and are %v", after, last)
	}
}
