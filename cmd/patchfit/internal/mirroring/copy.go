package mirroring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/internal/term"
)

func (a verbs) copyCommand() *cobra.Command {
	var roots, work string
	cmd := &cobra.Command{
		Use:     "copy REPOSITORY[:TAG|@DIGEST]... SERVER",
		Example: "  patchfit mirror copy patches.example.org/demo/greet https://mirror.example",
		Short:   "copy repositories, or single artifacts and all they stand on, from one server into another",
		Long: `Copy what pull copies, from the server the references name into SERVER, as push
does. You have to be logged in to both: to the first as who may read all of the
product, to the second as its publisher. SERVER has to have the trust policy of
the first, or a later one, and to serve its products; the trust policy has to
have the roots that were pinned at login, or those --roots names.

Everything is fetched and verified before anything is sent. What is on the way
lies in a directory of its own, below $PATCHFIT_STATE or else the user's cache
directory, and goes when the copy is finished. Ctrl-C stops between two steps;
run again, a copy goes on where it was, and one that was finished sends what is
new. Log entries are not copied: each bundle has its proof with it.`,
		Args: func(_ *cobra.Command, args []string) error {
			if missing := []string{"REPOSITORY is missing", "SERVER is missing"}; len(args) < len(missing) {
				return exit.BadUsage(errors.New(missing[len(args)]), "as in: patchfit mirror copy patches.example.org/lib/greet https://mirror.example")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			return a.copy(cmd.Context(), passage{from: args[:last], to: args[last], roots: roots, work: work})
		},
	}
	f := cmd.Flags()
	f.StringVar(&roots, "roots", "", "digest of the roots the trust policy has to have (default: as pinned at login)")
	f.StringVar(&work, "work", "", "directory in which what is on the way lies, in one of its own (default: see above)")
	return cmd
}

// A passage is what a person wants copied.
type passage struct {
	from        []string // references
	to          string   // server
	roots, work string
}

func (a verbs) copy(ctx context.Context, p passage) error {
	server, wants, err := wanted(p.from)
	if err != nil {
		return err
	}
	here, there, err := a.ends(server, p.to)
	if err != nil {
		return err
	}
	work, err := p.place(here, there)
	if err != nil {
		return err
	}
	src, err := source(ctx, here, p.roots)
	if err != nil {
		return err
	}
	c, err := mirror.Copy(ctx, *src, wants, mirror.Target{Server: there.Client, Work: work}, &mirror.CopyOptions{Progress: term.NewProgress(a.Stderr)})
	if err != nil {
		return mirrored(err)
	}
	v := &copiedAnswer{1, newPulledAnswer(here.Client.Server(), c.Pulled), newPushedAnswer(there.Client.Server(), c.Pushed)}
	return a.Print(v, func(w io.Writer) {
		v.Pulled.text(w, term.Marks(w))
		v.Pushed.text(w, term.Marks(w))
	})
}

// ends connects to both servers. A bearer token is for one of them and would be
// told to the other, so none is taken.
func (a verbs) ends(from, to string) (here, there *shell.Session, err error) {
	if a.TokenFile != "" {
		return nil, nil, exit.BadUsage(errors.New("--token-file is for one server, and a copy has two"), "log in to both: patchfit login URL --principal ID --key FILE")
	}
	_, address, isURL := strings.Cut(to, "://")
	if !isURL {
		address = to
	}
	if strings.Contains(strings.TrimSuffix(address, "/"), "/") {
		return nil, nil, exit.BadUsage(fmt.Errorf("%s is no server", to), "name the server alone: a product lives in the repository its trust policy names, on every server")
	}
	if here, err = a.Connect(from); err != nil {
		return nil, nil, err
	}
	if there, err = a.Connect(to); err != nil {
		return nil, nil, err
	}
	if here.Client.Server() == there.Client.Server() {
		return nil, nil, exit.BadUsage(fmt.Errorf("%s is where it is already", to), "name another server to copy into")
	}
	return here, there, nil
}

// place returns the directory of this one copy: the same for the same copy, and
// of no other.
func (p passage) place(here, there *shell.Session) (string, error) {
	dir := p.work
	if dir == "" {
		dir = os.Getenv(shell.EnvState)
	}
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding a directory for what is on the way (name one with --work): %w", err)
		}
		dir = filepath.Join(cache, "patchfit")
	}
	what := slices.Sorted(slices.Values(p.from))
	name := attest.DigestOf([]byte(strings.Join(append(what, here.Client.Server(), there.Client.Server()), "\n"))).Short()
	return filepath.Join(dir, "copies", strings.ReplaceAll(config.Address(there.Client.Server()), ":", "_")+"-"+name), nil
}

// A copiedAnswer is what mirror copy prints.
type copiedAnswer struct {
	SchemaVersion int           `json:"schemaVersion"`
	Pulled        *pulledAnswer `json:"pulled"` // mirror: the server that was copied from
	Pushed        *pushedAnswer `json:"pushed"`
}
