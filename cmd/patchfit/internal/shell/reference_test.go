package shell

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

func TestParseReference(t *testing.T) {
	d := string(attest.DigestOf(nil))
	for text, want := range map[string]Reference{
		"demo/greet":                       {Repository: "demo/greet"},
		"demo/greet:1.0":                   {Repository: "demo/greet", Tag: "1.0"},
		"demo/greet@" + d:                  {Repository: "demo/greet", Digest: attest.Digest(d)},
		"demo/greet:1.0@" + d:              {Repository: "demo/greet", Tag: "1.0", Digest: attest.Digest(d)},
		"patches.example.org/demo/greet:1": {Server: "patches.example.org", Repository: "demo/greet", Tag: "1"},
		"127.0.0.1:8443/demo/greet":        {Server: "127.0.0.1:8443", Repository: "demo/greet"},
		"localhost/greet":                  {Server: "localhost", Repository: "greet"},
		"localhost:5000/greet@" + d:        {Server: "localhost:5000", Repository: "greet", Digest: attest.Digest(d)},
	} {
		got, err := ParseReference(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "demo/greet@", "demo/greet@sha256:12", "@" + d, "demo/greet@md5:" + strings.Repeat("0", 32)} {
		if got, err := ParseReference(text); err == nil {
			t.Errorf("%q reads as %+v", text, got)
		}
	}
}
