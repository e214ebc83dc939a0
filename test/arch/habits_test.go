package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// Budgets a reader can hold in the head, for code besides tests.
const (
	maxFileLines = 500
	maxFuncLines = 70
)

// badHabits complains of code a reader of this house does not expect.
func badHabits(h *tree) []string {
	var bad []string
	for _, dir := range h.dirs() {
		r := h.rooms[dir]
		if !documented(r) {
			bad = append(bad, fmt.Sprintf("%s has no package comment", dir))
		}
		for _, f := range r.code() {
			bad = append(bad, oversize(h, f)...)
			if f.name != "main" {
				bad = append(bad, exits(h, f)...)
			}
		}
	}
	return bad
}

// documented reports whether the package says what lives in it, in the words
// go doc expects.
func documented(r *room) bool {
	return slices.ContainsFunc(r.code(), func(f *file) bool {
		want := "Package " + f.name + " "
		if f.name == "main" {
			want = "Command "
		}
		return f.ast.Doc != nil && strings.HasPrefix(f.ast.Doc.Text(), want)
	})
}

func oversize(h *tree, f *file) []string {
	var bad []string
	if f.lines > maxFileLines {
		bad = append(bad, fmt.Sprintf("%s has %d lines, want at most %d", f.path, f.lines, maxFileLines))
	}
	for _, d := range f.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		from, to := h.fset.Position(fn.Pos()), h.fset.Position(fn.End())
		if n := to.Line - from.Line + 1; n > maxFuncLines {
			bad = append(bad, fmt.Sprintf("%s: func %s has %d lines, want at most %d", from, fn.Name.Name, n, maxFuncLines))
		}
		if fn.Name.Name == "init" && fn.Recv == nil {
			bad = append(bad, fmt.Sprintf("%s: func init; wire it in main", from))
		}
	}
	return bad
}

// exits complains of libraries that end the program of whoever calls them.
func exits(h *tree, f *file) []string {
	var bad []string
	f.uses(func(pkg, name string, pos token.Pos) {
		ends := pkg == "os" && name == "Exit" || pkg == "log" && (strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic"))
		if ends {
			bad = append(bad, fmt.Sprintf("%s: %s.%s outside main; return an error", h.fset.Position(pos), pkg, name))
		}
	})
	return bad
}

func TestHabits(t *testing.T) {
	none(t, badHabits(house(t)))
}

func TestBadHabitsSees(t *testing.T) {
	h := crooked(t, map[string]string{
		"a/a.go":    "package a\nimport \"os\"\nfunc F() { os.Exit(1) }\n",
		"b/b.go":    "// Package b is fine.\npackage b\nimport \"log\"\nfunc init() {}\nfunc F() { log.Fatalf(\"\") }\n",
		"c/c.go":    "// This comment names nothing.\npackage c\nfunc Long() {\n" + strings.Repeat("\t_ = 0\n", maxFuncLines) + "}\n",
		"d/d.go":    "// Package d is long.\npackage d\n" + strings.Repeat("\n", maxFileLines),
		"e/main.go": "// Command e may end itself.\npackage main\nimport \"os\"\nfunc main() { os.Exit(1) }\n",
	})
	bad := badHabits(h)
	complains(t, bad, "a has no package comment")
	complains(t, bad, "a/a.go:3", "os.Exit")
	complains(t, bad, "b/b.go:4", "func init")
	complains(t, bad, "b/b.go:5", "log.Fatalf")
	complains(t, bad, "c has no package comment")
	complains(t, bad, "c/c.go:3", "func Long")
	complains(t, bad, "d/d.go", "502 lines")
	if len(bad) != 7 {
		t.Errorf("%d complaints, want 7: %q", len(bad), bad)
	}
}
