package s3

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var goodConfig = Config{Endpoint: "https://s3.example.org", Region: "us-east-1", Bucket: "patches"}

func TestConfigCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string // in the error; empty: none
	}{
		"good":            {func(*Config) {}, ""},
		"port":            {func(c *Config) { c.Endpoint = "https://s3.example.org:9000" }, ""},
		"plain loopback":  {func(c *Config) { c.Endpoint = "http://127.0.0.1:9000" }, ""},
		"plain loopback6": {func(c *Config) { c.Endpoint = "http://[::1]:9000" }, ""},
		"prefix":          {func(c *Config) { c.Prefix = "a/b-c_d.e" }, ""},
		"plain":           {func(c *Config) { c.Endpoint = "http://s3.example.org" }, "must be https"},
		"looks local":     {func(c *Config) { c.Endpoint = "http://127.0.0.1.example.org" }, "must be https"},
		"no scheme":       {func(c *Config) { c.Endpoint = "s3.example.org" }, "endpoint"},
		"no endpoint":     {func(c *Config) { c.Endpoint = "" }, "endpoint"},
		"path":            {func(c *Config) { c.Endpoint += "/x" }, "alone"},
		"slash":           {func(c *Config) { c.Endpoint += "/" }, "alone"},
		"user":            {func(c *Config) { c.Endpoint = "https://a:b@s3.example.org" }, "alone"},
		"no region":       {func(c *Config) { c.Region = "" }, "region"},
		"odd region":      {func(c *Config) { c.Region = "a/b" }, "region"},
		"no bucket":       {func(c *Config) { c.Bucket = "" }, "bucket"},
		"bucket and key":  {func(c *Config) { c.Bucket = "a/bcd" }, "bucket"},
		"capital bucket":  {func(c *Config) { c.Bucket = "Patches" }, "bucket"},
		"prefix, slash":   {func(c *Config) { c.Prefix = "a/" }, "prefix"},
		"prefix, slashed": {func(c *Config) { c.Prefix = "/a" }, "prefix"},
		"prefix, up":      {func(c *Config) { c.Prefix = "a/../b" }, "prefix"},
		"prefix, long":    {func(c *Config) { c.Prefix = strings.Repeat("a", 257) }, "prefix"},
		"one key":         {func(c *Config) { c.AccessKeyFile = "/a" }, "name both"},
	} {
		t.Run(name, func(t *testing.T) {
			c := goodConfig
			tc.change(&c)
			err := c.Check()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%+v: %v, want %q", c, err, tc.want)
			}
			if err == nil {
				return
			}
			if _, err := New(t.Context(), c, nil); err == nil {
				t.Error("New takes it")
			}
		})
	}
}

func TestOptions(t *testing.T) {
	var none *Options
	f, err := none.filled()
	if err != nil || f.PartSize != 8<<20 || f.Attempts != 5 || f.Patience != 30*time.Second || f.Log == nil {
		t.Errorf("defaults are %+v, %v", f, err)
	}
	if int64(f.PartSize)*maxParts < 10<<30 {
		t.Error("10 GiB do not fit")
	}
	for _, o := range []Options{{PartSize: minPart - 1}, {CopySize: 1}, {PartSize: -1}, {Attempts: -1}, {Patience: -1}, {Backoff: -1}} {
		if _, err := o.filled(); err == nil {
			t.Errorf("%+v is fine", o)
		}
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	id, key := file("id", "AKIA\n", 0o600), file("key", "s3cr3t\n", 0o400)
	t.Setenv("AWS_ACCESS_KEY_ID", "env")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")

	c := goodConfig
	if _, err := c.credentials(); err == nil || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY") {
		t.Errorf("half an environment: %v", err)
	}
	c.AccessKeyFile, c.SecretKeyFile = id, key
	p, err := c.credentials()
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "AKIA" || got.SecretAccessKey != "s3cr3t" || got.SessionToken != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, secret := range map[string]string{
		"readable": file("readable", "s3cr3t\n", 0o640), "empty": file("empty", "", 0o600),
		"missing": filepath.Join(dir, "none"), "lines": file("lines", "a\nb\n", 0o600),
	} {
		c.SecretKeyFile = secret
		if _, err := c.credentials(); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// quietTLS serves h behind a certificate of its own authority.
func quietTLS(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// authority returns a file with the server's authority.
func authority(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// fake serves h as if it were S3, after one good answer to New.
func fake(t *testing.T, h http.HandlerFunc) *Driver {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	first := true
	s := quietTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			_, _ = w.Write([]byte("<ListBucketResult></ListBucketResult>"))
			return
		}
		h(w, r)
	})
	d, err := New(t.Context(), Config{Endpoint: s.URL, Region: "us-east-1", Bucket: "patches", CAFile: authority(t, s)},
		&Options{Attempts: 2, Backoff: time.Microsecond, Patience: 5 * time.Second, StaleAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// TestStartRefuses ends the start with words that help.
func TestStartRefuses(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	for code, tc := range map[string]struct {
		status int
		hint   string
	}{
		"NoSuchBucket":          {404, "create the bucket"},
		"AccessDenied":          {403, "docs/object-storage.md"},
		"SignatureDoesNotMatch": {403, "check the access key"},
		"PermanentRedirect":     {301, "check the region"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://elsewhere.invalid/")
			w.WriteHeader(tc.status)
			_, _ = w.Write([]byte("<Error><Code>" + code + "</Code></Error>"))
		}))
		_, err := New(t.Context(), Config{Endpoint: s.URL, Region: "r", Bucket: "patches"}, nil)
		if err == nil || !strings.Contains(err.Error(), tc.hint) || !strings.Contains(err.Error(), `bucket "patches"`) {
			t.Errorf("%s: %v, want a hint to %q", code, err, tc.hint)
		}
		s.Close()
	}
}

// TestTLSIsChecked refuses a server whose certificate is of nobody we know,
// and takes it when its authority is named.
func TestTLSIsChecked(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	s := quietTLS(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<ListBucketResult></ListBucketResult>"))
	})
	c := Config{Endpoint: s.URL, Region: "r", Bucket: "patches"}
	o := &Options{Attempts: 1, StaleAfter: -1}
	if _, err := New(t.Context(), c, o); err == nil {
		t.Error("trusted a certificate of nobody")
	}
	c.CAFile = authority(t, s)
	d, err := New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := os.WriteFile(c.CAFile, []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), c, o); err == nil {
		t.Error("took an empty file of authorities")
	}
}
