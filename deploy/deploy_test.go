// Package deploy tests what an operator installs: units, container files and
// sample configurations are each used, not just looked at.
package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/patchfit/patchfit/internal/machinetest"
)

// threshold is the worst exposure a unit may have, in tenths.
const threshold = 15

var units = []string{"patchfitd.service", "patchfit-agent.service"}

func systemdAnalyze(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	machinetest.Tools(t, "systemd-analyze")
	return exec.Command("systemd-analyze", args...).CombinedOutput()
}

func exposure(t *testing.T, unit string) ([]byte, error) {
	t.Helper()
	return systemdAnalyze(t, "security", "--offline=true", "--no-pager", fmt.Sprintf("--threshold=%d", threshold), unit)
}

func TestUnitsAreSandboxed(t *testing.T) {
	for _, unit := range units {
		t.Run(unit, func(t *testing.T) {
			if out, err := exposure(t, filepath.Join("systemd", unit)); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// Without its sandbox a unit is over the threshold: the test above looks.
func TestThresholdSees(t *testing.T) {
	for _, unit := range units {
		path := edited(t, unit, func(line string) string {
			if strings.HasPrefix(line, "SystemCallFilter=") || strings.HasPrefix(line, "CapabilityBoundingSet=") {
				return ""
			}
			return line
		})
		if out, err := exposure(t, path); err == nil {
			t.Errorf("%s without its filters is still within the threshold:\n%s", unit, out)
		}
	}
}

// systemd warns of keys it does not know and goes on without them.
func TestUnitsAreUnderstood(t *testing.T) {
	var paths []string
	for _, unit := range append(units, "patchfit-agent.timer", "patchfit-rebuilder.service") {
		paths = append(paths, edited(t, unit, func(line string) string {
			return regexp.MustCompile(`^ExecStart=\S+`).ReplaceAllString(line, "ExecStart=/bin/true")
		}))
	}
	if out, err := systemdAnalyze(t, append([]string{"verify"}, paths...)...); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	bad := edited(t, units[0], func(line string) string { return strings.Replace(line, "ProtectHome=", "ProtectHomes=", 1) })
	if out, _ := systemdAnalyze(t, "verify", bad); !strings.Contains(string(out), "ProtectHomes") {
		t.Errorf("systemd-analyze verify says nothing of an unknown key: %q", out)
	}
}

// edited copies a unit, line by line through edit, and returns its path.
func edited(t *testing.T, unit string, edit func(line string) string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("systemd", unit))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for i := range lines {
		lines[i] = edit(lines[i])
	}
	path := filepath.Join(t.TempDir(), unit)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// The programs the units start are programs of this repository.
func TestUnitsStartOurPrograms(t *testing.T) {
	for _, unit := range units {
		b, err := os.ReadFile(filepath.Join("systemd", unit))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/(\S+)`).FindSubmatch(b)
		if m == nil {
			t.Fatalf("%s starts nothing in /usr/bin", unit)
		}
		isProgram(t, string(m[1]))
	}
}

func isProgram(t *testing.T, name string) {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join("..", "cmd", name, "main.go")); err != nil || !strings.Contains(string(b), "\npackage main\n") {
		t.Errorf("%s is not a program of ours: %v", name, err)
	}
}

// instructions returns a Containerfile's instructions, continuations joined.
func instructions(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("container", "Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(strings.ReplaceAll(string(b), "\\\n", " ")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, strings.Join(strings.Fields(line), " "))
		}
	}
	return all
}

func TestImageIsStaticAndNobodys(t *testing.T) {
	all := instructions(t)
	last := slices.Index(all, "FROM scratch")
	if last < 0 {
		t.Fatal("the image is not made from scratch")
	}
	want := []string{
		"FROM scratch",
		"COPY --from=build /out/ /",
		"USER 65532:65532",
		"WORKDIR /var/lib/patchfit",
		`VOLUME ["/var/lib/patchfit"]`,
		"EXPOSE 8443",
		`ENTRYPOINT ["/usr/bin/patchfitd"]`,
		`CMD ["serve", "--config", "/var/lib/patchfit/patchfitd.yaml"]`,
	}
	if diff := cmp.Diff(want, all[last:]); diff != "" {
		t.Error(diff)
	}
	build := strings.Join(all[:last], "\n")
	m := regexp.MustCompile(`RUN CGO_ENABLED=0 go build .* -o /out/usr/bin/ \./cmd/(\S+)`).FindStringSubmatch(build)
	if m == nil {
		t.Fatalf("no static build in\n%s", build)
	}
	isProgram(t, m[1])
	if !strings.HasPrefix(goVersion(t), strings.Split(regexp.MustCompile(`golang:(\S+)`).FindStringSubmatch(build)[1], "-")[0]) {
		t.Errorf("the image is built with another Go than go.mod asks for: %s", build)
	}
}

func goVersion(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	return string(regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(b)[1])
}

// A composeFile is the part of compose.yaml that keeps the server in.
type composeFile struct {
	Services map[string]struct {
		Build struct {
			Context    string `json:"context"`
			Dockerfile string `json:"dockerfile"`
		} `json:"build"`
		User        string   `json:"user"`
		ReadOnly    bool     `json:"read_only"`
		CapDrop     []string `json:"cap_drop"`
		CapAdd      []string `json:"cap_add"`
		SecurityOpt []string `json:"security_opt"`
		Privileged  bool     `json:"privileged"`
		PidsLimit   int      `json:"pids_limit"`
		MemLimit    string   `json:"mem_limit"`
		Volumes     []string `json:"volumes"`
		Secrets     []string `json:"secrets"`
	} `json:"services"`
	Secrets map[string]any `json:"secrets"`
	Volumes map[string]any `json:"volumes"`
}

func TestComposeKeepsTheServerIn(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("container", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := yaml.YAMLToJSONStrict(b)
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(doc, &c); err != nil {
		t.Fatal(err)
	}
	s, ok := c.Services["patchfitd"]
	if !ok || len(c.Services) != 1 {
		t.Fatalf("services: %v", c.Services)
	}
	if s.User != "65532:65532" || !s.ReadOnly || s.Privileged || len(s.CapAdd) > 0 || s.PidsLimit <= 0 || s.MemLimit == "" ||
		!slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("the service is not locked down: %+v", s)
	}
	if _, err := os.Stat(filepath.Join("container", s.Build.Context, s.Build.Dockerfile)); err != nil {
		t.Errorf("compose builds from a file that is not there: %v", err)
	}
	for _, secret := range s.Secrets {
		if c.Secrets[secret] == nil {
			t.Errorf("no secret %s", secret)
		}
	}
	for _, v := range s.Volumes {
		if name, _, _ := strings.Cut(v, ":"); c.Volumes[name] == nil {
			t.Errorf("no volume %s", name)
		}
	}
}
