package e2e

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// lie PORT URL FILE puts a thief's server at PORT, for as long as the script runs
// or until lie is called again: everything comes from the server at URL, but the
// trust policy is the one in FILE. lie without arguments takes it away.
func lie(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 && len(args) != 3 {
		ts.Fatalf("usage: lie [PORT URL FILE]")
	}
	now := ts.Value(lieKey{}).(*http.Server)
	now.Close()
	*now = http.Server{}
	if len(args) == 0 {
		return
	}
	behind, err := url.Parse(args[1])
	ts.Check(err)
	policy := []byte(ts.ReadFile(args[2]))
	proxy := httputil.NewSingleHostReverseProxy(behind)
	l, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	now.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/v1/trust-policy" {
			w.Write(policy)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	go now.Serve(l)
	ts.Defer(func() { now.Close() })
}

type lieKey struct{}

// replaceleaf DIR INDEX puts another leaf in the place of one in the log of a
// server's data directory, makes its tree again, and signs it with the log's own
// key: what a thief of the server can do. The log has less than 256 leaves.
func replaceleaf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: replaceleaf DIR INDEX")
	}
	dir := ts.MkAbs(args[0])
	index, err := strconv.Atoi(args[1])
	ts.Check(err)
	f := &forgery{ts: ts, dir: filepath.Join(dir, "log")}
	f.read()
	f.leaves[index] = []byte(strings.Replace(string(f.leaves[index]), `"digest":"`, `"digest":"AAAA`, 1))
	f.write(filepath.Join(dir, "keys", "log.pem"))
}

// A forgery is a log that is written anew.
type forgery struct {
	ts     *testscript.TestScript
	dir    string
	origin string
	leaves [][]byte
	hashes []tlog.Hash
}

// ReadHashes implements [tlog.HashReader].
func (f *forgery) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		list[i] = f.hashes[x]
	}
	return list, nil
}

func (f *forgery) read() {
	raw, err := os.ReadFile(filepath.Join(f.dir, "checkpoint"))
	f.ts.Check(err)
	lines := strings.Split(string(raw), "\n")
	f.origin = lines[0]
	b, err := os.ReadFile(filepath.Join(f.dir, "tile", "entries", "000.p", lines[1]))
	f.ts.Check(err)
	for len(b) > 0 {
		end := 2 + int(binary.BigEndian.Uint16(b))
		f.leaves, b = append(f.leaves, b[2:end]), b[end:]
	}
}

func (f *forgery) write(keyFile string) {
	var bundle []byte
	for i, leaf := range f.leaves {
		more, err := tlog.StoredHashes(int64(i), leaf, f)
		f.ts.Check(err)
		f.hashes = append(f.hashes, more...)
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(leaf))), leaf...)
	}
	n := len(f.leaves)
	root, err := tlog.TreeHash(int64(n), f)
	f.ts.Check(err)
	tile, err := tlog.ReadTileData(tlog.Tile{H: 8, L: 0, N: 0, W: n}, f)
	f.ts.Check(err)
	state, err := json.Marshal(map[string]any{"size": n, "root": root[:]})
	f.ts.Check(err)
	checkpoint, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", f.origin, n, base64.StdEncoding.EncodeToString(root[:]))}, f.signer(keyFile))
	f.ts.Check(err)
	for name, b := range map[string][]byte{
		fmt.Sprintf("tile/entries/000.p/%d", n): bundle, fmt.Sprintf("tile/0/000.p/%d", n): tile,
		".state/treeState": state, "checkpoint": checkpoint,
	} {
		f.ts.Check(os.WriteFile(filepath.Join(f.dir, name), b, 0o600))
	}
}

func (f *forgery) signer(keyFile string) note.Signer {
	b, err := os.ReadFile(keyFile)
	f.ts.Check(err)
	block, _ := pem.Decode(b)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	f.ts.Check(err)
	key := parsed.(ed25519.PrivateKey)
	vkey, err := note.NewEd25519VerifierKey(f.origin, key.Public().(ed25519.PublicKey))
	f.ts.Check(err)
	skey := fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", f.origin, strings.Split(vkey, "+")[1], base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	s, err := note.NewSigner(skey)
	f.ts.Check(err)
	return s
}
