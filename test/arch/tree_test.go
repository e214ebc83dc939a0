package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/patchfit/patchfit"

// A tree is a module's Go packages, by directory relative to its root.
type tree struct {
	root  string
	fset  *token.FileSet
	rooms map[string]*room
}

// A room is the Go files of one directory.
type room struct {
	dir   string
	files []*file
}

type file struct {
	path  string // relative to the module's root
	name  string // of its package
	test  bool
	lines int
	ast   *ast.File
}

// house returns the tree of the module this test is part of.
func house(t *testing.T) *tree {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !bytes.HasPrefix(mod, []byte("module "+module+"\n")) {
		t.Fatalf("%s is not the root of module %s: %v", root, module, err)
	}
	h := load(t, root)
	if len(h.rooms) < 10 {
		t.Fatalf("found %d packages below %s; the walk is broken", len(h.rooms), root)
	}
	return h
}

// crooked writes files (path to content) to a new directory and loads it.
func crooked(t *testing.T, files map[string]string) *tree {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return load(t, root)
}

func load(t *testing.T, root string) *tree {
	t.Helper()
	h := &tree{root: root, fset: token.NewFileSet(), rooms: map[string]*room{}}
	err := walk(root, false, func(path string) error {
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		return h.add(path)
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// walk visits every file of the module at root, by its path relative to root,
// but not what git and builds keep there; with everything set also test data
// and nested modules.
func walk(root string, everything bool, visit func(path string) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return visit(filepath.ToSlash(rel))
		}
		if rel != "." && skipped(path, d.Name(), everything) {
			return fs.SkipDir
		}
		return nil
	})
}

func skipped(path, name string, everything bool) bool {
	if slices.Contains([]string{".git", "bin", "node_modules"}, name) {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return !everything && (err == nil || name == "testdata")
}

func (h *tree) add(path string) error {
	src, err := os.ReadFile(filepath.Join(h.root, path))
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(h.fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := filepath.ToSlash(filepath.Dir(path))
	if h.rooms[dir] == nil {
		h.rooms[dir] = &room{dir: dir}
	}
	h.rooms[dir].files = append(h.rooms[dir].files, &file{
		path:  path,
		name:  parsed.Name.Name,
		test:  strings.HasSuffix(path, "_test.go"),
		lines: bytes.Count(src, []byte("\n")),
		ast:   parsed,
	})
	return nil
}

// dirs returns the directories of all rooms that have code besides tests, sorted.
func (h *tree) dirs() []string {
	var all []string
	for dir, r := range h.rooms {
		if len(r.code()) > 0 {
			all = append(all, dir)
		}
	}
	slices.Sort(all)
	return all
}

// code returns the room's files that are not tests.
func (r *room) code() []*file {
	return slices.DeleteFunc(slices.Clone(r.files), func(f *file) bool { return f.test })
}

// imports returns the import paths of f.
func (f *file) imports() []string {
	var paths []string
	for _, i := range f.ast.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			panic(fmt.Sprintf("%s: import %s passed the parser", f.path, i.Path.Value))
		}
		paths = append(paths, p)
	}
	return paths
}

// own returns the directory of a package of this module, and whether it is one.
func own(importPath string) (dir string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// uses calls visit for every mention of a name in an imported package, as
// ("os", "Exit").
func (f *file) uses(visit func(pkg, name string, pos token.Pos)) {
	names := map[string]string{}
	for _, i := range f.ast.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = path
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && names[x.Name] != "" {
				visit(names[x.Name], s.Sel.Name, s.Pos())
			}
		}
		return true
	})
}

// none reports every complaint as an error.
func none(t *testing.T, complaints []string) {
	t.Helper()
	for _, c := range complaints {
		t.Error(c)
	}
}

// complains checks that some complaint holds all of words.
func complains(t *testing.T, complaints []string, words ...string) {
	t.Helper()
	for _, c := range complaints {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(c, w) }) {
			return
		}
	}
	t.Errorf("no complaint about %q in %q", words, complaints)
}
