// Command docker-credential-patchfit lets unmodified OCI clients in. docker,
// oras, crane, skopeo and others ask it for a password; what it gives them is
// a sentence signed by the caller's own key that is good for a minute
// (docs/spec/auth.md). There is no password to keep, or to steal.
//
// It speaks the docker credential helper protocol (get, store, erase, list)
// and looks for who we are in the client's configuration first, then in the
// state of this machine's agent.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/registry/assertion"
)

var version = "unknown" // set by the linker

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

const (
	maxRequest   = 64 << 10
	defaultState = "/var/lib/patchfit-agent"
)

// errUnknown has the words by which clients tell "nobody" from a failure, and
// go on without credentials.
var errUnknown = errors.New("credentials not found in native keychain")

// run answers one request. Clients read errors from standard output.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := fmt.Errorf("usage: docker-credential-patchfit get|store|erase|list|version")
	if len(args) == 1 {
		err = answer(args[0], stdin, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stdout, err)
		return 1
	}
	return 0
}

func answer(verb string, stdin io.Reader, stdout, stderr io.Writer) error {
	switch verb {
	case "get":
		return get(stdin, stdout)
	case "list":
		return list(stdout)
	case "store":
		return errors.New("patchfit keeps no passwords: say who you are with patchfit login, or enrol the host with patchfit-agent enroll")
	case "erase":
		fmt.Fprintln(stderr, "docker-credential-patchfit: note: nothing is kept that could be erased; keys stay where they are")
		return nil
	case "version":
		_, err := fmt.Fprintln(stdout, "docker-credential-patchfit", version)
		return err
	}
	return fmt.Errorf("docker-credential-patchfit has no verb %q", verb)
}

// get mints credentials for the server whose address is the first line of in.
func get(in io.Reader, out io.Writer) error {
	text, err := bufio.NewReader(io.LimitReader(in, maxRequest)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the server's address: %w", err)
	}
	address := strings.TrimSpace(text)
	if address == "" {
		return errors.New("no server is named")
	}
	known, err := identities()
	if err != nil {
		return err
	}
	for _, id := range known {
		if id.answersTo(address) {
			return id.credentials(address, out)
		}
	}
	return errUnknown
}

// list prints every server there is somebody for, with who.
func list(out io.Writer) error {
	known, err := identities()
	if err != nil {
		return err
	}
	all := map[string]string{}
	for _, id := range known {
		if _, ok := all[id.server]; !ok {
			all[id.server] = id.principal
		}
	}
	return json.NewEncoder(out).Encode(all)
}

// An identity is who we are to one server.
type identity struct {
	server    string // base URL
	principal string
	key       string // path
}

// identities lists who we are: what login said first, then this host.
func identities() ([]identity, error) {
	all, err := logins()
	if err != nil {
		return nil, err
	}
	dir := os.Getenv("PATCHFIT_AGENT_STATE")
	if dir == "" {
		dir = defaultState
	}
	me, err := host.ReadIdentity(dir)
	switch {
	case err == nil:
		return append(all, identity{me.Server, me.Host, host.KeyFile(dir)}), nil
	case errors.Is(err, host.ErrNotEnrolled), errors.Is(err, fs.ErrPermission): // another user's host is not us
		return all, nil
	}
	return nil, err
}

func logins() ([]identity, error) {
	dir, err := config.Dir()
	if err != nil {
		return nil, nil // no home: nobody logged in
	}
	c, err := config.Load(dir)
	if err != nil {
		return nil, err
	}
	var all []identity
	for _, s := range c.Servers {
		all = append(all, identity{s.URL, s.Principal, s.Key})
	}
	return all, nil
}

// answersTo reports whether address, a URL or host:port, is this server. One
// that says plain http is not a server we know by https.
func (id identity) answersTo(address string) bool {
	if strings.HasPrefix(address, "http://") && !strings.HasPrefix(id.server, "http://") {
		return false
	}
	return config.Address(address) == config.Address(id.server)
}

// credentials are the answer to get (docker/docker-credential-helpers).
type credentials struct {
	ServerURL string
	Username  string
	Secret    string
}

func (id identity) credentials(address string, out io.Writer) error {
	signer, err := keyfile.LoadSigner(id.key)
	if err != nil {
		return err
	}
	text, err := assertion.New(signer, id.principal, id.server, assertion.UseClient, time.Now())
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(credentials{ServerURL: address, Username: id.principal, Secret: text})
}
