package serverconfig

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

const header = "# Written by patchfitd init. The sample patchfitd.yaml explains every key.\n"

// Write checks c and writes it to a new file that [Load] reads as c. Relative
// paths are made absolute, in c too. It never replaces a file.
func (c *Config) Write(path string) error {
	if err := c.Absolute(); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if err := c.Check(); err != nil {
		return err
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if err := writeNew(path, append([]byte(header), b...)); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

// Absolute makes the paths that are set independent of where they were said.
func (c *Config) Absolute() error {
	files := []*string{&c.Data, &c.TLS.Certificate, &c.TLS.Key, &c.SitePolicy, &c.Witnesses, &c.Metrics.TokenFile}
	for _, p := range c.files() {
		files = append(files, p)
	}
	for _, p := range files {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

func writeNew(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
