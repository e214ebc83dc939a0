package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrNoGit is wrapped where a bundle cannot be read because git is not there.
var ErrNoGit = errors.New("git is not installed, and a git bundle is read with it")

var commit = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// bundle makes the archive of one commit of a git bundle: its tree as git
// archive writes it, without what .gitattributes would do to it.
func bundle(ctx context.Context, from Origin, to, scratch string) (*Tree, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, ErrNoGit
	}
	if strings.HasPrefix(from.Revision, "-") {
		return nil, fmt.Errorf("%q is no revision", from.Revision)
	}
	path, err := filepath.Abs(from.Path)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(scratch, "git-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(home)
	g := git{ctx, home}
	repository := filepath.Join(home, "repository")
	if _, err := g.run("clone", "--bare", "--quiet", "--", path, repository); err != nil {
		return nil, err
	}
	revision := from.Revision
	if revision == "" {
		revision = "HEAD"
	}
	out, err := g.run("--git-dir", repository, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return nil, fmt.Errorf("has no commit %s: name one with --revision", revision)
	}
	id := strings.TrimSpace(out)
	if !commit.MatchString(id) {
		return nil, fmt.Errorf("git says that %s is commit %.80q", revision, id)
	}
	t, err := g.tree(repository, id, to, scratch)
	if err != nil {
		return nil, err
	}
	t.Commit = id
	return t, nil
}

// git runs git without anybody's configuration, hooks or prompts.
type git struct {
	ctx  context.Context
	home string
}

func (g git) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(g.ctx, "git", args...)
	cmd.Dir = g.home
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=file", "GIT_NO_REPLACE_OBJECTS=1",
	}
	return cmd
}

func (g git) run(args ...string) (string, error) {
	cmd := g.command(args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if g.ctx.Err() != nil {
		return "", g.ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("git says: %.500s", strings.TrimSpace(said.String()+" "+err.Error()))
	}
	return string(out), nil
}

// tree makes the archive of a commit. What git archive would leave out or write
// into files is switched off: the tree is what the commit holds.
func (g git) tree(repository, id, to, scratch string) (*Tree, error) {
	if err := os.MkdirAll(filepath.Join(repository, "info"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(repository, "info", "attributes"), []byte("* -export-ignore -export-subst -text -ident -filter !eol !working-tree-encoding\n"), 0o644); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(g.ctx)
	defer cancel()
	cmd := git{ctx, g.home}.command("--git-dir", repository, "-c", "core.autocrlf=false", "archive", "--format=tar", id)
	return piped(cmd, cancel, func(tar io.Reader) (*Tree, error) { return stranger(g.ctx, tar, to, scratch) })
}

// piped has read read what cmd writes, as it does so: a bundle of a few hundred
// bytes can hold a tree that no disk does, and what it may be is known to read.
func piped(cmd *exec.Cmd, cancel func(), read func(io.Reader) (*Tree, error)) (*Tree, error) {
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t, err := read(out)
	if err == nil {
		_, err = io.Copy(io.Discard, out) // what pads the archive
	} else if !errors.Is(err, io.ErrUnexpectedEOF) {
		cancel() // it would write on
		return nil, errors.Join(err, ended(cmd.Wait()))
	}
	if failed := cmd.Wait(); failed != nil {
		if t != nil {
			_ = os.Remove(t.Path) // it is not all of the tree
		}
		return nil, fmt.Errorf("git says: %.500s", strings.TrimSpace(said.String()+" "+failed.Error()))
	}
	return t, err
}

// ended tells of a program that was stopped only what went wrong besides.
func ended(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
