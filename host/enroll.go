package host

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/registry/api"
)

// ErrEnrolled says that the state directory belongs to a host already.
var ErrEnrolled = errors.New("this host is enrolled already")

// An Enrolment is what an operator brings: the token an admin made, and what
// to call the host.
type Enrolment struct {
	Token string
	Name  string
}

// Enroll makes this machine a host of the server the token names, and dir its
// state directory. The server has to show the TLS key and a trust policy by
// the roots that the token names before it is sent anything.
//
// The key is made first and kept whatever happens, and host.json is written
// last: a crash in between leaves a machine that is not enrolled, which can
// try again with another token and the same key.
func Enroll(ctx context.Context, dir string, e Enrolment, o *Options) (*Identity, error) {
	token, err := api.ParseEnrolmentToken(e.Token)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	s, err := openState(ctx, dir)
	if err != nil {
		return nil, err
	}
	id, err := s.enroll(ctx, token, e.Name, orDefaults(o))
	return id, errors.Join(err, s.close())
}

func (s *state) enroll(ctx context.Context, token *api.EnrolmentToken, name string, o Options) (*Identity, error) {
	if old, err := ReadIdentity(s.dir); err == nil {
		return nil, fmt.Errorf("%w, as %s of %s", ErrEnrolled, old.Host, old.Server)
	} else if !errors.Is(err, ErrNotEnrolled) {
		return nil, err
	}
	signer, err := s.ownKey()
	if err != nil {
		return nil, err
	}
	client, err := api.New(token.Server, &api.Options{TLSKey: token.TLSKey, Transport: o.Transport, UserAgent: o.UserAgent})
	if err != nil {
		return nil, err
	}
	pinned, err := firstPolicy(ctx, client, token.Roots)
	if err != nil {
		return nil, err
	}
	if pinned, err = s.upToDate(ctx, client, pinned, o); err != nil {
		return nil, err
	}
	if refusal := unexpired(pinned, now()); refusal != nil {
		return nil, refusal
	}
	enrolled, err := introduce(ctx, client, signer, token, name)
	if err != nil {
		return nil, err
	}
	if err := s.writePolicy(pinned); err != nil {
		return nil, err
	}
	id := &Identity{
		SchemaVersion: stateVersion, Server: token.Server, TLSKey: token.TLSKey, Roots: token.Roots,
		Host: enrolled.Host, Name: name, Products: enrolled.Products, Enrolled: now(),
	}
	return id, s.write(identityFile, id)
}

// upToDate returns the newest of the policies that come after the first one, by
// the TUF repository it names, if it names one. That begins from the root that
// is pinned, whatever an earlier attempt to enrol left.
func (s *state) upToDate(ctx context.Context, client *api.Client, first *succession.Policy, o Options) (*succession.Policy, error) {
	if err := os.Remove(filepath.Join(s.dir, tufFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tidying the state directory: %w", err)
	}
	a := &Agent{state: s, client: client, pinned: first, logger: o.Logger}
	err := a.updatePolicy(ctx)
	return a.pinned, err
}

// ownKey returns the host's key, which is made the first time.
func (s *state) ownKey() (crypto.Signer, error) {
	path := filepath.Join(s.dir, keyFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := keyfile.CreateECDSA(path); err != nil {
			return nil, err
		}
	}
	return keyfile.LoadSigner(path)
}

// introduce sends the token and a proof that the key is ours.
func introduce(ctx context.Context, c *api.Client, signer crypto.Signer, token *api.EnrolmentToken, name string) (*api.Enrolled, error) {
	key, err := attest.NewPublicKey(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("reading the host's key: %w", err)
	}
	proof, err := api.EnrolmentProof(signer, token)
	if err != nil {
		return nil, err
	}
	enrolled, err := c.Enrol(ctx, api.Enrol{Token: token.String(), Name: name, Key: key.Base64(), Proof: proof})
	if err != nil {
		return nil, err
	}
	if u, err := uuid.Parse(enrolled.Host); err != nil || u.String() != enrolled.Host {
		return nil, fmt.Errorf("the server calls this host %.80q, which is no UUID", enrolled.Host)
	}
	return enrolled, nil
}
