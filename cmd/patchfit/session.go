package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/registry/api"
)

// A session is one server and who we are there.
type session struct {
	client *api.Client
	server config.Server
}

// connect returns the session for the server at address, which a reference
// may name; "" is --server, or the one server that is known.
func (a *app) connect(address string) (*session, error) {
	if address == "" {
		address = a.server
	}
	if a.tokenFile != "" {
		return a.withToken(address)
	}
	s, err := known(address)
	if err != nil {
		return nil, err
	}
	c, err := s.Connect()
	if err != nil {
		return nil, err
	}
	return &session{c, s}, nil
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
func (a *app) withToken(address string) (*session, error) {
	token, err := a.readToken()
	if err != nil {
		return nil, err
	}
	s, err := known(address)
	if err != nil && !errors.Is(err, config.ErrUnknownServer) {
		return nil, err
	}
	if err != nil {
		s = config.Server{URL: address, TLSKey: a.tlsKey, CA: a.ca}
	}
	if s.URL == "" {
		return nil, usageError{errors.New("--server is missing"), "name the server's URL with --server"}
	}
	transport, err := s.Transport()
	if err != nil {
		return nil, err
	}
	c, err := api.New(s.URL, &api.Options{Token: token, TLSKey: s.TLSKey, Transport: transport})
	if err != nil {
		return nil, err
	}
	return &session{c, s}, nil
}

const maxToken = 4 << 10

func (a *app) readToken() (string, error) {
	r := a.stdin
	if a.tokenFile != "-" {
		f, err := os.Open(a.tokenFile)
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o077 != 0 {
			return "", fmt.Errorf("token file %s can be read by others (mode %04o): chmod 600 %s", a.tokenFile, mode.Perm(), a.tokenFile)
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

// A reference names something in a repository: [HOST[:PORT]/]NAME[:TAG][@DIGEST].
type reference struct {
	server     string // "" where it names none
	repository string
	tag        string
	digest     attest.Digest
}

// parseReference reads a reference. The first element is a server where it
// has a dot or a port, or is localhost, as OCI clients have it.
func parseReference(s string) (reference, error) {
	var r reference
	rest, digest, pinned := strings.Cut(s, "@")
	if pinned {
		d, err := attest.ParseDigest(digest)
		if err != nil {
			return r, usageError{fmt.Errorf("reference %q: %w", s, err), "as in: demo/greet@sha256:…"}
		}
		r.digest = d
	}
	if i := strings.LastIndex(rest, ":"); i > strings.LastIndex(rest, "/") {
		rest, r.tag = rest[:i], rest[i+1:]
	}
	if first, after, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		r.server, rest = first, after
	}
	r.repository = rest
	if rest == "" || pinned && r.digest == "" {
		return r, usageError{fmt.Errorf("reference %q names no repository", s), "as in: demo/greet:1.0 or demo/greet@sha256:…"}
	}
	return r, nil
}

// name returns what the reference resolves by: its digest, else its tag.
func (r reference) name() string {
	if r.digest != "" {
		return string(r.digest)
	}
	return r.tag
}

func (r reference) named() error {
	if r.name() == "" {
		return usageError{fmt.Errorf("reference %s names neither tag nor digest", r.repository), "as in: " + r.repository + ":1.0 or " + r.repository + "@sha256:…"}
	}
	return nil
}

// pinnedPolicy returns the trust policy of the server, held to the roots that
// were pinned at login.
func (s *session) pinnedPolicy(ctx context.Context) (*attest.TrustPolicy, error) {
	if s.server.Roots == "" {
		return nil, hinted{
			fmt.Errorf("no trust policy is pinned for %s", config.Address(s.client.Server())),
			"log in again with --roots sha256:…, as patchfit trust show prints it, or name what is missing with flags",
		}
	}
	envelope, err := s.client.TrustPolicy(ctx)
	if err != nil {
		return nil, err
	}
	p, err := attest.OpenTrustPolicy(envelope, s.server.Roots)
	if err != nil {
		return nil, exitCode{exitUnproven, fmt.Sprintf("the server's trust policy: %v", err), "its roots are not the ones pinned at login: ask the product's owners, then log in again with the new --roots"}
	}
	if !time.Now().Before(p.Expires) {
		return nil, exitCode{exitUnproven, fmt.Sprintf("the server's trust policy expired at %s", p.Expires.Format(time.RFC3339)), "its owners have to sign a new one: patchfit trust edit --expires, sign, push"}
	}
	return p, nil
}

// product returns the id of the product in a repository: as given, else as
// the pinned trust policy has it. What the server alone says is not signed.
func (s *session) product(ctx context.Context, given, repository string) (string, error) {
	if given != "" {
		return given, nil
	}
	p, err := s.pinnedPolicy(ctx)
	if err != nil {
		return "", err
	}
	for _, product := range p.Products {
		if product.Repository == repository {
			return product.ID, nil
		}
	}
	return "", exitCode{exitNotFound, fmt.Sprintf("the trust policy has no product in repository %s", repository), "patchfit trust show lists its products"}
}

// serverURL reads an address somebody typed as a server's base URL.
func serverURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", usageError{fmt.Errorf("%q is not a server's URL", s), "as in: https://patches.example.org"}
	}
	return strings.TrimSuffix(s, "/"), nil
}
