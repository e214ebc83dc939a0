package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/registry/assertion"
)

// A person is logged in to one server, and their machine is a host of another.
type person struct {
	login, host  *attest.PublicKey
	loginKey     string
	loginID, hID string
}

const (
	loginServer = "https://patches.example.org:8443"
	hostServer  = "http://127.0.0.1:5000"
)

func newPerson(t *testing.T) *person {
	t.Helper()
	p := &person{loginID: uuid.NewString(), hID: uuid.NewString()}
	conf, state := t.TempDir(), t.TempDir()
	t.Setenv(config.EnvDir, conf)
	t.Setenv("PATCHFIT_AGENT_STATE", state)
	p.loginKey = filepath.Join(conf, "me.pem")
	p.login = newKey(t, p.loginKey)
	p.host = newKey(t, filepath.Join(state, "key.pem"))
	c := &config.Config{}
	c.Set(config.Server{URL: loginServer, Principal: p.loginID, Key: p.loginKey})
	if err := c.Save(conf); err != nil {
		t.Fatal(err)
	}
	hostJSON := `{"schemaVersion":1,"server":"` + hostServer + `","tlsKey":"","roots":"` + string(attest.DigestOf(nil)) +
		`","host":"` + p.hID + `","name":"h","products":[],"enrolled":"2026-03-01T12:00:00Z"}`
	if err := os.WriteFile(filepath.Join(state, "host.json"), []byte(hostJSON), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func newKey(t *testing.T, path string) *attest.PublicKey {
	t.Helper()
	if err := keyfile.CreateECDSA(path); err != nil {
		t.Fatal(err)
	}
	s, err := keyfile.LoadSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	k, err := attest.NewPublicKey(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ask(verb, in string) (code int, out string) {
	var o, e bytes.Buffer
	code = run([]string{verb}, strings.NewReader(in), &o, &e)
	return code, o.String()
}

func TestGet(t *testing.T) {
	p := newPerson(t)
	for in, want := range map[string]struct {
		id, audience string
		key          *attest.PublicKey
	}{
		"patches.example.org:8443":             {p.loginID, loginServer, p.login},
		"https://patches.example.org:8443\n":   {p.loginID, loginServer, p.login},
		"https://Patches.Example.org:8443/v2/": {p.loginID, loginServer, p.login},
		"127.0.0.1:5000":                       {p.hID, hostServer, p.host},
		"http://127.0.0.1:5000":                {p.hID, hostServer, p.host},
	} {
		code, out := ask("get", in)
		var c credentials
		if err := json.Unmarshal([]byte(out), &c); code != 0 || err != nil {
			t.Errorf("get %q: exit %d, %s", in, code, out)
			continue
		}
		if c.ServerURL != strings.TrimSpace(in) || c.Username != want.id {
			t.Errorf("get %q: %+v, want user %s", in, c, want.id)
		}
		a, err := assertion.Parse(c.Secret)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := a.Verify(want.key, want.audience, time.Now())
		if err != nil || claims.Use != assertion.UseClient || claims.Subject != want.id {
			t.Errorf("get %q: %+v, %v; want an assertion for clients", in, claims, err)
		}
	}
}

func TestGetNobody(t *testing.T) {
	newPerson(t)
	for _, in := range []string{"other.example.org", "patches.example.org", "http://patches.example.org:8443", "127.0.0.1:5001"} {
		if code, out := ask("get", in); code != 1 || out != errUnknown.Error()+"\n" {
			t.Errorf("get %q: exit %d, %q; want that nobody is known", in, code, out)
		}
	}
	if code, out := ask("get", "\n"); code != 1 || !strings.Contains(out, "no server") {
		t.Errorf("get of nothing: exit %d, %q", code, out)
	}
}

func TestGetWithAKeyOthersCanRead(t *testing.T) {
	p := newPerson(t)
	if err := os.Chmod(p.loginKey, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := ask("get", loginServer); code != 1 || !strings.Contains(out, "can be read by others") {
		t.Errorf("exit %d, %q; want the key file refused", code, out)
	}
}

func TestListStoreErase(t *testing.T) {
	p := newPerson(t)
	code, out := ask("list", "")
	var all map[string]string
	if err := json.Unmarshal([]byte(out), &all); code != 0 || err != nil || all[loginServer] != p.loginID || all[hostServer] != p.hID || len(all) != 2 {
		t.Errorf("list: exit %d, %s", code, out)
	}
	if code, out := ask("store", `{"ServerURL":"x","Username":"u","Secret":"s3cret"}`); code != 1 || strings.Contains(out, "s3cret") {
		t.Errorf("store: exit %d, %q; want that nothing is kept", code, out)
	}
	if code, out := ask("erase", loginServer); code != 0 || out != "" {
		t.Errorf("erase: exit %d, %q", code, out)
	}
	if code, _ := ask("get", loginServer); code != 0 {
		t.Error("erase took something away")
	}
	for _, args := range [][]string{nil, {"get", "more"}, {"frob"}} {
		var o, e bytes.Buffer
		if run(args, strings.NewReader(""), &o, &e) != 1 {
			t.Errorf("%q: exit 0", args)
		}
	}
}

func TestNoConfiguration(t *testing.T) {
	t.Setenv(config.EnvDir, filepath.Join(t.TempDir(), "none"))
	t.Setenv("PATCHFIT_AGENT_STATE", filepath.Join(t.TempDir(), "none"))
	if code, out := ask("list", ""); code != 0 || out != "{}\n" {
		t.Errorf("list: exit %d, %q", code, out)
	}
}

func TestBrokenConfiguration(t *testing.T) {
	newPerson(t)
	if err := os.WriteFile(filepath.Join(os.Getenv("PATCHFIT_AGENT_STATE"), "host.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := ask("get", "other.example.org"); code != 1 || strings.Contains(out, errUnknown.Error()) {
		t.Errorf("exit %d, %q; want that broken state is told", code, out)
	}
}
