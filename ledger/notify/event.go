package notify

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
)

// The types of events, as configurations name them. In an event a type has
// [typePrefix] in front and [typeVersion] behind.
const (
	ManifestPut       = "manifest.put"
	ManifestDeleted   = "manifest.deleted"
	TagMoved          = "tag.moved"
	TagDeleted        = "tag.deleted"
	StatementAdmitted = "statement.admitted"
	RevocationTaken   = "revocation.admitted"
	RebuildDissent    = "rebuild.dissent"
	DecisionAllowed   = "decision.allowed"
	DecisionDenied    = "decision.denied"
	HostEnrolled      = "host.enrolled"
	HostState         = "host.state"
	ProductAdded      = "product.added"
	PolicyAccepted    = "trust-policy.accepted"
	TUFAccepted       = "trust-repository.accepted"
)

const (
	typePrefix  = "com.github.patchfit."
	typeVersion = ".v1"
)

// Types returns every type there is. Records of other kinds are told to nobody.
func Types() []string {
	return []string{
		ManifestPut, ManifestDeleted, TagMoved, TagDeleted, StatementAdmitted, RevocationTaken, RebuildDissent,
		DecisionAllowed, DecisionDenied, HostEnrolled, HostState, ProductAdded, PolicyAccepted, TUFAccepted,
	}
}

// A cloudEvent is a fact in the JSON format of CloudEvents 1.0. Sequence is
// its extension of that name: ids sort as the journal does.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	Sequence        string    `json:"sequence"`
	DataContentType string    `json:"datacontenttype"`
	Data            any       `json:"data"`
}

// A fact is what one record says, as far as anybody outside may know. Its data
// is one of the types below: a member that is not there is never sent.
type fact struct {
	kind    string // of Types
	subject string
	data    any
}

type manifestData struct {
	Product    string        `json:"product"`
	Repository string        `json:"repository"`
	Digest     attest.Digest `json:"digest"`
	MediaType  string        `json:"mediaType,omitzero"` // of a put
	By         string        `json:"by"`
}

type tagData struct {
	Product    string        `json:"product"`
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Digest     attest.Digest `json:"digest,omitzero"` // of a move
	By         string        `json:"by"`
}

type statementData struct {
	Product       string        `json:"product"`
	Repository    string        `json:"repository"`
	Subject       attest.Digest `json:"subject"`
	Referrer      attest.Digest `json:"referrer,omitzero"`
	Bundle        attest.Digest `json:"bundle"`
	PredicateType string        `json:"predicateType"`
	By            string        `json:"by"`
}

type dissentData struct {
	Product    string        `json:"product"`
	Repository string        `json:"repository"`
	Subject    attest.Digest `json:"subject"`
	Referrer   attest.Digest `json:"referrer,omitzero"`
	Bundle     attest.Digest `json:"bundle"`
	Result     string        `json:"result"`
	Category   string        `json:"category"`
	Got        attest.Digest `json:"got"`
	Output     attest.Digest `json:"output,omitzero"`
	By         string        `json:"by"`
}

type decisionData struct {
	Product    string        `json:"product"`
	Repository string        `json:"repository"`
	Artifact   attest.Digest `json:"artifact"`
	Host       string        `json:"host"`
	Decision   string        `json:"decision"`
	Basis      string        `json:"basis"`
	Reasons    []string      `json:"reasons"`
}

type hostData struct {
	Host     string   `json:"host"`
	Name     string   `json:"name"`
	State    string   `json:"state"`
	Products []string `json:"products"` // only those the endpoint is told of
	By       string   `json:"by,omitzero"`
}

type productData struct {
	Product    string `json:"product"`
	Repository string `json:"repository"`
	By         string `json:"by"`
}

type policyData struct {
	Version  int64         `json:"version"`
	Envelope attest.Digest `json:"envelope"`
	By       string        `json:"by"`
}

type tufData struct {
	Version  int64           `json:"version"` // of the snapshot
	Snapshot attest.Digest   `json:"snapshot"`
	Targets  attest.Digest   `json:"targets"`
	Roots    []attest.Digest `json:"roots"` // those that are new
	By       string          `json:"by"`
}

// A teller knows what one endpoint is told.
type teller struct {
	source   string
	types    []string
	products []string
	product  func(repository string) (string, bool)
	rebuild  func(bundle attest.Digest) *attest.Rebuild
}

func newTeller(c Config, e Endpoint) *teller {
	return &teller{source: "https://" + c.Origin + "/journal", types: e.Types, products: e.Products, product: c.Product, rebuild: c.Rebuild}
}

// event returns the event of a record as it is sent, and its id; no id: the
// endpoint is not told.
func (t *teller) event(r ledger.Record) (id string, body []byte, err error) {
	f, err := t.fact(r)
	if err != nil || f.kind == "" || len(t.types) > 0 && !slices.Contains(t.types, f.kind) {
		return "", nil, err
	}
	if id, err = eventID(r); err != nil {
		return "", nil, err
	}
	body, err = strictjson.Canonical(cloudEvent{
		SpecVersion: "1.0", ID: id, Source: t.source, Type: typePrefix + f.kind + typeVersion, Subject: f.subject,
		Time: r.Time, Sequence: fmt.Sprintf("%016d", r.Sequence), DataContentType: "application/json", Data: f.data,
	})
	return id, body, err
}

// eventID is a record's sequence and kind, and the start of its leaf hash: when
// a server was restored from a backup, sequences come twice, for other facts.
func eventID(r ledger.Record) (string, error) {
	b, err := r.Canonical()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d-%s-%s", r.Sequence, r.Kind, hex.EncodeToString(ledger.LeafHash(b)[:4])), nil
}

// fact is the one table of what leaves the house. Kinds that are not in it, as
// those with the MACs of tokens, do not.
func (t *teller) fact(r ledger.Record) (fact, error) {
	switch r.Kind {
	case ledger.KindManifest:
		return told(r, t.manifest)
	case ledger.KindTag:
		return told(r, t.tag)
	case ledger.KindDelete:
		return told(r, t.deleted)
	case ledger.KindStatement:
		return told(r, t.statement)
	case ledger.KindDecision:
		return told(r, t.decision)
	case ledger.KindHost:
		return told(r, t.host)
	case ledger.KindProduct:
		return told(r, t.productAdded)
	case ledger.KindTrustPolicy:
		return told(r, t.trustPolicy)
	case ledger.KindTUF:
		return told(r, t.trustRepository)
	}
	return fact{}, nil
}

func told[T any](r ledger.Record, tell func(*T) fact) (fact, error) {
	b, err := ledger.Decode[T](r)
	if err != nil {
		return fact{}, err
	}
	return tell(b), nil
}

// sees reports whether the endpoint is told of a product.
func (t *teller) sees(product string) bool {
	return len(t.products) == 0 || slices.Contains(t.products, product)
}

// of returns the product of a repository, and whether the endpoint is told of
// it. A repository without one cannot be in a record; it is told to those who
// are told everything.
func (t *teller) of(repository string) (product string, ok bool) {
	product, _ = t.product(repository)
	return product, t.sees(product)
}

func at(repository string, d attest.Digest) string { return repository + "@" + string(d) }

func (t *teller) manifest(b *ledger.ManifestPut) fact {
	product, ok := t.of(b.Repository)
	if !ok {
		return fact{}
	}
	return fact{ManifestPut, at(b.Repository, b.Digest), manifestData{product, b.Repository, b.Digest, b.MediaType, b.By}}
}

func (t *teller) tag(b *ledger.TagMoved) fact {
	product, ok := t.of(b.Repository)
	if !ok {
		return fact{}
	}
	return fact{TagMoved, b.Repository + ":" + b.Tag, tagData{product, b.Repository, b.Tag, b.Digest, b.By}}
}

func (t *teller) deleted(b *ledger.Deleted) fact {
	product, ok := t.of(b.Repository)
	switch {
	case !ok:
		return fact{}
	case b.Tag != "":
		return fact{TagDeleted, b.Repository + ":" + b.Tag, tagData{product, b.Repository, b.Tag, b.Digest, b.By}}
	}
	return fact{ManifestDeleted, at(b.Repository, b.Digest), manifestData{product, b.Repository, b.Digest, "", b.By}}
}

func (t *teller) statement(b *ledger.StatementAdmitted) fact {
	product, ok := t.of(b.Repository)
	if !ok {
		return fact{}
	}
	if r := t.rebuilt(b); r != nil && r.Result == attest.Differs {
		return fact{RebuildDissent, at(b.Repository, b.Subject), dissentData{
			product, b.Repository, b.Subject, b.Referrer, b.Bundle, r.Result, r.Category, r.Compared.File.Got, r.Output, b.By,
		}}
	}
	kind := StatementAdmitted
	if b.Type == attest.TypeRevocation {
		kind = RevocationTaken
	}
	return fact{kind, at(b.Repository, b.Subject), statementData{product, b.Repository, b.Subject, b.Referrer, b.Bundle, b.Type, b.By}}
}

// rebuilt returns what a statement says of a rebuild; nil: nothing.
func (t *teller) rebuilt(b *ledger.StatementAdmitted) *attest.Rebuild {
	if b.Type != attest.TypeRebuild || t.rebuild == nil {
		return nil
	}
	return t.rebuild(b.Bundle)
}

func (t *teller) decision(b *ledger.Decided) fact {
	product, ok := t.of(b.Repository)
	if !ok {
		return fact{}
	}
	kind := DecisionDenied
	if b.Allow {
		kind = DecisionAllowed
	}
	reasons := []string{}
	for _, f := range b.Reasons {
		reasons = append(reasons, f.Reason)
	}
	return fact{kind, at(b.Repository, b.Artifact), decisionData{product, b.Repository, b.Artifact, b.Host, b.Decision, b.Basis, reasons}}
}

// host tells of a host only the products the endpoint is told of.
func (t *teller) host(b *ledger.HostEnrolled) fact {
	seen := []string{}
	for _, p := range b.Products {
		if t.sees(p) {
			seen = append(seen, p)
		}
	}
	if len(seen) == 0 && len(t.products) > 0 {
		return fact{}
	}
	kind := HostState
	if b.By == "" {
		kind = HostEnrolled
	}
	return fact{kind, b.Host, hostData{b.Host, b.Name, b.State, seen, b.By}}
}

func (t *teller) productAdded(b *ledger.ProductAdded) fact {
	if !t.sees(b.Product) {
		return fact{}
	}
	return fact{ProductAdded, b.Repository, productData{b.Product, b.Repository, b.By}}
}

func (t *teller) trustPolicy(b *ledger.TrustPolicyAccepted) fact {
	return fact{PolicyAccepted, string(b.Envelope), policyData{b.Version, b.Envelope, b.By}}
}

func (t *teller) trustRepository(b *ledger.TUFAccepted) fact {
	return fact{TUFAccepted, string(b.Snapshot), tufData{b.Version, b.Snapshot, b.Targets, b.Roots, b.By}}
}
