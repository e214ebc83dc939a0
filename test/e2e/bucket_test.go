package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A bucketServer is the S3 server of a script. Its address stays over restarts.
type bucketServer struct {
	address string
	running *exec.Cmd
}

type bucketKey struct{}

// s3 starts or stops (SIGKILL) an S3 server of the script's own, which keeps its
// buckets below the directory buckets. It sets $S3 to its address, and $S3_KEY
// and $S3_SECRET to what opens it.
func s3(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: s3 start|stop")
	}
	b := ts.Value(bucketKey{}).(*bucketServer)
	switch {
	case args[0] == "start" && b.running == nil:
		b.start(ts)
	case args[0] == "stop" && b.running != nil:
		b.stop()
	default:
		ts.Fatalf("s3 %s: it runs already, does not run, or this is neither start nor stop", args[0])
	}
}

func (b *bucketServer) start(ts *testscript.TestScript) {
	path, err := lookPath(ts.Getenv("PATH"), "versitygw")
	ts.Check(err)
	if b.address == "" {
		port(ts, false, nil)
		b.address = "127.0.0.1:" + ts.Getenv("PORT")
		ts.Setenv("S3", "http://"+b.address)
		ts.Setenv("S3_KEY", "patchfit-test")
		ts.Setenv("S3_SECRET", "not-much-of-a-secret")
	}
	ts.Check(os.MkdirAll(ts.MkAbs("buckets"), 0o700))
	cmd := exec.Command(path, "--port", b.address, "--quiet", "posix", ts.MkAbs("buckets"))
	cmd.Env = []string{"ROOT_ACCESS_KEY=" + ts.Getenv("S3_KEY"), "ROOT_SECRET_KEY=" + ts.Getenv("S3_SECRET")}
	ts.Check(cmd.Start())
	b.running = cmd
	ts.Defer(b.stop)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get("http://" + b.address); err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the S3 server does not answer at %s", b.address)
		}
	}
}

func (b *bucketServer) stop() {
	if b.running == nil {
		return
	}
	b.running.Process.Signal(syscall.SIGKILL)
	b.running.Wait()
	b.running = nil
}

// logged PATTERN waits until a line of the server's log matches.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: logged PATTERN")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for line := range strings.Lines(ts.ReadFile("patchfitd.log")) {
			if pattern.MatchString(line) {
				return
			}
		}
	}
	ts.Fatalf("no line of the server's log matches %q:\n%s", args[0], ts.ReadFile("patchfitd.log"))
}
