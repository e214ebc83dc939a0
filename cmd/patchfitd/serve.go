package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger/index"
)

const (
	drainTimeout = 10 * time.Second
	indexPoll    = 100 * time.Millisecond
)

func serveCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use:     "serve",
		Short:   "run the server until SIGTERM",
		Example: "  patchfitd serve --config /etc/patchfit/patchfitd.yaml",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), *config, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// serve opens the house, puts doors on it and prints the address once the
// gate can decide.
func serve(ctx context.Context, configPath string, stdout, stderr io.Writer) (err error) {
	h, err := openHouse(ctx, configPath, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	l, err := h.listen()
	if err != nil {
		return err
	}
	defer l.Close()
	x, err := index.Open(h.path(indexFile))
	if err != nil {
		return exit.Hint(fmt.Errorf("opening the index: %w", err), "it is only a projection: patchfitd reindex makes it again")
	}
	defer x.Close()
	handler, err := h.doors(x, serverconfig.BaseURL(h.config, l.Addr().String()))
	if err != nil {
		return err
	}
	if err := h.notify(); err != nil {
		return err
	}
	if err := h.tellMetrics(stdout); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.catchUp(ctx, x)
	spacious(ctx)
	projected := make(chan struct{})
	go func() { defer close(projected); h.project(ctx, x) }()
	defer func() { cancel(); <-projected }()
	fmt.Fprintln(stdout, "listening on", serverconfig.BaseURL(h.config, l.Addr().String()))
	return h.run(ctx, l, handler)
}

// listen opens the one listener; without TLS only on loopback.
func (h *house) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", h.config.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if h.config.TLS.Certificate == "" && (!ok || !addr.IP.IsLoopback()) {
		l.Close()
		return nil, exit.Hint(fmt.Errorf("%s is not loopback and there is no TLS", h.config.Listen), "set tls.certificate and tls.key, or listen on 127.0.0.1")
	}
	return limited(l, h.config.Limits, h.logger, func() { h.meter.Hit(meter.LimitConnections) }), nil
}

// run serves until ctx ends, then lets running responses finish. A journal
// that is down ends it too: whether what was written is there only a new start
// finds out, and a supervisor makes one.
func (h *house) run(ctx context.Context, l net.Listener, handler http.Handler) error {
	srv := newServer(handler, h.config.Limits)
	done := make(chan error, 1)
	go func() {
		if h.config.TLS.Certificate != "" {
			done <- srv.ServeTLS(l, h.config.TLS.Certificate, h.config.TLS.Key)
			return
		}
		done <- srv.Serve(l)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serving: %w", err)
	case <-h.journal.Dead():
		err := exit.Hint(fmt.Errorf("stopping: %w", h.journal.Err()), "look at the disk, then start again: nothing acknowledged is lost")
		return errors.Join(err, srv.Close())
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("stopping: %w", err), srv.Close())
	}
	return nil
}

// project keeps the index up to the journal. It lags; it never leads. When it
// has what the state has, there is nothing to read until the next record.
func (h *house) project(ctx context.Context, x *index.Index) {
	tick := time.NewTicker(indexPoll)
	defer tick.Stop()
	for indexed := int64(-1); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if h.state.Last() == indexed {
			continue
		}
		h.catchUp(ctx, x)
		indexed, _ = x.Applied(ctx) // 0 where that fails: it is tried again
	}
}

// catchUp brings the index up to the journal. An index that cannot follow
// answers as of an earlier record and says so; the gate does not need it.
func (h *house) catchUp(ctx context.Context, x *index.Index) {
	if err := x.CatchUp(ctx, h.source()); err != nil && ctx.Err() == nil {
		h.logger.Error("the index lags behind the journal", "error", err)
	}
}
