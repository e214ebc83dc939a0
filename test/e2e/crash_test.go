package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const crashRounds = 50

// TestSpineCrash kills the server with SIGKILL at random points while a publisher
// publishes and hosts pull. Whatever was acknowledged has to be there in the
// end: every artifact, every statement with its place in the log, every
// decision; log, journal and index have to agree; an index built again has to
// give the same bytes.
func TestSpineCrash(t *testing.T) {
	w := newCrashWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range rounds(crashRounds) {
		w.round(time.Duration(100+random.IntN(1200)) * time.Millisecond)
	}
	w.start()
	w.audit()
	w.reindex()
	t.Logf("acknowledged: %d artifacts, %d statements, %d denials, %d pulls", len(w.artifacts), len(w.statements), len(w.denials), w.pulls)
}

// rounds is how often to crash: usually, or as often as `make soak` says.
func rounds(usually int) int {
	if n, err := strconv.Atoi(os.Getenv("PATCHFIT_CRASH_ROUNDS")); err == nil {
		return n
	}
	return usually
}

// A crashWorld is a server that gets killed, and what it acknowledged.
type crashWorld struct {
	t      *testing.T
	dir    string
	env    []string
	url    string
	server *running

	mu         sync.Mutex
	artifacts  []string         // manifest digests of pushes that were acknowledged
	statements map[string]int64 // referrer digest to log index
	denials    []string         // decision ids that hosts were told
	pulls      int              // of host a, allowed, after a restart
	work       int              // counts what the publisher does
}

func newCrashWorld(t *testing.T) *crashWorld {
	return newCrashWorldIn(t, t.TempDir())
}

func newCrashWorldIn(t *testing.T, dir string) *crashWorld {
	w := &crashWorld{t: t, dir: dir, statements: map[string]int64{}}
	port := freePort(t)
	w.url = "http://127.0.0.1:" + port
	w.env = append(os.Environ(), "PATH="+programs(t, "oras")+":"+os.Getenv("PATH"), "HOME="+w.dir, "PORT="+port,
		"URL="+w.url, "REGISTRY=127.0.0.1:"+port, "DOCKER_CONFIG="+filepath.Join(w.dir, "docker"),
		"GREET="+filepath.Join(moduleDir(t), "..", "demo", "testdata"))
	w.prelude("init")
	w.start()
	for _, name := range []string{"people", "builds", "hosts"} {
		w.prelude(name)
	}
	w.kill()
	return w
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (w *crashWorld) prelude(name string) {
	out, err := w.command(context.Background(), nil, filepath.Join(moduleDir(w.t), "testdata", "prelude", name)).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// command runs one of the programs, or a file.
func (w *crashWorld) command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(name) {
		name = filepath.Join(programs(w.t), name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = w.dir
	cmd.Env = append(append([]string{}, w.env...), env...)
	return cmd
}

func (w *crashWorld) start() {
	w.t.Helper()
	r, line, err := startServer(w.command(context.Background(), nil, "patchfitd", "serve", "--config", "pf/patchfitd.yaml"), filepath.Join(w.dir, "patchfitd.log"))
	if err != nil || line != "listening on "+w.url {
		log, _ := os.ReadFile(filepath.Join(w.dir, "patchfitd.log"))
		w.t.Fatalf("the server did not come back: %q, %v\n%s", line, err, log)
	}
	w.server = r
	w.t.Cleanup(func() { r.end(syscall.SIGKILL) })
}

func (w *crashWorld) kill() { w.server.end(syscall.SIGKILL) }

// round starts the server, lets everyone work, and kills it after a while.
func (w *crashWorld) round(after time.Duration) {
	w.start()
	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for _, work := range []func(context.Context){w.publisher, w.hostA, w.hostB} {
		workers.Go(func() {
			for ctx.Err() == nil {
				work(ctx)
			}
		})
	}
	time.Sleep(after)
	w.kill()
	stop()
	workers.Wait()
}

// try runs a program that may fail, since its server is being killed.
func (w *crashWorld) try(ctx context.Context, env []string, name string, args ...string) (stdout, stderr string, ok bool) {
	cmd := w.command(ctx, env, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err == nil
}

func (w *crashWorld) as(role string) []string {
	return []string{"PATCHFIT_CONFIG=" + filepath.Join(w.dir, "login-"+role)}
}

func (w *crashWorld) host(name string) []string {
	return []string{"PATCHFIT_CONFIG=" + filepath.Join(w.dir, "nobody"), "PATCHFIT_AGENT_STATE=" + filepath.Join(w.dir, "host-"+name)}
}

var digestText = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// publisher pushes an artifact nobody vouches for, and then a statement.
func (w *crashWorld) publisher(ctx context.Context) {
	w.mu.Lock()
	w.work++
	n := w.work
	w.mu.Unlock()
	name := fmt.Sprintf("work-%d", n)
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(name), 0o600); err != nil {
		w.t.Error(err)
		return
	}
	ref := "127.0.0.1:" + strings.TrimPrefix(w.url, "http://127.0.0.1:") + "/lib/greet:base-a"
	out, _, ok := w.try(ctx, w.as("publisher"), "oras", "attach", "--plain-http", "--format", "json", "--artifact-type", "application/vnd.patchfit.livepatch.v1", ref, name+":application/octet-stream")
	if !ok {
		return
	}
	var made struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		w.t.Errorf("oras: %v in %s", err, out)
		return
	}
	w.mu.Lock()
	w.artifacts = append(w.artifacts, made.Digest)
	w.mu.Unlock()
	w.attest(ctx, n)
}

func (w *crashWorld) attest(ctx context.Context, n int) {
	predicate := fmt.Sprintf("predicate-%d.json", n)
	if err := os.WriteFile(filepath.Join(w.dir, predicate), w.provenance(n), 0o600); err != nil {
		w.t.Error(err)
		return
	}
	out, _, ok := w.try(ctx, w.as("publisher"), "patchfit", "attest", "lib/greet:fix-1", "--type", "https://slsa.dev/provenance/v1", "--predicate", predicate, "--key", "patch-ci.pem", "--format", "json")
	if !ok {
		return
	}
	var made struct {
		Statements []struct {
			Referrer string
			LogIndex int64
		}
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made.Statements) != 1 || !digestText.MatchString(made.Statements[0].Referrer) {
		w.t.Errorf("patchfit attest printed %q: %v", out, err)
		return
	}
	w.mu.Lock()
	w.statements[made.Statements[0].Referrer] = made.Statements[0].LogIndex
	w.mu.Unlock()
}

// provenance is one more honest provenance of the patch: another invocation of
// the same build.
func (w *crashWorld) provenance(n int) []byte {
	return fmt.Appendf(nil, `{"buildDefinition": {
		"buildType": "https://github.com/patchfit/patchfit/attestation/container-build/v1",
		"externalParameters": {"product": %q, "command": ["gcc"]},
		"internalParameters": {"contained": false},
		"resolvedDependencies": [
			{"name": "environment", "digest": {"sha256": %q}},
			{"name": "builder-image", "digest": {"sha256": %q}},
			{"name": "source", "digest": {"sha256": %q}}]},
		"runDetails": {"builder": {"id": "https://example.org/builder"}, "metadata": {"invocationId": "crash-%d"}}}`,
		w.line("product"), w.hex("patch.environment"), w.hex("builder.digest"), strings.Repeat("0", 64), n)
}

func (w *crashWorld) line(name string) string { return strings.TrimSpace(w.read(name)) }

func (w *crashWorld) hex(name string) string { return strings.TrimPrefix(w.line(name), "sha256:") }

// hostA pulls what fits it.
func (w *crashWorld) hostA(ctx context.Context) {
	if _, _, ok := w.try(ctx, w.host("a"), "oras", "manifest", "fetch", "--plain-http", strings.TrimPrefix(w.url, "http://")+"/lib/greet:fix-1"); ok {
		w.mu.Lock()
		w.pulls++
		w.mu.Unlock()
	}
}

var decisionID = regexp.MustCompile(`decision (d-[0-9A-Z]{26})`)

// hostB asks for the newest artifact nobody vouches for, and is told a decision.
func (w *crashWorld) hostB(ctx context.Context) {
	digest := w.line("fix-1.digest")
	w.mu.Lock()
	if n := len(w.artifacts); n > 0 {
		digest = w.artifacts[n-1]
	}
	w.mu.Unlock()
	_, said, _ := w.try(ctx, w.host("b"), "oras", "manifest", "fetch", "--plain-http", strings.TrimPrefix(w.url, "http://")+"/lib/greet@"+digest)
	if m := decisionID.FindStringSubmatch(said); m != nil {
		w.mu.Lock()
		w.denials = append(w.denials, m[1])
		w.mu.Unlock()
	}
}

func (w *crashWorld) read(name string) string {
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Error(err)
	}
	return string(b)
}

func (w *crashWorld) must(env []string, name string, args ...string) string {
	w.t.Helper()
	out, errs, ok := w.try(context.Background(), env, name, args...)
	if !ok {
		w.t.Fatalf("%s %s:\n%s\n%s", name, strings.Join(args, " "), out, errs)
	}
	return out
}

// audit looks for everything that was acknowledged.
func (w *crashWorld) audit() {
	ref := strings.TrimPrefix(w.url, "http://") + "/lib/greet@"
	for _, d := range w.artifacts {
		w.must(w.as("publisher"), "oras", "manifest", "fetch", "--plain-http", ref+d)
	}
	for d := range w.statements {
		w.must(w.as("publisher"), "oras", "manifest", "fetch", "--plain-http", ref+d)
	}
	lineage := w.must(w.as("auditor"), "patchfit", "audit", "who-built", "lib/greet@"+w.line("fix-1.digest"), "--format", "json")
	for d, index := range w.statements {
		if !strings.Contains(lineage, d) {
			w.t.Errorf("statement %s (log index %d) was acknowledged and is not in the ledger", d, index)
		}
	}
	known := map[string]bool{}
	for _, d := range w.decisions() {
		known[d.Decision] = true
	}
	for _, id := range w.denials {
		if !known[id] {
			w.t.Errorf("a host was told decision %s, which is not in the ledger", id)
		}
	}
	if w.pulls > 0 && !w.allowed() {
		w.t.Error("host a got the patch, and no allow is in the ledger")
	}
	w.must(w.as("auditor"), "patchfit", "audit", "verify", "--trusted-root", "pf/data/trusted_root.json")
}

type decision struct {
	Decision string
	Allow    bool
}

func (w *crashWorld) allowed() bool {
	for _, d := range w.decisions() {
		if d.Allow {
			return true
		}
	}
	return false
}

// decisions pages through all decisions.
func (w *crashWorld) decisions() []decision {
	var all []decision
	for cursor := ""; ; {
		args := []string{"audit", "decisions", "--format", "json"}
		if cursor != "" {
			args = append(args, "--cursor", cursor)
		}
		var page struct {
			Decisions []decision
			Cursor    string
		}
		out := w.must(w.as("auditor"), "patchfit", args...)
		if err := json.Unmarshal([]byte(out), &page); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, page.Decisions...)
		if cursor = page.Cursor; cursor == "" {
			return all
		}
	}
}

// reindex stops the server, builds the index again and compares every answer.
func (w *crashWorld) reindex() {
	answers := func() string {
		return fmt.Sprint(w.decisions()) + w.must(w.as("auditor"), "patchfit", "audit", "who-built", "lib/greet@"+w.line("fix-1.digest"), "--format", "json")
	}
	before := answers()
	w.kill()
	if err := os.Remove(filepath.Join(w.dir, "pf/data/index.db")); err != nil {
		w.t.Fatal(err)
	}
	w.must(nil, "patchfitd", "reindex", "--config", "pf/patchfitd.yaml")
	w.start()
	if after := answers(); after != before {
		w.t.Errorf("the index built again answers otherwise:\n%s\nbefore:\n%s", after, before)
	}
}
