package serverconfig

import (
	"errors"
	"fmt"
	"net"
)

// Metrics says where the server's numbers can be asked for
// (docs/spec/metrics.md): at an address of its own, never where clients are
// answered. The zero Metrics is nowhere.
type Metrics struct {
	// Listen is the address to listen on, as "127.0.0.1:9464".
	Listen string `json:"listen"`
	// TokenFile holds what who asks has to show: one line, readable by its
	// owner alone. On loopback it may be left out.
	TokenFile string `json:"tokenFile,omitzero"`
}

func (c *Config) checkMetrics() error {
	m := c.Metrics
	if m == (Metrics{}) {
		return nil
	}
	host, port, err := net.SplitHostPort(m.Listen)
	switch {
	case err != nil || port == "":
		return fmt.Errorf("metrics.listen %q is not address:port", m.Listen)
	case m.Listen == c.Listen && port != "0":
		return fmt.Errorf("metrics.listen %q is where clients are answered: take another port", m.Listen)
	case loopback(host):
		return nil
	case m.TokenFile == "":
		return fmt.Errorf("metrics.listen %q is not loopback: say with metrics.tokenFile who may ask", m.Listen)
	case c.TLS == (TLS{}):
		return errors.New("metrics.listen is not loopback and there is no tls, which it would use: the token would be read on the way")
	}
	return nil
}
