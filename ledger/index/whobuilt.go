package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// A LineageQuery asks who built an artifact.
type LineageQuery struct {
	Within     Products // the asker may see these; nil: all
	Repository string
	Digest     attest.Digest // of the manifest
	AsOf       time.Time     // zero: now
}

// A Lineage is an artifact and what it was built from: a live patch, its base,
// its environment, its builder image.
type Lineage struct {
	SchemaVersion int           `json:"schemaVersion"`
	AsOf          AsOf          `json:"asOf"`
	Repository    string        `json:"repository"`
	Product       string        `json:"product"` // "" where the repository serves none
	Digest        attest.Digest `json:"digest"`
	Chain         []Link        `json:"chain"` // the artifact first; each is the subject of the one before
}

// A Link is one artifact and everything admitted about it.
type Link struct {
	SchemaVersion int            `json:"schemaVersion"`
	Role          string         `json:"role"` // "live-patch", "base", "environment", "builder-image", "attestation", "artifact" for any other; "missing": never published here
	Manifest      attest.Digest  `json:"manifest"`
	MediaType     string         `json:"mediaType,omitzero"`
	ArtifactType  string         `json:"artifactType,omitzero"`
	File          attest.Digest  `json:"file,omitzero"`      // its one file; of an environment, its digest
	Subject       attest.Digest  `json:"subject,omitzero"`   // the next link
	Published     *By            `json:"published,omitzero"` // first
	Deleted       *By            `json:"deleted,omitzero"`   // it is hidden since; its evidence stays
	Statements    []StatementRow `json:"statements"`         // in journal order
	Revocations   []StatementRow `json:"revocations"`        // of the artifact, its file, its statements or their keys
	Lint          *LintRow       `json:"lint,omitzero"`      // of a live patch: what the server found in it last
}

// By is a journal record and the principal who caused it.
type By struct {
	Event
	By string `json:"by"`
}

// A StatementRow is one admitted statement.
type StatementRow struct {
	SchemaVersion int           `json:"schemaVersion"`
	Admitted      By            `json:"admitted"`
	Type          string        `json:"type"`
	Product       string        `json:"product"` // that its predicate names
	Subject       attest.Digest `json:"subject"`
	Payload       attest.Digest `json:"payload"`
	Bundle        attest.Digest `json:"bundle"`
	Referrer      attest.Digest `json:"referrer,omitzero"` // manifest that carries the bundle
	Signer        attest.Digest `json:"signer"`            // key id
	SignerName    string        `json:"signerName"`        // as the trust policy in force calls it; "" for a stranger
	BuilderID     string        `json:"builderId,omitzero"`
	Signed        time.Time     `json:"signed"` // time of the signed timestamp
	LogIndex      int64         `json:"logIndex"`
}

// maxChain ends a lineage that does not end by itself.
const maxChain = 16

// WhoBuilt returns an artifact's lineage. ErrNotFound: the repository never
// had the artifact.
func (x *Index) WhoBuilt(ctx context.Context, q LineageQuery) (*Lineage, error) {
	answer := &Lineage{SchemaVersion: SchemaVersion, Repository: q.Repository, Digest: q.Digest, Chain: []Link{}}
	if _, err := attest.ParseDigest(string(q.Digest)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	err := x.look(ctx, func(v *view) error {
		var err error
		if answer.AsOf, err = v.asOf(q.AsOf); err != nil {
			return err
		}
		answer.Product, err = productOf(v.tx.QueryRowContext(v.ctx, productQuery, q.Repository, answer.AsOf.Sequence))
		if err != nil {
			return err
		}
		if q.Within != nil && !slices.Contains(q.Within, answer.Product) {
			return fmt.Errorf("%s: %w", q.Repository, ErrNotFound)
		}
		return v.chain(answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (v *view) chain(l *Lineage) error {
	for at := l.Digest; at != "" && len(l.Chain) < maxChain; {
		link, err := v.link(l, at)
		if err != nil {
			return err
		}
		if len(l.Chain) == 0 && link.Published == nil {
			return fmt.Errorf("%s in %s: %w", l.Digest, l.Repository, ErrNotFound)
		}
		l.Chain = append(l.Chain, *link)
		at = link.Subject
	}
	return nil
}

func (v *view) link(l *Lineage, d attest.Digest) (*Link, error) {
	link := &Link{SchemaVersion: SchemaVersion, Role: "missing", Manifest: d}
	if err := v.published(l, link); err != nil {
		return nil, err
	}
	if err := v.deleted(l, link); err != nil {
		return nil, err
	}
	var err error
	if link.Statements, err = v.statements(l, d, false); err != nil {
		return nil, err
	}
	if link.Revocations, err = v.revocations(l, link); err != nil {
		return nil, err
	}
	link.Lint, err = v.lint(l, d)
	return link, err
}

func (v *view) published(l *Lineage, link *Link) error {
	query := `SELECT m.sequence, r.time, m.by, m.media_type, m.artifact_type, m.subject, m.file
		FROM manifest m JOIN record r ON r.sequence = m.sequence
		WHERE m.digest = ? AND m.repository = ? AND m.sequence <= ? ORDER BY m.sequence LIMIT 1`
	var by By
	var at int64
	var subject, file []byte
	err := v.tx.QueryRowContext(v.ctx, query, sum(link.Manifest), l.Repository, l.AsOf.Sequence).
		Scan(&by.Sequence, &at, &by.By, &link.MediaType, &link.ArtifactType, &subject, &file)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	by.Time, link.Published = when(at), &by
	link.Subject, link.File, link.Role = digest(subject), digest(file), role(link.ArtifactType)
	return err
}

func role(artifactType string) string {
	switch artifactType {
	case attest.ArtifactPatch:
		return "live-patch"
	case attest.ArtifactBase:
		return "base"
	case attest.ArtifactEnv:
		return "environment"
	case attest.ArtifactBundle:
		return "attestation"
	}
	if slices.Contains(imageConfigs, artifactType) {
		return "builder-image"
	}
	return "artifact"
}

// imageConfigs are the config media types of container images (OCI image spec
// v1.1, media types; Docker image manifest v2, schema 2).
var imageConfigs = []string{"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}

// deleted finds a deletion that nobody undid by publishing again.
func (v *view) deleted(l *Lineage, link *Link) error {
	query := `SELECT d.sequence, r.time, d.by FROM deletion d JOIN record r ON r.sequence = d.sequence
		WHERE d.digest = ? AND d.repository = ? AND d.sequence <= ?
		AND d.sequence > (SELECT coalesce(max(m.sequence), 0) FROM manifest m WHERE m.digest = d.digest AND m.repository = d.repository AND m.sequence <= ?)
		ORDER BY d.sequence LIMIT 1`
	var by By
	var at int64
	err := v.tx.QueryRowContext(v.ctx, query, sum(link.Manifest), l.Repository, l.AsOf.Sequence, l.AsOf.Sequence).
		Scan(&by.Sequence, &at, &by.By)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	by.Time, link.Deleted = when(at), &by
	return err
}

// statements returns the statements about d; only revocations, or all others.
func (v *view) statements(l *Lineage, d attest.Digest, revocations bool) ([]StatementRow, error) {
	query := `SELECT s.sequence, r.time, s.by, s.type, s.product, s.subject, s.payload, s.bundle, s.referrer, s.signer, s.builder, s.signed, s.log_index
		FROM statement s JOIN record r ON r.sequence = s.sequence
		WHERE s.subject = ? AND s.repository = ? AND s.sequence <= ? AND (s.type = ?) = ? ORDER BY s.sequence`
	out := []StatementRow{}
	err := v.each(query, []any{sum(d), l.Repository, l.AsOf.Sequence, attest.TypeRevocation, revocations},
		func(row func(...any) error) error {
			s, err := scanStatement(row)
			out = append(out, s)
			return err
		})
	for i := range out {
		if err == nil {
			out[i].SignerName, err = v.signerName(out[i].Signer, l.AsOf)
		}
	}
	return out, err
}

func scanStatement(row func(...any) error) (StatementRow, error) {
	s := StatementRow{SchemaVersion: SchemaVersion}
	var at, signed int64
	var subject, payload, bundle, referrer, signer []byte
	err := row(&s.Admitted.Sequence, &at, &s.Admitted.By, &s.Type, &s.Product, &subject, &payload, &bundle, &referrer, &signer,
		&s.BuilderID, &signed, &s.LogIndex)
	s.Admitted.Time, s.Signed = when(at), when(signed)
	s.Subject, s.Payload, s.Bundle = digest(subject), digest(payload), digest(bundle)
	s.Referrer, s.Signer = digest(referrer), digest(signer)
	return s, err
}

// signerName is what the trust policy in force calls the owner of a key.
func (v *view) signerName(key attest.Digest, asOf AsOf) (string, error) {
	query := `SELECT name FROM signer WHERE key = ?
		AND sequence = (SELECT max(sequence) FROM policy WHERE sequence <= ?) ORDER BY name LIMIT 1`
	var name string
	err := v.tx.QueryRowContext(v.ctx, query, sum(key), asOf.Sequence).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return name, err
}

// revocations returns what was revoked of a link.
func (v *view) revocations(l *Lineage, link *Link) ([]StatementRow, error) {
	touched := []attest.Digest{link.Manifest}
	if link.File != "" {
		touched = append(touched, link.File)
	}
	for _, s := range link.Statements {
		touched = append(touched, s.Payload, s.Signer)
	}
	slices.Sort(touched)
	out := []StatementRow{}
	for _, d := range slices.Compact(touched) {
		rows, err := v.statements(l, d, true)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	slices.SortFunc(out, func(a, b StatementRow) int { return int(a.Admitted.Sequence - b.Admitted.Sequence) })
	return out, nil
}
