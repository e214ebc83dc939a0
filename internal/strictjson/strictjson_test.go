package strictjson_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/internal/strictjson"
)

type inner struct {
	Name  string `json:"name"`
	Count int    `json:"count,omitzero"`
}

type base struct {
	ID string `json:"id"`
}

type document struct {
	base
	List   []inner          `json:"list"`
	Map    map[string]inner `json:"map"`
	Number int64            `json:"number,omitzero"`
	Float  float64          `json:"float,omitzero"`
	When   time.Time        `json:"when,omitzero"`
	Bytes  []byte           `json:"bytes,omitzero"`
	Fixed  [2]byte          `json:"fixed,omitzero"`
	Next   *inner           `json:"next,omitzero"`
	Any    any              `json:"any,omitzero"`
	Raw    jsontext.Value   `json:"raw,omitzero"`
	Hidden int              `json:"-"`
	secret int
}

// good has every required member; %s takes more of them.
const good = `{"id":"x","list":[{"name":"a"}],"map":{"k":{"name":"b"}}%s}`

const limit = 4096

func TestUnmarshal(t *testing.T) {
	with := func(more string) string { return fmt.Sprintf(good, ","+more) }
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct{ name, in, want string }{
		{"good", fmt.Sprintf(good, ""), ""},
		{"everything", with(`"number":-9007199254740991,"float":1.5e3,"when":"2026-03-01T12:00:00.25Z","bytes":"AAE=","fixed":"AAE=","next":{"name":"n","count":2},"any":[1,{"x":true}],"raw":{"y":[]}`), ""},
		{"space around", " \t\r\n" + fmt.Sprintf(good, "") + " \n", ""},
		{"empty", ``, "empty document"},
		{"only space", " \n", "empty document"},
		{"cut off", `{"id":"x"`, "unexpected EOF"},
		{"duplicate", with(`"id":"y"`), `/id: duplicate object member name`},
		{"duplicate by escape", with(`"i\u0064":"y"`), `/id: duplicate object member name`},
		{"duplicate below", `{"id":"x","list":[{"name":"a","name":"b"}],"map":{}}`, `/list/0/name: duplicate object member name`},
		{"duplicate in a map", `{"id":"x","list":[],"map":{"k":{"name":"a"},"k":{"name":"b"}}}`, `/map/k: duplicate object member name`},
		{"duplicate in raw", with(`"raw":{"a":1,"a":2}`), `/raw/a: duplicate object member name`},
		{"other case", `{"ID":"x","list":[],"map":{}}`, "/ID: unknown member"},
		{"other case too", with(`"Id":"y"`), "/Id: unknown member"},
		{"unknown", with(`"extra":1`), "/extra: unknown member"},
		{"unknown below", `{"id":"x","list":[{"name":"a","extra":1}],"map":{}}`, "/list/0/extra: unknown member"},
		{"ignored field", with(`"Hidden":1`), "/Hidden: unknown member"},
		{"private field", with(`"secret":1`), "/secret: unknown member"},
		{"missing", `{"id":"x","list":[]}`, "/map: missing"},
		{"missing in embedded", `{"list":[],"map":{}}`, "/id: missing"},
		{"missing in array", `{"id":"x","list":[{"name":"a"},{}],"map":{}}`, "/list/1/name: missing"},
		{"missing in map", `{"id":"x","list":[],"map":{"a/b":{}}}`, "/map/a~1b/name: missing"},
		{"missing behind pointer", with(`"next":{"count":1}`), "/next/name: missing"},
		{"null", `{"id":null,"list":[],"map":{}}`, "/id: null is not allowed"},
		{"null in raw", with(`"raw":[null]`), "/raw/0: null is not allowed"},
		{"null document", `null`, "null is not allowed"},
		{"invalid UTF-8", with("\"any\":\"\xff\""), "/any: invalid UTF-8"},
		{"lone surrogate", with(`"any":"\ud800"`), "/any: invalid surrogate pair `\\ud800\"}` in string"},
		{"byte order mark", "\ufeff" + fmt.Sprintf(good, ""), "invalid character '\\ufeff' at start of value"},
		{"comment", `{/**/}`, "invalid character '/' at start of value"},
		{"trailing comma", `{"id":"x",}`, "invalid character ',' at start of value"},
		{"trailing data", fmt.Sprintf(good, "") + "{}", "trailing data after the document at byte 57"},
		{"trailing NUL", fmt.Sprintf(good, "") + "\x00", "trailing data after the document at byte 57"},
		{"deepest", with(`"any":` + deep(strictjson.MaxDepth-1)), ""},
		{"too deep", with(`"any":` + deep(strictjson.MaxDepth)), "/any" + strings.Repeat("/0", strictjson.MaxDepth-1) + ": nested deeper than 32"},
		{"far too deep", strings.Repeat("[", limit), strings.Repeat("/0", strictjson.MaxDepth) + ": nested deeper than 32"},
		{"wrong type", `{"id":7,"list":[],"map":{}}`, "/id: number cannot be read as string"},
		{"wrong type below", `{"id":"x","list":{},"map":{}}`, "/list: object cannot be read as []strictjson_test.inner"},
		{"fraction for integer", with(`"number":1.0`), "/number: number 1.0 cannot be read as int64"},
		{"exponent for integer", with(`"number":1e3`), "/number: number 1e3 cannot be read as int64"},
		{"integer above", with(`"number":9007199254740992`), "/number: number 9007199254740992 is not exact in every reader"},
		{"integer below", with(`"any":-9007199254740992`), "/any: number -9007199254740992 is not exact in every reader"},
		{"integer far above", with(`"any":123456789012345678901234567890`), "/any: number 123456789012345678901234567890 is not exact in every reader"},
		{"negative zero", with(`"number":-0`), "/number: number -0 is not exact in every reader"},
		{"float beyond", with(`"float":1e400`), "/float: number 1e400 is not exact in every reader"},
		{"leading zero", with(`"number":01`), "invalid character '1' after object value (expecting ',' or '}')"},
		{"time with offset", with(`"when":"2026-03-01T12:00:00+00:00"`), `/when: "2026-03-01T12:00:00+00:00" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"time with zeros", with(`"when":"2026-03-01T12:00:00.0Z"`), `/when: "2026-03-01T12:00:00.0Z" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"base64 with stray bits", with(`"bytes":"AAF="`), `/bytes: "AAF=" is not standard base64 with padding (RFC 4648, section 4)`},
		{"base64 in an array", with(`"fixed":"AAF="`), `/fixed: "AAF=" is not standard base64 with padding (RFC 4648, section 4)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := strictjson.Unmarshal([]byte(tt.in), limit, new(document))
			if got := message(err); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestUnmarshalReads(t *testing.T) {
	var got document
	in := `{"id":"x","list":[{"name":"a","count":3}],"map":{},"when":"2026-03-01T12:00:00Z","bytes":"AAE=","raw":{ "z": 1 }}`
	if err := strictjson.Unmarshal([]byte(in), limit, &got); err != nil {
		t.Fatal(err)
	}
	want := document{
		base: base{ID: "x"}, List: []inner{{Name: "a", Count: 3}}, Map: map[string]inner{},
		When: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Bytes: []byte{0, 1}, Raw: jsontext.Value(`{ "z": 1 }`), secret: 0,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{}, base{})); diff != "" {
		t.Errorf("document differs (-want +got):\n%s", diff)
	}
}

func TestLimit(t *testing.T) {
	in := []byte(fmt.Sprintf(good, ""))
	if err := strictjson.Unmarshal(in, len(in), new(document)); err != nil {
		t.Errorf("a document of exactly the limit is refused: %v", err)
	}
	err := strictjson.Unmarshal(in, len(in)-1, new(document))
	if want := "document of 57 bytes exceeds the limit of 56"; message(err) != want {
		t.Errorf("got %q, want %q", message(err), want)
	}
}

func TestUnmarshalForeign(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"unknown and missing members", `{"list":[{"extra":[1]}],"other":{"deep":true}}`, ""},
		{"a name in another case", `{"id":"x","ID":"y"}`, `/ID: name differs only in case from "id"`},
		{"only in another case", `{"list":[{"NAME":"y"}]}`, `/list/0/NAME: name differs only in case from "name"`},
		{"in another case by folding", "{\"li\u017ft\":[]}", "/li\u017ft: name differs only in case from \"list\""},
		{"unlike names below what is ignored", `{"other":{"path":1,"PATH":2}}`, ""},
		{"duplicate in what is ignored", `{"other":{"a":1,"a":2}}`, `/other/a: duplicate object member name`},
		{"null in what is ignored", `{"other":null}`, "/other: null is not allowed"},
		{"time with offset", `{"when":"2026-03-01T13:00:00+01:00"}`, `/when: "2026-03-01T13:00:00+01:00" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"trailing data", `{} {}`, "trailing data after the document at byte 2"},
		{"not an object", `[]`, "array cannot be read as strictjson_test.document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := strictjson.UnmarshalForeign([]byte(tt.in), limit, new(document))
			if got := message(err); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   any
		want string
	}{
		{"members sorted", inner{Name: "a", Count: 2}, `{"count":2,"name":"a"}`},
		{"nil slice", struct{ L []int }{}, `{"L":[]}`},
		{"nil map", struct{ M map[string]int }{}, `{"M":{}}`},
		{"no HTML escapes", "<&>\u2028", "\"<&>\u2028\""},
		{"largest integer", int64(strictjson.MaxInteger), "9007199254740991"},
		{"UTF-16 order", map[string]int{"\U0001F600": 1, "\uFB33": 2}, "{\"\U0001F600\":1,\"\uFB33\":2}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := strictjson.Canonical(tt.in)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
	for _, bad := range []any{int64(strictjson.MaxInteger + 1), (*inner)(nil), "\xff", struct{ V jsontext.Value }{}} {
		if got, err := strictjson.Canonical(bad); err == nil {
			t.Errorf("Canonical(%#v) = %s, want an error: it could not be read back", bad, got)
		}
	}
}

func TestRequireCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1,"b":2}`:       "",
		`{"b":2,"a":1}`:       "not in canonical form (RFC 8785)",
		`{"a": 1}`:            "not in canonical form (RFC 8785)",
		`{"a":1.0}`:           "not in canonical form (RFC 8785)",
		`{"a":"\u0062"}`:      "not in canonical form (RFC 8785)",
		`9007199254740993`:    "not in canonical form (RFC 8785)",
		`{"a":1}` + "\n":      "not in canonical form (RFC 8785)",
		`{"a":{"b":1,"b":2}}`: `/a/b: duplicate object member name`,
	} {
		if got := message(strictjson.RequireCanonical([]byte(in))); got != want {
			t.Errorf("RequireCanonical(%s) = %q, want %q", in, got, want)
		}
	}
}

func TestUnder(t *testing.T) {
	if err := strictjson.Under("/a", nil); err != nil {
		t.Errorf("Under of nothing is %v", err)
	}
	if err := strictjson.Under("/a", strictjson.Errorf("/b", "bad %d", 1)); err.Error() != "/a/b: bad 1" {
		t.Errorf("got %q", err)
	}
}

// FuzzUnmarshal asks that what is accepted reads the same in another parser,
// and again after it was written.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(good, "")))
	f.Add([]byte(fmt.Sprintf(good, `,"number":12,"float":1.5,"when":"2026-03-01T12:00:00Z","bytes":"AAE=","next":{"name":"n"},"any":{"x":[true]}`)))
	f.Add([]byte(`{"id":"x","ID":"y","list":[],"map":{}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var v document
		if strictjson.Unmarshal(in, limit, &v) != nil {
			return
		}
		opts := cmp.AllowUnexported(document{}, base{})
		var other document
		if err := stdjson.Unmarshal(in, &other); err != nil {
			t.Fatalf("accepted %q, encoding/json says %v", in, err)
		}
		v.Raw, other.Raw = nil, nil // raw bytes keep their spaces here, not there
		if diff := cmp.Diff(v, other, opts); diff != "" {
			t.Fatalf("encoding/json reads %q differently (-strict +std):\n%s", in, diff)
		}
		out, err := strictjson.Canonical(v)
		if err != nil {
			t.Fatalf("accepted %q, cannot write it: %v", in, err)
		}
		var again document
		if err := strictjson.Unmarshal(out, 4*limit, &again); err != nil {
			t.Fatalf("accepted %q, refused as %q: %v", in, out, err)
		}
		if twice, err := strictjson.Canonical(again); err != nil || !bytes.Equal(out, twice) {
			t.Fatalf("%q became %q, then %q (%v)", in, out, twice, err)
		}
	})
}

func BenchmarkUnmarshal(b *testing.B) {
	var doc bytes.Buffer
	doc.WriteString(`{"id":"x","map":{},"list":[{"name":"a","count":1}`)
	for range 1000 {
		doc.WriteString(`,{"name":"somewhat longer","count":1}`)
	}
	doc.WriteString(`]}`)
	b.SetBytes(int64(doc.Len()))
	for b.Loop() {
		if err := strictjson.Unmarshal(doc.Bytes(), doc.Len(), new(document)); err != nil {
			b.Fatal(err)
		}
	}
}
