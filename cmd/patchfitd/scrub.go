package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/damage"
	"github.com/patchfit/patchfit/registry/scrub"
)

// scrubCommand is about stored bytes that changed.
func scrubCommand(config *string) *cobra.Command {
	return group(&cobra.Command{
		Use:   "scrub",
		Short: "read what is stored again, and say what is damaged",
	}, scrubStatusCommand(config), scrubAcknowledgeCommand(config), scrubRunCommand(config))
}

func scrubStatusCommand(config *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "say what is damaged, and when everything was last read",
		Long: "Says which stored bytes are known to be damaged, and how the last full reading went, with a server\n" +
			"running or not. The exit code is 0 only where everything damaged is acknowledged. A running server\n" +
			"looks at damaged objects again every five minutes.",
		Example: "  patchfitd scrub status --config /etc/patchfit/patchfitd.yaml",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return exit.BadUsage(fmt.Errorf("--format %q is neither text nor json", format), "say --format json")
			}
			dir, err := bookOf(*config)
			if err != nil {
				return err
			}
			r, err := damage.Read(dir)
			if err != nil {
				return exit.Hint(err, "starting the server puts the file aside and goes on without it")
			}
			return tellDamage(cmd.OutOrStdout(), &r, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// bookOf returns where the book of damage of a configured server is.
func bookOf(configPath string) (string, error) {
	h := &house{}
	if err := h.readConfig(configPath); err != nil {
		return "", err
	}
	return h.path(scrubDir), nil
}

// damageStatus is the JSON form (docs/spec/cli.md).
type damageStatus struct {
	SchemaVersion int              `json:"schemaVersion"`
	Open          int              `json:"open"` // findings nobody acknowledged
	Unlisted      int64            `json:"unlisted"`
	Findings      []damage.Finding `json:"findings"`
	LastPass      *damage.Pass     `json:"lastPass,omitzero"`
}

func tellDamage(w io.Writer, r *damage.Report, format string) error {
	open := len(r.Open())
	if format == "json" {
		s := damageStatus{SchemaVersion: 1, Open: open, Unlisted: r.Omitted, Findings: append([]damage.Finding{}, r.Findings...)}
		if r.Pass != (damage.Pass{}) {
			s.LastPass = &r.Pass
		}
		b, err := strictjson.Canonical(s)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\n", b)
	} else {
		tellDamageText(w, r)
	}
	if open+int(r.Omitted) > 0 {
		return exit.Hint(fmt.Errorf("%d damaged objects are neither repaired nor acknowledged", open+int(r.Omitted)),
			"push the right bytes of a blob again, restore the store from a backup, or: patchfitd scrub acknowledge DIGEST")
	}
	return nil
}

func tellDamageText(w io.Writer, r *damage.Report) {
	for _, f := range r.Findings {
		line := fmt.Sprintf("damaged  %-8s  %s  %s  found %s, seen %s", f.Kind, f.Digest, cmp.Or(f.Repository, "-"), stamp(f.First), stamp(f.Last))
		if a := f.Acknowledged; a != nil {
			line += fmt.Sprintf(", acknowledged %s: %s", stamp(a.Time), cmp.Or(a.Why, "(no reason given)"))
		}
		fmt.Fprintln(w, term.Printable(line))
	}
	if r.Omitted > 0 {
		fmt.Fprintf(w, "and %d more\n", r.Omitted)
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(w, "nothing is known to be damaged")
	}
	p := r.Pass
	if p == (damage.Pass{}) {
		fmt.Fprintln(w, "everything was never read from beginning to end: say registry: scrub in the configuration, or: patchfitd scrub run")
		return
	}
	fmt.Fprintf(w, "last full pass: ended %s after %s, %d objects of %d bytes, %d damaged, %d could not be read\n",
		stamp(p.Ended), p.Ended.Sub(p.Started).Round(time.Second), p.Objects, p.Bytes, p.Damaged, p.Unread)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func scrubAcknowledgeCommand(config *string) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "acknowledge DIGEST",
		Short: "say that damage is known, so that it is no alarm until it is repaired",
		Long: "Says that the damage of one object is known: it is still shown, and is no alarm any more. Once the\n" +
			"object is whole again this is forgotten. A running server sees it at once.",
		Example: "  patchfitd scrub acknowledge sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --why 'the disk is being replaced'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return exit.BadUsage(fmt.Errorf("%d arguments, want a digest", len(args)), "patchfitd scrub status lists them")
		},
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := attest.ParseDigest(args[0])
			if err != nil {
				return exit.BadUsage(err, "patchfitd scrub status lists them")
			}
			dir, err := bookOf(*config)
			if err != nil {
				return err
			}
			if err := damage.Acknowledge(dir, d, why); errors.Is(err, damage.ErrNoFinding) {
				return exit.Hint(err, "patchfitd scrub status lists what is")
			} else if err != nil {
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "what is known about it, in one line")
	return cmd
}

func scrubRunCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "read everything that is stored now (the server must be stopped)",
		Long: "Hashes every blob, manifest and bundle that is on record, at the rate of registry.scrub in the\n" +
			"configuration, or 20 MiB a second. A running server does the same by itself where the configuration\n" +
			"says registry: scrub.",
		Example: "  patchfitd scrub run --config /etc/patchfit/patchfitd.yaml",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return scrubNow(cmd.Context(), *config, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func scrubNow(ctx context.Context, configPath string, stdout, stderr io.Writer) (err error) {
	h, err := openHouse(ctx, configPath, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.openBook(); err != nil {
		return err
	}
	if h.content, err = h.openContent(); err != nil {
		return err
	}
	s := h.newScrubber(h.content)
	if _, err := s.Scrub(ctx); err != nil {
		return err
	}
	if err := s.Again(ctx); err != nil {
		return err
	}
	r := h.book.Report()
	return tellDamage(stdout, &r, "text")
}

// newScrubber returns a scrubber of everything, blobs from bytes.
func (h *house) newScrubber(bytes *content.Store) *scrub.Scrubber {
	o := &scrub.Options{Book: h.book, Logger: h.logger}
	if c := h.config.Registry.Scrub; c != nil {
		o.Rate = int64(c.Rate)
	}
	return scrub.New(scrub.Config{State: h.state, Content: bytes, Store: h.store}, o)
}
