package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

const (
	typePatch  = "application/vnd.patchfit.livepatch.v1"
	typeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// unsigned pushes a patch with a stock client and says nothing about it.
func unsigned(w *world) (string, error) {
	b, err := os.ReadFile(w.path("src/patch.so"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(w.path("unsigned.so"), append(b, "nobody vouches for these bytes\n"...), 0o644); err != nil {
		return "", err
	}
	digest, err := w.attach(w.refs["base-a"], typePatch, "unsigned.so:application/octet-stream")
	if err != nil {
		return "", err
	}
	w.refs["unsigned"] = digest
	return w.refused(w.host("a"), []string{"NO_ATTESTATION"}, "oras", "pull", "--plain-http", w.ref("@"+digest), "-o", "oras-unsigned")
}

// attach pushes a file as an artifact about subject and returns its digest.
func (w *world) attach(subject, artifactType, file string) (string, error) {
	out, err := w.ok(w.as("publisher"), "oras", "attach", "--plain-http", "--format", "json", "--artifact-type", artifactType, w.ref("@"+subject), file)
	if err != nil {
		return "", err
	}
	var made struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		return "", fmt.Errorf("reading what oras printed: %w", err)
	}
	return made.Digest, nil
}

// stranger signs a patch with a key the trust policy does not know.
func stranger(w *world) (string, error) {
	if err := w.variant("greet_patch.c", "other_patch.c"); err != nil {
		return "", err
	}
	if err := w.compile("patch-A", "patch-2.so", "other_patch.c", "--builder", w.path("builder"), "--patch-of", w.path("libgreet-A.so.capture")); err != nil {
		return "", err
	}
	return w.refused(w.as("publisher"), []string{"UNTRUSTED_SIGNER"}, "patchfit", "publish", "patch", "src/patch-2.so", "--capture", "patch-2.so.capture",
		"--to", repository, "--base", "base-a", "--key", "stranger.pem")
}

// variant writes a source file that compiles to other bytes.
func (w *world) variant(source, name string) error {
	text := append(append([]byte(nil), sources[source]...), "\nint greet_variant(void) { return 2; }\n"...)
	return os.WriteFile(w.path("src", name), text, 0o644)
}

// movedBundle takes the good patch's bundle and attaches it to the unsigned one.
func movedBundle(w *world) (string, error) {
	var found struct {
		Referrers []struct {
			Digest       string
			ArtifactType string
		}
	}
	out, err := w.ok(w.as("publisher"), "oras", "discover", "--plain-http", "--format", "json", w.ref("@"+w.refs["fix-1"]))
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found.Referrers) == 0 {
		return "", fmt.Errorf("the patch has no referrers: %v\n%s", err, out)
	}
	bundle, err := w.bundleFile("bundle.json", found.Referrers[0].Digest)
	if err != nil {
		return "", err
	}
	return w.refused(w.as("publisher"), []string{"SUBJECT_MISMATCH"}, "oras", "attach", "--plain-http", "--artifact-type", typeBundle, w.ref("@"+w.refs["unsigned"]), bundle+":"+typeBundle)
}

// bundleFile fetches the bundle a referrer carries. It is fetched as a blob:
// oras pull saves only layers that have a title.
func (w *world) bundleFile(name, referrer string) (string, error) {
	manifest, err := w.ok(w.as("publisher"), "oras", "manifest", "fetch", "--plain-http", w.ref("@"+referrer))
	if err != nil {
		return "", err
	}
	layer, err := soleLayer(manifest)
	if err != nil {
		return "", err
	}
	_, err = w.ok(w.as("publisher"), "oras", "blob", "fetch", "--plain-http", w.ref("@"+layer), "-o", name)
	return name, err
}

// notTheAuthority lets the patch publisher vouch for a base.
func notTheAuthority(w *world) (string, error) {
	if err := w.variant("greet.c", "other_greet.c"); err != nil {
		return "", err
	}
	if err := w.compile("A", "libgreet-C.so", "other_greet.c", "--builder", w.path("builder")); err != nil {
		return "", err
	}
	return w.refused(w.as("publisher"), []string{"UNTRUSTED_SIGNER"}, "patchfit", "publish", "base", "src/libgreet-C.so", "--capture", "libgreet-C.so.capture",
		"--to", repository, "--key", "patch-ci.pem")
}

// flippedByte changes one bit of the patch on the server's disk.
func flippedByte(w *world) (string, error) {
	layer, err := w.layer("fix-1")
	if err != nil {
		return "", err
	}
	hex := strings.TrimPrefix(layer, "sha256:")
	path := w.path("data", "registry", "blobs", "sha256", hex[:2], hex)
	good, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	bad := append([]byte(nil), good...)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(path, bad, 0o644); err != nil {
		return "", err
	}
	seen, err := w.refused(w.host("a"), []string{"CORRUPT"}, "oras", "blob", "fetch", "--plain-http", w.ref("@"+layer), "-o", "corrupt")
	if err != nil {
		return "", err
	}
	if _, err := w.refused(nil, []string{"CORRUPT"}, "patchfit-agent", "pull", "--state", "host-a", repository+":fix-1", "-o", "corrupt.so"); err != nil {
		return "", err
	}
	return seen, os.WriteFile(path, good, 0o644)
}
