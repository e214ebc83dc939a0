package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/internal/keyfile"
)

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	c := &Config{}
	one := Server{URL: "https://Patches.Example.org", Principal: "p", Key: "/k"}
	c.Set(one)
	c.Set(Server{URL: "http://127.0.0.1:8443", Principal: "q", Key: "/k", TLSKey: "ab"})
	if err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	back, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for _, address := range []string{"patches.example.org", "https://patches.example.org", "https://patches.example.org/v2/", "patches.example.org:443", "PATCHES.example.org/demo"} {
		if got, err := back.Server(address); err != nil || got != one {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	if got, err := back.Server("http://127.0.0.1:8443"); err != nil || got.Principal != "q" {
		t.Errorf("by URL with a port: %+v, %v", got, err)
	}
	if _, err := back.Server("patches.example.org:8443"); !errors.Is(err, ErrUnknownServer) {
		t.Errorf("another port: %v", err)
	}
}

func TestNoFileKnowsNobody(t *testing.T) {
	c, err := Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Only(); !errors.Is(err, ErrUnknownServer) {
		t.Errorf("no server: %v", err)
	}
	c.Set(Server{URL: "https://a"})
	if s, err := c.Only(); err != nil || s.URL != "https://a" {
		t.Errorf("the one server: %+v, %v", s, err)
	}
	c.Set(Server{URL: "https://b"})
	if _, err := c.Only(); err == nil || errors.Is(err, ErrUnknownServer) {
		t.Errorf("two servers: %v", err)
	}
}

func TestLoadIsStrict(t *testing.T) {
	for name, content := range map[string]string{
		"unknown member": `{"schemaVersion":1,"servers":{},"extra":1}`,
		"other version":  `{"schemaVersion":2,"servers":{}}`,
		"duplicate":      `{"schemaVersion":1,"servers":{},"servers":{}}`,
		"not a digest":   `{"schemaVersion":1,"servers":{"a":{"url":"u","principal":"p","key":"k","tlsKey":"","ca":"","roots":"x"}}}`,
		"empty":          ``,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Load(dir); err == nil {
			t.Errorf("%s: read as %+v", name, c)
		}
	}
}

func TestDir(t *testing.T) {
	t.Setenv(EnvDir, "/somewhere")
	if d, err := Dir(); err != nil || d != "/somewhere" {
		t.Errorf("%s, %v", d, err)
	}
	t.Setenv(EnvDir, "")
	t.Setenv("XDG_CONFIG_HOME", "/xdg")
	if d, err := Dir(); err != nil || d != "/xdg/patchfit" {
		t.Errorf("%s, %v", d, err)
	}
}

// TestConnectKnowsItsServer reaches a TLS server by what vouches for it, and
// by nothing else.
func TestConnectKnowsItsServer(t *testing.T) {
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"access_token":"t","expires_in":60}`))
	}))
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes are meant to fail
	h.StartTLS()
	defer h.Close()
	dir := t.TempDir()
	key, ca := filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	if err := keyfile.CreateECDSA(key); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(h.Certificate().RawSubjectPublicKeyInfo)
	pin := hex.EncodeToString(sum[:])
	other := hex.EncodeToString(make([]byte, 32))
	for _, tt := range []struct {
		name   string
		server Server
		want   bool
	}{
		{"its key", Server{TLSKey: pin}, true},
		{"its authority", Server{CA: ca}, true},
		{"another key", Server{TLSKey: other}, false},
		{"nothing", Server{}, false},
		{"both", Server{TLSKey: pin, CA: ca}, false},
		{"no certificate", Server{CA: key}, false},
	} {
		tt.server.URL, tt.server.Principal, tt.server.Key = h.URL, "p", key
		c, err := tt.server.Connect()
		if err == nil {
			_, err = c.Token(t.Context())
		}
		if (err == nil) != tt.want {
			t.Errorf("known by %s: %v", tt.name, err)
		}
	}
	if _, err := (Server{URL: h.URL, Principal: "p", Key: filepath.Join(dir, "none")}).Connect(); err == nil {
		t.Error("connected without a key")
	}
}
