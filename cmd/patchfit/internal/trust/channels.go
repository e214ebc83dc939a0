package trust

import (
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
)

// askChannels says of products whether a patch counts only while a channel
// offers it.
func (t *trustChanges) askChannels(p *attest.TrustPolicy) error {
	for _, s := range t.channels {
		name, word, err := shell.Pair(s, "PRODUCT=required")
		if err != nil {
			return err
		}
		i, err := findProduct(p, name)
		if err != nil {
			return err
		}
		switch word {
		case attest.ChannelsRequired:
			p.Products[i].Channels = word
		case "optional":
			p.Products[i].Channels = ""
		default:
			return exit.BadUsage(fmt.Errorf("--channels %q is neither PRODUCT=required nor PRODUCT=optional", s), "")
		}
	}
	return nil
}
