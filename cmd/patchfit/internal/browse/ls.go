package browse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
)

func (a verbs) lsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "ls [SERVER|REPOSITORY]",
		Short:   "list the repositories of a server, or the tags of a repository",
		Example: "  patchfit ls demo/greet",
		Long: `List the tags of a repository, each with the digest, kind and size of what it
names; or the repositories of a server. A server tells its admins all it has; for
others the repositories of its trust policy are listed.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return shell.Exactly("SERVER or REPOSITORY")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listServer(cmd.Context(), "")
			}
			if isServer(args[0]) {
				return a.listServer(cmd.Context(), args[0])
			}
			ref, err := shell.ParseReference(args[0])
			if err != nil {
				return err
			}
			if ref.Name() != "" {
				return exit.BadUsage(fmt.Errorf("%s names one thing, not a repository", args[0]), "see what it stands on, and what on it: patchfit tree "+args[0])
			}
			return a.listTags(cmd.Context(), ref)
		},
	}
}

// isServer reports whether s is a server's URL or address, as references have
// them, without a repository behind it.
func isServer(s string) bool {
	if strings.Contains(s, "://") {
		return true
	}
	return !strings.ContainsAny(s, "/@") && (strings.ContainsAny(s, ".:") || s == "localhost")
}

// A ServerList is the repositories of a server, and who says so.
type ServerList struct {
	SchemaVersion int      `json:"schemaVersion"`
	Server        string   `json:"server"`
	Source        string   `json:"source"` // "catalog", or "trust-policy" where the server tells others only its admins
	Repositories  []string `json:"repositories"`
}

func (a verbs) listServer(ctx context.Context, address string) error {
	s, err := a.Connect(address)
	if err != nil {
		return err
	}
	v, err := Repositories(ctx, s)
	if err != nil {
		return err
	}
	return a.Print(v, func(w io.Writer) {
		for _, name := range v.Repositories {
			fmt.Fprintln(w, term.Printable(name))
		}
		if v.Source != "catalog" {
			a.Note("these are in the trust policy; what else there is the server tells its admins only")
		}
	})
}

// Repositories asks a server what it has: all of it, where it tells us, else what
// its trust policy names.
func Repositories(ctx context.Context, s *shell.Session) (*ServerList, error) {
	v := &ServerList{1, s.Client.Server(), "catalog", nil}
	var err error
	if v.Repositories, err = publish.Repositories(ctx, s.Client); !isStatus(err, http.StatusForbidden) {
		return v, err
	}
	p, _, err := s.ServedPolicy(ctx)
	if err != nil {
		return nil, err
	}
	v.Source, v.Repositories = "trust-policy", []string{}
	for _, product := range p.Products {
		v.Repositories = append(v.Repositories, product.Repository)
	}
	slices.Sort(v.Repositories)
	return v, nil
}

func isStatus(err error, status int) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Status == status
}

// A TagList is the tags of a repository.
type TagList struct {
	SchemaVersion int      `json:"schemaVersion"`
	Server        string   `json:"server"`
	Repository    string   `json:"repository"`
	Tags          []tagged `json:"tags"`
}

type tagged struct {
	Tag    string        `json:"tag"`
	Digest attest.Digest `json:"digest"`
	Kind   string        `json:"kind"`
	Type   string        `json:"type,omitzero"` // artifact type
	Size   int64         `json:"size"`          // of the manifest and what it consists of, in bytes
}

func (a verbs) listTags(ctx context.Context, ref shell.Reference) error {
	s, shelf, err := a.open(ref)
	if err != nil {
		return err
	}
	names, err := shelf.Tags(ctx)
	if err != nil {
		return err
	}
	v := TagList{1, s.Client.Server(), ref.Repository, make([]tagged, len(names))}
	err = each(ctx, len(names), func(ctx context.Context, i int) error {
		item, err := shelf.Item(ctx, names[i])
		if err == nil {
			v.Tags[i] = tagged{names[i], item.Manifest, item.Kind, item.Type, item.Size}
		}
		return unlessGone(err)
	})
	if err != nil {
		return err
	}
	v.Tags = slices.DeleteFunc(v.Tags, func(t tagged) bool { return t.Tag == "" })
	return a.Print(v, func(w io.Writer) { tagsText(w, v) })
}

func tagsText(w io.Writer, v TagList) {
	rows := [][]string{{"TAG", "DIGEST", "KIND", "SIZE"}}
	for _, t := range v.Tags {
		rows = append(rows, []string{t.Tag, string(t.Digest), t.Kind, term.Size(t.Size)})
	}
	shell.Cells(w, rows)
}

// unlessGone forgives that something on a list is not there any more.
func unlessGone(err error) error {
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// atOnce is how many questions are asked of a server at once.
const atOnce = 8

// each calls do for 0 to n-1, some at once, until one fails or ctx ends, and
// returns the first error.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range n {
		places <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-places }()
			if err := do(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// tagsByDigest returns which tags name which manifest.
func tagsByDigest(ctx context.Context, shelf *publish.Shelf) (map[attest.Digest][]string, error) {
	names, err := shelf.Tags(ctx)
	if err != nil {
		return nil, err
	}
	digests := make([]attest.Digest, len(names))
	err = each(ctx, len(names), func(ctx context.Context, i int) error {
		var err error
		digests[i], err = shelf.Resolve(ctx, names[i])
		return unlessGone(err)
	})
	tags := make(map[attest.Digest][]string)
	for i, d := range digests {
		if d != "" {
			tags[d] = append(tags[d], names[i])
		}
	}
	return tags, err
}
