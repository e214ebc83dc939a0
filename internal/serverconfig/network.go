package serverconfig

import (
	"fmt"
	"net/netip"
)

// maxNetworks is how many networks of proxies there may be.
const maxNetworks = 64

// A Network is some addresses: 10.1.2.0/24, or 10.1.2.3/32 for one.
type Network netip.Prefix

// UnmarshalText reads a network in its one form. All addresses there are is
// none: then anybody could say where they are.
func (n *Network) UnmarshalText(text []byte) error {
	p, err := netip.ParsePrefix(string(text))
	switch {
	case err != nil:
		return fmt.Errorf("%.60q is no network, as 10.1.2.0/24, or 10.1.2.3/32 for one address", text)
	case p != p.Masked() || p.Addr().Is4In6():
		return fmt.Errorf("%.60s is not the first address of its network: say %s", text, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()).Masked())
	case p.Bits() == 0:
		return fmt.Errorf("%s is everybody: anyone could say where they are", text)
	}
	*n = Network(p)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (n Network) MarshalText() ([]byte, error) { return netip.Prefix(n).MarshalText() }
