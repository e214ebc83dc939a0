// Package strictjson reads JSON the way evidence has to be read: one way only.
//
// Two parsers that disagree about a document are a way around a gate, so a
// document is refused unless every reader must see the same thing in it.
// Refused are: invalid UTF-8, duplicate names, names in another case, trailing
// data, nesting deeper than [MaxDepth], null, numbers that a double rounds,
// times and bytes in another than their one form, documents above the caller's
// limit and, for our own types, unknown and missing members. Every refusal
// names the spot as a JSON pointer (RFC 6901).
//
// A time.Time has one form: UTC with a Z and no more digits than it needs (RFC
// 3339). A []byte has one: standard base64 with padding (RFC 4648, section 4).
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is the deepest nesting of objects and arrays that is read.
const MaxDepth = 32

// MaxInteger is the largest integer, up or down, that every reader of JSON
// keeps exact: some read all numbers as doubles (RFC 8259, section 6).
const MaxInteger = 1<<53 - 1

// An Error says where in a document something is wrong, and what.
type Error struct {
	Pointer string // RFC 6901; "" is the whole document
	Reason  string
}

func (e *Error) Error() string {
	if e.Pointer == "" {
		return e.Reason
	}
	return e.Pointer + ": " + e.Reason
}

// Errorf returns an [Error] for the spot pointer.
func Errorf(pointer, format string, args ...any) *Error {
	return &Error{Pointer: pointer, Reason: fmt.Sprintf(format, args...)}
}

// Unmarshal reads one of our own documents into v, a pointer to a struct.
// Every field without the omitzero option must be present, and no other.
// data longer than limit bytes is refused unread. After an error v holds
// nothing to rely on.
func Unmarshal(data []byte, limit int, v any) error {
	if err := scan(data, limit); err != nil {
		return err
	}
	if err := decode(data, v, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	return walk(data, v, false)
}

// UnmarshalForeign reads a document whose type others define: unknown members
// are ignored, as in-toto asks of consumers; all else is as strict.
func UnmarshalForeign(data []byte, limit int, v any) error {
	if err := scan(data, limit); err != nil {
		return err
	}
	if err := decode(data, v); err != nil {
		return err
	}
	return walk(data, v, true)
}

// Canonical encodes v as canonical JSON (RFC 8785). What this package would
// not read, as a null or an integer beyond [MaxInteger], is an error.
func Canonical(v any) ([]byte, error) {
	b, err := json.Marshal(v, json.FormatNilSliceAsNull(false))
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	if err := scan(b, len(b)); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return Canonicalize(b)
}

// Canonicalize rewrites a JSON document in its canonical form (RFC 8785).
func Canonicalize(data []byte) ([]byte, error) {
	v := jsontext.Value(bytes.Clone(data))
	if err := v.Canonicalize(); err != nil {
		return nil, locate(err)
	}
	return v, nil
}

// RequireCanonical returns an error unless data, a JSON document, is in its
// canonical form (RFC 8785).
func RequireCanonical(data []byte) error {
	c, err := Canonicalize(data)
	if err != nil {
		return err
	}
	if !bytes.Equal(c, data) {
		return Errorf("", "not in canonical form (RFC 8785)")
	}
	return nil
}

// Under returns err, if it is an [Error], for a document that is found at
// pointer in a larger one.
func Under(pointer string, err error) error {
	if e, ok := err.(*Error); ok {
		return &Error{Pointer: pointer + e.Pointer, Reason: e.Reason}
	}
	return err
}

// scan reads every token once: syntax, duplicates, UTF-8, depth, null, numbers.
func scan(data []byte, limit int) error {
	if len(data) > limit {
		return Errorf("", "document of %d bytes exceeds the limit of %d", len(data), limit)
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(data))
	for {
		tok, err := d.ReadToken()
		if err != nil {
			return locate(err)
		}
		if reason := refuse(d, tok); reason != "" {
			return &Error{Pointer: string(d.StackPointer()), Reason: reason}
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return Errorf("", "trailing data after the document at byte %d", d.InputOffset())
	}
	return nil
}

// refuse returns why the token just read cannot stand, or "".
func refuse(d *jsontext.Decoder, tok jsontext.Token) string {
	switch {
	case d.StackDepth() > MaxDepth:
		return fmt.Sprintf("nested deeper than %d", MaxDepth)
	case tok.Kind() == 'n':
		return "null is not allowed"
	case tok.Kind() == '0' && !exact(tok.String()):
		return fmt.Sprintf("number %.40s is not exact in every reader", tok)
	}
	return ""
}

// exact reports whether every reader sees the same number in a literal.
func exact(literal string) bool {
	if strings.ContainsAny(literal, ".eE") {
		f, err := strconv.ParseFloat(literal, 64)
		return err == nil && !math.IsInf(f, 0)
	}
	n, err := strconv.ParseInt(literal, 10, 64)
	return err == nil && -MaxInteger <= n && n <= MaxInteger && literal != "-0"
}

func decode(data []byte, v any, opts ...json.Options) error {
	if err := json.Unmarshal(data, v, opts...); err != nil {
		return locate(err)
	}
	return nil
}

func locate(err error) error {
	if err == io.EOF {
		return Errorf("", "empty document")
	}
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) {
		return &Error{Pointer: string(syn.JSONPointer), Reason: syn.Err.Error()}
	}
	var sem *json.SemanticError
	if errors.As(err, &sem) {
		return &Error{Pointer: string(sem.JSONPointer), Reason: semantic(sem)}
	}
	return &Error{Reason: err.Error()}
}

func semantic(e *json.SemanticError) string {
	if errors.Is(e.Err, json.ErrUnknownName) {
		return "unknown member"
	}
	if e.Err != nil && e.JSONValue.Kind() == '0' {
		return fmt.Sprintf("number %.40s cannot be read as %s", e.JSONValue, e.GoType)
	}
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("%s cannot be read as %s", kindName(e.JSONKind), e.GoType)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '0':
		return "number"
	case '{':
		return "object"
	case '[':
		return "array"
	}
	return k.String()
}
