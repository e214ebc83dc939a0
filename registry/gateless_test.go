package registry

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGateHasNoSwitch reads the package as it is built: one place says whether
// the gate is asked, one lets requests in, and no configuration is in either.
// The benchmark's server without a gate is made of this, in a test file.
func TestGateHasNoSwitch(t *testing.T) {
	var got []string
	eachFunc(t, func(name string, body ast.Node) {
		ast.Inspect(body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					if s, ok := to.(*ast.SelectorExpr); ok && s.Sel.Name == "gated" {
						got = append(got, name+" sets gated")
					}
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "gated" {
					got = append(got, name+" sets gated")
				}
			case *ast.UnaryExpr:
				if s, ok := n.X.(*ast.SelectorExpr); ok && n.Op == token.AND && s.Sel.Name == "gated" {
					got = append(got, name+" gives gated away")
				}
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "serve" {
					got = append(got, fmt.Sprintf("%s serves what %s lets in", name, text(n.Args[len(n.Args)-1])))
				}
			}
			return true
		})
	})
	slices.Sort(got)
	want := []string{"ServeHTTP serves what (*exchange).open lets in", "permit sets gated"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what decides whether the gate is asked (-want +got):\n%s", d)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a registry without a gate was made")
	}
}

// eachFunc calls do with every function of the package that is in programs.
func eachFunc(t *testing.T, do func(name string, body ast.Node)) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				do(fn.Name.Name, fn.Body)
			}
		}
	}
}

// text returns a method expression as it is written.
func text(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return fmt.Sprintf("%T", e)
	}
	p, ok := s.X.(*ast.ParenExpr)
	if !ok {
		return "." + s.Sel.Name
	}
	if star, ok := p.X.(*ast.StarExpr); ok {
		return fmt.Sprintf("(*%s).%s", star.X, s.Sel.Name)
	}
	return "." + s.Sel.Name
}
