// Package publish takes an artifact the whole way: pushes it, makes its
// statements, signs them, has them logged and timestamped, and attaches the
// bundles, until a server has admitted all of it.
//
// Every step can be taken twice. Blobs and manifests are content-addressed and
// made without times, so the same input makes the same bytes. A signed
// envelope is kept in the state directory before it is logged, because ECDSA
// signatures are random: signed again, it would be another leaf. So a publish
// that was interrupted goes on where it was, and one that was finished finds
// nothing left to do. docs/spec/cli.md, publish.
package publish

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/registry/api"
)

// BuilderID names, in provenance, what ran the build where nothing else is
// said: somebody's machine, watched by this program and not contained.
const BuilderID = "https://github.com/patchfit/patchfit/builder/watched/v1"

// ContainedID does, where patchfit build ran it in its builder image.
const ContainedID = "https://github.com/patchfit/patchfit/builder/contained/v1"

// Config is what a Publisher needs.
type Config struct {
	Server     *api.Client      // proves who is publishing
	Repository string           // name of the product's repository, as "demo/greet"
	Product    string           // product id
	Signer     signature.Signer // signs statements, and proves nobody's identity
	// Certificate, if not nil, stands in the log and in bundles for the signer's key.
	Certificate *attest.Certificate
	State       string // directory for what an interrupted publish left
}

// Options may be nil.
type Options struct {
	BuilderID string         // in provenance; "" is [BuilderID] or [ContainedID]
	Progress  *term.Progress // nil: silent
}

// A Publisher publishes into one repository.
type Publisher struct {
	config    Config
	repo      *repository
	log       *client.Client
	key       *attest.PublicKey
	by        attest.Credential // key, or its certificate
	drafts    drafts
	builderID string
	progress  *term.Progress
}

// New returns a Publisher. It sends nothing yet.
func New(c Config, o *Options) (*Publisher, error) {
	if o == nil {
		o = &Options{}
	}
	p := &Publisher{config: c, builderID: o.BuilderID, progress: o.Progress}
	if p.progress == nil {
		p.progress = &term.Progress{}
	}
	var err error
	if p.repo, err = open(c.Server, c.Repository); err != nil {
		return nil, err
	}
	if p.log, err = client.New(c.Server.Server(), c.Server.HTTP()); err != nil {
		return nil, err
	}
	if c.Signer == nil {
		return nil, errors.New("no key to sign statements with")
	}
	public, err := c.Signer.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if p.key, err = attest.NewPublicKey(public); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	p.by = p.key
	if c.Certificate != nil {
		if !c.Certificate.SigningKey().Equal(p.key) {
			return nil, fmt.Errorf("certificate of %q is for key %s, the signing key is %s", c.Certificate.SAN(), c.Certificate.SigningKey().ID(), p.key.ID())
		}
		p.by = c.Certificate
	}
	server, err := url.Parse(c.Server.Server())
	if err != nil {
		return nil, err
	}
	p.drafts = newDrafts(c.State, server.Host)
	return p, nil
}

// A Result is what there is on the server after a publish.
type Result struct {
	SchemaVersion int         `json:"schemaVersion"`
	DryRun        bool        `json:"dryRun,omitzero"` // it is what there would be
	Repository    string      `json:"repository"`
	Product       string      `json:"product"`
	Artifacts     []Artifact  `json:"artifacts"`  // in the order they were pushed
	Statements    []Statement `json:"statements"` // in the order they were logged
}

// An Artifact is one manifest.
type Artifact struct {
	Role   string        `json:"role"` // "builder-image", "environment", "base", "live-patch", "artifact"
	Digest attest.Digest `json:"digest"`
	File   attest.Digest `json:"file,omitzero"` // its one file; of an environment, its digest
	Tag    string        `json:"tag,omitzero"`
}

// A Statement is one admitted statement.
type Statement struct {
	Type     string        `json:"type"`
	Subject  attest.Digest `json:"subject"`
	Payload  attest.Digest `json:"payload"`
	Referrer attest.Digest `json:"referrer,omitzero"` // manifest that carries the bundle
	LogIndex int64         `json:"logIndex"`
	Signed   time.Time     `json:"signed"` // by the timestamp authority's clock
}

// Product returns the id of the product statements are made about.
func (p *Publisher) Product() string { return p.config.Product }

func (p *Publisher) result() *Result {
	return &Result{
		SchemaVersion: 1, Repository: p.config.Repository, Product: p.config.Product,
		Artifacts: []Artifact{}, Statements: []Statement{},
	}
}

// A claim is one statement to make about a manifest.
type claim struct {
	typ       string
	subjects  []attest.Subject
	predicate any
}

// attach makes a statement about subject: sign, log, timestamp, push. What is
// done already is not done again.
func (p *Publisher) attach(ctx context.Context, subject ocispec.Descriptor, c claim) (*Statement, error) {
	payload, err := attest.NewStatement(c.typ, c.subjects, c.predicate)
	if err != nil {
		return nil, err
	}
	bundle, err := p.bundle(ctx, payload, &subject)
	if err != nil {
		return nil, fmt.Errorf("statement %s about %s: %w", shortType(c.typ), short(subject.Digest), err)
	}
	p.progress.Step("%s: attaching", shortType(c.typ))
	s, err := describe(bundle)
	if err != nil {
		return nil, err
	}
	referrer, err := p.pushReferrer(ctx, subject, bundle, s)
	if err != nil {
		return nil, fmt.Errorf("statement %s about %s: %w", shortType(c.typ), short(subject.Digest), err)
	}
	s.Referrer = attest.Digest(referrer.Digest)
	return s, nil
}

// bundle returns the bundle of payload: the one on the server or in the state
// directory, else a new one. subject, if not nil, is the manifest it would be
// attached to.
func (p *Publisher) bundle(ctx context.Context, payload []byte, subject *ocispec.Descriptor) ([]byte, error) {
	if b := p.drafts.bundle(payload, p.by); b != nil {
		return b, nil
	}
	p.progress.Step("signing")
	envelope, fresh, err := p.drafts.envelope(payload, p.key, func() ([]byte, error) {
		return attest.SignEnvelope(attest.PayloadType, payload, p.config.Signer)
	})
	if err != nil {
		return nil, err
	}
	if fresh && subject != nil { // no state of an earlier run here: it may have been another machine's
		if b, err := p.attached(ctx, *subject, payload); b != nil || err != nil {
			return b, err
		}
	}
	p.progress.Step("logging and timestamping")
	bundle, err := p.log.Bundle(ctx, envelope, p.by)
	if err != nil {
		return nil, translate(err)
	}
	return bundle, p.drafts.keep(payload, p.key, bundle)
}

// alone makes a statement that is attached to no manifest.
func (p *Publisher) alone(ctx context.Context, typ string, subject attest.Digest, predicate any) ([]byte, *Statement, error) {
	payload, err := attest.NewStatement(typ, []attest.Subject{{Digest: subject}}, predicate)
	if err != nil {
		return nil, nil, err
	}
	bundle, err := p.bundle(ctx, payload, nil)
	if err != nil {
		return nil, nil, err
	}
	s, err := describe(bundle)
	return bundle, s, err
}

// Revoke makes a revocation and sends it. It takes effect with the server's
// record of it.
func (p *Publisher) Revoke(ctx context.Context, r attest.Revocation) (*Statement, *api.Revoked, error) {
	r.Product = p.config.Product
	bundle, s, err := p.alone(ctx, attest.TypeRevocation, r.Digest, &r)
	if err != nil {
		return nil, nil, err
	}
	p.progress.Step("sending the revocation")
	revoked, err := p.config.Server.Revoke(ctx, bundle)
	p.progress.Clear()
	return s, revoked, err
}

// Since returns the place index in the server's log, with the log's checkpoint
// as it is now, for a revocation of a key. Logs that trustedRoot does not name
// are refused; whether witnesses cosigned, the server asks.
func (p *Publisher) Since(ctx context.Context, trustedRoot []byte, index int64) (*attest.Since, error) {
	cp, err := p.log.Checkpoint(ctx, trustedRoot)
	if err != nil {
		return nil, err
	}
	if index < 0 || uint64(index) > cp.Size {
		return nil, fmt.Errorf("log %s has %d entries, there is no place %d in it yet", cp.Origin, cp.Size, index)
	}
	return &attest.Since{LogIndex: index, Checkpoint: string(cp.Raw)}, nil
}

// Attest makes one statement about a manifest of the repository.
func (p *Publisher) Attest(ctx context.Context, reference, typ string, predicate []byte) (*Result, error) {
	m, err := p.repo.manifest(ctx, reference)
	if err != nil {
		return nil, err
	}
	r := p.result()
	s, err := p.attach(ctx, m.descriptor, claim{typ: typ, subjects: m.subjects(), predicate: attest.Unknown(predicate)})
	p.progress.Clear()
	if err != nil {
		return nil, err
	}
	r.Artifacts = append(r.Artifacts, Artifact{Role: "artifact", Digest: m.digest(), File: m.file()})
	r.Statements = append(r.Statements, *s)
	return r, nil
}
