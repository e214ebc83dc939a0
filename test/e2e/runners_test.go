package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
)

// TestBuildRunners builds a kernel's live patch by every runner, as root and as
// somebody without rights: what comes out is the same, bit for bit.
func TestBuildRunners(t *testing.T) {
	asRoot(t, "only root can build as root and as nobody")
	home := nobodysHome(t)
	headers := headersIn(t, home)
	build := func(user uint32, out string, more ...string) []byte {
		args := slices.Concat([]string{"build", "--builder", "builder", "--source", "src", "--artifact", "cmdline.ko", "--config", headers + "/.config", "--out", out}, more,
			[]string{"--", "make", "-C", headers, "M=/build", "modules"})
		cmd := exec.Command(filepath.Join(home, "patchfit"), args...)
		cmd.Dir = home
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(home, fmt.Sprint("home-", user))}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, said)
		}
		var all []byte
		for _, name := range []string{"files/cmdline.ko", "environment.json", "source.tar"} {
			b, err := os.ReadFile(filepath.Join(home, out, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return all
	}
	want := build(0, "root")
	for name, got := range map[string][]byte{
		"root, runc":   build(0, "root-runc", "--runner", "runc"),
		"nobody":       build(nobody, "nobody"),
		"nobody, runc": build(nobody, "nobody-runc", "--runner", "runc"),
	} {
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the build came out otherwise than root's, which the embedded runner contained", name)
		}
	}
}

const nobody = 65534

// nobodysHome has the program, the builder image and the source where everybody
// can read them.
func nobodysHome(t *testing.T) string {
	home, err := os.MkdirTemp("/var/tmp", "patchfit-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	own(t, home, nobody)
	for _, user := range []int{0, nobody} {
		dir := filepath.Join(home, fmt.Sprint("home-", user))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		own(t, dir, user)
	}
	bin := programs(t)
	must(t, "cp", "-r", filepath.Join(bin, "patchfit"), filepath.Join(bin, "builder"), home)
	must(t, "cp", "-r", filepath.Join(moduleDir(t), "..", "..", "examples", "kernel-livepatch"), filepath.Join(home, "src"))
	must(t, "chmod", "-R", "a+rX", home)
	return home
}

func own(t *testing.T, path string, user int) {
	t.Helper()
	if err := os.Chown(path, user, user); err != nil {
		t.Fatal(err)
	}
}

// headersIn returns where the kernel's headers are in the builder image.
func headersIn(t *testing.T, home string) string {
	packages := must(t, filepath.Join(home, "patchfit"), "builder", "show", filepath.Join(home, "builder"))
	m := regexp.MustCompile(`linux-headers-[0-9.]+-[0-9]+-amd64`).Find(packages)
	if m == nil {
		t.Fatalf("no headers of a kernel are in the builder image:\n%s", packages)
	}
	return "/usr/src/" + string(m)
}
