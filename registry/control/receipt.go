package control

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// A Decision is what the journal says of one.
type Decision struct {
	Time time.Time // of its record
	*ledger.Decided
}

// Receipts are what signed receipts of decisions are made of.
type Receipts struct {
	// Registry is what clients call this server.
	Registry string
	// Signer is the key of receipts, which signs nothing else.
	Signer signature.Signer
	// Decision returns a decision as the journal has it; false where there is
	// none of that id.
	Decision func(ctx context.Context, id string) (Decision, bool, error)
}

const (
	decisionPath = "/v1/decisions/{id:d-[0-9A-HJKMNP-TV-Z]{26}}/receipt"
	keyPath      = "/v1/receipts/key"
)

// receipt renders a decision as a signed verification summary: for the host it
// was made for, and for auditors of the product. Nothing is decided anew.
func (c *call) receipt() (answer, error) {
	id := mux.Vars(c.r)["id"]
	if c.s.Receipts == nil {
		return nil, noDecision(id)
	}
	d, ok, err := c.s.Receipts.Decision(c.r.Context(), id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, c.unless(noDecision(id))
	}
	product, ok := c.s.State.Product(d.Repository)
	switch {
	case c.who.Kind == state.KindHost && c.who.ID == d.Host && ok && c.mayHear(product, d.Repository, d.Artifact):
		c.cleared = true
	case c.who.Kind == state.KindHost || !ok: // of another's decision a host learns nothing
		return nil, noDecision(id)
	default:
		if err := c.inProduct(product); err != nil {
			return nil, err
		}
	}
	envelope, err := c.s.Receipts.sign(c.s.URL, d)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", api.MediaEnvelope)
		w.Header().Set("Cache-Control", "private, no-store")
		_, _ = w.Write(envelope) // the client is gone: there is nobody to tell
	}, nil
}

// unless tells err to those who could have been answered: whoever has the role
// nowhere is told that.
func (c *call) unless(err error) error {
	if c.who.Kind == state.KindHost {
		return err
	}
	if who := c.anywhere(); who != nil {
		return who
	}
	return err
}

// mayHear reports whether no embargo keeps the caller, a host, from a product or
// one patch of it: what it was told before is not told again.
func (c *call) mayHear(product, repository string, patch attest.Digest) bool {
	now := time.Now()
	if c.s.State.ShutOut(c.who.ID, product, now) {
		return false
	}
	m, ok := c.s.State.Manifest(repository, patch)
	return !ok || !c.s.State.Withheld(c.who.ID, m, now)
}

func noDecision(id string) *api.Error {
	return notFound("no decision %.40q", id).Hint("patchfit audit decisions lists them with their ids")
}

func (r *Receipts) sign(verifier string, d Decision) ([]byte, error) {
	v := attest.Summary{
		Verifier: attest.SummaryVerifier{ID: verifier}, TimeVerified: d.Time,
		ResourceURI: attest.OCIResource(r.Registry, d.Repository, d.Artifact),
		Policy:      attest.ResourceDescriptor{Name: "trust policy", Digest: map[string]string{"sha256": d.Policy.Hex()}},
		Inputs:      []attest.ResourceDescriptor{}, Result: attest.SummaryFailed, Levels: []string{attest.LevelFailed},
		Receipt: &attest.Receipt{
			Decision: d.Decision, Host: d.Host, Record: d.Record, Epoch: d.Epoch, Site: d.Site, Basis: d.Basis, Reasons: findings(d.Reasons),
		},
	}
	if len(d.Warnings) > 0 {
		v.Receipt.Warnings = findings(d.Warnings)
	}
	for _, payload := range d.Evidence {
		v.Inputs = append(v.Inputs, attest.ResourceDescriptor{Name: "statement", Digest: map[string]string{"sha256": payload.Hex()}})
	}
	if d.Allow { // every rule passed, that of provenance too
		v.Result, v.Levels = attest.SummaryPassed, append([]string{attest.LevelEvidence}, attest.FitLevels(d.Basis)...)
	}
	return attest.SignSummary(v, []attest.Subject{{Digest: d.Artifact}}, r.Signer)
}

func findings(list []ledger.Finding) []attest.ReceiptFinding {
	all := make([]attest.ReceiptFinding, len(list))
	for i, f := range list {
		all[i] = attest.ReceiptFinding{Reason: f.Reason, Rule: f.Rule, Want: f.Want, Got: f.Got}
	}
	return all
}

// receiptKey shows the key receipts are verified with, for everybody. Whoever
// relies on one pins it.
func (c *call) receiptKey() (answer, error) {
	if c.s.Receipts == nil {
		return nil, notFound("no receipts")
	}
	key, err := c.s.Receipts.Signer.PublicKey()
	if err != nil {
		return nil, err
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(pem) // as above
	}, nil
}
