// Package witnessing has the verbs of whoever runs a witness: make one, run it,
// and begin the policy that names logs and witnesses. docs/spec/witness.md.
package witnessing

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/pace"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/quorum"
	"github.com/patchfit/patchfit/ledger/witness"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	group := shell.Group("witness", "run a witness: cosign one history of a log, and no other")
	group.AddCommand(a.initCommand(), a.policyCommand(), a.serveCommand())
	return []*cobra.Command{group}
}

// The files of a witness's directory, beside what ledger/witness keeps there.
const (
	keyFile  = "witness.pem"
	nameFile = "name"
)

// An answer describes a witness.
type answer struct {
	SchemaVersion int    `json:"schemaVersion"`
	Name          string `json:"name"`
	VKey          string `json:"vkey"`
	State         string `json:"state"`
}

func (a verbs) initCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "init DIR --name NAME",
		Short:   "make a witness: a key, and a directory for what it cosigned last",
		Example: "  patchfit witness init /var/lib/witness --name witness.example.org/one",
		Long: `Make a witness in DIR: an Ed25519 key, and room for the last checkpoint it
cosigned of each log. NAME, a URL without its scheme, stands in its cosignatures.

Give the verifier key that is printed to whoever pins this witness. Never bring
DIR back from a backup: an older memory cosigns a second history. A witness that
is lost is replaced by a new one, with a new key.`,
		Args: shell.Exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error { return a.init(args[0], name) },
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the witness, a URL without its scheme")
	shell.Required(cmd, "name")
	return cmd
}

func (a verbs) init(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the witness's directory: %w", err)
	}
	if _, err := witness.NewSigner(name, make(ed25519.PrivateKey, ed25519.PrivateKeySize)); err != nil {
		return exit.BadUsage(err, "give a name as witness.example.org/one")
	}
	path := filepath.Join(dir, keyFile)
	err := keyfile.WriteNewPublic(filepath.Join(dir, nameFile), []byte(name+"\n"))
	if err == nil {
		err = keyfile.CreateEd25519(path)
	}
	if errors.Is(err, fs.ErrExist) {
		return exit.Hint(fmt.Errorf("%s holds a witness already", dir), "name another directory: nothing is overwritten")
	}
	if err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("making the witness's directory durable: %w", err)
	}
	_, key, err := load(dir)
	if err != nil {
		return err
	}
	v := answer{1, name, witness.VKey(name, key), dir}
	return a.Print(v, func(w io.Writer) {
		shell.Cells(w, [][]string{{"witness", v.Name}, {"verifier key", v.VKey}, {"state", v.State}})
	})
}

func load(dir string) (name string, key ed25519.PrivateKey, err error) {
	b, err := os.ReadFile(filepath.Join(dir, nameFile))
	if err != nil {
		return "", nil, exit.Hint(fmt.Errorf("reading the witness: %w", err), "make one with: patchfit witness init")
	}
	signer, err := keyfile.LoadSigner(filepath.Join(dir, keyFile))
	if err != nil {
		return "", nil, fmt.Errorf("reading the witness's key: %w", err)
	}
	key, ok := signer.(ed25519.PrivateKey)
	if !ok {
		return "", nil, errors.New("the witness's key is not an Ed25519 key")
	}
	return strings.TrimSpace(string(b)), key, nil
}

func (a verbs) policyCommand() *cobra.Command {
	var root, url string
	cmd := &cobra.Command{
		Use:     "policy --trusted-root FILE",
		Short:   "print the log lines that a tlog-policy begins with",
		Example: "  patchfit witness policy --trusted-root trusted_root.json --url https://registry.example/api/v2/",
		Long: `Print a "log" line for each log of a trusted root. Add "witness", "group" and
"quorum" lines (C2SP tlog-policy): the file then tells a witness for which logs
to cosign, a server which witnesses to ask, and, in a trust policy's logPolicy,
hosts how many have to have cosigned.`,
		Args: shell.Exactly(),
		RunE: func(*cobra.Command, []string) error { return a.policy(root, url) },
	}
	cmd.Flags().StringVar(&root, "trusted-root", "", "trusted_root.json with the logs")
	cmd.Flags().StringVar(&url, "url", "", "where the log is read")
	shell.Required(cmd, "trusted-root")
	return cmd
}

func (a verbs) policy(root, url string) error {
	b, err := os.ReadFile(root)
	if err != nil {
		return fmt.Errorf("reading the trusted root: %w", err)
	}
	logs, err := ledger.LogKeys(b)
	if err != nil {
		return exit.Hint(err, "name a Sigstore trusted_root.json; a server hands its own out at /trusted_root.json")
	}
	for _, l := range logs {
		key, ok := l.Key.(ed25519.PublicKey)
		if !ok {
			return fmt.Errorf("log %s has a key of type %T; witnesses check Ed25519 keys", l.Origin, l.Key)
		}
		vkey, err := note.NewEd25519VerifierKey(l.Origin, key)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.Stdout, strings.TrimSpace("log "+vkey+" "+url))
	}
	return nil
}

func (a verbs) serveCommand() *cobra.Command {
	var policy, listen string
	cmd := &cobra.Command{
		Use:     "serve DIR --policy FILE",
		Short:   "answer logs that ask for a cosignature",
		Example: "  patchfit witness serve /var/lib/witness --policy logs.policy --listen 127.0.0.1:8765",
		Long: `Answer C2SP tlog-witness requests for the logs of a tlog-policy, until it is
interrupted. Each cosignature is on the disk before it is handed out. There is
no authentication but the log's signature, and nothing secret in what is said;
put it behind TLS where you want the log's address kept to yourself.`,
		Args: shell.Exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.serve(cmd.Context(), args[0], policy, listen) },
	}
	cmd.Flags().StringVar(&policy, "policy", "", "tlog-policy whose logs are cosigned")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8765", "address to listen on; port 0 is any free one")
	shell.Required(cmd, "policy")
	return cmd
}

func (a verbs) serve(ctx context.Context, dir, policyFile, listen string) error {
	b, err := os.ReadFile(policyFile)
	if err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	policy, err := quorum.Parse(b)
	if err != nil {
		return exit.Hint(err, "see docs/spec/witness.md; begin one with: patchfit witness policy")
	}
	name, key, err := load(dir)
	if err != nil {
		return err
	}
	w, err := witness.Open(dir, name, key, policy, &witness.Options{Logger: slog.New(slog.NewJSONHandler(a.Stderr, nil))})
	if err != nil {
		return err
	}
	defer w.Close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Fprintf(a.Stdout, "listening on http://%s\n", l.Addr())
	return answerUntil(ctx, l, w.Handler())
}

// How many may ask a witness at once: logs are few, and anybody can connect.
const (
	connections         = 256
	connectionsPerPlace = 32
)

// answerUntil serves until ctx ends, and then lets what has begun end.
func answerUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	const patience = 10 * time.Second
	server := &http.Server{Handler: h, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	l = pace.Listen(l, pace.Connections{Total: connections, Place: connectionsPerPlace})
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return server.Shutdown(last)
}
