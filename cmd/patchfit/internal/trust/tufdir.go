package trust

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger/tuf"
)

// A tufDir is a TUF repository in a directory, as a server has it: every
// version of root, the newest targets and snapshot, and the targets. The
// newest versions may be drafts.
type tufDir struct {
	dir      string
	roots    [][]byte
	targets  []byte
	snapshot []byte
	files    map[string][]byte
}

func openTUFDir(dir string) (*tufDir, error) {
	d := &tufDir{dir: dir, files: map[string][]byte{}}
	for {
		b, err := d.read(fmt.Sprintf("%d.root.json", len(d.roots)+1))
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		d.roots = append(d.roots, b)
	}
	var err error
	if d.targets, err = d.newest(tuf.RoleTargets); err != nil || d.targets == nil {
		return d, err
	}
	if d.snapshot, err = d.newest(tuf.RoleSnapshot); err != nil {
		return nil, err
	}
	paths, err := tuf.TargetPaths(d.targets)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	for name, path := range paths {
		if d.files[name], err = d.read(path); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// newest returns the metadata of a role with the highest version; nil: none.
func (d *tufDir) newest(role string) (b []byte, err error) {
	for n := 1; ; n++ {
		next, err := d.read(fmt.Sprintf("%d.%s.json", n, role))
		if err != nil || next == nil {
			return b, err
		}
		if b = next; tuf.RoleOf(b) != role {
			return nil, fmt.Errorf("%d.%s.json in %s is not what its name says", n, role, d.dir)
		}
	}
}

// read returns a file of the directory; nil: there is none.
func (d *tufDir) read(path string) ([]byte, error) {
	f, err := os.Open(filepath.Join(d.dir, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the TUF repository: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, tuf.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the TUF repository: %w", err)
	}
	if len(b) == 0 || len(b) > tuf.MaxFile {
		return nil, fmt.Errorf("reading the TUF repository: %s has %d bytes, want 1 to %d", path, len(b), tuf.MaxFile)
	}
	return b, nil
}

func (d *tufDir) write(path string, b []byte) error {
	path = filepath.Join(d.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the TUF repository: %w", err)
	}
	if err := shell.ReplaceFile(path, b); err != nil {
		return fmt.Errorf("writing the TUF repository: %w", err)
	}
	return nil
}

func (d *tufDir) offer() tuf.Offer {
	return tuf.Offer{Roots: d.roots, Targets: d.targets, Snapshot: d.snapshot, Files: d.files}
}

// nextVersions returns which versions of targets and snapshot to make: those
// there are, while they are drafts.
func (d *tufDir) nextVersions() (targets, snapshot int64, err error) {
	if d.targets == nil {
		return 1, 1, nil
	}
	t, err := tuf.ReadHeading(tuf.RoleTargets, d.targets)
	if err != nil {
		return 0, 0, err
	}
	s, err := tuf.ReadHeading(tuf.RoleSnapshot, d.snapshot)
	if err != nil {
		return 0, 0, err
	}
	if _, err := tuf.Accept(nil, d.offer()); err != nil && !d.signed() {
		return t.Version, s.Version, nil
	}
	return t.Version + 1, s.Version + 1, nil
}

// signed reports whether targets and snapshot have signatures enough of a root
// there was: then they may be with somebody, and stay as they are.
func (d *tufDir) signed() bool {
	for _, root := range d.roots {
		t, terr := tuf.Signatures(root, tuf.RoleTargets, d.targets)
		s, serr := tuf.Signatures(root, tuf.RoleSnapshot, d.snapshot)
		if terr == nil && serr == nil && t.Enough() && s.Enough() {
			return true
		}
	}
	return false
}

// sign adds a key's signature where it counts and more are needed, and returns
// to how many files. What has signatures enough may be on a server already, and
// stays as it is.
func (d *tufDir) sign(key crypto.Signer) (int, error) {
	public, err := attest.NewPublicKey(key.Public())
	if err != nil {
		return 0, err
	}
	signed := 0
	for _, row := range d.rows() {
		counts, enough := false, true
		for _, root := range row.roots {
			t, err := tuf.Signatures(root, row.role, *row.file)
			if err != nil {
				return signed, err
			}
			enough = enough && t.Enough()
			roles, err := tuf.RolesOf(root)
			if err != nil {
				return signed, err
			}
			for _, k := range roles[row.role].Keys {
				counts = counts || k.ID() == public.ID()
			}
		}
		if !counts || enough {
			continue
		}
		b, err := tuf.Sign(*row.file, key)
		if err != nil {
			return signed, err
		}
		if err := d.write(row.path(), b); err != nil {
			return signed, err
		}
		*row.file = b
		signed++
	}
	return signed, nil
}

// A tufRow is one of the newest files, and the roots whose keys sign it.
type tufRow struct {
	role  string
	file  *[]byte
	roots [][]byte
}

func (r tufRow) path() string {
	h, err := tuf.ReadHeading(r.role, *r.file)
	if err != nil {
		return r.role + ".json"
	}
	return fmt.Sprintf("%d.%s.json", h.Version, r.role)
}

func (d *tufDir) rows() []tufRow {
	n := len(d.roots)
	if n == 0 {
		return nil
	}
	rows := []tufRow{{tuf.RoleRoot, &d.roots[n-1], d.roots[max(0, n-2):]}}
	if d.targets != nil && d.snapshot != nil {
		rows = append(rows, tufRow{tuf.RoleTargets, &d.targets, d.roots[n-1:]}, tufRow{tuf.RoleSnapshot, &d.snapshot, d.roots[n-1:]})
	}
	return rows
}

func (a verbs) tufShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show DIR",
		Short:   "show the newest versions in a directory, who signed them and who still has to",
		Example: "  patchfit trust tuf show tuf",
		Args:    shell.Exactly("DIR"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.tufShow(args[0], true) },
	}
}

// A tufAnswer describes a TUF repository in a directory.
type tufAnswer struct {
	SchemaVersion int             `json:"schemaVersion"`
	Directory     string          `json:"directory"`
	Root          attest.TUFRoot  `json:"root"` // the newest: what a trust policy pins
	Files         []tufFileAnswer `json:"files"`
	Ready         bool            `json:"ready"` // to be pushed
	Problem       string          `json:"problem,omitzero"`
}

type tufFileAnswer struct {
	File    string     `json:"file"`
	Version int64      `json:"version"`
	Expires time.Time  `json:"expires"`
	Signed  []tufTally `json:"signed"`
}

type tufTally struct {
	Root int64    `json:"root"` // version of the root whose keys are counted
	By   []string `json:"by"`   // key ids
	Need int      `json:"need"`
}

func (a verbs) tufShow(dir string, must bool) error {
	d, err := openTUFDir(dir)
	if err != nil {
		return err
	}
	if len(d.roots) == 0 {
		if must {
			return exit.Hint(fmt.Errorf("%s holds no TUF repository", dir), "make one: patchfit trust tuf root "+dir)
		}
		return nil
	}
	v, err := d.describe(time.Now())
	if err != nil {
		return err
	}
	return a.Print(v, func(w io.Writer) { v.text(w) })
}

func (d *tufDir) describe(now time.Time) (*tufAnswer, error) {
	n := len(d.roots)
	v := &tufAnswer{SchemaVersion: 1, Directory: d.dir, Root: attest.TUFRoot{Version: int64(n), Root: attest.DigestOf(d.roots[n-1])}}
	for _, row := range d.rows() {
		h, err := tuf.ReadHeading(row.role, *row.file)
		if err != nil {
			return nil, err
		}
		f := tufFileAnswer{File: row.path(), Version: h.Version, Expires: h.Expires}
		for i, root := range row.roots {
			t, err := tuf.Signatures(root, row.role, *row.file)
			if err != nil {
				return nil, err
			}
			f.Signed = append(f.Signed, tufTally{int64(n - len(row.roots) + i + 1), t.By, t.Need})
		}
		v.Files = append(v.Files, f)
	}
	r, err := tuf.Accept(nil, d.offer())
	if err == nil {
		err = r.Current(now)
	}
	if v.Ready = err == nil; err != nil {
		v.Problem = err.Error()
	}
	return v, nil
}

func (v *tufAnswer) text(w io.Writer) {
	var rows [][]string
	for _, f := range v.Files {
		var signed []string
		for _, t := range f.Signed {
			signed = append(signed, fmt.Sprintf("%d of %d by root version %d", len(t.By), t.Need, t.Root))
		}
		rows = append(rows, []string{f.File, "until " + f.Expires.Format(time.RFC3339), "signed " + strings.Join(signed, ", ")})
	}
	shell.Cells(w, rows)
	fmt.Fprintf(w, "root version %d is %s\n", v.Root.Version, v.Root.Root)
	if v.Problem != "" {
		fmt.Fprintf(w, "not ready: %s\n", term.Printable(v.Problem))
		return
	}
	fmt.Fprintf(w, "ready: patchfit trust tuf push %s\n", term.Printable(v.Directory))
}
