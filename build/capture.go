package build

import (
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

const maxCapture = 64 << 20

// CaptureVersion is the version of the capture format.
const CaptureVersion = 1

// A Capture is what is known of one build: its environment and what provenance
// says besides. It is a working file between capture and publish, not a signed
// format. docs/spec/cli.md, env capture.
type Capture struct {
	SchemaVersion     int                 `json:"schemaVersion"`
	Environment       *attest.Environment `json:"environment"`
	EnvironmentDigest attest.Digest       `json:"environmentDigest"`
	Command           []string            `json:"command"`
	// ExtraFlags are those of a patch's build that its base's has not, all from
	// the list of what changes no code.
	ExtraFlags []string `json:"extraFlags"`
	Artifact   Artifact `json:"artifact"`
	// Source is of the one source file or of a tar of all that the build read; of
	// a contained build it is that of the archive it started from, all of it.
	Source   attest.Digest `json:"source"`
	Sources  []string      `json:"sources"` // relative to the source tree; of contained builds none
	Started  time.Time     `json:"started"`
	Finished time.Time     `json:"finished"`
	// Contained says whether the build could open only its source and what is in
	// its builder image. A watched build is not contained.
	Contained   bool       `json:"contained"`
	Programs    []Program  `json:"programs"`    // every program that ran
	Invocations [][]string `json:"invocations"` // of the compiler driver: evidence, not identity
	// Recorded is what the compiler itself wrote into the output about how it
	// was called: evidence too. Empty where it was not told to (-g,
	// -frecord-gcc-switches).
	Recorded []Recorded `json:"recorded,omitzero"`
	// BTF is the digest of the output's type information, where it has some.
	BTF attest.Digest `json:"btf,omitzero"`
	// Recipe, Commit and Outputs are of contained builds: what a rebuild needs to
	// know besides, the source's commit in git, and the other files collected.
	Recipe  *attest.Recipe `json:"recipe,omitzero"`
	Commit  string         `json:"commit,omitzero"`
	Outputs []Artifact     `json:"outputs,omitzero"`
}

// A Recorded is one way in which the compiler says that it compiled a part of
// the output: DWARF's DW_AT_producer, or a line of .GCC.command.line.
type Recorded struct {
	Producer string `json:"producer"`
	Units    int    `json:"units"` // how many parts say so
}

// An Artifact is the output of a build.
type Artifact struct {
	Name    string        `json:"name"` // base name; of other outputs, path below /build
	Digest  attest.Digest `json:"digest"`
	Size    int64         `json:"size"`
	BuildID string        `json:"buildId"`
}

// ParseCapture reads a capture and checks it against itself.
func ParseCapture(b []byte) (*Capture, error) {
	c := &Capture{}
	if err := strictjson.Unmarshal(b, maxCapture, c); err != nil {
		return nil, err
	}
	if c.SchemaVersion != CaptureVersion {
		return nil, strictjson.Errorf("/schemaVersion", "%d, this program knows %d", c.SchemaVersion, CaptureVersion)
	}
	d, err := c.Environment.Digest()
	if err != nil {
		return nil, strictjson.Errorf("/environment", "%v", err)
	}
	if d != c.EnvironmentDigest {
		return nil, strictjson.Errorf("/environmentDigest", "%s is not the digest %s of the environment", c.EnvironmentDigest, d)
	}
	if len(c.Command) == 0 {
		return nil, strictjson.Errorf("/command", "no command")
	}
	return c, nil
}

// Marshal returns the capture as canonical JSON.
func (c *Capture) Marshal() ([]byte, error) { return strictjson.Canonical(c) }
