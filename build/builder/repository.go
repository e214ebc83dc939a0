package builder

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/deb822"
)

// writeRepository makes an archive of exactly the lock's packages in dir, for
// mmdebstrap to install from: so the same way leads from an archive, from a
// cache and from the registry to the same image. Each file has to be the package
// its lock says.
func writeRepository(ctx context.Context, dir string, l *Lock, from *Store) error {
	pool := filepath.Join(dir, "pool")
	lists := filepath.Join(dir, "dists", l.Suite, "main", "binary-"+l.Architecture)
	for _, d := range []string{pool, lists} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	var packages bytes.Buffer
	for _, p := range l.Packages {
		f := p.input()
		at := filepath.Join(pool, f.Name)
		if err := from.put(f, at); err != nil {
			return err
		}
		control, err := command{name: "dpkg-deb", args: []string{"--field", at}}.output(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := p.is(control); err != nil {
			return fmt.Errorf("%s (%s): %w", f.Name, f.Digest, err)
		}
		fmt.Fprintf(&packages, "%s\nFilename: pool/%s\nSize: %d\nSHA256: %s\n\n", bytes.TrimSpace(control), f.Name, f.Size, f.Digest.Hex())
	}
	name := filepath.Join("main", "binary-"+l.Architecture, "Packages")
	release := fmt.Sprintf("Origin: patchfit\nSuite: %s\nCodename: %s\nArchitectures: %s\nComponents: main\nDate: %s\nSHA256:\n %s %d %s\n",
		l.Suite, l.Suite, l.Architecture, created(l.Epoch).Format("Mon, 02 Jan 2006 15:04:05 UTC"),
		attest.DigestOf(packages.Bytes()).Hex(), packages.Len(), name)
	if err := os.WriteFile(filepath.Join(lists, "Packages"), packages.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "dists", l.Suite, "Release"), []byte(release), 0o644)
}

// is refuses a control file that is another package's.
func (p Locked) is(control []byte) error {
	for s, err := range deb822.Parse(string(control)) {
		if err != nil {
			return err
		}
		if s.Get("Package") != p.Name || s.Get("Version") != p.Version || s.Get("Architecture") != p.Architecture {
			return fmt.Errorf("it is %s %s for %s; the lock says %s %s for %s",
				s.Get("Package"), s.Get("Version"), s.Get("Architecture"), p.Name, p.Version, p.Architecture)
		}
		return nil
	}
	return fmt.Errorf("it has no control file")
}
