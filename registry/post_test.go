package registry_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// post sends a blob with the request that begins its upload.
func (s *server) post(who, name string, digest string, b []byte) reply {
	s.t.Helper()
	return s.send(request{
		who: who, method: http.MethodPost, path: "/v2/" + name + "/blobs/uploads/?digest=" + digest, body: b,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
}

// nothingIsOpen has no upload left over, in memory or on the disk.
func (s *server) nothingIsOpen(when string) {
	s.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left, err := os.ReadDir(filepath.Join(s.root, "uploads"))
		if err != nil {
			s.t.Fatal(err)
		}
		n := s.oci.OpenUploads()
		if n == 0 && len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s: %d uploads are open and %d files left", when, n, len(left))
		}
	}
}

// TestOnePost: a blob that comes with the request that begins its upload is in
// the repository with the 201, by either digest, on record, and nothing is left.
func TestOnePost(t *testing.T) {
	s := newServer(t)
	for _, b := range [][]byte{[]byte("one post"), {}, []byte(strings.Repeat("large", 100_000))} {
		for _, named := range []string{sum(b), name512(b)} {
			r := s.post(s.publisher, repo, named, b)
			if r.status != http.StatusCreated || r.header.Get("Location") != "/v2/"+repo+"/blobs/"+named || r.header.Get("Docker-Content-Digest") != named {
				t.Fatalf("%d %v %s", r.status, r.header, r.body)
			}
			if got := s.get(s.publisher, "/v2/"+repo+"/blobs/"+named); got.status != http.StatusOK || string(got.body) != string(b) {
				t.Errorf("read back: %d", got.status)
			}
		}
		if _, ok := s.State.Blob(repo, attest.DigestOf(b)); !ok {
			t.Error("it is not on record")
		}
		s.nothingIsOpen("afterwards")
	}
}

// TestOnePostIsAnUploadLikeOthers: what is refused elsewhere is refused here, in
// the same words, and leaves nothing.
func TestOnePostIsAnUploadLikeOthers(t *testing.T) {
	s := newServer(t)
	s.oci.Limits.Blob = 100
	s.oci.Limits.RepositoryBytes = 150
	s.must(http.StatusCreated, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/?digest=" + sum(make([]byte, 100)), body: make([]byte, 100)})
	b := []byte("the blob")
	for name, c := range map[string]struct {
		who    string
		digest string
		body   []byte
		header http.Header
		status int
		code   string
	}{
		"other bytes":           {s.publisher, sum(b), []byte("others"), nil, 400, "DIGEST_INVALID"},
		"no bytes":              {s.publisher, sum(b), nil, nil, 400, "DIGEST_INVALID"},
		"other bytes, sha512":   {s.publisher, name512(b), []byte("others"), nil, 400, "DIGEST_INVALID"},
		"no digest that is one": {s.publisher, "sha256:00", b, nil, 400, "DIGEST_INVALID"},
		"a digest of another":   {s.publisher, "md5:d41d8cd98f00b204e9800998ecf8427e", b, nil, 400, "DIGEST_INVALID"},
		"digest twice":          {s.publisher, sum(b) + "&digest=" + sum(b), b, nil, 400, "INVALID"},
		"too large":             {s.publisher, sum(make([]byte, 101)), make([]byte, 101), nil, 413, "SIZE_INVALID"},
		"above the quota":       {s.publisher, sum(make([]byte, 60)), make([]byte, 60), nil, 403, "DENIED"},
		"a part":                {s.publisher, sum(b), b, http.Header{"Content-Range": {"0-7"}}, 400, "BLOB_UPLOAD_INVALID"},
		"a form":                {s.publisher, sum(b), b, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415, "UNSUPPORTED"},
		"a host":                {s.host, sum(b), b, nil, 403, "DENIED"},
		"an auditor":            {s.auditor, sum(b), b, nil, 403, "DENIED"},
		"a stranger":            {s.stranger, sum(b), b, nil, 404, "NAME_UNKNOWN"},
		"nobody":                {"", sum(b), b, nil, 401, "UNAUTHORIZED"},
	} {
		r := s.send(request{who: c.who, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/?digest=" + c.digest, body: c.body, header: c.header})
		if r.status != c.status || r.code() != c.code || r.header.Get("Location") != "" {
			t.Errorf("%s: %d %s, want %d %s", name, r.status, r.body, c.status, c.code)
		}
		s.nothingIsOpen(name)
	}
	if _, ok := s.State.Blob(repo, attest.DigestOf(b)); ok {
		t.Error("one of them is in the repository")
	}
}

// TestOnePostBesideMount: a mount that comes to nothing is a session, whatever
// else is said.
func TestOnePostBesideMount(t *testing.T) {
	s := newServer(t)
	b := []byte("mounted")
	r := s.post(s.publisher, repo, sum(b)+"&mount="+sum(b)+"&from=nowhere", b)
	if _, there := s.State.Blob(repo, attest.DigestOf(b)); r.status != http.StatusAccepted || there {
		t.Errorf("%d, in the repository: %v", r.status, there)
	}
}

// TestOnePostWithoutARecord: a journal that takes no record makes a 503, and
// trying again makes it whole.
func TestOnePostWithoutARecord(t *testing.T) {
	s := newServer(t)
	b := []byte("recorded")
	for _, after := range []bool{false, true} {
		s.journal.fail(ledger.KindBlob, after)
		if r := s.post(s.publisher, repo, sum(b), b); r.status != http.StatusServiceUnavailable {
			t.Errorf("%d %s", r.status, r.body)
		}
		s.nothingIsOpen("without a record")
	}
	s.journal.fail("", false)
	if r := s.post(s.publisher, repo, sum(b), b); r.status != http.StatusCreated {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// TestOnePostBrokenOff: half a body is no blob, and its session is gone.
func TestOnePostBrokenOff(t *testing.T) {
	s := newServer(t)
	for _, body := range []string{"Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST /v2/%s/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: x\r\n%s: %s\r\n%s", repo, sum([]byte("half")), whoHeader, s.publisher, body)
		for end := time.Now().Add(5 * time.Second); s.oci.OpenUploads() == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if r, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			if got, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusBadRequest || !strings.Contains(string(got), "BLOB_UPLOAD_INVALID") {
				t.Errorf("%d %s", r.StatusCode, got)
			}
		}
		c.Close()
		s.nothingIsOpen("broken off")
		if _, there := s.State.Blob(repo, attest.DigestOf([]byte("half"))); there {
			t.Error("half a body is a blob")
		}
	}
	if l := s.logs.String(); strings.Contains(l, "answering failed") {
		t.Errorf("a client that left is an error of ours:\n%s", l)
	}
}
