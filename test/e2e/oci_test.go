package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// The repositories of a depot: two products.
var depots = []string{"lib/one", "lib/two"}

// A depot is a built server with two products and robots that push to both. What
// it does to a request is seen on the wire, byte by byte.
type depot struct {
	t      *testing.T
	dir    string // configuration, keys, log
	data   string
	url    string
	server *running
	client *http.Client

	mu     sync.Mutex
	secret map[string]string // of each robot
	bearer map[string]string
}

// newDepot makes a server's data in the directory data and leaves the server
// running. more is added to its configuration.
func newDepot(t *testing.T, data, more string, robots ...string) *depot {
	t.Helper()
	d := &depot{t: t, dir: t.TempDir(), data: data, secret: map[string]string{}, bearer: map[string]string{}}
	d.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	t.Cleanup(d.client.CloseIdleConnections)
	port := freePort(t)
	d.url = "http://127.0.0.1:" + port
	d.must("patchfitd", "init", "--config", "patchfitd.yaml", "--data", data, "--listen", "127.0.0.1:"+port, "--origin", "e2e.patchfit.localhost", "--admin-token", "admin-token")
	d.configure(more)
	d.trust()
	d.start()
	d.people(robots)
	return d
}

// configure adds to the configuration what every depot has, and more.
func (d *depot) configure(more string) {
	d.t.Helper()
	was, err := os.ReadFile(filepath.Join(d.dir, "patchfitd.yaml"))
	if err != nil {
		d.t.Fatal(err)
	}
	base, _, _ := strings.Cut(string(was), "\nregistry:")
	if err := os.WriteFile(filepath.Join(d.dir, "patchfitd.yaml"), []byte(base+"\n"+more), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// generous are limits that nobody who means well meets.
const generous = `
limits:
  publisher: {perSecond: 100000, burst: 100000}
  token: {perSecond: 100000, burst: 100000}
`

func (d *depot) trust() {
	d.t.Helper()
	for _, key := range []string{"root", "ci", "auditor"} {
		d.must("patchfit", "keygen", "-o", key+".pem")
	}
	args := []string{"trust", "init", "-o", "policy.json", "--root", "root.pem.pub", "--trusted-root", filepath.Join(d.data, "trusted_root.json"), "--signer", "ci=ci.pem.pub"}
	for _, name := range depots {
		args = append(args, "--product", name)
		for _, role := range []string{"builder", "base", "patch", "revocation"} {
			args = append(args, "--authority", name+":"+role+"=ci")
		}
	}
	d.must("patchfit", args...)
	d.must("patchfit", "trust", "sign", "--key", "root.pem", "policy.json")
}

// people adds the products, the robots, and an auditor who is logged in.
func (d *depot) people(robots []string) {
	d.t.Helper()
	admin := []string{"--server", d.url, "--token-file", "admin-token"}
	d.must("patchfit", append([]string{"trust", "push", "policy.signed.json"}, admin...)...)
	var policy struct {
		Roots    string
		Products []struct{ ID string }
	}
	d.parse(d.must("patchfit", "trust", "show", "policy.signed.json", "--format", "json"), &policy)
	var auditor struct{ Principal string }
	d.parse(d.must("patchfit", append([]string{"admin", "principal", "--name", "auditor", "--key", "auditor.pem.pub", "--format", "json"}, admin...)...), &auditor)
	var products []string
	for _, p := range policy.Products {
		d.must("patchfit", append([]string{"admin", "product", p.ID}, admin...)...)
		d.must("patchfit", append([]string{"admin", "grant", "--principal", auditor.Principal, "--product", p.ID, "--role", "auditor"}, admin...)...)
		products = append(products, "--product", p.ID)
	}
	d.must("patchfit", "login", d.url, "--principal", auditor.Principal, "--key", "auditor.pem", "--roots", policy.Roots)
	for _, name := range robots {
		args := append([]string{"robot", "create", name, "--role", "publisher", "-o", name + ".token"}, products...)
		d.must("patchfit", append(args, admin...)...)
		secret, err := os.ReadFile(filepath.Join(d.dir, name+".token"))
		if err != nil {
			d.t.Fatal(err)
		}
		d.secret[name] = strings.TrimSpace(string(secret))
	}
}

func (d *depot) parse(text string, into any) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		d.t.Fatalf("%v in %s", err, text)
	}
}

func (d *depot) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(programs(d.t), name), args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "HOME="+d.dir, "PATCHFIT_CONFIG="+filepath.Join(d.dir, "login"))
	return cmd
}

// must runs a program that has to succeed and returns what it prints.
func (d *depot) must(name string, args ...string) string {
	d.t.Helper()
	cmd := d.command(name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.Bytes())
	}
	return string(out)
}

// start starts the server, which has to come up.
func (d *depot) start() {
	d.t.Helper()
	r, line, err := startServer(d.command("patchfitd", "serve", "--config", "patchfitd.yaml"), filepath.Join(d.dir, "patchfitd.log"))
	if err != nil || line != "listening on "+d.url {
		d.t.Fatalf("the server did not come up: %q, %v\n%s", line, err, d.log())
	}
	d.server = r
	d.t.Cleanup(func() { r.end(syscall.SIGKILL) })
}

func (d *depot) end(sig syscall.Signal) { d.server.end(sig) }

// over reports whether the server ended by itself, waiting a while for it.
func (d *depot) over(wait time.Duration) bool {
	select {
	case <-d.server.done:
		return true
	case <-time.After(wait):
		return false
	}
}

func (d *depot) log() string {
	b, err := os.ReadFile(filepath.Join(d.dir, "patchfitd.log"))
	if err != nil {
		d.t.Error(err)
	}
	return string(b)
}

// A reply is an answer, or the lack of one: status 0.
type reply struct {
	status   int
	location string
	body     []byte
	err      error
}

func (r reply) String() string { return fmt.Sprintf("%d %.300s %v", r.status, r.body, r.err) }

// ask asks as a robot, with an access token that is fetched when it is needed.
func (d *depot) ask(as, method, path, mediaType string, body io.Reader) reply {
	token, err := d.token(as)
	if err != nil {
		return reply{err: err}
	}
	req, err := http.NewRequest(method, d.url+path, body)
	if err != nil {
		d.t.Error(err)
		return reply{err: err}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", mediaManifest)
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{err: err}
	}
	return reply{status: resp.StatusCode, location: resp.Header.Get("Location"), body: b}
}

func (d *depot) token(as string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.bearer[as]; t != "" {
		return t, nil
	}
	req, err := http.NewRequest(http.MethodGet, d.url+"/token", nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("robot$"+as, d.secret[as])
	resp, err := d.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var got struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Token == "" {
		return "", fmt.Errorf("no token: %s, %w", resp.Status, err)
	}
	d.bearer[as] = got.Token
	return got.Token, nil
}

// renew forgets the access tokens.
func (d *depot) renew() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.bearer)
	d.client.CloseIdleConnections()
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// pushBlob pushes a blob in so many requests and returns the answer to the first
// that is not what it should be, or the 201.
func (d *depot) pushBlob(as, name string, b []byte, requests int) reply {
	want := digestOf(b)
	r := d.ask(as, http.MethodPost, "/v2/"+name+"/blobs/uploads/", "", nil)
	for ; requests > 1 && r.status == http.StatusAccepted; requests-- {
		n := len(b) / requests
		r = d.ask(as, http.MethodPatch, r.location, "application/octet-stream", bytes.NewReader(b[:n]))
		b = b[n:]
	}
	if r.status != http.StatusAccepted {
		return r
	}
	at, err := url.Parse(r.location)
	if err != nil {
		return reply{err: err}
	}
	q := at.Query()
	q.Set("digest", want)
	return d.ask(as, http.MethodPut, at.Path+"?"+q.Encode(), "application/octet-stream", bytes.NewReader(b))
}

func (d *depot) get(as, name, kind, ref string) reply {
	return d.ask(as, http.MethodGet, "/v2/"+name+"/"+kind+"/"+ref, "", nil)
}

func (d *depot) putManifest(as, name, ref string, raw []byte) reply {
	return d.ask(as, http.MethodPut, "/v2/"+name+"/manifests/"+ref, mediaManifest, bytes.NewReader(raw))
}
