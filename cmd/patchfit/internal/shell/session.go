package shell

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/registry/api"
)

// EnvState names the environment variable that says where what was interrupted
// leaves what it has.
const EnvState = "PATCHFIT_STATE"

// A Session is one server and who we are there.
type Session struct {
	Client *api.Client
	Server config.Server // as it is remembered from a login
}

// Connect returns the session for the server at address, which a reference
// may name; "" is --server, or the one server that is known.
func (sh *Shell) Connect(address string) (*Session, error) {
	if address == "" {
		address = sh.Server
	}
	if sh.TokenFile != "" {
		return sh.withToken(address)
	}
	s, err := known(address)
	if err != nil {
		return nil, err
	}
	c, err := s.Connect()
	if err != nil {
		return nil, err
	}
	return &Session{c, s}, nil
}

func known(address string) (config.Server, error) {
	dir, err := config.Dir()
	if err != nil {
		return config.Server{}, err
	}
	c, err := config.Load(dir)
	if err != nil {
		return config.Server{}, err
	}
	if address == "" {
		return c.Only()
	}
	return c.Server(address)
}

// withToken talks to a server with a bearer token. What is known of the server
// from a login holds; otherwise its URL has to be given.
func (sh *Shell) withToken(address string) (*Session, error) {
	token, err := sh.readToken()
	if err != nil {
		return nil, err
	}
	s, err := known(address)
	if err != nil && !errors.Is(err, config.ErrUnknownServer) {
		return nil, err
	}
	if err != nil {
		s = config.Server{URL: address, TLSKey: sh.TLSKey, CA: sh.CA}
	}
	if s.URL == "" {
		return nil, exit.BadUsage(errors.New("--server is missing"), "name the server's URL with --server")
	}
	transport, err := s.Transport()
	if err != nil {
		return nil, err
	}
	c, err := api.New(s.URL, &api.Options{Token: token, TLSKey: s.TLSKey, Transport: transport})
	if err != nil {
		return nil, err
	}
	return &Session{c, s}, nil
}

const maxToken = 4 << 10

func (sh *Shell) readToken() (string, error) {
	r := sh.Stdin
	if sh.TokenFile != "-" {
		f, err := os.Open(sh.TokenFile)
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o077 != 0 {
			return "", fmt.Errorf("token file %s can be read by others (mode %04o): chmod 600 %s", sh.TokenFile, mode.Perm(), sh.TokenFile)
		}
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxToken))
	token := strings.TrimSpace(string(b))
	if err == nil && token == "" {
		err = errors.New("there is none")
	}
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	return token, nil
}
