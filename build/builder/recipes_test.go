package builder

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestRecipesToBeginWith reads the recipes we hand out. They name no mirror: each
// machine has its own.
func TestRecipesToBeginWith(t *testing.T) {
	list, err := filepath.Glob(filepath.Join("..", "..", "deploy", "recipes", "*.yaml"))
	if err != nil || len(list) < 3 {
		t.Fatalf("recipes %v, %v", list, err)
	}
	for _, path := range list {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseRecipe(b)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(r.Mirrors) > 0 || len(r.Keep) == 0 {
			t.Errorf("%s names mirrors %v and keeps %v", path, r.Mirrors, r.Keep)
		}
		js, err := yaml.YAMLToJSON(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema(t, "builder-recipe.json").Check(js); err != nil {
			t.Errorf("%s: schema: %v", path, err)
		}
	}
}
