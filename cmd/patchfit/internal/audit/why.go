package audit

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

func (a verbs) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "why HOST REFERENCE",
		Short:   "explain what the gate would answer a host for an artifact; nothing is recorded",
		Example: "  patchfit why 9a3c1f62-90a8-4a43-8d2b-64a1f1c0b7d2 demo/greet:fix-1",
		Args:    shell.Exactly("HOST", "REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.why(cmd.Context(), args[0], args[1])
		},
	}
}

func (a verbs) why(ctx context.Context, host, what string) error {
	if err := shell.ID(host, "host", "patchfit-agent status, on the host; patchfit audit decisions, of those that asked"); err != nil {
		return err
	}
	ref, err := shell.ParseOne(what)
	if err != nil {
		return err
	}
	s, err := a.Connect(ref.Server)
	if err != nil {
		return err
	}
	v, err := s.Client.Why(ctx, host, ref.Repository, ref.Name())
	if err != nil {
		return err
	}
	if err := a.Print(v, func(w io.Writer) { whyText(w, term.Marks(w), v) }); err != nil || v.Allow {
		return err
	}
	for _, c := range v.Checks {
		if len(c.Findings) > 0 {
			return whyNot(c.Findings[0])
		}
	}
	return exit.With(exit.Denied, "", "")
}

func whyNot(f api.Finding) error {
	code := exit.Denied
	if verify.Reason(f.Reason) == verify.Contested {
		code = exit.Contested
	}
	return exit.With(code, fmt.Sprintf("denied: %s: want %s, got %s", f.Reason, f.Want, f.Got), f.Remedy)
}

func whyText(w io.Writer, m term.Marker, v *api.Why) {
	answer := "may have"
	if !v.Allow {
		answer = "may not have"
	}
	fmt.Fprintf(w, "%s host %s %s %s@%s\n", m.Check(v.Allow), v.Host, answer, v.Repository, v.Digest)
	for _, c := range v.Checks {
		fmt.Fprintf(w, "  %s %s\n", m.Check(c.Passed), term.Printable(c.Criterion))
		for _, f := range c.Findings {
			fmt.Fprintf(w, "      %s: want %s, got %s\n", f.Reason, term.Printable(f.Want), term.Printable(f.Got))
		}
		for _, f := range c.Warnings {
			fmt.Fprintf(w, "      %s %s: want %s, got %s; it only warns\n", m.Bang, f.Reason, term.Printable(f.Want), term.Printable(f.Got))
		}
	}
	if v.Allow {
		fmt.Fprintf(w, "by fit basis %s, host record %d, trust policy %s\n", v.Basis, v.Record, v.Policy.Short())
	}
}
