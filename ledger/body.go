package ledger

import (
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// bodyOf returns a pointer to a zero body of kind k; nil for a kind this
// version does not know.
func bodyOf(k Kind) any {
	switch k {
	case KindTrustPolicy:
		return new(TrustPolicyAccepted)
	case KindTUF:
		return new(TUFAccepted)
	case KindProduct:
		return new(ProductAdded)
	case KindPrincipal:
		return new(PrincipalAdded)
	case KindEnded:
		return new(PrincipalEnded)
	case KindGrant:
		return new(Granted)
	case KindToken:
		return new(TokenMade)
	case KindEmbargo:
		return new(Embargoed)
	case KindHost:
		return new(HostEnrolled)
	case KindHostRecord:
		return new(HostRecorded)
	case KindBlob:
		return new(BlobPut)
	case KindBlobRemoved:
		return new(BlobRemoved)
	case KindManifest:
		return new(ManifestPut)
	case KindTag:
		return new(TagMoved)
	case KindDelete:
		return new(Deleted)
	case KindStatement:
		return new(StatementAdmitted)
	case KindChannel:
		return new(ChannelTaken)
	case KindLint:
		return new(Linted)
	case KindDecision:
		return new(Decided)
	case KindUses:
		return new(DecisionUses)
	}
	return nil
}

// EncodeBody returns the canonical JSON of body, which must be of kind's type,
// or a pointer to it, and must read back the same: what the journal takes, its
// readers can read.
func EncodeBody(kind Kind, body any) (jsontext.Value, error) {
	want := bodyOf(kind)
	if want == nil {
		return nil, fmt.Errorf("a journal record of unknown kind %.40q", kind)
	}
	t := reflect.TypeOf(want)
	if got := reflect.TypeOf(body); got != t && got != t.Elem() {
		return nil, fmt.Errorf("a journal record of kind %q with a body of type %T", kind, body)
	}
	b, err := strictjson.Canonical(body)
	if err != nil {
		return nil, err
	}
	if err := readExact(b, want); err != nil {
		return nil, fmt.Errorf("a journal record of kind %q: %w", kind, err)
	}
	if err := sameJSON(body, want); err != nil {
		return nil, fmt.Errorf("a journal record of kind %q: %w", kind, err)
	}
	return b, nil
}

// sameJSON reports an error unless b, read back from a's canonical form, says
// the same as a. It differs where JSON rounds an integer above 2^53.
func sameJSON(a, b any) error {
	x, err := json.Marshal(a, json.Deterministic(true))
	if err != nil {
		return err
	}
	y, err := json.Marshal(b, json.Deterministic(true))
	if err != nil {
		return err
	}
	if string(x) != string(y) {
		return fmt.Errorf("reads back as %.200s", y)
	}
	return nil
}

// CheckBody reports what is wrong with a record's body: a kind nobody knows,
// or not exactly the canonical JSON of the kind's type.
func CheckBody(kind Kind, raw []byte) error {
	body := bodyOf(kind)
	if body == nil {
		return strictjson.Errorf("/kind", "unknown kind %.40q", kind)
	}
	return readExact(raw, body)
}

// Decode returns the body of r, which must be of the type its kind has.
func Decode[T any](r Record) (*T, error) {
	body, ok := bodyOf(r.Kind).(*T)
	if !ok {
		return nil, fmt.Errorf("record %d: kind %q is not a %T", r.Sequence, r.Kind, body)
	}
	if err := readExact(r.Body, body); err != nil {
		return nil, fmt.Errorf("record %d: %w", r.Sequence, err)
	}
	return body, nil
}

// readExact reads raw into v and demands that encoding v gives raw again, so
// that there is one form, and no number that JSON would round.
func readExact(raw []byte, v any) error {
	if err := strictjson.Unmarshal(raw, MaxRecord, v); err != nil {
		return err
	}
	again, err := strictjson.Canonical(v)
	if err != nil {
		return err
	}
	if string(again) != string(raw) {
		return strictjson.Errorf("", "not the canonical form: %.80s", again)
	}
	return nil
}
