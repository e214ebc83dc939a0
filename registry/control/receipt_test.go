package control

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/schematest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

const someDecision = "d-01JDG6N0P3Q5R7S9T1V3W5X7Y9"

// receiptsOf makes receipts of what a house's journal has.
func receiptsOf(t testing.TB, h *statetest.House) *Receipts {
	return &Receipts{
		Registry: "patches.example:8443", Signer: statetest.NewKey(t).Sign(t),
		Decision: func(_ context.Context, id string) (Decision, bool, error) {
			for _, r := range h.Journal.Records() {
				if r.Kind != ledger.KindDecision {
					continue
				}
				if d, err := ledger.Decode[ledger.Decided](r); err != nil || d.Decision == id {
					return Decision{r.Time, d}, true, err
				}
			}
			return Decision{}, false, nil
		},
	}
}

// decided journals a decision.
func (s *scene) decided(host string, patch attest.Digest, allow bool) {
	s.t.Helper()
	d := ledger.Decided{
		Decision: someDecision, Host: host, Repository: s.Product.Repository, Artifact: patch, Allow: allow, Basis: attest.FitEnvironment,
		Reasons: []ledger.Finding{}, Record: 7, Policy: attest.DigestOf([]byte("policy")), Site: attest.DigestOf([]byte("site")), Epoch: 3,
		Evidence: []attest.Digest{attest.DigestOf([]byte("statement"))},
	}
	if !allow {
		d.Basis, d.Reasons = "", []ledger.Finding{{Reason: "ENV_MISMATCH", Rule: "environment-match", Want: "flags/1 = -fno-plt", Got: "(absent)", Remedy: "build it again"}}
	}
	s.Must(ledger.KindDecision, d)
}

// A receipt says what the journal says, of an allow and of a denial, and is
// signed by the key that everybody can see.
func TestReceiptSaysWhatTheJournalSays(t *testing.T) {
	predicates := schematest.Load(t, "../../docs/spec/schema/vsa.json")
	for _, allow := range []bool{true, false} {
		stage(t, statetest.New, func(t *testing.T, s *scene) {
			w := s.Publish("one")
			host, hostKey := s.Enrol("a")
			s.decided(host, w.PatchManifest, allow)
			raw, err := s.as(host, hostKey).Receipt(ctx(), someDecision)
			if err != nil {
				t.Fatal(err)
			}
			v, subject := readReceipt(t, s, predicates, raw)
			want, levels := attest.SummaryPassed, []string{attest.LevelEvidence, attest.LevelFit, attest.LevelBuild1}
			if !allow {
				want, levels = attest.SummaryFailed, []string{attest.LevelFailed}
			}
			if v.Result != want || !slices.Equal(v.Levels, levels) || subject != w.PatchManifest || v.Verifier.ID != base ||
				v.Policy.Digest["sha256"] != attest.DigestOf([]byte("policy")).Hex() || len(v.Inputs) != 1 {
				t.Errorf("allow %v: %+v about %s", allow, v, subject)
			}
			r := v.Receipt
			if r == nil || r.Decision != someDecision || r.Host != host || r.Record != 7 || r.Epoch != 3 || (len(r.Reasons) == 0) != allow {
				t.Errorf("allow %v: receipt %+v", allow, r)
			}
		})
	}
}

func readReceipt(t *testing.T, s *scene, predicates schematest.Schema, raw []byte) (v attest.Summary, subject attest.Digest) {
	t.Helper()
	e, err := attest.ParseEnvelope(raw, attest.PayloadType)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := s.admin.ReceiptKey(ctx())
	if err != nil {
		t.Fatal(err)
	}
	key, err := attest.ParsePublicKeyPEM(pem)
	if err != nil || e.Verify(key) != nil {
		t.Errorf("not signed by the key of receipts: %v", err)
	}
	statement, err := attest.ParseStatement(e.Payload)
	if err != nil || statement.Type != attest.TypeSummary {
		t.Fatalf("%v: a %s", err, e.Payload)
	}
	predicate, _ := statement.Predicate.(attest.Unknown)
	if err := predicates.Check(predicate); err != nil {
		t.Errorf("the schema refuses it: %v\n%s", err, predicate)
	}
	if err := json.Unmarshal(predicate, &v); err != nil {
		t.Fatal(err)
	}
	return v, statement.Subjects[0].Digest
}

func TestNoReceipt(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		host, _ := s.Enrol("a")
		s.decided(host, w.PatchManifest, true)
		other, otherKey := s.Enrol("b")
		_, err := s.as(other, otherKey).Receipt(ctx(), someDecision)
		wantError(t, "another host's", err, 404, "NOT_FOUND")
		_, err = s.as(other, otherKey).Receipt(ctx(), "d-00000000000000000000000000")
		wantError(t, "of no decision", err, 404, "NOT_FOUND")
		_, err = s.as(other, otherKey).Receipt(ctx(), "d-1")
		wantError(t, "of what is no id", err, 404, "NOT_FOUND")
	})
}
