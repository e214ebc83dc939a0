// Package importing has the verbs for what others made, and for those who load
// it: import verifies a vendor's chain and says so, sign-module signs a kernel
// module for hosts with Secure Boot. The work is in build/vendors and build/modsign.
package importing

import (
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.importCommand(), a.signModuleCommand()}
}
