package policy

import (
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// Facts are everything one decision looks at. They are gathered when evidence
// arrives, so that deciding touches no disk, no network and no signature. The
// zero Facts deny.
type Facts struct {
	Now     time.Time // rules that ask for it have their moments in [Facts.Until]
	Trust   *Trust
	Product string // product id the request is about
	Host    *Host
	Patch   *Patch
	Site    *Site
	Revoked *Revocations
	// Channels are the newest that are known; nil: none are known, which denies
	// where the trust policy asks for them.
	Channels *Channels
	// Embargoes are the server's own; an agent has [NewEmbargoes] of none.
	Embargoes *Embargoes
}

// A Host is what is known of who asks.
type Host struct {
	ID       string
	State    string // HostActive or not
	Cloned   bool   // one key, two live boots
	Products []string
	Record   *attest.HostRecord // newest valid; nil: none
	Received time.Time          // when the server took the record
	// Sequence is that of the newest record ever taken from this host, which
	// Record has to be. It is kept apart from Record so that an older record,
	// restored or replayed, is seen.
	Sequence int64
	// Bases are the bases the record's measurements of this product resolve
	// to. Exactly one is a recorded build.
	Bases []*Base
}

// HostActive is the state of a host that may have patches.
const HostActive = "active"

// An Artifact is a manifest with the one file it carries.
type Artifact struct {
	Repository string
	Manifest   attest.Digest
	Type       string        // artifactType
	Subject    attest.Digest // subject's manifest digest
	File       attest.Digest // its sole layer; zero where it has none or several
	FileSize   int64
}

// A Patch is a live patch and the evidence about it. [GatherPatch] makes it.
type Patch struct {
	Artifact   Artifact
	Statement  *verify.Evidence // livepatch/v1
	Provenance *verify.Evidence
	// Environment is the environment/v1 the statement names. Where the patch
	// fits it is the base's; where not, it tells what differs.
	Environment *verify.Evidence
	Builder     *verify.Evidence // provenance of the builder image of Environment
	Import      *verify.Evidence // import/v1
	Equivalence *verify.Evidence // vouches for Environment, as one for Base
	Base        *Base            // what its statement names; nil: unknown
	Lint        *Lint            // what the server found in it; nil: nobody looked
	Contested   string           // what two trusted statements disagree about; "" if nothing
	under       gathering
	vetted      [2]vetted // Statement, Provenance
	beside      [4]vetted // Import, Environment, Builder, Equivalence
	rebuilds    rebuilds
}

// A Base is a base and the evidence about it, down to its builder image.
// [GatherBase] makes it; one made by hand matches no measurement.
type Base struct {
	Artifact    Artifact
	Statement   *verify.Evidence // base/v1
	Provenance  *verify.Evidence
	Environment *verify.Evidence // environment/v1
	Builder     *verify.Evidence // provenance of the builder image
	Import      *verify.Evidence // import/v1
	Contested   string
	trusted     bool // what says which base it is, is by who may say so
	under       gathering
	vetted      [4]vetted // Statement, Provenance, Environment, Builder
	imported    [1]vetted // Import
	rebuilds    rebuilds
}
