package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	random "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

const (
	logCrashRounds = 200
	logWriters     = 64
)

// TestEvidenceLogCrash kills the server while 64 writers append to its log. Every
// entry that was acknowledged is where it was said to be; the log verifies from
// its first leaf to its last, by us and by the fsck of the engine it is kept by.
func TestEvidenceLogCrash(t *testing.T) {
	w := newCrashWorld(t)
	w.append("pf/patchfitd.yaml", "limits: {log: {perSecond: 100000, burst: 100000}, logTotal: {perSecond: 100000, burst: 100000}}\n")
	l := newLogLoad(w)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := random.New(random.NewPCG(seed, 2))
	for range rounds(logCrashRounds) {
		w.start()
		ctx, stop := context.WithCancel(context.Background())
		var writers sync.WaitGroup
		for range logWriters {
			writers.Go(func() { l.write(ctx) })
		}
		time.Sleep(time.Duration(50+r.IntN(400)) * time.Millisecond)
		w.kill()
		stop()
		writers.Wait()
	}
	w.start()
	l.audit()
	w.must(w.as("auditor"), "patchfit", "audit", "verify", "--trusted-root", "pf/data/trusted_root.json")
	w.kill()
	w.fsck()
	t.Logf("%d entries acknowledged", len(l.index))
}

// append adds a text to a file.
func (w *crashWorld) append(name, text string) {
	w.t.Helper()
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		w.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// fsck has the engine's own checker read the log's directory.
func (w *crashWorld) fsck() {
	w.t.Helper()
	var root struct {
		Tlogs []struct {
			BaseURL   string
			PublicKey struct{ RawBytes []byte }
		}
	}
	if err := json.Unmarshal([]byte(w.read("pf/data/trusted_root.json")), &root); err != nil {
		w.t.Fatal(err)
	}
	origin := strings.TrimPrefix(root.Tlogs[0].BaseURL, "https://")
	public, err := x509.ParsePKIXPublicKey(root.Tlogs[0].PublicKey.RawBytes)
	if err != nil {
		w.t.Fatal(err)
	}
	vkey, err := note.NewEd25519VerifierKey(origin, public.(ed25519.PublicKey))
	if err != nil {
		w.t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		w.t.Fatal(err)
	}
	source := &client.FileFetcher{Root: filepath.Join(w.dir, "pf/data/log")}
	if err := fsck.New(origin, verifier, source, leafHashes, fsck.Opts{N: 2}).Check(w.t.Context()); err != nil {
		w.t.Errorf("fsck of the log: %v", err)
	}
}

// leafHashes returns the leaf hash (RFC 6962) of each entry of a bundle.
func leafHashes(bundle []byte) (hashes [][]byte, err error) {
	for _, leaf := range entriesOf(bundle) {
		sum := sha256.Sum256(append([]byte{0}, leaf...))
		hashes = append(hashes, sum[:])
	}
	return hashes, nil
}

// entriesOf splits an entry bundle (C2SP tlog-tiles).
func entriesOf(bundle []byte) (all [][]byte) {
	for len(bundle) > 2 {
		n := int(binary.BigEndian.Uint16(bundle))
		all = append(all, bundle[2:2+n])
		bundle = bundle[2+n:]
	}
	return all
}

// A logLoad appends entries by the key of patch-ci, and knows where they went.
type logLoad struct {
	w      *crashWorld
	key    *ecdsa.PrivateKey
	der    []byte
	client *http.Client

	mu    sync.Mutex
	index map[[sha256.Size]byte]int64 // of what was signed
}

func newLogLoad(w *crashWorld) *logLoad {
	block, _ := pem.Decode([]byte(w.read("patch-ci.pem")))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	key := parsed.(*ecdsa.PrivateKey)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	return &logLoad{
		w: w, key: key, der: der, index: map[[sha256.Size]byte]int64{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: logWriters}, Timeout: 30 * time.Second},
	}
}

// write appends until ctx ends or the server does.
func (l *logLoad) write(ctx context.Context) {
	for ctx.Err() == nil {
		digest := sha256.Sum256([]byte(rand.Text()))
		index, err := l.add(ctx, digest)
		if err != nil {
			return
		}
		l.mu.Lock()
		l.index[digest] = index
		l.mu.Unlock()
	}
}

func (l *logLoad) add(ctx context.Context, digest [sha256.Size]byte) (int64, error) {
	sig, err := ecdsa.SignASN1(rand.Reader, l.key, digest[:])
	if err != nil {
		return 0, err
	}
	b64 := base64.StdEncoding.EncodeToString
	body := fmt.Appendf(nil, `{"hashedRekordRequestV002":{"digest":%q,"signature":{"content":%q,"verifier":{"publicKey":{"rawBytes":%q},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}`,
		b64(digest[:]), b64(sig), b64(l.der))
	req, err := http.NewRequestWithContext(ctx, "POST", l.w.url+"/api/v2/log/entries", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var entry struct {
		LogIndex string `json:"logIndex"`
	}
	if resp.StatusCode != http.StatusCreated {
		return 0, fmt.Errorf("answered %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&entry); err != nil {
		return 0, err
	}
	return strconv.ParseInt(entry.LogIndex, 10, 64)
}

// audit reads the whole log and looks for every entry that was acknowledged.
func (l *logLoad) audit() {
	l.w.t.Helper()
	if len(l.index) < logWriters {
		l.w.t.Fatalf("%d entries were acknowledged: nothing was shown", len(l.index))
	}
	leaves := l.leaves()
	for digest, index := range l.index {
		if index >= int64(len(leaves)) || leaves[index] != digest {
			l.w.t.Errorf("entry %d of %x was acknowledged and is not there", index, digest)
		}
	}
}

const tileWidth = 256

// leaves returns the digest each leaf signs, in the order of the log; zero for
// leaves of another form.
func (l *logLoad) leaves() (all [][sha256.Size]byte) {
	size := l.size()
	for n := 0; len(all) < size; n++ {
		name := fmt.Sprintf("/api/v2/tile/entries/%s", tilePath(n))
		if rest := size - len(all); rest < tileWidth {
			name += fmt.Sprintf(".p/%d", rest)
		}
		for _, leaf := range entriesOf(l.get(name)) {
			all = append(all, digestOfLeaf(leaf))
		}
	}
	return all
}

func digestOfLeaf(leaf []byte) (digest [sha256.Size]byte) {
	var doc struct {
		Spec struct {
			V struct {
				Data struct{ Digest []byte }
			} `json:"hashedRekordV002"`
		}
	}
	if json.Unmarshal(leaf, &doc) == nil {
		copy(digest[:], doc.Spec.V.Data.Digest)
	}
	return digest
}

// tilePath writes a tile's number as C2SP tlog-tiles does: x001/234.
func tilePath(n int) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	return path
}

func (l *logLoad) size() int {
	lines := bytes.Split(l.get("/api/v2/checkpoint"), []byte("\n"))
	n, err := strconv.Atoi(string(lines[1]))
	if err != nil {
		l.w.t.Fatal(err)
	}
	return n
}

func (l *logLoad) get(path string) []byte {
	resp, err := l.client.Get(l.w.url + path)
	if err != nil {
		l.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		l.w.t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return b
}
