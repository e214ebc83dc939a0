package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// TestRequestsAreSigned looks at what leaves: every byte of a body is under the
// signature, and nothing is there that old servers choke on.
func TestRequestsAreSigned(t *testing.T) {
	body := []byte("the bytes of a patch")
	sum := sha256.Sum256(body)
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		h := r.Header
		if string(got) != string(body) || h.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
			t.Errorf("sent %q with hash %s", got, h.Get("X-Amz-Content-Sha256"))
		}
		if !strings.Contains(h.Get("Authorization"), "x-amz-content-sha256") {
			t.Errorf("the signature does not cover the hash: %s", h.Get("Authorization"))
		}
		for _, odd := range []string{"X-Amz-Trailer", "Content-Encoding", "Expect", "X-Amz-Sdk-Checksum-Algorithm"} {
			if h.Get(odd) != "" {
				t.Errorf("sent %s: %s", odd, h.Get(odd))
			}
		}
		if r.URL.EscapedPath() != "/patches/blobs/a" {
			t.Errorf("sent to %s", r.URL.EscapedPath())
		}
	})
	if err := d.PutContent(t.Context(), "/blobs/a", body); err != nil {
		t.Error(err)
	}
}

// TestLyingServers gives answers that look like success and are not.
func TestLyingServers(t *testing.T) {
	object := func(w http.ResponseWriter, status int, header, body string) {
		for h := range strings.SplitSeq(header, "\n") {
			k, v, _ := strings.Cut(h, ": ")
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	for name, tc := range map[string]struct {
		status       int
		header, body string
	}{
		"ignores the range":   {200, "Etag: \"e\"", "0123456789"},
		"another range":       {206, "Etag: \"e\"\nContent-Range: bytes 3-9/10", "3456789"},
		"range cut short":     {206, "Etag: \"e\"\nContent-Range: bytes 4-6/10", "456"},
		"longer than it says": {206, "Etag: \"e\"\nContent-Range: bytes 4-9/11", "456789"},
		"no version":          {206, "Content-Range: bytes 4-9/10", "456789"},
		"no length":           {206, "Etag: \"e\"\nContent-Range: bytes 4-9/10\nTransfer-Encoding: chunked", "456789"},
		"redirect":            {307, "Location: /elsewhere", ""},
		"not modified":        {304, "Etag: \"e\"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := fake(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("followed the redirect")
				}
				object(w, tc.status, tc.header, tc.body)
			})
			r, err := d.Reader(t.Context(), "/blobs/a", 4)
			if err == nil {
				b, err := io.ReadAll(r)
				t.Errorf("read %q, %v", b, err)
			}
			if r != nil {
				t.Error("an error and a reader")
			}
			var gone storagedriver.PathNotFoundError
			if errors.As(err, &gone) {
				t.Errorf("taken for a missing blob: %v", err)
			}
		})
	}
}

// TestMissingBucketIsNoMissingBlob tells an outage from an empty store.
func TestMissingBucketIsNoMissingBlob(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, "<Error><Code>NoSuchBucket</Code></Error>")
		}
	})
	ctx := t.Context()
	var none storagedriver.PathNotFoundError
	_, stat := d.Stat(ctx, "/blobs/a")
	_, get := d.GetContent(ctx, "/blobs/a")
	_, list := d.List(ctx, "/blobs")
	_, add := d.Writer(ctx, "/uploads/a", true)
	walk := d.Walk(ctx, "/blobs", func(storagedriver.FileInfo) error { return nil })
	for name, err := range map[string]error{"stat": stat, "get": get, "list": list, "append": add, "walk": walk, "delete": d.Delete(ctx, "/blobs/a")} {
		if err == nil || errors.As(err, &none) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestListingCutShort refuses to believe half a listing.
func TestListingCutShort(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>blobs/a</Key><Size>1</Size></Contents></ListBucketResult>")
	})
	if all, err := d.List(t.Context(), "/blobs"); err == nil {
		t.Errorf("listed %q", all)
	}
	err := d.Walk(t.Context(), "/blobs", func(storagedriver.FileInfo) error { return nil })
	if err == nil {
		t.Error("walked to an end that is none")
	}
}

// TestAnotherVersionOnResume reads from a server that cuts the first answer and
// goes on with another object, whatever If-Match says.
func TestAnotherVersionOnResume(t *testing.T) {
	for name, second := range map[string]struct{ etag, contentRange string }{
		"etag":   {`"new"`, "bytes 4-9/10"},
		"length": {`"old"`, "bytes 4-8/9"},
	} {
		calls := 0
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls == 1 {
				w.Header().Set("Etag", `"old"`)
				w.Header().Set("Content-Length", "10")
				_, _ = io.WriteString(w, "0123")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			if r.Header.Get("If-Match") != `"old"` || r.Header.Get("Range") != "bytes=4-" {
				t.Errorf("%s: goes on with %v", name, r.Header)
			}
			w.Header().Set("Etag", second.etag)
			w.Header().Set("Content-Range", second.contentRange)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "abcdef"[:second.contentRange[8]-'4'+1])
		})
		r, err := d.Reader(t.Context(), "/blobs/a", 0)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err == nil || string(b) != "0123" {
			t.Errorf("%s: read %q, %v", name, b, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: reading what is closed: %v", name, err)
		}
	}
}

// TestLostAnswerOfCommit completes an upload whose first answer is lost, so that
// the second attempt finds it gone: the object tells whose it is.
func TestLostAnswerOfCommit(t *testing.T) {
	for name, tc := range map[string]struct {
		nonce, length string
		ours          bool
	}{
		"ours":        {"ours", "5", true},
		"another's":   {"theirs", "5", false},
		"not all":     {"ours", "4", false},
		"not written": {"", "", false},
	} {
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodHead && tc.nonce == "":
				w.WriteHeader(http.StatusNotFound)
			case r.Method == http.MethodHead:
				w.Header().Set("X-Amz-Meta-Patchfit-Write", tc.nonce)
				w.Header().Set("Etag", `"e"`)
				w.Header().Set("Content-Length", tc.length)
			default:
				w.WriteHeader(http.StatusNotFound)
				_, _ = io.WriteString(w, "<Error><Code>NoSuchUpload</Code></Error>")
			}
		})
		w := &writer{d: d, ctx: t.Context(), path: "/uploads/a", key: "uploads/a", nonce: "ours", upload: "id", size: 5}
		var gone storagedriver.PathNotFoundError
		if err := w.Commit(t.Context()); (err == nil) != tc.ours || errors.As(err, &gone) {
			t.Errorf("%s: %v", name, err)
		}
		c := copying{d: d, from: "a", to: "b", toPath: "/b", size: 5}
		if err := c.inParts(t.Context()); err == nil {
			t.Errorf("%s: copied by an upload that never was", name)
		}
	}
}

// TestSuccessThatIsNone finds the error in an answer of status 200, as S3 gives
// it when a long request fails late.
func TestSuccessThatIsNone(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead && r.URL.Path == "/patches/blobs/b":
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodHead:
			w.Header().Set("Etag", `"e"`)
			w.Header().Set("Content-Length", "5")
		case r.Method == http.MethodDelete:
			t.Error("deleted the source of a copy that failed")
		default:
			_, _ = io.WriteString(w, "<Error><Code>InternalError</Code><Message>late</Message></Error>")
		}
	})
	if err := d.Move(t.Context(), "/blobs/a", "/blobs/b"); err == nil {
		t.Error("moved")
	}
	if err := d.complete(t.Context(), "blobs/b", "id", nil); err == nil {
		t.Error("completed")
	}
}

func TestPaths(t *testing.T) {
	d := &Driver{prefix: "pre/fix/"}
	for _, path := range []string{"/a", "/blobs/sha256/aa/b.c-d_e", "/a/.b/..c"} {
		if back, ok := d.path(d.key(path)); !ok || back != path {
			t.Errorf("%s comes back as %s, %v", path, back, ok)
		}
	}
	for _, path := range []string{"", "/", "a", "//a", "/a/", "/a//b", "/a b", "/../a", "/a/..", "/a/./b", "/!unfinished/a", "/a\x00", "/a%2fb", "/ä"} {
		if err := checkPath(path); !errors.As(err, new(storagedriver.InvalidPathError)) {
			t.Errorf("%q: %v", path, err)
		}
		if _, err := d.Writer(t.Context(), path, false); err == nil {
			t.Errorf("%q can be written", path)
		}
	}
	for _, key := range []string{"pre/fix/!unfinished/a", "pre/fixed/a", "a", "pre/fix/", "pre/fix/a/"} {
		if path, ok := d.path(key); ok {
			t.Errorf("%s is ours, as %s", key, path)
		}
	}
}
