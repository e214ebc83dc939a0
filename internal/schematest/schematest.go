// Package schematest holds documents up to the JSON Schemas of docs/spec/schema,
// for the tests of whoever writes or reads them.
package schematest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// A Schema checks documents against a JSON Schema: the keywords that ours use,
// and an error for any other.
type Schema struct {
	root map[string]any
}

// Load reads the schema at path.
func Load(t testing.TB, path string) Schema {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(b, &root); err != nil || root["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Fatalf("%s is not a JSON Schema 2020-12: %v", path, err)
	}
	return Schema{root}
}

// Check returns what is wrong with a document, at which spot.
func (s Schema) Check(doc []byte) error {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return err
	}
	return s.value(s.root, v, "")
}

func (s Schema) value(rule map[string]any, v any, at string) error {
	for _, keyword := range slices.Sorted(maps.Keys(rule)) {
		if err := s.keyword(keyword, rule, v, at); err != nil {
			return err
		}
	}
	return nil
}

func (s Schema) keyword(keyword string, rule map[string]any, v any, at string) error {
	arg := rule[keyword]
	switch keyword {
	case "$schema", "$defs", "title", "description", "then":
		return nil
	case "$ref":
		name := strings.TrimPrefix(arg.(string), "#/$defs/")
		return s.value(s.root["$defs"].(map[string]any)[name].(map[string]any), v, at)
	case "allOf":
		for _, each := range arg.([]any) {
			if err := s.value(each.(map[string]any), v, at); err != nil {
				return err
			}
		}
		return nil
	case "not":
		if s.value(arg.(map[string]any), v, at) == nil {
			return fmt.Errorf("%s: is what it must not be", at)
		}
		return nil
	case "if":
		if s.value(arg.(map[string]any), v, at) == nil {
			return s.value(rule["then"].(map[string]any), v, at)
		}
		return nil
	case "type":
		return holds(typeOf(v) == arg || arg == "number" && typeOf(v) == "integer", at, "is not a %v", arg)
	case "const":
		return holds(reflect.DeepEqual(v, arg), at, "is not %v", arg)
	case "enum":
		return holds(slices.ContainsFunc(arg.([]any), func(a any) bool { return reflect.DeepEqual(a, v) }), at, "is none of %v", arg)
	}
	switch v := v.(type) {
	case string:
		return s.text(keyword, arg, v, at)
	case float64:
		return s.number(keyword, arg, v, at)
	case []any:
		return s.array(keyword, arg, v, at)
	case map[string]any:
		return s.object(keyword, rule, v, at)
	}
	return unknownKeyword(keyword, at)
}

func unknownKeyword(keyword, at string) error {
	return fmt.Errorf("%s: keyword %q is not known here", at, keyword)
}

func holds(ok bool, at, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...))
}

func typeOf(v any) string {
	switch v := v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}

func (s Schema) text(keyword string, arg any, v, at string) error {
	switch keyword {
	case "pattern":
		return holds(regexp.MustCompile(arg.(string)).MatchString(v), at, "%q does not match %s", v, arg)
	case "minLength":
		return holds(utf8.RuneCountInString(v) >= int(arg.(float64)), at, "is too short")
	case "maxLength":
		return holds(utf8.RuneCountInString(v) <= int(arg.(float64)), at, "is too long")
	}
	return unknownKeyword(keyword, at)
}

func (s Schema) number(keyword string, arg any, v float64, at string) error {
	switch keyword {
	case "minimum":
		return holds(v >= arg.(float64), at, "is below %v", arg)
	case "maximum":
		return holds(v <= arg.(float64), at, "is above %v", arg)
	}
	return unknownKeyword(keyword, at)
}

func (s Schema) array(keyword string, arg any, v []any, at string) error {
	switch keyword {
	case "items":
		for i, item := range v {
			if err := s.value(arg.(map[string]any), item, fmt.Sprintf("%s/%d", at, i)); err != nil {
				return err
			}
		}
		return nil
	case "minItems":
		return holds(len(v) >= int(arg.(float64)), at, "has too few elements")
	case "maxItems":
		return holds(len(v) <= int(arg.(float64)), at, "has too many elements")
	case "uniqueItems":
		for i := range v {
			if slices.ContainsFunc(v[:i], func(o any) bool { return reflect.DeepEqual(o, v[i]) }) {
				return fmt.Errorf("%s/%d: repeats an element", at, i)
			}
		}
		return nil
	}
	return unknownKeyword(keyword, at)
}

func (s Schema) object(keyword string, rule map[string]any, v map[string]any, at string) error {
	switch keyword {
	case "properties", "additionalProperties", "propertyNames":
		return s.members(keyword, rule, v, at)
	case "required":
		for _, name := range rule[keyword].([]any) {
			if _, ok := v[name.(string)]; !ok {
				return fmt.Errorf("%s/%s: missing", at, name)
			}
		}
		return nil
	}
	return unknownKeyword(keyword, at)
}

func (s Schema) members(keyword string, rule map[string]any, v map[string]any, at string) error {
	known, _ := rule["properties"].(map[string]any)
	for name, value := range v {
		var sub any
		var under any = value
		switch _, listed := known[name]; {
		case keyword == "properties" && listed:
			sub = known[name]
		case keyword == "additionalProperties" && !listed:
			sub = rule[keyword]
		case keyword == "propertyNames":
			sub, under = rule[keyword], name
		default:
			continue
		}
		if sub == false {
			return fmt.Errorf("%s/%s: unknown member", at, name)
		}
		if err := s.value(sub.(map[string]any), under, at+"/"+name); err != nil {
			return err
		}
	}
	return nil
}
