package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
)

// TestAuthorityIsAskedWhereItCounts: a request that takes its time does not
// outlast what let it in. Whoever loses their role while their bytes come in
// leaves nothing on record.
func TestAuthorityIsAskedWhereItCounts(t *testing.T) {
	s := newServer(t)
	w := s.world("one")
	s.pushArtifacts(w)
	blob := []byte("a blob that takes its time")
	another := bytes.Replace(w.image, []byte(`"schemaVersion"`), []byte(` "schemaVersion"`), 1)
	bundles, _ := s.bundles(w)
	s.pushBlob(s.publisher, repo, bundles[0])
	bundle := carrier(t, bundles[0], w.image)
	begun := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"})
	requests := map[string]struct {
		method, path, mediaType string
		body                    []byte
	}{
		"a blob in one POST": {http.MethodPost, "/v2/" + repo + "/blobs/uploads/?digest=" + sum(blob), octets, blob},
		"the end of a blob":  {http.MethodPut, begun.header.Get("Location") + "&digest=" + sum(blob), octets, blob},
		"a manifest":         {http.MethodPut, manifestPath(sum(another)), mediaManifest, another},
		"a bundle":           {http.MethodPut, manifestPath(sum(bundle)), mediaManifest, bundle},
		"a tag":              {http.MethodPut, manifestPath("latest"), mediaManifest, w.image},
		"tags":               {http.MethodPut, manifestPath(sum(w.image)) + "?tag=a&tag=b", mediaManifest, w.image},
	}
	var reading sync.WaitGroup // who is read was let in
	reading.Add(len(requests))
	server := httptest.NewServer(s.asked(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &watchedBody{r.Body, sync.OnceFunc(reading.Done)}
		s.oci.ServeHTTP(w, r)
	}))
	defer server.Close()
	bodies, answers := map[string]*io.PipeWriter{}, make(chan reply, len(requests))
	for name, q := range requests {
		r, body := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), q.method, server.URL+q.path, r)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = int64(len(q.body))
		req.Header.Set("Content-Type", q.mediaType)
		req.Header.Set(whoHeader, s.publisher)
		go func() {
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				answers <- reply{}
				return
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			answers <- reply{resp.StatusCode, resp.Header, b}
		}()
		if _, err := body.Write(q.body[:1]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		bodies[name] = body
	}
	reading.Wait()
	before := len(s.House.Journal.Records())
	s.Must(ledger.KindGrant, ledger.Granted{Principal: s.publisher, Product: s.Product.ID, Role: state.RolePublisher, Revoked: true, By: s.Admin})
	for name, body := range bodies {
		if _, err := body.Write(requests[name].body[1:]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		body.Close()
		if r := <-answers; r.status != http.StatusNotFound && r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	for _, r := range s.House.Journal.Records()[before+1:] {
		t.Errorf("recorded for somebody without a role: %s", r.Kind)
	}
	if _, there := s.State.Blob(repo, attest.DigestOf(blob)); there {
		t.Error("the blob is there")
	}
}

// watchedBody tells when somebody begins to read it.
type watchedBody struct {
	io.ReadCloser
	begun func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.begun()
	return b.ReadCloser.Read(p)
}
