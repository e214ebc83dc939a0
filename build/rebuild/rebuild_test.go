package rebuild

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/source"
	"github.com/patchfit/patchfit/internal/machinetest"
)

func TestMain(m *testing.M) {
	if code, ours := sandbox.Main(); ours {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

const product = "6f1c0b0f-3c62-4a3e-9d3b-3f2f6f8f1a10"

// A yard has a builder image, a source, and what was built of it.
type yard struct {
	t     *testing.T
	place *Place
	order *Order
}

func tree(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lib.c"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func gcc(more ...string) []string {
	return append([]string{"gcc", "-O2", "-g", "-fPIC", "-shared", "-Wl,--build-id=sha1", "-o", "lib.so", "lib.c"}, more...)
}

const lib = "int f(int x) { int s = 0; for (int i = 0; i < x; i++) s += i * x; return s; }\n"

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newYard builds the artifact with a command, contained, and takes down how.
func newYard(t *testing.T, command ...string) *yard {
	t.Helper()
	machinetest.Tools(t, "gcc", "strace")
	watched := t.TempDir()
	r := &build.Request{Command: gcc(), Dir: tree(t, lib), Pack: filepath.Join(watched, "image")}
	c := must[*build.Capture](t)(build.Run(t.Context(), r))
	y := &yard{t: t, place: &Place{Scratch: t.TempDir(), Runner: sandbox.New(nil), Root: t.TempDir()}}
	l := must[*build.Layout](t)(build.OpenLayout(r.Pack))
	layer, err := l.Blob(l.Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	if err := errors.Join(os.Chmod(y.place.Root, 0o755), source.Unpack(t.Context(), layer, y.place.Root, time.Unix(0, 0))); err != nil {
		t.Fatal(err)
	}
	y.place.Source = filepath.Join(watched, "source.tar")
	archive := must[*source.Tree](t)(source.Pack(t.Context(), source.Origin{Path: tree(t, lib)}, y.place.Source, t.TempDir()))
	out := filepath.Join(watched, "out")
	made := must[*build.Capture](t)(build.Contain(t.Context(), &build.Job{
		Image: c.Environment.BuilderImage, Root: y.place.Root, Source: archive, Command: command,
		Epoch: build.DefaultEpoch, Runner: y.place.Runner, Scratch: t.TempDir(), Stdout: t.Output(), Stderr: t.Output(),
	}, out))
	y.place.Wanted = filepath.Join(out, "lib.so")
	y.order = must[*Order](t)(Read(provenance(made), made.Environment))
	y.order.Manifest, y.order.File = attest.DigestOf([]byte("manifest")), made.Artifact.Digest
	return y
}

func provenance(c *build.Capture) *attest.Provenance {
	sum := func(d attest.Digest) map[string]string { return map[string]string{"sha256": d.Hex()} }
	return &attest.Provenance{BuildDefinition: attest.BuildDefinition{
		BuildType:          attest.BuildType,
		ExternalParameters: attest.ExternalParameters{Product: product, Command: c.Command, Recipe: c.Recipe},
		InternalParameters: attest.InternalParameters{Contained: c.Contained},
		ResolvedDependencies: []attest.ResourceDescriptor{
			{Name: attest.DependencyEnvironment, Digest: sum(c.EnvironmentDigest)},
			{Name: attest.DependencyBuilder, Digest: sum(c.Environment.BuilderImage)},
			{Name: attest.DependencySource, Digest: sum(c.Source)},
		},
	}}
}

func (y *yard) rebuild() *Outcome {
	y.t.Helper()
	y.place.To = filepath.Join(y.t.TempDir(), "out")
	o := must[*Outcome](y.t)(Run(y.t.Context(), y.order, y.place))
	said := o.Statement(product, y.order.environment, attest.Run{ID: "1", Builder: "https://rebuilder.example"})
	if _, err := attest.NewStatement(attest.TypeRebuild, []attest.Subject{{Digest: y.order.Manifest}, {Digest: y.order.File}}, said); err != nil {
		y.t.Errorf("it cannot be said: %v", err)
	}
	for _, dir := range []string{y.place.Scratch, y.place.Root, y.place.To} {
		if bytes.Contains(o.Log, []byte(dir)) || strings.Contains(o.Explanation, dir) {
			y.t.Errorf("it tells where it was built:\n%s\n%s", o.Log, o.Explanation)
		}
	}
	return o
}

// What is built as its provenance says comes out the same, and so does the log.
func TestReproduced(t *testing.T) {
	y := newYard(t, gcc()...)
	first, second := y.rebuild(), y.rebuild()
	if first.Result != attest.Reproduced || len(first.Differences) > 0 || first.Environment != y.order.environment || len(first.Same) != 4 {
		t.Errorf("%+v", first)
	}
	if !bytes.Equal(first.Log, second.Log) {
		t.Errorf("two runs have two logs:\n%s\n%s", first.Log, second.Log)
	}
}

// What was built with one flag more than its provenance says differs, and it is
// told which.
func TestALieIsTold(t *testing.T) {
	y := newYard(t, gcc("-O1")...)
	y.order.Command = gcc()
	honest := y.order.Environment.Flags
	y.order.Environment.Flags = honest[:len(honest)-1]
	o := y.rebuild()
	if o.Result != attest.Differs || o.Category != "code" || !strings.Contains(o.Explanation, "compiled with -O1") || len(o.Page) == 0 || len(o.Differences) > 0 {
		t.Errorf("%s %s: %s %v", o.Result, o.Category, o.Explanation, o.Differences)
	}
}

// An environment that is not the recorded one is told field by field; what comes
// out is compared all the same.
func TestElsewhere(t *testing.T) {
	y := newYard(t, gcc()...)
	for _, patch := range []bool{false, true} {
		y.order.Patch, y.order.Command = patch, gcc("-fwrapv")
		o := y.rebuild()
		if len(o.Differences) != 1 || o.Differences[0].Got != "-fwrapv" || o.Environment == y.order.environment ||
			!strings.HasPrefix(o.Explanation, "built in another environment than is recorded: flags/") || o.Compared == nil {
			t.Errorf("patch %t: %s %s: %s %v", patch, o.Result, o.Category, o.Explanation, o.Differences)
		}
	}
}

// A normaliser makes what differs equivalent, by its name and digest, and nothing
// reproduced; one that fails, or leaves no file, changes nothing.
func TestEquivalent(t *testing.T) {
	y := newYard(t, gcc("-O1")...)
	y.order.Command = gcc()
	y.order.Environment.Flags = y.order.Environment.Flags[:len(y.order.Environment.Flags)-1]
	for body, want := range map[string]string{
		"return truncate(argv[1], 0)":                   attest.Equivalent,
		"return 0":                                      attest.Differs,
		"return truncate(argv[1], 0), 1":                attest.Differs,
		"return unlink(argv[1])":                        attest.Differs,
		`return unlink(argv[1]), symlink("x", argv[1])`: attest.Differs,
	} {
		dir := tree(t, "#include <unistd.h>\nint main(int argc, char **argv) { "+body+"; }\n")
		cmd := exec.Command("gcc", "-static", "-o", "normaliser", "lib.c")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		y.place.Normaliser = &Normaliser{Name: "empty", Path: filepath.Join(dir, "normaliser")}
		o := y.rebuild()
		if o.Result != want || (o.Normaliser != nil) != (want == attest.Equivalent) || !strings.Contains(o.Explanation, "normaliser empty") {
			t.Errorf("%s: %s %+v: %s", body, o.Result, o.Normaliser, o.Explanation)
		}
		if d := must[attest.Digest](t)(fileDigest(y.place.Normaliser.Path)); o.Normaliser != nil && o.Normaliser.Digest != d {
			t.Errorf("it is named by %s, want %s", o.Normaliser.Digest, d)
		}
	}
}

// stub is a sandbox that does one thing.
type stub struct{ err error }

func (s stub) Run(_ context.Context, j *sandbox.Job) (*sandbox.Result, error) {
	_, _ = j.Stderr.Write([]byte("some words\n"))
	return &sandbox.Result{}, s.err
}

// What stops a build is a fact about it, or about this machine, or is not known.
func TestWhatStopsABuild(t *testing.T) {
	for name, c := range map[string]struct {
		err              error
		result, category string // "": an error
	}{
		"the command fails":    {&sandbox.ExitError{Command: gcc(), Code: 1}, attest.BuildFailed, CategoryCommand},
		"it takes too long":    {&sandbox.LimitError{Limit: sandbox.LimitWall, Max: "1s"}, attest.BuildFailed, CategoryTimeout},
		"it takes too much":    {&sandbox.LimitError{Limit: sandbox.LimitMemory, Max: "1 GiB"}, attest.BuildFailed, CategoryLimit},
		"it contradicts":       {&build.ContradictionError{What: "flag", Declared: "-O2", Found: "-O1"}, attest.BuildFailed, CategoryContradiction},
		"it makes nothing":     {nil, attest.BuildFailed, CategoryCapture},
		"nothing can contain":  {sandbox.ErrUnavailable, attest.NotAttempted, CategorySandbox},
		"the disk is full":     {&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "", ""},
		"somebody interrupted": {context.Canceled, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if errors.Is(c.err, context.Canceled) {
				cancel()
			}
			scratch := t.TempDir()
			archive := filepath.Join(t.TempDir(), "source.tar")
			if !errors.Is(c.err, context.Canceled) {
				must[*source.Tree](t)(source.Pack(ctx, source.Origin{Path: tree(t, lib)}, archive, t.TempDir()))
			}
			order := &Order{Environment: &attest.Environment{}, Command: gcc(), Recipe: &attest.Recipe{Artifact: "lib.so"}, environment: attest.DigestOf(nil)}
			o, err := Run(ctx, order, &Place{Source: archive, Scratch: scratch, To: filepath.Join(t.TempDir(), "out"), Root: t.TempDir(), Runner: stub{c.err}})
			if c.result == "" {
				if err == nil {
					t.Fatalf("%+v, want an error", o)
				}
				return
			}
			if err != nil || o.Result != c.result || o.Category != c.category || o.Explanation == "" {
				t.Fatalf("%+v, %v", o, err)
			}
			if said := bytes.Contains(o.Log, []byte("some words")); said != (c.result == attest.BuildFailed) {
				t.Errorf("log %q", o.Log)
			}
		})
	}
}

// Provenance that does not suffice is not guessed at.
func TestUnfit(t *testing.T) {
	env := &attest.Environment{}
	if _, err := Read(&attest.Provenance{}, env); err == nil {
		t.Error("an environment that misses fields is read")
	}
	env = sample()
	d := must[attest.Digest](t)(env.Digest())
	good := func() *attest.Provenance {
		return provenance(&build.Capture{Command: gcc(), Recipe: &attest.Recipe{Artifact: "lib.so"}, Contained: true, Environment: env, EnvironmentDigest: d, Source: attest.DigestOf(nil)})
	}
	if _, err := Read(good(), env); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*attest.Provenance){
		"contained": func(p *attest.Provenance) { p.BuildDefinition.InternalParameters.Contained = false },
		"recipe":    func(p *attest.Provenance) { p.BuildDefinition.ExternalParameters.Recipe = nil },
		"environment": func(p *attest.Provenance) {
			p.BuildDefinition.ResolvedDependencies[0].Digest["sha256"] = d.Hex()[1:] + "0"
		},
		"builder": func(p *attest.Provenance) { p.BuildDefinition.ResolvedDependencies[1].Digest["sha256"] = d.Hex() },
		"source": func(p *attest.Provenance) {
			p.BuildDefinition.ResolvedDependencies = p.BuildDefinition.ResolvedDependencies[:2]
		},
	} {
		p := good()
		change(p)
		if _, err := Read(p, env); !errors.As(err, new(*Unfit)) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func sample() *attest.Environment {
	tool := attest.Tool{Name: "gcc", Version: "1", Digest: attest.DigestOf([]byte("tool"))}
	return &attest.Environment{
		BuilderImage: attest.DigestOf([]byte("image")), Compiler: tool, Assembler: tool, Linker: tool, Flags: []string{}, MakeVariables: []attest.Variable{},
		Configuration: attest.DigestOf(nil), Libraries: []attest.Library{}, Target: attest.Target{Architecture: "x86_64", WordSize: 64, ByteOrder: "little", ABI: "sysv"},
	}
}

// A log keeps how a build began and how it ended, however much it says.
func TestLogIsBounded(t *testing.T) {
	l := newLog()
	must[int](t)(l.Write([]byte("the begin\n")))
	for range 3000 {
		must[int](t)(l.Write(bytes.Repeat([]byte("x"), 1024)))
	}
	must[int](t)(l.Write([]byte("\nthe end\n")))
	b := l.end(&Outcome{Result: attest.BuildFailed})
	if len(b) > maxHead+maxTail+200 || !bytes.HasPrefix(b, []byte("the begin")) || !bytes.Contains(b, []byte("the end")) || !bytes.Contains(b, []byte("bytes are left out here]")) {
		t.Errorf("%d bytes: %.40q … %q", len(b), b, b[len(b)-100:])
	}
}

// What is explained is one line that can be said.
func TestExplanationIsALine(t *testing.T) {
	o := NotAttempted(CategorySource, "a\nb\x1b[31m\xff "+strings.Repeat("ü", 2000))
	if len(o.Explanation) > maxExplanation+10 || strings.ContainsAny(o.Explanation, "\n\x1b") || !strings.HasPrefix(o.Explanation, "a b [31m? ü") {
		t.Errorf("%d bytes: %.40q", len(o.Explanation), o.Explanation)
	}
	if _, err := attest.NewStatement(attest.TypeRebuild, []attest.Subject{{Digest: attest.DigestOf(nil)}, {Digest: attest.DigestOf([]byte("file"))}},
		o.Statement(product, attest.DigestOf(nil), attest.Run{ID: "1", Builder: "https://rebuilder.example"})); err != nil {
		t.Error(err)
	}
}
