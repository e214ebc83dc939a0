package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSpineReadme runs the tours of the README, literally and in order: one shell,
// each command ending with the exit code its comment names, or 0.
func TestSpineReadme(t *testing.T) {
	root := filepath.Join(moduleDir(t), "..", "..")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tours, found := strings.Cut(string(readme), "## Five minutes as an admin")
	if !found {
		t.Fatal("the README has no tours")
	}
	port := freePort(t)
	script := strings.NewReplacer("8443", port).Replace(tourScript(tours, port))
	home := t.TempDir()
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "HOME="+home, "PATH="+programs(t, "oras")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Count(script, "\n") < 40 {
		t.Errorf("only these commands were found:\n%s", script)
	}
}

var exitCode = regexp.MustCompile(`#.*exit code ([0-9])`)

// tourScript turns the console blocks of a text into a script that stops at the
// first command that ends otherwise than it should.
func tourScript(text, port string) string {
	var script strings.Builder
	for _, command := range commands(text) {
		want := "0"
		if m := exitCode.FindStringSubmatch(command); m != nil {
			want = m[1]
		}
		command = strings.Replace(command, "make build bin/oras && ", "", 1) // the programs are built
		if strings.HasPrefix(command, "patchfitd init ") {
			command += " --listen 127.0.0.1:" + port
		}
		if strings.HasSuffix(command, "&") {
			command += "\nuntil (exec 3<>/dev/tcp/127.0.0.1/" + port + ") 2>/dev/null; do sleep 0.05; done"
		}
		fmt.Fprintf(&script, "%s\n[ $? -eq %s ] || { echo 'wanted exit code %s of: '%q; kill %%1; exit 1; }\n", command, want, want, command)
	}
	return script.String()
}

// commands returns what follows the prompts in console blocks, with the lines
// that continue it.
func commands(text string) (all []string) {
	inBlock := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inBlock = line == "```console"
		case inBlock && isCommand:
			all = append(all, command)
		case inBlock && len(all) > 0 && strings.HasPrefix(line, "  "):
			all[len(all)-1] += "\n" + line
		}
	}
	return all
}
