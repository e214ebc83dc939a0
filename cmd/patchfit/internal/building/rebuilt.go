package building

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/rebuild"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/term"
)

// signing are the flags of who says what came of a rebuild.
type signing struct {
	key         string
	certificate string
	id          string
}

func (s *signing) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.key, "key", "", "what signs rebuild statements: a private key file, pkcs11:…, SCHEME://KEY, or fulcio:URL")
	f.StringVar(&s.certificate, "certificate", "", "PEM file with the key's certificate, where the trust policy knows the signer by its name in one")
	f.StringVar(&s.id, "builder-id", rebuilderID, "URI of who runs the rebuilds")
}

// rebuilder prepares to say something about an artifact; nil where nothing shall
// be said.
func (a verbs) rebuilder(ctx context.Context, r *rebuilding, x *artifact) (*publish.Publisher, error) {
	if r.key == "" {
		return nil, nil
	}
	signer, err := shell.OpenSigner(ctx, r.key)
	if err != nil {
		return nil, err
	}
	certificate, err := shell.ReadCertificate(r.certificate)
	if err != nil {
		return nil, err
	}
	if signer.Certificate != nil {
		certificate = signer.Certificate
	}
	state := r.state
	if state == "" {
		if state, err = rebuildState(); err != nil {
			return nil, err
		}
	}
	return publish.New(
		publish.Config{Server: x.session.Client, Repository: x.repository, Product: x.product, Signer: signer, Certificate: certificate, State: state},
		&publish.Options{BuilderID: r.id, Progress: term.NewProgress(a.Stderr)},
	)
}

// rebuildState is where an interrupted push leaves what it has.
func rebuildState() (string, error) {
	if dir := os.Getenv(shell.EnvState); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", exit.Hint(err, "name a directory with $"+shell.EnvState)
	}
	return filepath.Join(cache, "patchfit", "rebuilds"), nil
}

// A rebuilt is the answer of patchfit rebuild. docs/spec/cli.md, rebuild.
type rebuilt struct {
	SchemaVersion int                 `json:"schemaVersion"`
	Repository    string              `json:"repository"`
	Manifest      attest.Digest       `json:"manifest"`
	File          attest.Digest       `json:"file"`
	Result        string              `json:"result"`
	Category      string              `json:"category,omitzero"`
	Explanation   string              `json:"explanation,omitzero"`
	Same          []string            `json:"same"` // digests that are: file, withoutSignature, withoutDebug, code
	Compared      *attest.Compared    `json:"compared,omitzero"`
	Environment   attest.Digest       `json:"environment,omitzero"` // it was rebuilt in
	Differences   []attest.Difference `json:"differences"`          // of that environment, to the recorded one
	Log           attest.Digest       `json:"log,omitzero"`
	Statement     *publish.Statement  `json:"statement,omitzero"` // with --sign
}

func newRebuilt(x *artifact, o *rebuild.Outcome) *rebuilt {
	v := &rebuilt{
		SchemaVersion: 1, Repository: x.repository, Manifest: x.Manifest, File: x.File, Result: o.Result, Category: o.Category,
		Explanation: o.Explanation, Same: append([]string{}, o.Same...), Compared: o.Compared, Environment: o.Environment,
		Differences: append([]attest.Difference{}, o.Differences...),
	}
	if len(o.Log) > 0 {
		v.Log = attest.DigestOf(o.Log)
	}
	return v
}

func (v *rebuilt) text(w io.Writer, m term.Marker) {
	mark := m.Check(v.Result == attest.Reproduced)
	if v.Result == attest.BuildFailed || v.Result == attest.NotAttempted || v.Result == attest.Equivalent {
		mark = m.Bang
	}
	result := v.Result
	if v.Category != "" {
		result += " (" + v.Category + ")"
	}
	fmt.Fprintf(w, "%s %s: %s@%s\n", mark, result, v.Repository, v.Manifest)
	if v.Explanation != "" {
		fmt.Fprintf(w, "    %s\n", term.Printable(v.Explanation))
	}
	if v.Compared != nil {
		same := strings.Join(v.Same, ", ")
		if same == "" {
			same = "nothing"
		}
		fmt.Fprintf(w, "    the same: %s\n    came out: %s\n", same, v.Compared.File.Got)
	}
	for _, d := range v.Differences {
		fmt.Fprintf(w, "    environment: %s is %s, recorded %s\n", term.Printable(d.Field), term.Printable(d.Got), term.Printable(d.Want))
	}
	if v.Log != "" {
		fmt.Fprintf(w, "    log: %s\n", v.Log)
	}
	if v.Statement != nil {
		fmt.Fprintf(w, "    said: log index %d\n", v.Statement.LogIndex)
	}
}

// outcome is success for what is reproduced, and for nothing else.
func (v *rebuilt) outcome() error {
	switch v.Result {
	case attest.Reproduced:
		return nil
	case attest.BuildFailed:
		return exit.With(exit.Failure, "the rebuild failed: "+v.Explanation, "this says something of this machine, not of the artifact; --out keeps the log")
	case attest.NotAttempted:
		code := exit.NotFound
		if v.Category == rebuild.CategorySandbox {
			code = exit.Failure
		}
		return exit.With(code, v.Explanation, "docs/rebuilders.md says what has to be there")
	case attest.Equivalent:
		return exit.With(exit.Unproven, "it came out equivalent, which is not reproduced: "+v.Explanation, "")
	}
	return exit.With(exit.Unproven, "it came out otherwise: "+v.Explanation, "--out keeps what came out, and difference.html")
}
