package index

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// A RebuildQuery asks what came of building bases and patches again. Fields that
// are set must all hold.
type RebuildQuery struct {
	Within     Products // the asker may see these; nil: all
	Product    string   // product id
	Repository string
	Artifact   attest.Digest // of the manifest
	Range
}

// A RebuildPage is the rebuild matrix, artifact by rebuilder: the artifact that
// was published last first, whether anybody rebuilt it or not.
type RebuildPage struct {
	SchemaVersion int       `json:"schemaVersion"`
	AsOf          AsOf      `json:"asOf"`
	Artifacts     []Rebuilt `json:"artifacts"`
	Cursor        string    `json:"cursor,omitzero"` // of the next page; absent on the last
}

// A Rebuilt is a base or a live patch, and what rebuilders say of it.
type Rebuilt struct {
	SchemaVersion int               `json:"schemaVersion"`
	Product       string            `json:"product"`
	Repository    string            `json:"repository"`
	Role          string            `json:"role"` // "base" or "live-patch"
	Manifest      attest.Digest     `json:"manifest"`
	File          attest.Digest     `json:"file,omitzero"`
	Published     By                `json:"published"`            // first
	Deleted       *By               `json:"deleted,omitzero"`     // it is hidden since
	Environment   attest.Digest     `json:"environment,omitzero"` // as its publisher says
	Publisher     string            `json:"publisher,omitzero"`   // who says so
	Results       []RebuildRow      `json:"results"`              // one a rebuilder, by name
	Adjudications []AdjudicationRow `json:"adjudications"`        // in journal order
	// Regression is there where it came out otherwise, nobody reproduced it, and
	// the publisher's one before it was reproduced.
	Regression *Regression `json:"regression,omitzero"`
	// Pulled are the hosts that were allowed to have it, or of a base a patch for
	// it, where it came out otherwise.
	Pulled []PulledBy `json:"pulled,omitzero"`
}

// A RebuildRow is the newest result of one rebuilder that says something of the
// artifact; where there is none, its newest one.
type RebuildRow struct {
	SchemaVersion    int           `json:"schemaVersion"`
	Admitted         By            `json:"admitted"`
	Rebuilder        string        `json:"rebuilder"` // as the trust policy in force calls it; "" for a stranger
	Signer           attest.Digest `json:"signer"`
	Result           string        `json:"result"`
	Category         string        `json:"category,omitzero"`
	Explanation      string        `json:"explanation,omitzero"`
	Environment      attest.Digest `json:"environment"`
	SameEnvironment  bool          `json:"sameEnvironment"` // as the artifact's; else it counts for nothing
	Revoked          bool          `json:"revoked"`         // the statement or its signer is
	Got              attest.Digest `json:"got,omitzero"`    // the file that came out
	CodeAlike        *bool         `json:"codeAlike,omitzero"`
	Output           attest.Digest `json:"output,omitzero"`
	Log              attest.Digest `json:"log,omitzero"`
	Normaliser       string        `json:"normaliser,omitzero"`
	NormaliserDigest attest.Digest `json:"normaliserDigest,omitzero"`
	Run              string        `json:"run"`
	Runs             int           `json:"runs"`     // all of this rebuilder
	Agreeing         int           `json:"agreeing"` // of those, with this result and file, in this environment
	Signed           time.Time     `json:"signed"`
	LogIndex         int64         `json:"logIndex"`
	Payload          attest.Digest `json:"payload"`
	Bundle           attest.Digest `json:"bundle"`
}

// An AdjudicationRow is one adjudication.
type AdjudicationRow struct {
	SchemaVersion int             `json:"schemaVersion"`
	Admitted      By              `json:"admitted"`
	Adjudicator   string          `json:"adjudicator"`
	Signer        attest.Digest   `json:"signer"`
	Verdict       string          `json:"verdict"`
	Reason        string          `json:"reason"`
	Outputs       []attest.Digest `json:"outputs"`
	Revoked       bool            `json:"revoked"`
	Signed        time.Time       `json:"signed"`
	Payload       attest.Digest   `json:"payload"`
	Bundle        attest.Digest   `json:"bundle"`
}

// A Regression names what came before.
type Regression struct {
	Before    attest.Digest `json:"before"` // the publisher's artifact of this kind that was reproduced
	Published Event         `json:"published"`
}

// A PulledBy is a host and its last allow.
type PulledBy struct {
	Host     string        `json:"host"`
	HostName string        `json:"hostName"`
	Artifact attest.Digest `json:"artifact"`
	Decision string        `json:"decision"`
	Event
}

// Rebuilds returns the rebuild matrix.
func (x *Index) Rebuilds(ctx context.Context, q RebuildQuery) (*RebuildPage, error) {
	answer := &RebuildPage{SchemaVersion: SchemaVersion, Artifacts: []Rebuilt{}}
	err := x.look(ctx, func(v *view) error {
		p, err := v.page(q.Range, "rebuilds", q.Within == nil, q.Within, q.Product, q.Repository, q.Artifact)
		if err != nil {
			return err
		}
		answer.AsOf = p.asOf
		return v.rebuilds(&q, p, answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// condition is what q asks of a base or a patch when it was first put.
func (q *RebuildQuery) condition(p *page) (*where, error) {
	w := new(where)
	if p.after != "" {
		after, err := strconv.ParseInt(p.after, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: cursor: %w", ErrQuestion, err)
		}
		w.and("sequence < ?", after)
	}
	w.and("sequence > 0")
	w.in("product", q.Within)
	if q.Product != "" {
		w.and("product = ?", q.Product)
	}
	if q.Repository != "" {
		w.and("repository = ?", q.Repository)
	}
	if q.Artifact != "" {
		w.and("digest = ?", sum(q.Artifact))
	}
	return w, nil
}

const rebuiltQuery = `SELECT sequence, time, by, product, repository, digest, file, artifact_type FROM (
		SELECT m.sequence, r.time, m.by, m.repository, m.digest, m.file, m.artifact_type,
			coalesce((SELECT p.product FROM product p WHERE p.repository = m.repository AND p.sequence <= ? ORDER BY p.sequence DESC LIMIT 1), '') AS product
		FROM manifest m JOIN record r ON r.sequence = m.sequence
		WHERE m.artifact_type IN (?, ?) AND m.sequence <= ?
		AND NOT EXISTS (SELECT 1 FROM manifest e WHERE e.digest = m.digest AND e.repository = m.repository AND e.sequence < m.sequence))
	WHERE `

func (v *view) rebuilds(q *RebuildQuery, p *page, answer *RebuildPage) error {
	w, err := q.condition(p)
	if err != nil {
		return err
	}
	args := append([]any{p.asOf.Sequence, attest.ArtifactBase, attest.ArtifactPatch, p.asOf.Sequence}, w.args...)
	more := false
	err = v.each(rebuiltQuery+w.String()+" ORDER BY sequence DESC LIMIT ?", append(args, p.limit+1), func(row func(...any) error) error {
		if more = len(answer.Artifacts) == p.limit; more {
			return nil
		}
		r, err := scanRebuilt(row)
		answer.Artifacts = append(answer.Artifacts, r)
		return err
	})
	if err != nil {
		return err
	}
	for i := range answer.Artifacts {
		if err := v.fillRebuilt(&answer.Artifacts[i], p.asOf); err != nil {
			return err
		}
	}
	if more {
		answer.Cursor, err = p.next(strconv.FormatInt(answer.Artifacts[len(answer.Artifacts)-1].Published.Sequence, 10))
	}
	return err
}

func scanRebuilt(row func(...any) error) (Rebuilt, error) {
	r := Rebuilt{SchemaVersion: SchemaVersion, Results: []RebuildRow{}, Adjudications: []AdjudicationRow{}}
	var at int64
	var manifest, file []byte
	var typ string
	err := row(&r.Published.Sequence, &at, &r.Published.By, &r.Product, &r.Repository, &manifest, &file, &typ)
	r.Published.Time, r.Manifest, r.File, r.Role = when(at), digest(manifest), digest(file), role(typ)
	return r, err
}

// fillRebuilt adds what other records say about an artifact.
func (v *view) fillRebuilt(r *Rebuilt, asOf AsOf) error {
	l, link := &Lineage{Repository: r.Repository, AsOf: asOf}, &Link{Manifest: r.Manifest}
	if err := v.deleted(l, link); err != nil {
		return err
	}
	r.Deleted = link.Deleted
	var err error
	if r.Environment, r.Publisher, err = v.claim(r.Repository, r.Manifest, asOf); err != nil {
		return err
	}
	if r.Results, err = v.results(r, asOf); err != nil {
		return err
	}
	if r.Adjudications, err = v.adjudications(r, asOf); err != nil {
		return err
	}
	if !r.came(attest.Differs) {
		return nil
	}
	if !r.came(attest.Reproduced) {
		if r.Regression, err = v.regression(r, asOf); err != nil {
			return err
		}
	}
	r.Pulled, err = v.pulled(r, asOf)
	return err
}

// came reports whether a rebuild that says something of r came to a result.
func (r *Rebuilt) came(result string) bool {
	for _, row := range r.Results {
		if row.Result == result && row.SameEnvironment && !row.Revoked {
			return true
		}
	}
	return false
}
