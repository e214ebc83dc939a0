package e2e

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// A front stands before the script's server, as a load balancer does. It passes
// on what it gets as it is; one that is careless keeps what anybody got, and
// gives it to everybody.
type front struct {
	pass *httputil.ReverseProxy

	mu   sync.Mutex
	kept map[string]answered // by path and query; nil: it keeps nothing
}

type answered struct {
	header http.Header
	body   []byte
}

type frontKey struct{}

// proxy honest PORT BEHIND has a front at one port of this machine pass on to
// the server at another; proxy careless makes it keep what anybody got.
func proxy(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.Value(frontKey{}).(*front)
	switch {
	case !neg && len(args) == 3 && args[0] == "honest" && p.pass == nil:
		p.to(&url.URL{Scheme: "http", Host: "127.0.0.1:" + args[2]})
		l, err := net.Listen("tcp", "127.0.0.1:"+args[1])
		ts.Check(err)
		s := &http.Server{Handler: p}
		go s.Serve(l)
		ts.Defer(func() { s.Close() })
	case !neg && len(args) == 1 && args[0] == "careless" && p.pass != nil:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.kept = make(map[string]answered)
	default:
		ts.Fatalf("usage: proxy honest PORT BEHIND, then proxy careless")
	}
}

// to passes requests on to target as they were written.
func (p *front) to(target *url.URL) {
	p.pass = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.Out.Host = r.In.Host
		},
		ModifyResponse: p.keep,
	}
}

func (p *front) keep(r *http.Response) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	artifact := strings.Contains(r.Request.URL.Path, "/manifests/") || strings.Contains(r.Request.URL.Path, "/blobs/")
	if p.kept == nil || !artifact || r.Request.Method != http.MethodGet || r.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.kept[r.Request.URL.RequestURI()] = answered{r.Header.Clone(), body}
	return nil
}

func (p *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	have, ok := p.kept[r.URL.RequestURI()]
	p.mu.Unlock()
	if !ok || r.Method != http.MethodGet {
		p.pass.ServeHTTP(w, r)
		return
	}
	for name, values := range have.header {
		w.Header()[name] = values
	}
	w.Write(have.body)
}
