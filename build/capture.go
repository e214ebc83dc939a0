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
	ExtraFlags []string      `json:"extraFlags"`
	Artifact   Artifact      `json:"artifact"`
	Source     attest.Digest `json:"source"`  // of the one source file, or of a tar of all
	Sources    []string      `json:"sources"` // relative to the source tree
	Started    time.Time     `json:"started"`
	Finished   time.Time     `json:"finished"`
	// Contained says whether the build could open only what is in its builder
	// image. A watched build is not contained.
	Contained   bool       `json:"contained"`
	Programs    []Program  `json:"programs"`    // every program that ran
	Invocations [][]string `json:"invocations"` // of the compiler driver: evidence, not identity
}

// An Artifact is the output of a build.
type Artifact struct {
	Name    string        `json:"name"` // base name
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
