package serverconfig

import (
	"strings"
	"testing"
)

// TestMetrics: numbers are for this machine, or for who shows a token over TLS.
func TestMetrics(t *testing.T) {
	const plain = "listen: 127.0.0.1:8443\ndata: /d\norigin: o\n"
	for _, c := range []struct{ config, metrics, wrong string }{
		{good, "{listen: '127.0.0.1:9464'}", ""},
		{good, "{listen: '[::1]:9464'}", ""},
		{good, "{listen: 'localhost:0'}", ""},
		{plain, "{listen: '127.0.0.1:9464', tokenFile: /t}", ""},
		{plain, "{listen: '127.0.0.2:8443'}", ""},
		{good, "{listen: '0.0.0.0:9464', tokenFile: /t}", ""},
		{good, "{listen: '0.0.0.0:9464'}", "metrics.tokenFile"},
		{good, "{listen: ':9464'}", "metrics.tokenFile"},
		{good, "{listen: 'metrics.example.org:9464'}", "metrics.tokenFile"},
		{plain, "{listen: '192.0.2.1:9464', tokenFile: /t}", "no tls"},
		{good, "{listen: '127.0.0.1'}", "address:port"},
		{good, "{listen: '127.0.0.1:'}", "address:port"},
		{plain, "{listen: '127.0.0.1:8443'}", "another port"},
		{good, "{listen: '0.0.0.0:8443', tokenFile: /t}", "another port"},
		{good, "{listen: '127.0.0.1:9464', tokenFile: t}", "absolute"},
		{good, "{tokenFile: /t}", "listen"},
		{good, "{listen: '127.0.0.1:9464', token: t}", "token"},
	} {
		_, err := Load([]byte(c.config + "metrics: " + c.metrics + "\n"))
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.metrics, err, c.wrong)
		}
	}
}
