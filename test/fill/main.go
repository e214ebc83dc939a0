// Command fill puts very many manifests into one repository of a server that is
// stopped, each with a tag of its own, for whoever measures what a large
// repository costs: by pushing it would take the disk an hour. The ledger's own
// packages write journal and log, as the server has them do; what is left out
// is the sync of each single manifest, which nobody was told is durable.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("fill", flag.ContinueOnError)
	fs.SetOutput(stderr)
	config := fs.String("config", "", "configuration of the server")
	var what notes
	fs.StringVar(&what.repository, "repository", "", "repository of a product that is served, and that has the blob {}")
	fs.StringVar(&what.by, "by", "", "principal who put them")
	fs.Int64Var(&what.number, "manifests", 100_000, "how many")
	if fs.Parse(args) != nil || fs.NArg() > 0 || *config == "" || what.repository == "" || what.by == "" {
		return 2
	}
	start := time.Now()
	l, err := open(ctx, *config)
	if err == nil {
		err = errors.Join(what.put(ctx, l), l.close())
	}
	if err != nil {
		fmt.Fprintln(stderr, "fill: error:", err)
		return 1
	}
	fmt.Fprintf(stdout, "%d manifests in %.1f s\n", what.number, time.Since(start).Seconds())
	return 0
}
