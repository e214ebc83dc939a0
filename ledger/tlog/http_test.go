package tlog

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/client/write"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

func request(t testing.TB, req *pb.HashedRekordRequestV002) string {
	t.Helper()
	b, err := protojson.Marshal(&pb.CreateEntryRequest{Spec: &pb.CreateEntryRequest_HashedRekordRequestV002{HashedRekordRequestV002: req}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func call(t testing.TB, h http.Handler, method, path, body string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return w.Result()
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWire holds the answer to the members, and the forms of their values,
// that a Rekor v2 server sends.
func TestWire(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	body := request(t, leaf(t))
	r := call(t, l, http.MethodPost, "/api/v2/log/entries", body)
	if r.StatusCode != http.StatusCreated || r.Header.Get("Content-Type") != "application/json" {
		t.Fatal(r.Status, r.Header, text(t, r))
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(text(t, r)), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"canonicalizedBody", "inclusionPromise", "inclusionProof", "integratedTime", "kindVersion", "logId", "logIndex"}
	if d := cmp.Diff(want, slices.Sorted(maps.Keys(got))); d != "" {
		t.Error(d)
	}
	if got["logIndex"] != "0" || got["integratedTime"] != "0" || got["inclusionPromise"] != nil {
		t.Errorf("%v", got)
	}
	proof := got["inclusionProof"].(map[string]any)
	if d := cmp.Diff([]string{"checkpoint", "hashes", "logIndex", "rootHash", "treeSize"}, slices.Sorted(maps.Keys(proof))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]any{"kind": "hashedrekord", "version": "0.0.2"}, got["kindVersion"]); d != "" {
		t.Error(d)
	}
	again := call(t, l, http.MethodPost, "/api/v2/log/entries", body)
	if again.StatusCode != http.StatusCreated {
		t.Errorf("duplicate: %s %s", again.Status, text(t, again))
	}
}

func TestStockWriter(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(newHouse(t).open())
	defer srv.Close()
	w, err := write.NewWriter(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	req := leaf(t)
	for range 2 {
		e, err := w.Add(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if e.GetLogIndex() != 0 {
			t.Errorf("entry %d", e.GetLogIndex())
		}
	}
}

func with(t testing.TB, f func(*pb.HashedRekordRequestV002)) string {
	req := proto.Clone(leaf(t)).(*pb.HashedRekordRequestV002)
	f(req)
	return request(t, req)
}

// TestRSALeaves has leaves by RSA keys logged.
func TestRSALeaves(t *testing.T) {
	t.Parallel()
	l := newHouse(t).open()
	for _, bits := range []int{2048, 3072} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		s, pub := signerOf(t, k)
		r := call(t, l, http.MethodPost, "/api/v2/log/entries", request(t, newLeaf(t, s, pub, "by RSA")))
		if b := text(t, r); r.StatusCode != 201 {
			t.Errorf("%d bits: %s %s", bits, r.Status, b)
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	l := newHouse(t).open()
	good := request(t, leaf(t))
	for name, c := range map[string]struct {
		body string
		want int
		says string
	}{
		"empty":            {"", 400, ""},
		"no entry":         {"{}", 400, "must be hashedrekord"},
		"dsse":             {`{"dsseRequestV002":{}}`, 400, "must be hashedrekord"},
		"unknown member":   {strings.Replace(good, `{`, `{"extra":1,`, 1), 400, "extra"},
		"unknown, below":   {strings.Replace(good, `"digest"`, `"Digest"`, 1), 400, "Digest"},
		"duplicate member": {strings.Replace(good, `"digest"`, `"digest":"","digest"`, 1), 400, "duplicate"},
		"trailing data":    {good + "{}", 400, ""},
		"cut":              {good[:len(good)-1], 400, ""},
		"too large":        {good + strings.Repeat(" ", maxRequest), 413, "too large"},
		"no digest":        {with(t, func(r *pb.HashedRekordRequestV002) { r.Digest = nil }), 400, "digest"},
		"short digest":     {with(t, func(r *pb.HashedRekordRequestV002) { r.Digest = r.Digest[1:] }), 400, "digest length"},
		"other digest":     {with(t, func(r *pb.HashedRekordRequestV002) { r.Digest[0] ^= 1 }), 400, "verifying signature"},
		"no signature":     {with(t, func(r *pb.HashedRekordRequestV002) { r.Signature.Content = nil }), 400, "signature"},
		"other signature":  {with(t, func(r *pb.HashedRekordRequestV002) { r.Signature.Content[9] ^= 1 }), 400, "verifying signature"},
		"no key":           {with(t, func(r *pb.HashedRekordRequestV002) { r.Signature.Verifier.Verifier = nil }), 400, "publicKey"},
		"no key at all":    {with(t, func(r *pb.HashedRekordRequestV002) { r.Signature = nil }), 400, "publicKey"},
		"garbage key": {with(t, func(r *pb.HashedRekordRequestV002) {
			r.Signature.Verifier.GetPublicKey().RawBytes = []byte("x")
		}), 400, "publicKey"},
		"other algorithm": {with(t, func(r *pb.HashedRekordRequestV002) {
			r.Signature.Verifier.KeyDetails = protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384
		}), 400, "the key is of kind PKIX_ECDSA_P256_SHA_256"},
		"no algorithm": {with(t, func(r *pb.HashedRekordRequestV002) { r.Signature.Verifier.KeyDetails = 0 }), 400, "keyDetails"},
		"certificate": {with(t, func(r *pb.HashedRekordRequestV002) {
			r.Signature.Verifier.Verifier = &pb.Verifier_X509Certificate{X509Certificate: &protocommon.X509Certificate{RawBytes: []byte("x")}}
		}), 400, "x509Certificate: not the DER of one X.509 certificate"},
	} {
		r := call(t, l, http.MethodPost, "/api/v2/log/entries", c.body)
		var refusal struct {
			Code    int
			Message string
		}
		b := text(t, r)
		if err := json.Unmarshal([]byte(b), &refusal); err != nil {
			t.Errorf("%s: answer %q: %v", name, b, err)
		}
		if r.StatusCode != c.want || refusal.Code != 3 || !strings.Contains(refusal.Message, c.says) {
			t.Errorf("%s: %s %s, want %d and %q", name, r.Status, b, c.want, c.says)
		}
	}
	if n, _ := l.Size(t.Context()); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.opts.Allowed = nil
	l := h.open()
	s, pub := newSigner(t)
	body := request(t, newLeaf(t, s, pub, "x"))
	r := call(t, l, http.MethodPost, "/api/v2/log/entries", body)
	if b := text(t, r); r.StatusCode != 403 || !strings.Contains(b, string(pub.ID())) || !strings.Contains(b, `"code":7`) {
		t.Errorf("stranger: %s %s", r.Status, b)
	}
	if r := call(t, l, http.MethodGet, "/api/v2/log/entries", ""); r.StatusCode != 405 {
		t.Errorf("GET: %s", r.Status)
	}
	h2 := newHouse(t)
	l = h2.open()
	closed(t, l)
	r = call(t, l, http.MethodPost, "/api/v2/log/entries", body)
	if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
		t.Errorf("closed: %s %v", r.Status, r.Header)
	}
}

func TestReadSide(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	for range 2 {
		add(t, l, leaf(t), false)
	}
	// As a crash leaves them: written, never integrated.
	for _, kind := range []string{"tile/0/000.p/", "tile/entries/000.p/"} {
		if err := os.WriteFile(filepath.Join(h.dir, kind+"3"), h.read(kind+"2"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{
		"/api/v2/checkpoint":                                     200,
		"/api/v2/tile/0/000.p/2":                                 200,
		"/api/v2/tile/entries/000.p/2":                           200,
		"/api/v2/tile/0/000.p/3":                                 404, // not published
		"/api/v2/tile/entries/000.p/3":                           404,
		"/api/v2/tile/0/000":                                     404,
		"/api/v2/tile/1/000.p/1":                                 404,
		"/api/v2/tile/0/001.p/1":                                 404,
		"/api/v2/tile/0/000.p/02":                                404,
		"/api/v2/tile/00/000.p/2":                                404,
		"/api/v2/tile/0/x000/000.p/2":                            404,
		"/api/v2/tile/63/000.p/1":                                404,
		"/api/v2/tile/entries/x999/x999/x999/x999/x999/x999/999": 404,
		"/api/v2/":                             404,
		"/api/v2/tile/":                        404,
		"/api/v2/tile/0/":                      404,
		"/api/v2/tile/0/000.p/":                404,
		"/api/v2/tile/entries/":                404,
		"/api/v2/.state/treeState":             404,
		"/api/v2/tile/../.state/treeState":     307,
		"/api/v2/tile/..%2f.state%2ftreeState": 404,
		"/api/v2/tile/0/..%2f..%2fcheckpoint":  404,
		"/api/v2/tile/%00":                     404,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := call(t, l, method, path, "")
			if r.StatusCode != want && !(want == 307 && r.StatusCode/100 == 3) {
				t.Errorf("%s %s: %s, want %d", method, path, r.Status, want)
			}
			if b := text(t, r); r.StatusCode == 404 && b != "404 page not found\n" {
				t.Errorf("%s %s: %q", method, path, b)
			}
		}
	}
	r := call(t, l, http.MethodGet, "/api/v2/checkpoint", "")
	cp, err := ledger.OpenCheckpoint([]byte(text(t, r)), []ledger.LogKey{h.logKey()})
	if err != nil || cp.Size != 2 {
		t.Errorf("checkpoint %v, %v", cp, err)
	}
	if b := text(t, call(t, l, http.MethodGet, "/api/v2/tile/0/000.p/2", "")); len(b) != 64 {
		t.Errorf("tile of %d bytes, want 64", len(b))
	}
	if call(t, l, http.MethodPost, "/api/v2/checkpoint", "").StatusCode != 405 {
		t.Error("the checkpoint can be posted")
	}
}

// FuzzParseRequest: whatever is taken for a request makes the same request
// again when it is written, and never a panic on its way to a leaf.
func FuzzParseRequest(f *testing.F) {
	good := request(f, leaf(f))
	f.Add([]byte(good))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"dsseRequestV002":{"envelope":{}}}`))
	f.Add([]byte(`{"hashedRekordRequestV002":{"digest":"AA==","signature":{"content":"AA","verifier":{"x509Certificate":{"rawBytes":"AA=="},"keyDetails":5}}}}`))
	f.Add([]byte(strings.Replace(good, "hashedRekordRequestV002", "hashed_rekord_request_v002", 1)))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := parseRequest(body)
		if err != nil {
			return
		}
		again, err := parseRequest([]byte(request(t, req)))
		if err != nil || !proto.Equal(req, again) {
			t.Fatalf("written again it is another: %v", err)
		}
		by, err := ledger.LeafSigner(req)
		leaf, lerr := ledger.LeafBody(req)
		if lerr != nil {
			return
		}
		e, perr := ledger.ParseEntry(leaf)
		if err != nil || perr != nil || !e.Key.Equal(by.SigningKey()) || e.Digest != attest.DigestFromSum(req.GetDigest()) {
			t.Fatalf("the leaf says something else: %v %v", err, perr)
		}
	})
}
