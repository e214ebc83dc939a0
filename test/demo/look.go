package main

import (
	"bytes"
	"debug/elf"
	_ "embed" // the two source files
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
)

//go:embed testdata/greet.c
var greetSource []byte

//go:embed testdata/greet_patch.c
var patchSource []byte

var sources = map[string][]byte{"greet.c": greetSource, "greet_patch.c": patchSource}

var versionString = regexp.MustCompile(`greet [0-9.]+`)

// outside returns what a person sees of a library: its soname and version string.
func outside(path string) (soname, version string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil || len(names) != 1 {
		return "", "", fmt.Errorf("%s has no soname: %w", path, err)
	}
	b, err := os.ReadFile(path)
	return names[0], string(versionString.Find(b)), err
}

// admin adds what makes a command the admin's.
func (w *world) admin(args ...string) []string {
	return append(args, "--server", w.url, "--token-file", w.path("admin-token"))
}

// as is the environment of someone who logged in; stock clients find the same
// credentials through docker-credential-patchfit.
func (w *world) as(role string) []string {
	return w.credentials("PATCHFIT_CONFIG=" + w.path("login-"+role))
}

// host is the environment of a stock client on a host.
func (w *world) host(name string) []string {
	return w.credentials("PATCHFIT_CONFIG="+w.path("nobody"), "PATCHFIT_AGENT_STATE="+w.path("host-"+name))
}

func (w *world) credentials(env ...string) []string {
	dir := w.path("docker")
	config, _ := json.Marshal(map[string]any{"credHelpers": map[string]string{w.registry(): "patchfit"}})
	if os.MkdirAll(dir, 0o700) == nil {
		os.WriteFile(dir+"/config.json", config, 0o600)
	}
	return append(env, "DOCKER_CONFIG="+dir)
}

// ref completes ":tag" or "@digest" to a reference in the product's repository.
func (w *world) ref(suffix string) string { return w.registry() + "/" + repository + suffix }

// layer returns the digest of the one layer behind a tag.
func (w *world) layer(tag string) (string, error) {
	manifest, err := w.ok(w.as("publisher"), "oras", "manifest", "fetch", "--plain-http", w.ref("@"+w.refs[tag]))
	if err != nil {
		return "", err
	}
	return soleLayer(manifest)
}

func soleLayer(manifest string) (string, error) {
	var m struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal([]byte(manifest), &m); err != nil {
		return "", err
	}
	if len(m.Layers) != 1 {
		return "", fmt.Errorf("manifest with %d layers, want 1", len(m.Layers))
	}
	return m.Layers[0].Digest, nil
}

// same holds if two files have the same bytes.
func (w *world) same(a, b string) error {
	x, err := os.ReadFile(w.path(a))
	y, err2 := os.ReadFile(w.path(b))
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return fmt.Errorf("%s and %s differ", a, b)
	}
	return nil
}
