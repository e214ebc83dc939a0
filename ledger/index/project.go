package index

import (
	"database/sql"
	"errors"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
)

func micros(t time.Time) int64 { return t.UnixMicro() }

// sum returns the raw bytes of d; NULL for the zero digest.
func sum(d attest.Digest) any {
	if d == "" {
		return nil
	}
	return d.Sum()
}

func (p *projection) trustPolicy(b *ledger.TrustPolicyAccepted) error {
	if err := p.insert("policy", "version, envelope", b.Version, sum(b.Envelope)); err != nil {
		return err
	}
	raw, err := p.src.Blob(b.Envelope)
	if err != nil {
		return err
	}
	e, err := attest.ParseEnvelope(raw, attest.PolicyPayload)
	if err != nil {
		return err
	}
	policy, err := attest.ParseTrustPolicy(e.Payload)
	if err != nil {
		return err
	}
	for _, s := range policy.Signers {
		if err := p.signer(s); err != nil {
			return err
		}
	}
	return nil
}

func (p *projection) signer(s attest.Signer) error {
	for _, k := range s.Keys {
		key, err := attest.ParsePublicKey(k.Key)
		if err != nil {
			return err
		}
		if err := p.insert("signer", "key, name", sum(key.ID()), s.Name); err != nil {
			return err
		}
	}
	for _, i := range s.Identities {
		id, err := i.ID()
		if err != nil {
			return err
		}
		if err := p.insert("signer", "key, name", sum(id), s.Name); err != nil {
			return err
		}
	}
	return nil
}

func (p *projection) product(b *ledger.ProductAdded) error {
	return p.insert("product", "product, repository", b.Product, b.Repository)
}

func (p *projection) host(b *ledger.HostEnrolled) error {
	key, err := attest.ParsePublicKey(b.Key)
	if err != nil {
		return err
	}
	if err := p.insert("host", "host, name, key, state, by", b.Host, b.Name, sum(key.ID()), b.State, b.By); err != nil {
		return err
	}
	for _, product := range b.Products {
		if err := p.insert("host_product", "product", product); err != nil {
			return err
		}
	}
	return nil
}

func (p *projection) hostRecord(b *ledger.HostRecorded) error {
	if err := p.insert("host_record", "host, number, envelope", b.Host, b.Sequence, sum(b.Envelope)); err != nil {
		return err
	}
	raw, err := p.src.Blob(b.Envelope)
	if err != nil {
		return err
	}
	record, err := attest.ClaimedHostRecord(raw)
	if err != nil {
		return err
	}
	for i, r := range record.Running {
		m := r.Measurement
		if err := p.insert("running", "position, product, kind, digest, build_id",
			i, r.Product, m.Kind, sum(m.Digest), m.BuildID); err != nil {
			return err
		}
	}
	return nil
}

// An ociManifest is what the index reads of one. Image indexes fit too.
type ociManifest struct {
	ArtifactType string       `json:"artifactType,omitzero"`
	Config       descriptor   `json:"config,omitzero"`
	Layers       []descriptor `json:"layers,omitzero"`
	Subject      descriptor   `json:"subject,omitzero"`
}

type descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    attest.Digest `json:"digest"`
}

// kind is what the manifest says it is.
func (m *ociManifest) kind() string {
	if m.ArtifactType != "" {
		return m.ArtifactType
	}
	return m.Config.MediaType
}

// file is the one file the artifact is about; "" where there is none.
func (m *ociManifest) file() attest.Digest {
	if m.ArtifactType == attest.ArtifactEnv {
		return m.Config.Digest
	}
	if len(m.Layers) == 1 {
		return m.Layers[0].Digest
	}
	return ""
}

// maxManifest is the most an OCI registry has to accept (OCI distribution spec).
const maxManifest = 4 << 20

func (p *projection) manifest(b *ledger.ManifestPut) error {
	raw, err := p.src.Blob(b.Digest)
	if err != nil {
		return err
	}
	var m ociManifest
	if err := strictjson.UnmarshalForeign(raw, maxManifest, &m); err != nil {
		m = ociManifest{} // admitted as something we do not read: it has no edges
	}
	return p.insert("manifest", "repository, digest, media_type, artifact_type, subject, file, by",
		b.Repository, sum(b.Digest), b.MediaType, m.kind(), sum(m.Subject.Digest), sum(m.file()), b.By)
}

func (p *projection) deletion(b *ledger.Deleted) error {
	return p.insert("deletion", "repository, digest, tag, by", b.Repository, sum(b.Digest), b.Tag, b.By)
}

func (p *projection) statement(b *ledger.StatementAdmitted) error {
	s, err := p.src.Statement(b.Bundle)
	if err != nil {
		return err
	}
	if err := p.rebuilds(b, &s); err != nil {
		return err
	}
	return p.insert("statement",
		"repository, product, type, subject, file, payload, bundle, referrer, signer, builder, signed, log_index, by",
		b.Repository, s.Product, s.Type, sum(b.Subject), sum(s.File), sum(s.Payload), sum(b.Bundle), sum(b.Referrer),
		sum(s.Signer), s.BuilderID, micros(s.Time), s.LogIndex, b.By)
}

func (p *projection) decision(b *ledger.Decided) error {
	product, err := productOf(p.tx.QueryRowContext(p.ctx, productQuery, b.Repository, p.sequence))
	if err != nil {
		return err
	}
	allow := 0
	if b.Allow {
		allow = 1
	}
	return p.insert("decision", "decision, host, repository, product, artifact, allow",
		b.Decision, b.Host, b.Repository, product, sum(b.Artifact), allow)
}

func (p *projection) uses(b *ledger.DecisionUses) error {
	return p.insert("uses", "decision, uses", b.Decision, b.Uses)
}

// productQuery finds the product a repository served as of a sequence.
const productQuery = "SELECT product FROM product WHERE repository = ? AND sequence <= ? ORDER BY sequence DESC LIMIT 1"

// productOf returns the answer of productQuery; "" for none.
func productOf(row *sql.Row) (string, error) {
	var product string
	err := row.Scan(&product)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return product, err
}
