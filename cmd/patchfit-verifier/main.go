// Command patchfit-verifier tells containerd whether it may pull an image: it is
// a verifier of containerd's plugin io.containerd.image-verifier.v1.bindir. containerd
// runs it for each image, as
//
//	patchfit-verifier -name NAME -digest DIGEST -stdin-media-type application/vnd.oci.descriptor.v1+json
//
// with the image's descriptor on standard input; it exits with 0 to allow the pull
// and prints why, or why not, on one line. What it does not understand it refuses.
//
// Whom it trusts is in its configuration, which no argument can change:
// docs/containerd.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/verify"
)

const (
	envConfig     = "PATCHFIT_VERIFIER_CONFIG"
	defaultConfig = "/etc/patchfit/verifier.yaml"

	// timeout is shorter than that of containerd, 10 s, which says nothing.
	timeout = 8 * time.Second

	mediaDescriptor = "application/vnd.oci.descriptor.v1+json"
	maxDescriptor   = 64 << 10
)

var version = "unknown" // set by the linker

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// run answers for one image. containerd shows what is printed on stdout, and
// logs stderr for whoever looks.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	said, err := judge(ctx, args, stdin, stderr)
	if err != nil {
		fmt.Fprintln(stdout, "patchfit:", term.Printable(reasonOf(err)))
		return 1
	}
	fmt.Fprintln(stdout, "patchfit:", term.Printable(said))
	return 0
}

// reasonOf puts the next step behind a refusal, on the one line there is.
func reasonOf(err error) string {
	var r *verify.Refusal
	if errors.As(err, &r) {
		return r.Error()
	}
	return err.Error()
}

// An image is what containerd asks about.
type image struct {
	name   string
	digest attest.Digest
}

func judge(ctx context.Context, args []string, stdin io.Reader, stderr io.Writer) (string, error) {
	img, show, err := parse(args, stdin, stderr)
	if err != nil || show {
		return "patchfit-verifier " + version, err
	}
	path := os.Getenv(envConfig)
	if path == "" {
		path = defaultConfig
	}
	c, err := loadConfig(path)
	if err != nil {
		return "", err
	}
	repository, held := c.repository(img.name)
	if !held && c.Others == othersAllow {
		return fmt.Sprintf("%s is in no repository that is asked about", img.name), nil
	}
	if !held {
		return "", &verify.Refusal{
			Reason: verify.ForbiddenRole, Fact: fmt.Sprintf("%s is in no repository of %s", img.name, path),
			Remedy: "list its repository there, or say others: allow",
		}
	}
	v, err := newVerification(c, repository)
	if err != nil {
		return "", err
	}
	return v.judge(ctx, img.digest)
}

// parse reads what containerd says, twice: the descriptor has to name the digest
// that the arguments name.
func parse(args []string, stdin io.Reader, stderr io.Writer) (img image, show bool, err error) {
	var digest, media, operation string
	f := flag.NewFlagSet("patchfit-verifier", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&img.name, "name", "", "reference of the image")
	f.StringVar(&digest, "digest", "", "digest it resolved to")
	f.StringVar(&media, "stdin-media-type", "", "what is on standard input")
	f.StringVar(&operation, "operation", "", "pull or run, where containerd verifies at both")
	f.BoolVar(&show, "version", false, "print the version")
	if err := f.Parse(args); err != nil || show {
		return img, show, err
	}
	if f.NArg() > 0 || img.name == "" {
		return img, false, errors.New("usage: patchfit-verifier -name NAME -digest DIGEST -stdin-media-type " + mediaDescriptor + " <DESCRIPTOR; containerd calls it")
	}
	if img.digest, err = attest.ParseDigest(digest); err != nil {
		return img, false, fmt.Errorf("-digest: %w", err)
	}
	if media != mediaDescriptor {
		return img, false, fmt.Errorf("-stdin-media-type %.80q is not %s, which is all this version reads: set verify_on_run = false", media, mediaDescriptor)
	}
	return img, false, describes(stdin, img.digest)
}

func describes(stdin io.Reader, want attest.Digest) error {
	raw, err := io.ReadAll(io.LimitReader(stdin, maxDescriptor+1))
	if err != nil {
		return fmt.Errorf("reading the descriptor: %w", err)
	}
	var d struct {
		Digest attest.Digest `json:"digest"`
	}
	if err := strictjson.UnmarshalForeign(raw, maxDescriptor, &d); err != nil {
		return fmt.Errorf("the descriptor: %w", err)
	}
	if d.Digest != want {
		return fmt.Errorf("the descriptor is of %.80s, the digest asked about is %s", d.Digest, want)
	}
	return nil
}
