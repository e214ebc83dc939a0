package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	registrymiddleware "github.com/distribution/distribution/v3/registry/middleware/registry"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // the driver
)

const (
	middlewareName = "patchfit"
	optionName     = "registry"
	maxCatalog     = 1000
)

// register makes our middleware known to distribution, which has one table of
// names per process.
var register = sync.OnceValue(func() error {
	return registrymiddleware.Register(middlewareName, wrapNamespace)
})

// wrapNamespace puts ours in the place of distribution's namespace, whose
// storage stays empty.
func wrapNamespace(_ context.Context, _ distribution.Namespace, _ storagedriver.StorageDriver, options map[string]any) (distribution.Namespace, error) {
	g, ok := options[optionName].(*Registry)
	if !ok {
		return nil, errors.New("no registry to wrap for")
	}
	return &namespace{registry: g}, nil
}

// newApp starts distribution, which panics where its configuration is wrong.
func newApp(g *Registry) (app *handlers.App, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("starting the registry: %v", p)
		}
	}()
	if err := register(); err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	bridgeLogs(g.Logger)
	return handlers.NewApp(context.Background(), settings(g)), nil
}

// settings configures distribution. There is no cache of blob descriptors: it
// is shared by manifests and blobs and would answer for one with the other.
// There is no redirect: it would lead around the gate. The secret need not
// outlive the process, because upload sessions do not.
func settings(g *Registry) *configuration.Configuration {
	c := &configuration.Configuration{}
	c.Storage = configuration.Storage{
		"inmemory":    configuration.Parameters{},
		"delete":      configuration.Parameters{"enabled": true},
		"redirect":    configuration.Parameters{"disable": true},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}
	ours := []configuration.Middleware{{Name: middlewareName, Options: configuration.Parameters{optionName: g}}}
	c.Middleware = map[string][]configuration.Middleware{"registry": ours}
	c.Validation.Manifests.URLs.Allow = []string{"^https?://"} // of layers that are elsewhere; nobody here follows them
	c.HTTP.Secret = rand.Text()
	c.HTTP.RelativeURLs = true // nobody's Host header ends up in a Location
	c.Catalog.MaxEntries = maxCatalog
	return c
}
