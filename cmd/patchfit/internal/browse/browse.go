// Package browse has the verbs that look at a server's repositories, ls and tree,
// and rm, which takes things out of sight.
package browse

import (
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/publish"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.treeCommand(), a.lsCommand(), a.rmCommand()}
}

// open finds the shelf a reference is on, and who we are there.
func (a verbs) open(ref shell.Reference) (*shell.Session, *publish.Shelf, error) {
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, nil, err
	}
	shelf, err := publish.Browse(s.Client, ref.Repository)
	return s, shelf, err
}
