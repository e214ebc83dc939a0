// Package serverconfig reads the configuration file of patchfitd: strict YAML,
// no environment variables, no includes, and nothing secret in it. What is
// wrong is named by its key, so that a typing error never becomes a default.
package serverconfig

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// maxSize is the longest configuration file that is read, in bytes.
const maxSize = 64 << 10

// A Config says where the server listens, what it is called and where it keeps
// what it must not lose. The sample is deploy/patchfitd.yaml.
type Config struct {
	// Listen is the address to listen on, as "0.0.0.0:8443". Port 0 is any free one.
	Listen string `json:"listen"`
	// URL is the address clients use, as "https://patches.example.org"; no
	// path. Left out, it is the listener's own address: see [BaseURL].
	URL string `json:"url,omitzero"`
	// TLS is required, unless Listen is a loopback address.
	TLS TLS `json:"tls,omitzero"`
	// Data is the directory of keys, journal, log, store, registry and index.
	Data string `json:"data"`
	// Origin names the log in its checkpoints. It is a host name and never
	// changes: another origin is another log, which patchfitd log rotate begins.
	Origin string `json:"origin"`
	// Log says where the log is kept; left out, on the disk below Data.
	Log Log `json:"log,omitzero"`
	// Storage says where blobs are; left out, on the disk below Data.
	Storage Storage `json:"storage,omitzero"`
	// SitePolicy is the file of the site's minimums (docs/spec/site-policy.md);
	// the defaults where it is left out.
	SitePolicy string `json:"sitePolicy,omitzero"`
	// Witnesses is the file of a C2SP tlog-policy whose witnesses cosign every
	// checkpoint of the log (docs/spec/witness.md); nobody where it is left out.
	Witnesses string `json:"witnesses,omitzero"`
	// Limits are how much, how fast and how slowly others may; the defaults
	// where they are left out.
	Limits Limits `json:"limits,omitzero"`
	// Notifications are the endpoints that are told what was acknowledged.
	Notifications []Notification `json:"notifications,omitzero"`
	// Registry says what the registry takes, and what it keeps for how long.
	Registry Registry `json:"registry,omitzero"`
	// Metrics says where the server's numbers can be asked for; left out: nowhere.
	Metrics Metrics `json:"metrics,omitzero"`
}

// TLS names PEM files. The zero TLS is plain HTTP.
type TLS struct {
	Certificate string `json:"certificate"` // the chain, the server's own first
	Key         string `json:"key"`
}

// Load reads a configuration file's bytes. Every key is required unless its
// field says otherwise; unknown keys, keys given twice and relative paths are
// errors.
func Load(file []byte) (*Config, error) {
	if len(file) > maxSize {
		return nil, fmt.Errorf("configuration of %d bytes exceeds the limit of %d", len(file), maxSize)
	}
	doc, err := yaml.YAMLToJSONStrict(file)
	if err != nil {
		return nil, fmt.Errorf("not strict YAML: %w", err)
	}
	c := &Config{}
	if err := strictjson.Unmarshal(doc, maxSize, c); err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	return c, nil
}

// BaseURL returns the address clients use, without a path: the configured one
// or, without one, that of the listener, whose address addr is.
func BaseURL(c *Config, addr string) string {
	switch {
	case c.URL != "":
		return c.URL
	case c.TLS != TLS{}:
		return "https://" + addr
	}
	return "http://" + addr
}

// Check reports the first thing in c that no server could run with.
func (c *Config) Check() error {
	for _, check := range []func() error{c.checkListen, c.checkURL, c.checkPaths, c.checkOrigin, c.checkNotifications, c.Storage.check, c.Log.check, c.checkAsked, c.checkRegistry, c.checkLimits, c.checkMetrics} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkListen() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "" {
		return fmt.Errorf("listen %q is not address:port", c.Listen)
	}
	if c.TLS == (TLS{}) && !loopback(host) {
		return fmt.Errorf("listen %q without tls: plain http is for loopback only; add tls or listen on 127.0.0.1", c.Listen)
	}
	if ip := net.ParseIP(host); c.URL == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("listen %q is every address of this machine: say with url which one clients use", c.Listen)
	}
	return nil
}

func (c *Config) checkURL() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return fmt.Errorf("url: %w", err)
	case u.Host == "" || u.User != nil || c.URL != u.Scheme+"://"+u.Host:
		return fmt.Errorf("url %q is not scheme://host or scheme://host:port alone", c.URL)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && c.TLS != TLS{}:
		return fmt.Errorf("url %q is plain http, but tls is configured: use https://", c.URL)
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("url %q must be https:// (plain http is for loopback only)", c.URL)
}

func (c *Config) checkPaths() error {
	type path struct{ key, value string }
	paths := []path{{"data", c.Data}}
	if c.TLS != (TLS{}) {
		paths = append(paths, path{"tls.certificate", c.TLS.Certificate}, path{"tls.key", c.TLS.Key})
	}
	for key, value := range c.files() {
		if *value != "" {
			paths = append(paths, path{key, *value})
		}
	}
	if c.SitePolicy != "" {
		paths = append(paths, path{"sitePolicy", c.SitePolicy})
	}
	if c.Witnesses != "" {
		paths = append(paths, path{"witnesses", c.Witnesses})
	}
	if c.Metrics.TokenFile != "" {
		paths = append(paths, path{"metrics.tokenFile", c.Metrics.TokenFile})
	}
	for _, p := range paths {
		if !filepath.IsAbs(p.value) {
			return fmt.Errorf("%s %q is not an absolute path", p.key, p.value)
		}
	}
	return nil
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// checkOrigin keeps to names every reader of checkpoints takes for a log of
// this kind: the host of the log's URL, without port or path.
func (c *Config) checkOrigin() error {
	if len(c.Origin) > 253 || !hostName.MatchString(c.Origin) {
		return fmt.Errorf("origin %.80q is not a host name in lower case, without port and path", c.Origin)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
