package backend

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/patchfit/patchfit/ledger/client"
)

// patchfitd runs the built server's program and wants it to end well.
func patchfitd(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(program(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("patchfitd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func program(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("PATCHFIT_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	bin, err := filepath.Abs(filepath.Join(bin, "patchfitd"))
	if err == nil {
		_, err = os.Stat(bin)
	}
	if err != nil {
		t.Fatalf("patchfitd is not built (%v): run make build", err)
	}
	return bin
}

// serving runs a server until the test is done with it.
func serving(t *testing.T, config string) (url string, stop func()) {
	t.Helper()
	cmd := exec.Command(program(t), "serve", "--config", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v\n%s", err, complaints.String())
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v\n%s", err, complaints.String())
		}
	}
}

// asking returns a client of a server's logs, and the trusted root it hands out.
func asking(t *testing.T, url string) (c *client.Client, root []byte) {
	t.Helper()
	resp, err := http.Get(url + "/trusted_root.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	root, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	c, err = client.New(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, root
}

// whole reads a server's log from its first leaf to its last.
func whole(t *testing.T, url string, seen *client.Checkpoint) *client.Checkpoint {
	t.Helper()
	c, root := asking(t, url)
	cp, err := c.VerifyLog(t.Context(), root, seen, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

// writing returns what writes a file in a directory, and returns its path.
func writing(t *testing.T, dir string) func(name, text string) string {
	return func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// TestServer moves the log of a server to bucket and database: it goes on there,
// and there alone.
func TestServer(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "patchfitd.yaml")
	write := writing(t, dir)
	patchfitd(t, "init", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--origin", origin, "--admin-token", filepath.Join(dir, "admin"))
	url, stop := serving(t, config)
	before := whole(t, url, nil)
	stop()
	plain, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write("patchfitd.yaml", string(plain)+fmt.Sprintf("log: {kind: s3+mysql, databaseFile: %s, s3: {endpoint: 'http://%s', region: %s, bucket: %s, prefix: prod, accessKeyFile: %s, secretKeyFile: %s}}\n",
		write("db", dsn(newDatabase(t))+"\n"), bucketServer.Addr, region, newBucket(t), write("access", access+"\n"), write("secret", secret+"\n")))
	if out, err := exec.Command(program(t), "serve", "--config", config).CombinedOutput(); err == nil || !strings.Contains(string(out), "patchfitd log move") {
		t.Errorf("serving a log that was not moved: %v\n%s", err, out)
	}
	patchfitd(t, "log", "move", "--config", config)
	if err := os.RemoveAll(filepath.Join(dir, "data", "log")); err != nil {
		t.Fatal(err)
	}
	url, stop = serving(t, config)
	after := whole(t, url, before)
	stop()
	patchfitd(t, "admin-token", "--name", "another", "--config", config) // a record more, sealed at the end
	url, stop = serving(t, config)
	if last := whole(t, url, after); last.Size <= before.Size {
		t.Errorf("%d entries, %d before", last.Size, before.Size)
	}
	stop()
	write("patchfitd.yaml", string(plain))
	if out, err := exec.Command(program(t), "serve", "--config", config).CombinedOutput(); err == nil || !strings.Contains(string(out), "is not where the log") && !strings.Contains(string(out), "log.kind") {
		t.Errorf("serving the old log again: %v\n%s", err, out)
	}
}

// TestServerRotates: the log in bucket and database is frozen, and the next begins
// in the same bucket with a database of its own. The frozen one is read from the
// bucket alone.
func TestServerRotates(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "patchfitd.yaml")
	write := writing(t, dir)
	patchfitd(t, "init", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--origin", origin, "--admin-token", filepath.Join(dir, "admin"))
	plain, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	bucket := newBucket(t)
	kept := fmt.Sprintf("log: {kind: s3+mysql, databaseFile: %s, s3: {endpoint: 'http://%s', region: %s, bucket: %s, accessKeyFile: %s, secretKeyFile: %s}}\n",
		write("db", dsn(newDatabase(t))+"\n"), bucketServer.Addr, region, bucket, write("access", access+"\n"), write("secret", secret+"\n"))
	write("patchfitd.yaml", string(plain)+kept)
	patchfitd(t, "log", "move", "--config", config)
	url, stop := serving(t, config)
	before := all(t, url)
	stop()
	patchfitd(t, "log", "next", "second.example.org", "--config", config)
	write("patchfitd.yaml", strings.Replace(string(plain), origin, "second.example.org", 1)+kept)
	if out := patchfitd(t, "log", "rotate", "--config", config); !strings.Contains(out, "name an empty database") {
		t.Error(out)
	}
	if out, err := exec.Command(program(t), "serve", "--config", config).CombinedOutput(); err == nil || !strings.Contains(string(out), "has to name an empty database") {
		t.Errorf("serving the new log with the old one's database: %v\n%s", err, out)
	}
	write("db", dsn(newDatabase(t))+"\n")
	patchfitd(t, "admin-token", "--name", "another", "--config", config) // a record, sealed in the new log
	if err := os.RemoveAll(filepath.Join(dir, "data", "keys", "log.pem")); err != nil {
		t.Fatal(err)
	}
	url, stop = serving(t, config)
	defer stop()
	if after := all(t, url); after[origin] < before[origin] || after["second.example.org"] == 0 || len(after) != 2 {
		t.Errorf("entries were %v, and are %v", before, after)
	}
}
