package source

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/internal/machinetest"
)

// A small bundle can hold one tree in itself again and again, more than any disk
// has room for: what of it is refused ends it, before git has written the rest.
func TestAttackTreeBomb(t *testing.T) {
	machinetest.Tools(t, "git")
	home := t.TempDir()
	repository := filepath.Join(home, "repository")
	run := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"--git-dir", repository}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("", "init", "-q", "--bare")
	blob := run("x", "hash-object", "-w", "--stdin")
	level := fmt.Sprintf("100644 blob %s\tfile\n", blob)
	for range 4 {
		tree, names := run(level, "mktree"), strings.Builder{}
		for i := range 16 {
			fmt.Fprintf(&names, "040000 tree %s\t%x\n", tree, i)
		}
		level = names.String()
	}
	refused := fmt.Sprintf("100644 blob %s\t%s\n", blob, strings.Repeat("-", maxName+1)) // comes first
	id := run("", "commit-tree", "-m", "bomb", run(refused+level, "mktree"))

	_, err := git{t.Context(), home}.tree(repository, id, filepath.Join(t.TempDir(), "source.tar"), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("error %v, want the long name refused", err)
	}
	list, err := os.ReadDir(home)
	if err != nil || len(list) != 1 {
		t.Errorf("git wrote more than its repository: %v, error %v", list, err)
	}
}
