package strictjson

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A walker reads a document that has been decoded into a Go type once more,
// beside that type, for what the decoder lets pass: missing members, names in
// another case, times and bytes in another form. Types are plain ones; values
// that decode themselves are left to do so.
type walker struct {
	d       *jsontext.Decoder
	foreign bool // members may be missing or unknown
	structs map[reflect.Type][]member
}

func walk(data []byte, v any, foreign bool) error {
	w := walker{jsontext.NewDecoder(bytes.NewBuffer(data)), foreign, make(map[reflect.Type][]member)}
	return w.value(reflect.TypeOf(v).Elem())
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	jsonMethod = reflect.TypeFor[json.Unmarshaler]()
	fromMethod = reflect.TypeFor[json.UnmarshalerFrom]()
	textMethod = reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()
)

// decodesItself reports whether values of t have a decoding method.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonMethod) || p.Implements(fromMethod) || p.Implements(textMethod)
}

func (w *walker) value(t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	kind := w.d.PeekKind()
	switch {
	case t.Kind() < reflect.Array || t.Kind() == reflect.String:
		return w.d.SkipValue() // nothing below
	case t == timeType:
		return w.form(oneTime, "a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)")
	case decodesItself(t):
		return w.d.SkipValue()
	case t.Kind() == reflect.Struct && kind == '{':
		return w.object(t)
	case t.Kind() == reflect.Map && kind == '{':
		return w.dictionary(t.Elem())
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && kind == '[':
		return w.array(t.Elem())
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && kind == '"':
		return w.form(oneBase64, "standard base64 with padding (RFC 4648, section 4)")
	}
	return w.d.SkipValue()
}

// form asks that the string that comes next is in the form ok knows.
func (w *walker) form(ok func(string) bool, want string) error {
	tok, err := w.d.ReadToken()
	if err != nil {
		return locate(err)
	}
	if !ok(tok.String()) {
		return Errorf(string(w.d.StackPointer()), "%.80q is not %s", tok.String(), want)
	}
	return nil
}

func oneTime(s string) bool {
	t, err := time.Parse(time.RFC3339Nano, s)
	return err == nil && t.UTC().Format(time.RFC3339Nano) == s
}

func oneBase64(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && base64.StdEncoding.EncodeToString(b) == s
}

func (w *walker) array(elem reflect.Type) error {
	return w.enclosed(']', func() error { return w.value(elem) })
}

func (w *walker) dictionary(elem reflect.Type) error {
	return w.enclosed('}', func() error {
		if err := w.d.SkipValue(); err != nil { // the name
			return locate(err)
		}
		return w.value(elem)
	})
}

// enclosed reads an opening token, what each reads until the closing one, and
// that.
func (w *walker) enclosed(closing jsontext.Kind, each func() error) error {
	if _, err := w.d.ReadToken(); err != nil {
		return locate(err)
	}
	for w.d.PeekKind() != closing {
		if err := each(); err != nil {
			return err
		}
	}
	_, err := w.d.ReadToken()
	return err
}

// A member is one field of a struct, as JSON has it.
type member struct {
	name     string
	optional bool
	typ      reflect.Type
}

// members lists the members of struct type t, those of embedded structs too.
func members(t reflect.Type) []member {
	list := make([]member, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			list = append(list, members(f.Type)...)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		list = append(list, member{name: name, optional: strings.Contains(opts, "omitzero"), typ: f.Type})
	}
	return list
}

func (w *walker) object(t reflect.Type) error {
	list, ok := w.structs[t]
	if !ok {
		list = members(t)
		w.structs[t] = list
	}
	seen := make([]bool, len(list))
	err := w.enclosed('}', func() error { return w.member(list, seen) })
	if err != nil || w.foreign {
		return err
	}
	for i, m := range list {
		if !seen[i] && !m.optional {
			return Errorf(string(w.d.StackPointer().AppendToken(m.name)), "missing")
		}
	}
	return nil
}

// member reads a name and its value. A name that an encoding/json reader would
// take for one of ours, because it ignores case, is refused.
func (w *walker) member(list []member, seen []bool) error {
	tok, err := w.d.ReadToken()
	if err != nil {
		return locate(err)
	}
	name := tok.String()
	for i, m := range list {
		if m.name == name {
			seen[i] = true
			return w.value(m.typ)
		}
	}
	for _, m := range list {
		if strings.EqualFold(m.name, name) {
			return Errorf(string(w.d.StackPointer()), "name differs only in case from %q", m.name)
		}
	}
	return w.d.SkipValue()
}
