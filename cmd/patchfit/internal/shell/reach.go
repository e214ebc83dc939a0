package shell

import (
	"errors"

	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/registry/api"
)

// Reach returns a session that says to the server nobody is asking: for what
// everybody may read, from a server one need not be logged in to. The server is
// the one that is known, else the URL --server names.
func (sh *Shell) Reach() (*Session, error) {
	s, err := known(sh.Server)
	if errors.Is(err, config.ErrUnknownServer) && sh.Server != "" {
		s, err = config.Server{URL: sh.Server, TLSKey: sh.TLSKey, CA: sh.CA}, nil
	}
	if err != nil {
		return nil, err
	}
	transport, err := s.Transport()
	if err != nil {
		return nil, err
	}
	c, err := api.New(s.URL, &api.Options{TLSKey: s.TLSKey, Transport: transport})
	if err != nil {
		return nil, err
	}
	return &Session{c, s}, nil
}
