package builder

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/inventory"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Recipe says what is to be in a builder image. docs/spec/builder.md.
type Recipe struct {
	Suite        string    `json:"suite"`        // of the archive, as "bookworm"
	Architecture string    `json:"architecture"` // as Debian names it: amd64, arm64
	Variant      string    `json:"variant,omitzero"`
	Mirrors      []string  `json:"mirrors,omitzero"` // deb lines; none: the machine's own for this suite
	Packages     []Request `json:"packages"`
	Epoch        int64     `json:"sourceDateEpoch"`
	Keep         []string  `json:"keep,omitzero"`

	mirrors []Mirror
	digest  attest.Digest
}

// Variants are what is installed without being asked for (mmdebstrap(1)).
const (
	VariantEssential = "essential" // what dpkg cannot do without
	VariantMinbase   = "minbase"   // and all of priority required
	VariantBuildd    = "buildd"    // and build-essential
)

// What is kept in the registry, so that the image can be made again without an
// archive.
const (
	KeepPackages = "packages" // the .deb files
	KeepSources  = "sources"  // their source packages
)

// A Request is a package asked for, at one version or at the archive's own.
type Request struct{ Name, Version string }

// UnmarshalText reads NAME or NAME=VERSION.
func (r *Request) UnmarshalText(b []byte) error {
	name, version, exact := strings.Cut(string(b), "=")
	if err := inventory.CheckName(name); err != nil {
		return err
	}
	if exact {
		if err := inventory.CheckVersion(version); err != nil {
			return fmt.Errorf("package %s: %w", name, err)
		}
	}
	*r = Request{name, version}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r Request) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Request) String() string {
	if r.Version == "" {
		return r.Name
	}
	return r.Name + "=" + r.Version
}

const (
	maxRecipe   = 256 << 10
	maxRequests = 2000
	maxMirrors  = 32
	// lastEpoch is the last second that a tar keeps without extensions.
	lastEpoch = 1<<33 - 1
)

// ParseRecipe reads a recipe: one YAML document, which JSON is too, strictly.
func ParseRecipe(doc []byte) (*Recipe, error) {
	r, err := parseRecipe(doc)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	return r, nil
}

func parseRecipe(doc []byte) (*Recipe, error) {
	if len(doc) > maxRecipe {
		return nil, fmt.Errorf("%d bytes exceed the limit of %d", len(doc), maxRecipe)
	}
	for i, line := range bytes.Split(doc, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("...")) {
			return nil, fmt.Errorf("line %d: one document without markers is wanted", i+1)
		}
	}
	js, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, err
	}
	r := &Recipe{digest: attest.DigestOf(doc)}
	if err := strictjson.Unmarshal(js, 4*maxRecipe, r); err != nil {
		return nil, err
	}
	if r.Variant == "" {
		r.Variant = VariantEssential
	}
	if len(r.Mirrors) > maxMirrors {
		return nil, strictjson.Errorf("/mirrors", "%d, want at most %d", len(r.Mirrors), maxMirrors)
	}
	for i, line := range r.Mirrors {
		m, err := ParseMirror(line)
		if err != nil {
			return nil, strictjson.Errorf(fmt.Sprintf("/mirrors/%d", i), "%v", err)
		}
		r.mirrors = append(r.mirrors, m)
	}
	return r, checkMake(r.Suite, r.Architecture, r.Variant, r.Epoch, r.Keep, r.Packages)
}

// Digest returns the sha256 of the bytes the recipe was read from.
func (r *Recipe) Digest() attest.Digest { return r.digest }

// checkMake holds what recipes and locks have in common to its form.
func checkMake(suite, architecture, variant string, epoch int64, keep []string, packages []Request) error {
	switch {
	case !isWord(suite):
		return strictjson.Errorf("/suite", "%.80q is no suite, as bookworm", suite)
	case !isWord(architecture):
		return strictjson.Errorf("/architecture", "%.80q is no architecture of Debian, as amd64", architecture)
	case variant != VariantEssential && variant != VariantMinbase && variant != VariantBuildd:
		return strictjson.Errorf("/variant", "%.40q is not essential, minbase or buildd", variant)
	case epoch < 0 || epoch > lastEpoch:
		return strictjson.Errorf("/sourceDateEpoch", "%d is not a number of seconds from 0 to %d", epoch, int64(lastEpoch))
	case len(packages) > maxRequests:
		return strictjson.Errorf("/packages", "%d, want at most %d", len(packages), maxRequests)
	}
	if err := checkKeep(keep); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, r := range packages {
		if seen[r.Name] {
			return strictjson.Errorf(fmt.Sprintf("/packages/%d", i), "%s is there twice", r.Name)
		}
		seen[r.Name] = true
	}
	return nil
}

func checkKeep(keep []string) error {
	for i, k := range keep {
		at := fmt.Sprintf("/keep/%d", i)
		if k != KeepPackages && k != KeepSources {
			return strictjson.Errorf(at, "%.40q is not packages or sources", k)
		}
		if slices.Contains(keep[:i], k) {
			return strictjson.Errorf(at, "%s is there twice", k)
		}
	}
	return nil
}

// isWord reports whether s can be a suite or an architecture: no path, no
// option and no pattern of anybody's.
func isWord(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && len(s) <= 60 && strings.Contains(letters, s[:1]) && strings.Trim(s, letters+"-.") == "" && !strings.Contains(s, "..")
}

// A Mirror is one line of sources.list(5): where an archive is had from.
type Mirror struct {
	URI        string
	Suite      string
	Components []string
	SignedBy   string // keyring file; "" is what the machine's apt trusts
	// Expired lets the archive's own end of validity be over, as it is for every
	// snapshot of one.
	Expired bool
}

// ParseMirror reads a line "deb [OPTION…] URI SUITE COMPONENT…". Options are
// signed-by=FILE and check-valid-until=no. An archive that nobody signed cannot
// be named: trusted=yes is refused as any other option.
func ParseMirror(line string) (Mirror, error) {
	var m Mirror
	rest, ok := strings.CutPrefix(line, "deb ")
	if !ok || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return m, fmt.Errorf("%.80q is no line that begins with \"deb \"", line)
	}
	rest = strings.TrimSpace(rest)
	if options, after, given := strings.Cut(rest, "]"); given && strings.HasPrefix(rest, "[") {
		rest = after
		for _, o := range strings.Fields(options[1:]) {
			if err := m.option(o); err != nil {
				return m, err
			}
		}
	}
	words := strings.Fields(rest)
	if len(words) < 3 {
		return m, errors.New("a mirror is: deb URI SUITE COMPONENT")
	}
	m.URI, m.Suite, m.Components = strings.TrimSuffix(words[0], "/"), words[1], words[2:]
	scheme, _, _ := strings.Cut(m.URI, ":")
	if !slices.Contains([]string{"http", "https", "file", "copy"}, scheme) {
		return m, fmt.Errorf("%.80q is no URI of http, https, file or copy", m.URI)
	}
	for _, w := range words[1:] {
		if !isWord(w) {
			return m, fmt.Errorf("%.80q is no suite and no component", w)
		}
	}
	return m, nil
}

func (m *Mirror) option(o string) error {
	name, value, _ := strings.Cut(o, "=")
	switch {
	case name == "signed-by" && strings.HasPrefix(value, "/"):
		m.SignedBy = value
	case o == "check-valid-until=no":
		m.Expired = true
	default:
		return fmt.Errorf("option %.80q is not signed-by=/FILE or check-valid-until=no", o)
	}
	return nil
}

// line returns the mirror as apt reads it.
func (m Mirror) line(kind string) string {
	options := ""
	if m.SignedBy != "" {
		options += " signed-by=" + m.SignedBy
	}
	if m.Expired {
		options += " check-valid-until=no"
	}
	if options != "" {
		options = "[" + options[1:] + "] "
	}
	return kind + " " + options + m.URI + " " + m.Suite + " " + strings.Join(m.Components, " ")
}

func created(epoch int64) time.Time { return time.Unix(epoch, 0).UTC() }
