package e2e

import (
	"net"
	"net/http"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// files PORT DIR serves the files of a log as whoever runs a Rekor does, until the
// script ends.
func files(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: files PORT DIR")
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	dir := http.Dir(ts.MkAbs(args[1]))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/api/v2")
		http.FileServer(dir).ServeHTTP(w, r)
	})}
	go s.Serve(l)
	ts.Defer(func() { s.Close() })
}
