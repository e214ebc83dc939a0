// Command peers measures patchfitd next to other registries, and next to a
// bare net/http server, all in one run: each is a process of its own on a
// loopback port, with the same content, under the same load from another
// process; they take turns window by window. Figures go to standard output in
// the form of `go test -bench`, a table to standard error. It writes nothing
// but a temporary directory.
//
// main.go sets the table; row.go measures; load.go and client.go are the load;
// patchfit.go, rivals.go and bare.go are the servers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	bin, demo, registry, zot, dir string
	rounds                        int
	window, limit                 time.Duration
	seed                          int64
	only                          *regexp.Regexp
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var err error
	if len(args) > 0 && args[0] == "bare" {
		err = runBare(ctx, args[1:], stdout, stderr)
	} else {
		err = runAll(ctx, args, stdout, stderr)
	}
	switch {
	case errors.Is(err, errUsage):
		return 2
	case err != nil:
		fmt.Fprintln(stderr, "peers: error:", err)
		return 1
	}
	return 0
}

var errUsage = errors.New("usage")

func runBare(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("peers bare", flag.ContinueOnError)
	fs.SetOutput(stderr)
	pages := fs.String("pages", "", "file that lists what to serve")
	listen := fs.String("listen", "127.0.0.1:0", "address")
	var k keyPair
	fs.StringVar(&k.certificate, "certificate", "", "certificate, in PEM, to serve with TLS")
	fs.StringVar(&k.key, "key", "", "its key")
	if fs.Parse(args) != nil {
		return errUsage
	}
	return serveBare(ctx, *pages, *listen, k, stdout)
}

func runAll(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	dir, err := os.MkdirTemp(o.dir, "patchfit-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f := &field{options: o, dir: dir, stderr: stderr, report: newReport(stdout)}
	defer f.stop()
	if err := f.open(ctx); err != nil {
		return err
	}
	f.compete(ctx)
	f.report.print(stderr, f.labels())
	return nil
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("peers", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.bin, "bin", "bin", "directory of the built programs")
	fs.StringVar(&o.demo, "demo", "test/demo/testdata", "directory of the sources of a base and a patch")
	fs.StringVar(&o.registry, "registry", "", "plain distribution's program (default: registry in -bin)")
	fs.StringVar(&o.zot, "zot", "", "zot's program; without it nothing is compared with zot")
	fs.StringVar(&o.dir, "dir", "", "directory on the disk to measure on (default: the temporary one)")
	fs.IntVar(&o.rounds, "rounds", 5, "windows of each server in each row; the median counts")
	fs.DurationVar(&o.window, "window", time.Second, "length of a window; rows of large blobs take more")
	fs.Int64Var(&o.seed, "seed", 100_000, "manifests of the repository of very many; 0: none, and nothing is measured there")
	fs.DurationVar(&o.limit, "limit", 12*time.Minute, "how long it may take in all; what is not measured by then is not")
	only := fs.String("only", "", "regular expression of the rows to measure")
	if fs.Parse(args) != nil || fs.NArg() > 0 || o.rounds < 1 || o.seed < 0 {
		return o, errUsage
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.registry == "" {
		o.registry = filepath.Join(o.bin, "registry")
	}
	return o, absolute(&o.bin, &o.demo, &o.registry, &o.zot)
}

func absolute(paths ...*string) error {
	for _, p := range paths {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}
