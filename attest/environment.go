package attest

import (
	"cmp"
	"strings"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// An Environment is what must be alike for a live patch to fit its base,
// captured once, at the base's build. Every field is required; lists may be
// empty but not absent. Its identity is the sha256 of its canonical JSON
// (RFC 8785): one field differs, and it is another environment.
// Format: docs/spec/environment.md.
type Environment struct {
	// BuilderImage is the per-platform manifest digest of the image that holds
	// every file the build opened outside its source tree.
	BuilderImage  Digest     `json:"builderImage"`
	Compiler      Tool       `json:"compiler"`
	Assembler     Tool       `json:"assembler"`
	Linker        Tool       `json:"linker"`
	Flags         []string   `json:"flags"`         // as requested, in order
	MakeVariables []Variable `json:"makeVariables"` // as requested, in order
	Configuration Digest     `json:"configuration"` // of the configuration file; of no bytes where there is none
	Libraries     []Library  `json:"libraries"`     // what the link resolved, sorted by soname
	Target        Target     `json:"target"`
}

// A Tool is one program of the toolchain.
type Tool struct {
	Name    string `json:"name"`    // "gcc", "as", "ld"
	Version string `json:"version"` // first line of what it says of itself
	Digest  Digest `json:"digest"`  // of the program file that ran
}

// A Variable is one make variable, as given on the command line.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Library is a shared library the link resolved.
type Library struct {
	Soname  string `json:"soname"`
	Version string `json:"version"`
	BuildID string `json:"buildId"` // lower-case hex of the GNU build-id
}

// A Target says what machine the output runs on, as its ELF header does.
type Target struct {
	Architecture string `json:"architecture"` // "x86_64": the ELF machine, in lower case
	ByteOrder    string `json:"byteOrder"`    // "little" or "big"
	WordSize     int    `json:"wordSize"`     // 32 or 64
	ABI          string `json:"abi"`          // the ELF OS ABI: "sysv", "gnu"
}

// ParseEnvironment reads an environment in its canonical form (RFC 8785), at
// most [MaxEnvironment] bytes. Any other form is refused, because its digest
// would be another.
func ParseEnvironment(b []byte) (*Environment, error) {
	e := new(Environment)
	if err := strictjson.Unmarshal(b, MaxEnvironment, e); err != nil {
		return nil, err
	}
	if err := e.check(""); err != nil {
		return nil, err
	}
	return sound(e, strictjson.RequireCanonical(b))
}

// Canonical returns the canonical JSON (RFC 8785) of e. An environment that
// misses a field has none.
func (e *Environment) Canonical() ([]byte, error) {
	if err := e.check(""); err != nil {
		return nil, err
	}
	return strictjson.Canonical(e)
}

// Digest returns the sha256 of e's canonical JSON, its identity.
func (e *Environment) Digest() (Digest, error) {
	b, err := e.Canonical()
	if err != nil {
		return "", err
	}
	return DigestOf(b), nil
}

func (e *Environment) check(at spot) error {
	return cmp.Or(
		at.member("builderImage").digest(e.BuilderImage),
		e.Compiler.check(at.member("compiler")),
		e.Assembler.check(at.member("assembler")),
		e.Linker.check(at.member("linker")),
		each(at.member("flags"), e.Flags, spot.argument),
		each(at.member("makeVariables"), e.MakeVariables, checkVariable),
		at.member("configuration").digest(e.Configuration),
		checkLibraries(at.member("libraries"), e.Libraries),
		e.Target.check(at.member("target")),
	)
}

func (t Tool) check(at spot) error {
	return cmp.Or(
		at.member("name").line(t.Name),
		at.member("version").line(t.Version),
		at.member("digest").digest(t.Digest),
	)
}

func checkVariable(at spot, v Variable) error {
	if strings.ContainsRune(v.Name, '=') {
		return at.member("name").errorf("%.80q holds an equals sign", v.Name)
	}
	return cmp.Or(at.member("name").line(v.Name), at.member("value").argument(v.Value))
}

func checkLibraries(at spot, list []Library) error {
	for i, l := range list {
		at := at.index(i)
		if i > 0 && list[i-1].Soname >= l.Soname {
			return at.member("soname").errorf("%.80q does not sort after %.80q", l.Soname, list[i-1].Soname)
		}
		if err := l.check(at); err != nil {
			return err
		}
	}
	return nil
}

func (l Library) check(at spot) error {
	return cmp.Or(
		at.member("soname").line(l.Soname),
		at.member("version").line(l.Version),
		at.member("buildId").buildID(l.BuildID),
	)
}

func (t Target) check(at spot) error {
	if t.WordSize != 32 && t.WordSize != 64 {
		return at.member("wordSize").errorf("%d is not 32 or 64", t.WordSize)
	}
	return cmp.Or(
		at.member("architecture").token(t.Architecture),
		at.member("byteOrder").oneOf(t.ByteOrder, "little", "big"),
		at.member("abi").token(t.ABI),
	)
}
