package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/registry/collect"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/scrub"
)

// settle is after how long a server that just began does its chores: one that
// is restarted each day does them, too.
const settle = 10 * time.Minute

// lookAgain is how often what is damaged is looked at again: an alarm is not
// over sooner.
const lookAgain = 5 * time.Minute

// gcCommand collects while no server runs.
func gcCommand(config *string) *cobra.Command {
	var dryRun bool
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "remove what nothing needs from the registry (the server must be stopped)",
		Long: "Applies the retention rules of the configuration, takes blobs that no manifest references out of\n" +
			"their repositories, and removes bytes that are in none. A running server does the same by itself\n" +
			"where the configuration says registry: gc.",
		Example: "  patchfitd gc --dry-run --config /etc/patchfit/patchfitd.yaml",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("grace") && grace <= 0 {
				return exit.BadUsage(fmt.Errorf("a grace of %v is not above zero", grace), "as in: --grace 24h")
			}
			return gc(cmd.Context(), *config, collect.Run{Grace: grace, DryRun: dryRun}, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().DurationVar(&grace, "grace", 0, "how old it has to be (default: registry.gc.grace of the configuration, or 24h)")
	return cmd
}

func gc(ctx context.Context, configPath string, how collect.Run, stdout, stderr io.Writer) (err error) {
	h, err := openHouse(ctx, configPath, stderr)
	if err != nil {
		return err
	}
	defer func() {
		if closed := h.close(); err == nil {
			err = closed
		}
	}()
	bytes, err := h.openContent()
	if err != nil {
		return err
	}
	k := collect.New(collect.Config{State: h.state, Content: bytes, Journal: h.journal}, &collect.Options{Logger: h.logger})
	hidden, removed, err := h.collect(ctx, k, how)
	would := ""
	if how.DryRun {
		would = "would be "
	}
	fmt.Fprintf(stdout, "%shidden by retention rules: %d tags, %d manifests\n", would, hidden.Tags, hidden.Manifests)
	fmt.Fprintf(stdout, "%staken out of repositories: %d blobs of %d bytes\n", would, removed.Blobs, removed.BlobBytes)
	fmt.Fprintf(stdout, "%sremoved from the disk: %d blobs of %d bytes\n", would, removed.Objects, removed.ObjectBytes)
	return err
}

// collect applies the retention rules, then collects. A grace of 0 is the
// configured one.
func (h *house) collect(ctx context.Context, k *collect.Collector, how collect.Run) (collect.Retained, collect.Report, error) {
	c := &h.config.Registry
	if how.Grace == 0 && c.GC != nil {
		how.Grace = time.Duration(c.GC.Grace)
	}
	hidden, err := k.Retain(ctx, collect.Retention{Rules: rules(c), Immutable: c.Immutable, DryRun: how.DryRun})
	if err != nil {
		return hidden, collect.Report{}, err
	}
	removed, err := k.Collect(ctx, how)
	return hidden, removed, err
}

func rules(c *serverconfig.Registry) []collect.Rule {
	var all []collect.Rule
	for _, r := range c.Retention {
		all = append(all, collect.Rule{
			Repository: r.Repository, Untagged: time.Duration(r.Untagged), Tags: r.Tags, KeepLast: r.KeepLast, Artifacts: r.Artifacts,
		})
	}
	return all
}

// tend begins what a running server does for its registry by itself, until the
// house is closed.
func (h *house) tend(bytes *content.Store, alone func(func() error) error) error {
	c := &h.config.Registry
	for i, r := range rules(c) {
		if err := r.Check(); err != nil {
			return exit.Hint(fmt.Errorf("registry: retention rule %d: %w", i+1, err), "see docs/spec/registry.md, Retention")
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var chores sync.WaitGroup
	if c.GC != nil {
		k := collect.New(collect.Config{State: h.state, Content: bytes, Journal: h.journal, Alone: alone}, &collect.Options{Logger: h.logger})
		chores.Go(func() { periodically(ctx, time.Duration(c.GC.Every), func() { h.collectOnce(ctx, k) }) })
	}
	s := h.newScrubber(bytes)
	h.scrubber = s
	if c.Scrub != nil {
		chores.Go(func() { periodically(ctx, time.Duration(c.Scrub.Every), func() { h.scrubOnce(ctx, s) }) })
	}
	chores.Go(func() { periodically(ctx, lookAgain, func() { h.lookAgain(ctx, s) }) })
	h.closers = append(h.closers, func() error {
		cancel()
		chores.Wait()
		return nil
	})
	return nil
}

// periodically does something soon, and then again, until ctx ends.
func periodically(ctx context.Context, every time.Duration, do func()) {
	for wait := min(every, settle); ; wait = every {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			do()
		}
	}
}

func (h *house) collectOnce(ctx context.Context, k *collect.Collector) {
	hidden, removed, err := h.collect(ctx, k, collect.Run{})
	h.logger.Info("collection is done", "tags", hidden.Tags, "manifests", hidden.Manifests,
		"blobs", removed.Blobs, "objects", removed.Objects, "bytes", removed.ObjectBytes, "complete", err == nil)
	h.meter.Collected(meter.Collected{
		Tags: int64(hidden.Tags), Manifests: int64(hidden.Manifests),
		Blobs: int64(removed.Blobs), Objects: int64(removed.Objects), Bytes: removed.ObjectBytes,
	})
	if err != nil && ctx.Err() == nil {
		h.logger.Error("collection failed", "error", err)
	}
}

func (h *house) scrubOnce(ctx context.Context, s *scrub.Scrubber) {
	r, err := s.Scrub(ctx)
	_, found := s.Last()
	h.logger.Info("scrubbing is done", "objects", r.Objects, "bytes", r.Bytes, "damaged", r.Damaged, "unread", r.Unread,
		"damagedSinceStart", found, "complete", err == nil)
	if err != nil && ctx.Err() == nil {
		h.logger.Error("scrubbing failed", "error", err)
	}
}

func (h *house) lookAgain(ctx context.Context, s *scrub.Scrubber) {
	if err := s.Again(ctx); err != nil && ctx.Err() == nil {
		h.logger.Error("looking at damaged bytes again failed", "error", err)
	}
}
