package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// A page is one answer of the bare server: what net/http costs when nobody
// asks who may have what.
type page struct {
	Path   string
	Type   string
	Digest string
	File   string
}

// small is the size up to which the bare server answers from memory.
const small = 512 << 10

// serveBare serves pages, listed in a file, until ctx ends.
func serveBare(ctx context.Context, list, address string, k keyPair, stdout io.Writer) error {
	b, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var pages []page
	if err := json.Unmarshal(b, &pages); err != nil {
		return fmt.Errorf("reading %s: %w", list, err)
	}
	handlers := map[string]http.HandlerFunc{}
	for _, p := range pages {
		if handlers[p.Path], err = p.handler(); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := handlers[r.URL.Path]; h != nil {
			h(w, r)
			return
		}
		http.NotFound(w, r)
	})}
	go func() {
		<-ctx.Done()
		_ = srv.Close() // it holds nothing
	}()
	fmt.Fprintln(stdout, "listening on http://"+l.Addr().String())
	if err := k.serve(srv, l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler answers from memory, or hands the file to the kernel.
func (p page) handler() (http.HandlerFunc, error) {
	info, err := os.Stat(p.File)
	if err != nil {
		return nil, err
	}
	if info.Size() > small {
		return func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(p.File)
			if err != nil {
				http.Error(w, "gone", http.StatusInternalServerError)
				return
			}
			defer f.Close()
			p.headers(w.Header())
			http.ServeContent(w, r, "", time.Time{}, f)
		}, nil
	}
	b, err := os.ReadFile(p.File)
	return func(w http.ResponseWriter, r *http.Request) {
		p.headers(w.Header())
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(b) // the client is gone: there is nobody to tell
		}
	}, err
}

func (p page) headers(h http.Header) {
	h.Set("Content-Type", p.Type)
	h.Set("Docker-Content-Digest", p.Digest)
}
