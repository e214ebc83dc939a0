package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger"
)

// newData makes a data directory and returns its configuration file, with
// more appended to it.
func newData(t *testing.T, more string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "patchfitd.yaml")
	c := &serverconfig.Config{Listen: "127.0.0.1:0", Data: filepath.Join(dir, "data"), Origin: "test.patchfit.localhost"}
	if _, err := initialise(t.Context(), path, c, io.Discard); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(more); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNotifications goes the whole way: a real journal, a real connection, a
// secret from its file, and a second start that goes on where the first was.
func TestNotifications(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "hook")
	if err := keyfile.CreateSecret(secret, 32); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if want := signed(t, secret, r.Header, body); r.Header.Get("Webhook-Signature") != want {
			t.Errorf("signature %q, want %q", r.Header.Get("Webhook-Signature"), want)
		}
		got <- r.Header.Get("Webhook-Id")
	}))
	defer srv.Close()
	path := newData(t, fmt.Sprintf("notifications: [{name: ops, url: '%s', secrets: ['%s'], types: [product.added]}]\n", srv.URL, secret))
	for i := range 2 {
		h, err := openHouse(t.Context(), path, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.notify(); err != nil {
			t.Fatal(err)
		}
		r, err := h.journal.Append(t.Context(), ledger.KindProduct, ledger.ProductAdded{
			Product: fmt.Sprintf("0d9ff2a4-6f9c-4f0b-8d3b-1f6f6f0a000%d", i), Repository: fmt.Sprint("lib/", i), By: "me",
		})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case id := <-got:
			for i > 0 && strings.HasPrefix(id, "3-") { // the first stop broke off its answer
				id = <-got
			}
			if want := fmt.Sprintf("%d-product-", r.Sequence); !strings.HasPrefix(id, want) {
				t.Errorf("told of %s, want %s…", id, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nobody was told")
		}
		if err := h.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func signed(t *testing.T, file string, h http.Header, body []byte) string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Error(err)
	}
	m := hmac.New(sha256.New, key)
	io.WriteString(m, h.Get("Webhook-Id")+"."+h.Get("Webhook-Timestamp")+"."+string(body))
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// TestNotificationFilesAreChecked: a secret others can read, or a file that is
// none, ends the start and says which endpoint and file.
func TestNotificationFilesAreChecked(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := strings.Repeat("ab", 32) + "\n"
	for name, n := range map[string]serverconfig.Notification{
		"can be read by others": {Secrets: []string{write("open", good, 0o644)}},
		"not one line of hex":   {Secrets: []string{write("text", "hello\n", 0o600)}},
		"no such file":          {Secrets: []string{filepath.Join(dir, "none")}},
		"no certificate in PEM": {Secrets: []string{write("good", good, 0o600)}, CA: write("ca", "hello", 0o600)},
	} {
		n.Name, n.URL = "ops", "https://hooks.example.org/"
		if _, err := endpoint(n); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}
