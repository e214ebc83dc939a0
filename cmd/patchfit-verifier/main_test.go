package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	descriptor = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + someDigest + `","size":1}` + "\n"

	goodConfig = `trustPolicy: policy.signed.json
roots: ` + someDigest + `
mirror: mirror.tar
images:
  registry.example/lib/greet: lib/greet
others: allow
`
)

// ask runs the program as containerd does.
func ask(t *testing.T, config, name, digest, media, stdin string) (int, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verifier.yaml")
	if config != "" {
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(envConfig, path)
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"-name", name, "-digest", digest, "-stdin-media-type", media}, strings.NewReader(stdin), &stdout, &stderr)
	return code, stdout.String()
}

// What it does not understand, and what it has no word about, is refused, with
// one line that says why.
func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	const held, other = "registry.example/lib/greet:1.0", "docker.io/library/busybox:latest"
	for name, tt := range map[string]struct {
		config, image, digest, media, stdin string
		says                                string
	}{
		"no configuration":           {"", held, someDigest, mediaDescriptor, descriptor, "nothing is trusted"},
		"an empty one":               {"{}", held, someDigest, mediaDescriptor, descriptor, "missing"},
		"an unknown member":          {goodConfig + "warn: true\n", held, someDigest, mediaDescriptor, descriptor, "/warn"},
		"no images":                  {strings.Replace(goodConfig, "\n  registry.example/lib/greet: lib/greet", " {}", 1), held, someDigest, mediaDescriptor, descriptor, "no image would be verified"},
		"mirror and login":           {goodConfig + "login: /etc/patchfit\n", held, someDigest, mediaDescriptor, descriptor, "one of mirror and login"},
		"no such rule for others":    {strings.Replace(goodConfig, "allow", "warn", 1), held, someDigest, mediaDescriptor, descriptor, "/others"},
		"no roots":                   {strings.Replace(goodConfig, someDigest, "none", 1), held, someDigest, mediaDescriptor, descriptor, "/roots"},
		"no trust policy":            {goodConfig, held, someDigest, mediaDescriptor, descriptor, "reading the trust policy"},
		"an image of others":         {strings.Replace(goodConfig, "allow", "refuse", 1), other, someDigest, mediaDescriptor, descriptor, "FORBIDDEN_ROLE"},
		"a name that only begins so": {strings.Replace(goodConfig, "allow", "refuse", 1), "registry.example/lib/greet-not:1.0", someDigest, mediaDescriptor, descriptor, "FORBIDDEN_ROLE"},
		"another descriptor":         {goodConfig, other, strings.Replace(someDigest, "e3", "e4", 1), mediaDescriptor, descriptor, "the digest asked about is"},
		"no descriptor":              {goodConfig, other, someDigest, mediaDescriptor, "", "the descriptor"},
		"two descriptors":            {goodConfig, other, someDigest, mediaDescriptor, descriptor + descriptor, "the descriptor"},
		"a digest twice":             {goodConfig, other, someDigest, mediaDescriptor, `{"digest":"` + someDigest + `","digest":"x"}`, "the descriptor"},
		"another media type":         {goodConfig, other, someDigest, "application/json", descriptor, "verify_on_run"},
		"a sha512":                   {goodConfig, other, "sha512:" + strings.Repeat("0", 128), mediaDescriptor, descriptor, "-digest"},
		"no name":                    {goodConfig, "", someDigest, mediaDescriptor, descriptor, "usage"},
	} {
		t.Run(name, func(t *testing.T) {
			code, said := ask(t, tt.config, tt.image, tt.digest, tt.media, tt.stdin)
			if code == 0 || !strings.Contains(said, tt.says) || strings.Count(said, "\n") != 1 {
				t.Errorf("exit code %d, %q, want a refusal that says %q", code, said, tt.says)
			}
		})
	}
	if code, said := ask(t, goodConfig, other, someDigest, mediaDescriptor, descriptor); code != 0 || !strings.Contains(said, "no repository that is asked about") {
		t.Errorf("an image of others, allowed: exit code %d, %q", code, said)
	}
}

func TestImageNames(t *testing.T) {
	c := &configuration{Images: map[string]string{"registry.example:8443/lib/greet": "lib/greet"}}
	for name, want := range map[string]bool{
		"registry.example:8443/lib/greet":                       true,
		"registry.example:8443/lib/greet:builder":               true,
		"registry.example:8443/lib/greet@" + someDigest:         true,
		"registry.example:8443/lib/greet:builder@" + someDigest: true,
		"registry.example/lib/greet:builder":                    false,
		"registry.example:8443/lib/greet/x":                     false,
		"registry.example:8443/lib":                             false,
		"lib/greet":                                             false,
		"":                                                      false,
	} {
		if _, got := c.repository(name); got != want {
			t.Errorf("%q is held: %v", name, got)
		}
	}
}

func TestVersion(t *testing.T) {
	var stdout bytes.Buffer
	if code := run(t.Context(), []string{"-version"}, strings.NewReader(""), &stdout, &stdout); code != 0 || !strings.Contains(stdout.String(), version) {
		t.Errorf("exit code %d, %q", code, stdout.String())
	}
}

// The sample that is installed reads.
func TestSampleConfiguration(t *testing.T) {
	c, err := loadConfig(filepath.Join("..", "..", "deploy", "containerd", "verifier.yaml"))
	if err != nil || c.Others != othersRefuse || c.Images["registry.example/lib/greet"] != "lib/greet" {
		t.Errorf("%+v, %v", c, err)
	}
}
