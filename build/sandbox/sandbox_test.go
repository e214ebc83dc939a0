package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/sandbox/sandboxtest"
	"github.com/patchfit/patchfit/internal/machinetest"
)

func TestMain(m *testing.M) { os.Exit(sandboxtest.Main(m)) }

func TestEmbeddedAsRoot(t *testing.T) {
	sandboxtest.AsRoot(t, func(t *testing.T) { sandboxtest.Run(t, sandbox.New(nil)) })
}

func TestEmbeddedAsUser(t *testing.T) {
	sandboxtest.AsUser(t, func(t *testing.T) { sandboxtest.Run(t, sandbox.New(nil)) })
}

// On a disk that does not know idmapped mounts, root's source belongs to the
// job's user for as long as the job runs, and what it leaves is root's.
func TestDiskWithoutIdmap(t *testing.T) {
	sandboxtest.AsRoot(t, func(t *testing.T) {
		work := overlay(t)
		if err := os.WriteFile(filepath.Join(work, "source"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		j := &sandbox.Job{Root: sandboxtest.Image(t), Work: work, Command: []string{"payload", "write", "/build/made"}, Env: sandbox.Environ(0)}
		if _, err := sandbox.New(nil).Run(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"", "source", "made"} {
			info, err := os.Lstat(filepath.Join(work, name))
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != 0 || s.Gid != 0 {
				t.Errorf("%q belongs to %d:%d", name, s.Uid, s.Gid)
			}
		}
	})
}

// overlay mounts an overlay, which knows no idmapped mounts.
func overlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	if err := syscall.Mount("overlay", merged, "overlay", 0, "lowerdir="+dir+"/lower,upperdir="+dir+"/upper,workdir="+dir+"/work"); err != nil {
		machinetest.LeaveOut(t, "an overlay cannot be mounted here: "+err.Error(), "run it as root, or in a container that may mount")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(merged, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return merged
}

// What a job leaves is opened without leaving the tree.
func TestOpenOutput(t *testing.T) {
	work := t.TempDir()
	for name, target := range map[string]string{"out": "/etc/passwd", "up": "../secret", "good": "file", "dirlink": "/etc"} {
		if err := os.Symlink(target, filepath.Join(work, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(work, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(work, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(work, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]bool{
		"file": true, "good": true, "dir/../file": true,
		"out": false, "up": false, "dirlink/passwd": false, "../secret": false, "/etc/passwd": false, "dir": false, "pipe": false, "none": false, "": false,
	} {
		f, err := sandbox.OpenOutput(work, name)
		if good != (err == nil) {
			t.Errorf("%q: %v", name, err)
		}
		if err == nil {
			f.Close()
		}
	}
}

// A caller that is killed, with no time to tidy up, leaves nothing running.
func TestCallerKilled(t *testing.T) {
	const known = "PATCHFIT_TEST_CALLER"
	if work := os.Getenv(known); work != "" { // the caller, until it is killed
		_, err := sandbox.New(nil).Run(t.Context(), &sandbox.Job{Root: filepath.Join(work, "image"), Work: filepath.Join(work, "work"), Command: []string{"payload", "beat"}, Env: sandbox.Environ(0)})
		t.Fatal(err)
	}
	dir := t.TempDir()
	sandboxtest.AddPayload(t, filepath.Join(dir, "image"))
	if err := os.Mkdir(filepath.Join(dir, "work"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCallerKilled$")
	cmd.Env = append(os.Environ(), known+"="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	beat := func() string {
		b, _ := os.ReadFile(filepath.Join(dir, "work/beat"))
		return string(b)
	}
	until(t, "the job begins", func() bool { return beat() != "" })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	until(t, "the job ends", func() bool {
		before := beat()
		time.Sleep(50 * time.Millisecond)
		return before == beat()
	})
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 1000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not in time: %s", what)
}
