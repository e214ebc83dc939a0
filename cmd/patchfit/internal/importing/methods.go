package importing

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors"
	"github.com/patchfit/patchfit/build/vendors/debian"
	"github.com/patchfit/patchfit/build/vendors/openpgp"
	"github.com/patchfit/patchfit/build/vendors/rpm"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
)

const maxKeyring = 16 << 20

// keyFlags name the one key that is trusted.
type keyFlags struct{ keyring, signer string }

func (k *keyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.keyring, "keyring", "", "file with the vendor's OpenPGP keys")
	cmd.Flags().StringVar(&k.signer, "signer", "", "fingerprint of the one key in it that is trusted")
	shell.Required(cmd, "keyring", "signer")
}

func (k *keyFlags) open() (*openpgp.Key, error) {
	b, err := readFile(k.keyring, "the keyring", maxKeyring)
	if err != nil {
		return nil, err
	}
	key, err := openpgp.Find(b, k.signer)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("%s: %w", k.keyring, err), "gpg --show-keys "+k.keyring+" shows the fingerprints; compare with what the vendor publishes elsewhere")
	}
	return key, nil
}

func (a verbs) debCommand() *cobra.Command {
	var f importFlags
	var k keyFlags
	var inRelease, packages string
	cmd := &cobra.Command{
		Use:     "deb FILE --in-release FILE --packages FILE --keyring FILE --signer FINGERPRINT",
		Short:   "import from a Debian package: InRelease, Packages, the .deb, the file",
		Example: "  patchfit import deb linux-image-6.1.0-1-amd64_6.1.4-1_amd64.deb --in-release bookworm_InRelease --packages bookworm_main_binary-amd64_Packages.lz4 --keyring /usr/share/keyrings/debian-archive-keyring.gpg --signer B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8 --to kernel/debian-12:6.1.4-1 --key importer.pem",
		Long: `Import from a Debian package. InRelease has to be signed by the key --signer; it names
Packages by its sha256, which names the package by its sha256 and size. Packages can be
as the archive has it (xz, gz), unpacked, or as apt keeps it (lz4). That InRelease is
older than its Valid-Until is told, and no error. apt keeps both in /var/lib/apt/lists.

A kernel's configuration is looked for in the same package, and so is what the compiler
says of itself in it.`,
		Args: shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			key, err := k.open()
			if err != nil {
				return err
			}
			var c debian.Chain
			for _, part := range []struct {
				path, what string
				limit      int64
				to         *[]byte
			}{
				{inRelease, "InRelease", openpgp.MaxSigned, &c.InRelease}, {packages, "Packages", debian.MaxPackages, &c.Packages},
				{args[0], "the package", debian.MaxPackage, &c.Package},
			} {
				if *part.to, err = readFile(part.path, part.what, part.limit); err != nil {
					return err
				}
			}
			p, err := vendors.Deb(c, key, time.Now())
			if err != nil {
				return unverified(args[0], err, "InRelease has to be signed by --signer (gpg --verify shows by which keys it is), and to be with Packages and the package of one archive and one day: apt-get update, then apt-get download")
			}
			return a.run(cmd.Context(), &f, p, args[0])
		},
	}
	cmd.Flags().StringVar(&inRelease, "in-release", "", "the archive's InRelease, as in /var/lib/apt/lists")
	cmd.Flags().StringVar(&packages, "packages", "", "the archive's index Packages, as in /var/lib/apt/lists")
	shell.Required(cmd, "in-release", "packages")
	k.register(cmd)
	f.packaged(cmd)
	return cmd
}

// unverified is an import whose chain does not hold.
func unverified(file string, err error, hint string) error {
	return exit.Hint(fmt.Errorf("the chain of %s does not hold: %w", filepath.Base(file), err), hint)
}

func (a verbs) rpmCommand() *cobra.Command {
	var f importFlags
	var k keyFlags
	cmd := &cobra.Command{
		Use:     "rpm FILE --keyring FILE --signer FINGERPRINT",
		Short:   "import from an RPM package: its header, its payload, the file",
		Example: "  patchfit import rpm kpatch-patch-5_14_0-1-2.el9.x86_64.rpm --keyring vendor.asc --signer 567E347AD0044ADE55BA8A5F199E2F91FD431D51 --file usr/lib/kpatch/fix.ko --vendor redhat --base base-a --to kernel/el9:fix-1 --key importer.pem",
		Long: `Import from an RPM package. Its header has to be signed by the key --signer, and to name
the payload by its sha256 and every file in it by its own: RPM 4.14 and later write such
packages. Vendor patches, as the modules in kpatch packages, are imported with --base.`,
		Args: shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			key, err := k.open()
			if err != nil {
				return err
			}
			b, err := readFile(args[0], "the package", rpm.MaxPackage)
			if err != nil {
				return err
			}
			p, err := vendors.RPM(b, key, time.Now())
			if err != nil {
				return unverified(args[0], err, "rpm -Kv shows what the package is signed with, and by which key")
			}
			return a.run(cmd.Context(), &f, p, args[0])
		},
	}
	k.register(cmd)
	f.packaged(cmd)
	return cmd
}

// aboutFlags say what a file without a package is.
type aboutFlags struct{ about attest.Package }

func (g *aboutFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.about.Name, "package", "", "what it is called (default: the file's name)")
	cmd.Flags().StringVar(&g.about.Version, "version", "", "its version, in the vendor's words")
	cmd.Flags().StringVar(&g.about.Architecture, "arch", "", "its architecture, in the vendor's words")
	shell.Required(cmd, "version", "arch")
}

func (g *aboutFlags) of(file string) attest.Package {
	p := g.about
	if p.Name == "" {
		p.Name = strings.SplitN(filepath.Base(file), ".", 2)[0]
	}
	return p
}

func (a verbs) moduleCommand() *cobra.Command {
	var f importFlags
	var g aboutFlags
	var cert string
	cmd := &cobra.Command{
		Use:     "module FILE --cert FILE --version VERSION --arch ARCHITECTURE --vendor WORD",
		Short:   "import a kernel module by its appended signature",
		Example: "  patchfit import module wifi.ko --cert vendor-modules.crt --version 1.2 --arch x86_64 --vendor example --to kernel/debian-12:wifi-1.2 --key importer.pem",
		Long: `Import a kernel module that has an appended signature (PKCS#7), which has to be by the
owner of the certificate --cert.`,
		Args: shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			b, err := readModule(args[0])
			if err != nil {
				return err
			}
			c, err := readCertificate(cert, "it is the vendor's, whose key signed the module; PEM or DER")
			if err != nil {
				return err
			}
			p, err := vendors.Module(args[0], b, g.of(args[0]), c)
			if err != nil {
				return unverified(args[0], err, "modinfo "+args[0]+" shows who signed it")
			}
			return a.run(cmd.Context(), &f, p, args[0])
		},
	}
	cmd.Flags().StringVar(&cert, "cert", "", "file with the signer's X.509 certificate, PEM or DER")
	shell.Required(cmd, "cert")
	g.register(cmd)
	f.register(cmd, "")
	return cmd
}

func (a verbs) dirCommand() *cobra.Command {
	var f importFlags
	var g aboutFlags
	cmd := &cobra.Command{
		Use:     "dir DIR --file PATH --version VERSION --arch ARCHITECTURE --vendor WORD",
		Short:   "import a file as it lies there, on your word alone",
		Example: "  patchfit import dir /srv/appliance/rootfs --file usr/lib/libfoo.so.1 --version 7 --arch x86_64 --vendor example --word 'as the appliance has it' --to lib/foo:7 --key importer.pem",
		Long: `Import a file as it lies in a directory. No chain is verified: the statement says so and
calls the file observed. The basis of fit vendor never holds for it; a site that asks for
imported bases denies it.`,
		Args: shell.Exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			b, err := readBelow(args[0], f.file)
			if err != nil {
				return err
			}
			p := vendors.File(f.file, b, g.of(f.file))
			f.file = filepath.Base(f.file)
			return a.run(cmd.Context(), &f, p, args[0])
		},
	}
	g.register(cmd)
	cmd.Flags().StringVar(&f.file, "file", "", "path of the file in DIR")
	f.register(cmd, "")
	shell.Required(cmd, "file")
	return cmd
}

// readBelow reads a file in a directory, which no link leads out of.
func readBelow(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("reading %s in %s: %w", name, dir, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s in %s is no regular file of at most %d bytes", name, dir, maxFile)
	}
	return root.ReadFile(name)
}
