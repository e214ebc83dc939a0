package attest_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/schematest"
)

func loadSchema(t *testing.T, name string) schematest.Schema {
	return schematest.Load(t, filepath.Join("..", "docs", "spec", "schema", name+".json"))
}

// answers are the schemas of what is written for others and never read, and of
// what other packages read: their own tests hold it to them.
var answers = map[string]bool{
	"vector": true, "verify-answer": true, "vsa": true,
	"builder-lock": true, "builder-recipe": true, "diff": true, "lint": true,
}

// schemaOf names the schema of a statement's predicate, or of a vector's kind.
func schemaOf(name string) string {
	switch name {
	case attest.TypeEnvironment:
		return "environment"
	case attest.TypeBase:
		return "base"
	case attest.TypeLivePatch:
		return "livepatch"
	case attest.TypeHostRecord:
		return "host-record"
	case attest.TypeRevocation:
		return "revocation"
	case attest.TypeChannel:
		return "channel"
	case attest.TypeImport:
		return "import"
	case attest.TypeEquivalence:
		return "environment-equivalence"
	case attest.TypeRebuild:
		return "rebuild"
	case attest.TypeAdjudication:
		return "adjudication"
	case attest.TypeProvenance:
		return "provenance"
	case "environment", "statement", "envelope", "bundle", "trust-policy":
		return name
	}
	return ""
}

// TestAcceptedVectorsMatchSchemas holds every document that is read against
// its schema, and every statement's predicate against its own.
func TestAcceptedVectorsMatchSchemas(t *testing.T) {
	seen := make(map[string]bool)
	match := func(v vector, name string, doc []byte) {
		if name == "" {
			return
		}
		seen[name] = true
		if err := loadSchema(t, name).Check(doc); err != nil {
			t.Errorf("%s is accepted, but not by schema/%s.json: %v", v.name, name, err)
		}
	}
	for _, v := range readVectors(t) {
		if v.expect != accepted {
			continue
		}
		match(v, schemaOf(v.kind), v.data)
		if s, err := attest.ParseStatement(v.data); v.kind == "statement" && err == nil {
			tree := parsed(t, v.data).(map[string]any)
			match(v, schemaOf(s.Type), canonical(t, tree["predicate"]))
		}
	}
	files, err := filepath.Glob("../docs/spec/schema/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas (%v)", err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".json"); !seen[name] && !answers[name] {
			t.Errorf("no accepted vector is held against %s", f)
		}
	}
}

// TestSchemasAgreeWithParsers leaves out each member of each good document,
// and adds one to each object: parser and schema refuse the same.
func TestSchemasAgreeWithParsers(t *testing.T) {
	for _, tt := range []struct {
		schema string
		vector vector
		at     string // where the schema's document is in the vector's
	}{
		{"environment", committed(t, "environment-good"), ""},
		{"statement", committed(t, "statement-revocation-good"), ""},
		{"base", committed(t, "statement-base-good"), "/predicate"},
		{"livepatch", committed(t, "statement-livepatch-good"), "/predicate"},
		{"host-record", committed(t, "statement-host-record-good"), "/predicate"},
		{"revocation", committed(t, "statement-revocation-good"), "/predicate"},
		{"channel", committed(t, "statement-channel-good"), "/predicate"},
		{"import", committed(t, "statement-import-good"), "/predicate"},
		{"import", committed(t, "statement-import-patch-good"), "/predicate"},
		{"environment-equivalence", committed(t, "statement-equivalence-good"), "/predicate"},
		{"rebuild", committed(t, "statement-rebuild-good"), "/predicate"},
		{"rebuild", committed(t, "rebuild-equivalent-good"), "/predicate"},
		{"rebuild", committed(t, "rebuild-reproduced-good"), "/predicate"},
		{"adjudication", committed(t, "statement-adjudication-good"), "/predicate"},
		{"provenance", committed(t, "statement-provenance-good"), "/predicate"},
		{"envelope", committed(t, "envelope-good"), ""},
		{"bundle", committed(t, "bundle-zeros-written-out"), ""},
		{"trust-policy", committed(t, "trust-policy-good"), ""},
		{"trust-policy", committed(t, "trust-policy-rebuilds-good"), ""},
	} {
		t.Run(tt.schema, func(t *testing.T) {
			s := loadSchema(t, tt.schema)
			for _, pointer := range pointers(at(parsed(t, tt.vector.data), tt.at), tt.at) {
				if strings.Contains(pointer, "/trustedRoot/") || tt.schema == "statement" && strings.HasPrefix(pointer, "/predicate/") {
					continue // of others
				}
				if strings.Contains(pointer, "/independence") || strings.HasSuffix(pointer, "/authorities/rebuilder") {
					continue // what a quorum asks of signers, no schema can follow
				}
				for what, edit := range map[string]func(map[string]any, string){
					"without":        func(o map[string]any, name string) { delete(o, name) },
					"with more near": func(o map[string]any, name string) { o[name+"More"] = "x" },
				} {
					v := tt.vector
					tree := parsed(t, v.data)
					i := strings.LastIndex(pointer, "/")
					edit(at(tree, pointer[:i]).(map[string]any), pointer[i+1:])
					v.data = canonical(t, tree)
					parser, schema := v.read(), s.Check(canonical(t, at(tree, tt.at)))
					if (parser == nil) != (schema == nil) {
						t.Errorf("%s %s: the parser says %v, the schema says %v", what, pointer, parser, schema)
					}
				}
			}
		})
	}
}

func committed(t *testing.T, name string) vector {
	v, ok := readVectors(t)[name+".txt"]
	if !ok || v.expect != accepted {
		t.Fatalf("no accepted vector %s", name)
	}
	return v
}

// at returns what a JSON pointer without escapes points to.
func at(tree any, pointer string) any {
	for _, name := range strings.Split(pointer, "/")[1:] {
		switch v := tree.(type) {
		case map[string]any:
			tree = v[name]
		case []any:
			tree = v[0]
		}
	}
	return tree
}
