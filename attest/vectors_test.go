package attest_test

//go:generate go test -run ^TestVectors$ . -args -update

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

var update = flag.Bool("update", false, "write testdata/vectors again")

const (
	vectorDir = "testdata/vectors"
	accepted  = "accepted"
)

// A vector is one document and what reading it says. testdata/vectors/README.md
// describes its file.
type vector struct {
	name   string
	kind   string
	expect string // "accepted" or the whole refusal
	roots  string // of kind signed-trust-policy: the pinned roots
	data   []byte
}

// read reads the document as its kind asks.
func (v vector) read() error {
	var err error
	switch v.kind {
	case "environment":
		_, err = attest.ParseEnvironment(v.data)
	case "statement":
		_, err = attest.ParseStatement(v.data)
	case "envelope":
		_, err = attest.ParseEnvelope(v.data, attest.PayloadType)
	case "bundle":
		_, err = attest.ParseBundle(v.data)
	case "trust-policy":
		_, err = attest.ParseTrustPolicy(v.data)
	case "signed-trust-policy":
		_, err = attest.OpenTrustPolicy(v.data, attest.Digest(v.roots))
	case "public-key":
		_, err = attest.ParsePublicKeyPEM(v.data)
	case "certificate":
		_, err = attest.ParseCertificatePEM(v.data)
	case "digest":
		_, err = attest.ParseDigest(string(v.data))
	default:
		err = fmt.Errorf("vector %s has the unknown kind %q", v.name, v.kind)
	}
	return err
}

func (v vector) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "expect: %s\nkind: %s\n", v.expect, v.kind)
	if v.roots != "" {
		fmt.Fprintf(&b, "roots: %s\n", v.roots)
	}
	b.WriteByte('\n')
	b.Write(v.data)
	return b.Bytes()
}

func decodeVector(name string, b []byte) (vector, error) {
	v := vector{name: name}
	head, data, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		return v, errors.New("no blank line after the header")
	}
	v.data = data
	fields := map[string]*string{"expect": &v.expect, "kind": &v.kind, "roots": &v.roots}
	for line := range strings.Lines(string(head) + "\n") {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		field := fields[key]
		switch {
		case !ok || value == "":
			return v, fmt.Errorf("header line %q is not a name and a value", line)
		case field == nil:
			return v, fmt.Errorf("unknown header %q", key)
		case *field != "":
			return v, fmt.Errorf("header %q stands twice", key)
		}
		*field = value
	}
	if v.expect == "" || v.kind == "" {
		return v, errors.New("header lacks expect or kind")
	}
	return v, nil
}

// TestVectors reads every committed vector and holds the committed files up to
// the ones made here; go generate writes them again.
func TestVectors(t *testing.T) {
	made := byName(t, slices.Concat(
		environmentVectors(t), statementVectors(t), predicateVectors(t), provenanceVectors(t),
		envelopeVectors(t), bundleVectors(t), policyVectors(t), signedPolicyVectors(t), keyVectors(t),
		certificateVectors(t), identityVectors(t), rebuildVectors(t), adjudicationVectors(t), quorumVectors(t),
	))
	if *update {
		writeVectors(t, made)
	}
	committed := readVectors(t)
	for _, v := range committed {
		t.Run(v.name, func(t *testing.T) {
			got := accepted
			if err := v.read(); err != nil {
				got = err.Error()
			}
			if got != v.expect {
				t.Errorf("%s\ngot  %s\nwant %s", filepath.Join(vectorDir, v.name), got, v.expect)
			}
		})
	}
	for name, want := range made {
		if got, ok := committed[name]; !ok || !bytes.Equal(got.encode(), want.encode()) {
			t.Errorf("%s is not what go generate writes", name)
		}
	}
	for name := range committed {
		if _, ok := made[name]; !ok {
			t.Errorf("%s is not made by go generate", name)
		}
	}
}

func byName(t *testing.T, list []vector) map[string]vector {
	all := make(map[string]vector)
	for _, v := range list {
		if _, dup := all[v.name]; dup {
			t.Fatalf("two vectors are called %s", v.name)
		}
		all[v.name] = v
	}
	return all
}

func readVectors(t *testing.T) map[string]vector {
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v, err := decodeVector(filepath.Base(f), b)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		list = append(list, v)
	}
	return byName(t, list)
}

func writeVectors(t *testing.T, list map[string]vector) {
	old, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range list {
		if err := os.WriteFile(filepath.Join(vectorDir, v.name), v.encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVectorHeader(t *testing.T) {
	for in, want := range map[string]string{
		"expect: accepted\nkind: digest\n\nx":                  "",
		"expect: accepted\nkind: digest\nmood: good\n\nx":      `unknown header "mood"`,
		"expect: accepted\nkind: digest\nkind: statement\n\nx": `header "kind" stands twice`,
		"expect: accepted\n\nx":                                "header lacks expect or kind",
		"expect\nkind: digest\n\nx":                            `header line "expect\n" is not a name and a value`,
		"expect: accepted\nkind: digest\n":                     "no blank line after the header",
	} {
		_, err := decodeVector("x", []byte(in))
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	if err := (vector{name: "x", kind: "song"}).read(); err == nil {
		t.Error("a vector of an unknown kind was read")
	}
}

// An edited is a vector made from a good document by one edit.
type edited struct{ name, old, new, expect string }

func edits(t *testing.T, kind, prefix string, good []byte, list []edited) []vector {
	var out []vector
	for _, e := range list {
		data := good
		if e.old != "" {
			data = edit(t, good, e.old, e.new)
		}
		out = append(out, vector{name: prefix + "-" + e.name + ".txt", kind: kind, expect: e.expect, data: data})
	}
	return out
}
