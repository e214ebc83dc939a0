package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// The products, one repository each.
const (
	readRepo     = "lib/read"     // what hosts pull
	pushRepo     = "lib/push"     // what publishers fill
	referredRepo = "lib/referred" // one subject, many referrers
	manyRepo     = "lib/many"     // as readRepo, among very many manifests
)

var products = []string{readRepo, pushRepo, referredRepo, manyRepo}

// A payload is a live patch of a size that is measured.
type payload struct {
	tag  string
	size int64
}

var payloads = []payload{{"patch-1k", 1 << 10}, {"patch-1m", 1 << 20}, {"patch-100m", 100 << 20}}

// A house is patchfitd with its gate on, and everybody who deals with it: it is
// set up with the built programs, as its users do it.
type house struct {
	dir, bin, demo string
	server         *server
	principal      string // the publisher's id

	mu     sync.Mutex
	tokens map[string]bearer
}

type bearer struct {
	text string
	got  time.Time
}

// tokenTime is how long a token is used: it is good for 600 s.
const tokenTime = 5 * time.Minute

func newHouse(dir, bin, demo string) (*house, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	h := &house{dir: dir, bin: bin, demo: demo, tokens: map[string]bearer{}}
	h.server = &server{
		name: "patchfitd", address: address, log: filepath.Join(dir, "log"), program: filepath.Join(bin, "patchfitd"),
		args: []string{"serve", "--config", filepath.Join(dir, "patchfitd.yaml")}, token: h.token,
		secured: h.secured,
	}
	return h, os.MkdirAll(dir, 0o755)
}

// run runs one of the programs in the house's directory and returns what it
// prints.
func (h *house) run(ctx context.Context, env []string, stdin, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(h.bin, program), args...)
	cmd.Dir = h.dir
	cmd.Env = append(append(os.Environ(), "HOME="+h.dir), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, &out, &errs)
	}
	return strings.TrimSpace(out.String()), nil
}

// all runs command lines of one program until one fails.
func (h *house) all(ctx context.Context, env []string, program string, lines ...[]string) error {
	for _, args := range lines {
		if _, err := h.run(ctx, env, "", program, args...); err != nil {
			return err
		}
	}
	return nil
}

// admin are arguments of patchfit as the first admin.
func (h *house) admin(args ...string) []string {
	return append(args, "--server", "http://"+h.server.address, "--token-file", "admin-token")
}

func (h *house) as(role string) []string {
	if role == "host" {
		return []string{"PATCHFIT_CONFIG=" + filepath.Join(h.dir, "nobody"), "PATCHFIT_AGENT_STATE=" + filepath.Join(h.dir, "host")}
	}
	return []string{"PATCHFIT_CONFIG=" + filepath.Join(h.dir, "login-"+role), "PATCHFIT_AGENT_STATE=" + filepath.Join(h.dir, "nobody")}
}

// setUp makes the server's data, lets it start, and publishes.
func (h *house) setUp(ctx context.Context) error {
	if err := h.all(ctx, nil, "patchfitd", []string{"init", "--config", "patchfitd.yaml", "--data", "data",
		"--listen", h.server.address, "--origin", "bench.patchfit.localhost", "--admin-token", "admin-token"}); err != nil {
		return err
	}
	if err := h.unlimit(); err != nil {
		return err
	}
	if err := h.server.start(ctx); err != nil {
		return err
	}
	roots, ids, err := h.trust(ctx)
	if err != nil {
		return err
	}
	if err := h.publisher(ctx, roots, ids); err != nil {
		return err
	}
	if err := h.build(ctx); err != nil {
		return err
	}
	for repo, some := range map[string][]payload{readRepo: payloads, manyRepo: payloads[:1]} {
		if err := h.publish(ctx, repo, some); err != nil {
			return err
		}
	}
	return h.enrol(ctx, ids)
}

// unlimit lets one host on one address ask as often as it can: what is measured
// is the server. The limits are counted all the same.
func (h *house) unlimit() error {
	f, err := os.OpenFile(filepath.Join(h.dir, "patchfitd.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	const most = "{perSecond: 1000000, burst: 1000000}"
	_, err = fmt.Fprintf(f, "limits: {connectionsPerPlace: 4096, token: %[1]s, host: %[1]s, publisher: %[1]s, auditor: %[1]s}\n", most)
	return errors.Join(err, f.Close())
}

// trust makes a trust policy and has the server take it.
func (h *house) trust(ctx context.Context) (roots string, ids []string, err error) {
	for _, key := range []string{"root", "base-ci", "patch-ci", "publisher"} {
		if err := h.all(ctx, nil, "patchfit", []string{"keygen", "-o", key + ".pem"}); err != nil {
			return "", nil, err
		}
	}
	init := []string{"trust", "init", "-o", "policy.json", "--root", "root.pem.pub", "--trusted-root", "data/trusted_root.json",
		"--signer", "base-ci=base-ci.pem.pub", "--signer", "patch-ci=patch-ci.pem.pub"}
	for _, repo := range products {
		init = append(init, "--product", repo, "--authority", repo+":builder=base-ci", "--authority", repo+":base=base-ci", "--authority", repo+":patch=patch-ci")
	}
	if err := h.all(ctx, nil, "patchfit", init, []string{"trust", "sign", "--key", "root.pem", "policy.json"}, h.admin("trust", "push", "policy.signed.json")); err != nil {
		return "", nil, err
	}
	var shown struct {
		Roots    string
		Products []struct{ ID string }
	}
	if err := h.json(ctx, &shown, "trust", "show", "policy.signed.json"); err != nil {
		return "", nil, err
	}
	for _, p := range shown.Products {
		ids = append(ids, p.ID)
		if err := h.all(ctx, nil, "patchfit", h.admin("admin", "product", p.ID)); err != nil {
			return "", nil, err
		}
	}
	return shown.Roots, ids, nil
}

// json runs patchfit and reads what it prints.
func (h *house) json(ctx context.Context, v any, args ...string) error {
	out, err := h.run(ctx, nil, "", "patchfit", append(args, "--format", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), v)
}

func (h *house) publisher(ctx context.Context, roots string, ids []string) error {
	var made struct{ Principal string }
	if err := h.json(ctx, &made, h.admin("admin", "principal", "--name", "publisher", "--key", "publisher.pem.pub")...); err != nil {
		return err
	}
	h.principal = made.Principal
	for _, id := range ids {
		if err := h.all(ctx, nil, "patchfit", h.admin("admin", "grant", "--principal", made.Principal, "--product", id, "--role", "publisher")); err != nil {
			return err
		}
	}
	return h.all(ctx, h.as("publisher"), "patchfit", []string{"login", "http://" + h.server.address, "--principal", made.Principal, "--key", "publisher.pem", "--roots", roots})
}

// build captures the builds of a base and of a patch to it.
func (h *house) build(ctx context.Context) error {
	src := filepath.Join(h.dir, "src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"greet.c", "greet_patch.c"} {
		b, err := os.ReadFile(filepath.Join(h.demo, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(src, name), b, 0o644); err != nil {
			return err
		}
	}
	gcc := []string{"--", "gcc", "-O2", "-fPIC", "-shared", "-Wl,-soname,libgreet.so.1", "-Wl,--build-id=sha1", "-o"}
	capture := func(of string, how ...string) []string {
		return append(append([]string{"env", "capture", "--source", "src", "-o", of + ".capture"}, how...), gcc...)
	}
	return h.all(ctx, nil, "patchfit",
		append(capture("base", "--pack", "builder"), "src/base.so", "src/greet.c"),
		append(capture("patch", "--builder", "builder", "--patch-of", "base.capture"), "src/patch.so", "src/greet_patch.c"))
}

// publish publishes a base and live patches for it, everything signed, logged
// and admitted.
func (h *house) publish(ctx context.Context, repo string, some []payload) error {
	err := h.all(ctx, h.as("publisher"), "patchfit",
		[]string{"publish", "builder-image", "builder", "--to", repo + ":builder", "--key", "base-ci.pem"},
		[]string{"publish", "base", "src/base.so", "--capture", "base.capture", "--to", repo + ":base", "--key", "base-ci.pem"})
	for _, p := range some {
		if err = errors.Join(err, h.fake(p)); err != nil {
			return err
		}
		err = h.all(ctx, h.as("publisher"), "patchfit", []string{"publish", "patch", p.tag, "--capture", p.tag + ".capture",
			"--base", "base", "--to", repo + ":" + p.tag, "--key", "patch-ci.pem"})
	}
	return err
}

var artifact = regexp.MustCompile(`"artifact":\{[^}]*\}`)

// fake writes a patch of the wanted size, and the capture of its build: the
// real one, of another output. The server cannot tell, and serves it as any.
func (h *house) fake(p payload) error {
	path := filepath.Join(h.dir, p.tag)
	if _, err := os.Stat(path); err == nil {
		return nil // it is in another repository already
	}
	capture, err := os.ReadFile(filepath.Join(h.dir, "patch.capture"))
	if err != nil {
		return err
	}
	b := make([]byte, p.size)
	fill(b, p.tag)
	copy(b, elfHeader())
	made := fmt.Sprintf(`"artifact":{"buildId":"","digest":%q,"name":%q,"size":%d}`, digestOf(b), p.tag, p.size)
	return errors.Join(os.WriteFile(path, b, 0o644), os.WriteFile(path+".capture", artifact.ReplaceAll(capture, []byte(made)), 0o644))
}

func (h *house) enrol(ctx context.Context, ids []string) error {
	ask := []string{"admin", "token"}
	for _, id := range ids {
		ask = append(ask, "--product", id)
	}
	token, err := h.run(ctx, nil, "", "patchfit", h.admin(ask...)...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(h.dir, "enrol"), []byte(token), 0o600); err != nil {
		return err
	}
	return h.all(ctx, nil, "patchfit-agent", []string{"enroll", "--state", "host", "--token-file", "enrol", "--name", "host"},
		[]string{"record", "--state", "host", "--base", readRepo + "=src/base.so", "--base", manyRepo + "=src/base.so"})
}

// token returns an access token, got the way unmodified clients get one.
func (h *house) token(ctx context.Context, role string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.tokens[role]; time.Since(t.got) < tokenTime {
		return t.text, nil
	}
	out, err := h.run(ctx, h.as(role), h.server.url("\n"), "docker-credential-patchfit", "get")
	if err != nil {
		return "", err
	}
	var known struct{ Username, Secret string }
	if err := json.Unmarshal([]byte(out), &known); err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.server.url("/token"), nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(known.Username, known.Secret)
	transport := &http.Transport{TLSClientConfig: h.server.secure, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest))
	var got struct{ Token string }
	if err = errors.Join(err, json.Unmarshal(b, &got)); err != nil || got.Token == "" {
		return "", fmt.Errorf("no token for the %s: status %d, %w: %s", role, resp.StatusCode, err, b)
	}
	h.tokens[role] = bearer{got.Token, time.Now()}
	return got.Token, nil
}
