package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

const maxConfig = 64 << 10

// What is done with images of other repositories.
const (
	othersRefuse = "refuse"
	othersAllow  = "allow"
)

// A configuration says whom this machine trusts. docs/containerd.md.
type configuration struct {
	TrustPolicy string `json:"trustPolicy"` // signed, a file
	Roots       string `json:"roots"`       // the digest that makes it ours
	// Mirror has the evidence, and revocations; or Login, a directory of patchfit
	// login, says of which server to ask for both.
	Mirror string `json:"mirror,omitzero"`
	Login  string `json:"login,omitzero"`
	// Images maps what images are called here to repositories of the trust policy.
	Images map[string]string `json:"images"`
	Others string            `json:"others"`
}

func loadConfig(path string) (*configuration, error) {
	doc, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration %s, so nothing is trusted: see docs/containerd.md", path)
	}
	if err != nil {
		return nil, err
	}
	c := &configuration{}
	js, err := yaml.YAMLToJSONStrict(doc)
	if err == nil {
		err = strictjson.Unmarshal(js, maxConfig, c)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

func (c *configuration) check() error {
	if _, err := attest.ParseDigest(c.Roots); err != nil {
		return strictjson.Errorf("/roots", "%v", err)
	}
	switch {
	case (c.Mirror == "") == (c.Login == ""):
		return errors.New("say one of mirror and login: where evidence is from")
	case len(c.Images) == 0:
		return errors.New("/images: no image would be verified")
	case !slices.Contains([]string{othersRefuse, othersAllow}, c.Others):
		return strictjson.Errorf("/others", "%.40q is not refuse or allow", c.Others)
	}
	return nil
}

// repository returns the repository of the trust policy that an image belongs
// to: by its name without tag and digest, never by a part of it.
func (c *configuration) repository(name string) (string, bool) {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	repository, ok := c.Images[name]
	return repository, ok
}
