// Package config is what a person's or a robot's programs remember between
// runs: which servers they know, who they are there, and which key proves it.
//
// It is one file, config.json, in the directory $PATCHFIT_CONFIG or, without
// that, patchfit below the user's configuration directory
// (~/.config/patchfit). patchfit login writes it; patchfit and
// docker-credential-patchfit read it. It names key files and holds no secret.
// docs/spec/cli.md, Files.
package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
)

// EnvDir names the environment variable that says where the directory is.
const EnvDir = "PATCHFIT_CONFIG"

const (
	fileName      = "config.json"
	schemaVersion = 1
	maxFile       = 256 << 10
)

// ErrUnknownServer is wrapped by errors about a server nobody logged in to.
var ErrUnknownServer = errors.New("not logged in")

// A Config is the file's content. The zero Config knows no server.
type Config struct {
	SchemaVersion int               `json:"schemaVersion"`
	Servers       map[string]Server `json:"servers"` // by host:port, or host where the port is the scheme's own
}

// A Server is one server and who we are there.
type Server struct {
	URL       string `json:"url"`       // scheme and host alone
	Principal string `json:"principal"` // our id there, a UUID
	Key       string `json:"key"`       // path of the private key file that proves it
	TLSKey    string `json:"tlsKey"`    // hex sha256 of the server key's SPKI DER; "": the authorities vouch for it
	CA        string `json:"ca"`        // path of the PEM certificates that vouch for it; "": the system's do
	// Roots is the digest of the trust policy's roots, as pinned at login; "":
	// nobody's word on trust is taken.
	Roots attest.Digest `json:"roots,omitzero"`
}

// Dir returns the directory of the file.
func Dir() (string, error) {
	if dir := os.Getenv(EnvDir); dir != "" {
		return dir, nil
	}
	base, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the configuration directory (set %s to name one): %w", EnvDir, err)
	}
	return filepath.Join(base, "patchfit"), nil
}

// Load reads the file in dir. Where there is none, the Config knows no server.
func Load(dir string) (*Config, error) {
	path := filepath.Join(dir, fileName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Config{SchemaVersion: schemaVersion}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c := &Config{}
	if err := strictjson.Unmarshal(b, maxFile, c); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if c.SchemaVersion != schemaVersion {
		return nil, fmt.Errorf("reading %s: schema version %d, this program knows %d", path, c.SchemaVersion, schemaVersion)
	}
	return c, nil
}

// Save writes the file into dir, whole or not at all, readable by its owner.
func (c *Config) Save(dir string) error {
	c.SchemaVersion = schemaVersion
	b, err := strictjson.Canonical(c)
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the configuration directory: %w", err)
	}
	if err := durable.Sweep(dir); err != nil {
		return fmt.Errorf("tidying the configuration directory: %w", err)
	}
	if err := durable.Replace(filepath.Join(dir, fileName), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

// Set remembers s, in the place of what was known of the same address.
func (c *Config) Set(s Server) {
	if c.Servers == nil {
		c.Servers = map[string]Server{}
	}
	c.Servers[Address(s.URL)] = s
}

// Server returns what is known of a server by its address: a URL or host:port
// as OCI clients and credential helpers write it. The error for a stranger
// wraps [ErrUnknownServer].
func (c *Config) Server(address string) (Server, error) {
	s, ok := c.Servers[Address(address)]
	if !ok {
		return Server{}, fmt.Errorf("%w to %s", ErrUnknownServer, Address(address))
	}
	return s, nil
}

// Only returns the one server that is known; the error says what to name where
// there is none or more than one.
func (c *Config) Only() (Server, error) {
	if len(c.Servers) == 1 {
		for _, s := range c.Servers {
			return s, nil
		}
	}
	if len(c.Servers) == 0 {
		return Server{}, fmt.Errorf("%w to any server", ErrUnknownServer)
	}
	return Server{}, fmt.Errorf("%d servers are known; name one with --server", len(c.Servers))
}

// Address reduces a URL or host:port to the form servers are known by: host
// in lower case and port, without the scheme's own port.
func Address(s string) string {
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			return strings.TrimSuffix(strings.ToLower(u.Host), ownPort(scheme))
		}
		s = rest
	}
	host, _, _ := strings.Cut(s, "/")
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}

func ownPort(scheme string) string {
	if scheme == "http" {
		return ":80"
	}
	return ":443"
}

// Connect returns a client that proves itself with s's key to the server.
func (s Server) Connect() (*api.Client, error) {
	signer, err := keyfile.LoadSigner(s.Key)
	if err != nil {
		return nil, err
	}
	transport, err := s.Transport()
	if err != nil {
		return nil, err
	}
	return api.New(s.URL, &api.Options{Principal: s.Principal, Signer: signer, TLSKey: s.TLSKey, Transport: transport})
}

// Transport returns what carries requests to a server whose own authorities
// are to be trusted; nil where there are none, which is api's default.
func (s Server) Transport() (http.RoundTripper, error) {
	if s.CA == "" {
		return nil, nil
	}
	if s.TLSKey != "" {
		return nil, errors.New("a server is known by its key or by its authorities, not by both")
	}
	b, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the server's authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("reading the server's authorities: %s holds no PEM certificate", s.CA)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return t, nil
}
