package notify

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// canary stands where something secret, or nobody's business, may stand.
const canary = "CANARY"

type entry struct {
	kind ledger.Kind
	body any
	want string // the type; "": nobody is told
	sees string // the data
}

var (
	digest  = attest.DigestOf([]byte("x"))
	envelop = attest.DigestOf([]byte("y"))
)

// entries are records of every kind, with canaries in every member that is not
// told.
func entries() []entry {
	d, e := string(digest), string(envelop)
	finding := ledger.Finding{Reason: "ENV_MISMATCH", Rule: canary, Want: canary, Got: canary, Remedy: canary}
	host := ledger.HostEnrolled{Host: "h-1", Name: "web7", Key: canary, Products: []string{productA, productB}, Token: canary, State: "active"}
	suspended := ledger.HostEnrolled{Host: "h-1", Name: "web7", Key: canary, Products: []string{productA, productB}, State: "suspended", By: "adm"}
	decided := ledger.Decided{
		Decision: "d-1", Host: "h-1", Repository: "lib/a", Artifact: digest, Reasons: []ledger.Finding{finding},
		Record: 77777, Policy: envelop, Site: envelop, Epoch: 88888, Evidence: []attest.Digest{envelop},
	}
	allowed := decided
	allowed.Allow, allowed.Basis, allowed.Reasons = true, "environment", nil
	return []entry{
		{ledger.KindManifest, ledger.ManifestPut{Repository: "lib/a", Digest: digest, MediaType: "m", By: "pub"}, ManifestPut,
			`{"by":"pub","digest":"` + d + `","mediaType":"m","product":"` + productA + `","repository":"lib/a"}`},
		{ledger.KindTag, ledger.TagMoved{Repository: "lib/a", Tag: "v1", Digest: digest, By: "pub"}, TagMoved,
			`{"by":"pub","digest":"` + d + `","product":"` + productA + `","repository":"lib/a","tag":"v1"}`},
		{ledger.KindDelete, ledger.Deleted{Repository: "lib/a", Tag: "v1", By: "pub"}, TagDeleted,
			`{"by":"pub","product":"` + productA + `","repository":"lib/a","tag":"v1"}`},
		{ledger.KindDelete, ledger.Deleted{Repository: "lib/a", Digest: digest, By: "pub"}, ManifestDeleted,
			`{"by":"pub","digest":"` + d + `","product":"` + productA + `","repository":"lib/a"}`},
		{ledger.KindStatement, ledger.StatementAdmitted{Repository: "lib/a", Subject: digest, Referrer: digest, Bundle: envelop, Type: "t", By: "pub"}, StatementAdmitted,
			`{"bundle":"` + e + `","by":"pub","predicateType":"t","product":"` + productA + `","referrer":"` + d + `","repository":"lib/a","subject":"` + d + `"}`},
		{ledger.KindStatement, ledger.StatementAdmitted{Repository: "lib/a", Subject: digest, Bundle: envelop, Type: attest.TypeRevocation, By: "pub"}, RevocationTaken,
			`{"bundle":"` + e + `","by":"pub","predicateType":"` + attest.TypeRevocation + `","product":"` + productA + `","repository":"lib/a","subject":"` + d + `"}`},
		{ledger.KindStatement, ledger.StatementAdmitted{Repository: "lib/a", Subject: digest, Referrer: digest, Bundle: envelop, Type: attest.TypeRebuild, By: "reb"}, RebuildDissent,
			`{"bundle":"` + e + `","by":"reb","category":"code","got":"` + d + `","output":"` + e + `","product":"` + productA + `","referrer":"` + d + `","repository":"lib/a","result":"differs","subject":"` + d + `"}`},
		{ledger.KindDecision, decided, DecisionDenied,
			`{"artifact":"` + d + `","basis":"","decision":"d-1","host":"h-1","product":"` + productA + `","reasons":["ENV_MISMATCH"],"repository":"lib/a"}`},
		{ledger.KindDecision, allowed, DecisionAllowed,
			`{"artifact":"` + d + `","basis":"environment","decision":"d-1","host":"h-1","product":"` + productA + `","reasons":[],"repository":"lib/a"}`},
		{ledger.KindHost, host, HostEnrolled,
			`{"host":"h-1","name":"web7","products":["` + productA + `","` + productB + `"],"state":"active"}`},
		{ledger.KindHost, suspended, HostState,
			`{"by":"adm","host":"h-1","name":"web7","products":["` + productA + `","` + productB + `"],"state":"suspended"}`},
		{ledger.KindProduct, ledger.ProductAdded{Product: productA, Repository: "lib/a", By: "adm"}, ProductAdded,
			`{"by":"adm","product":"` + productA + `","repository":"lib/a"}`},
		{ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 3, Envelope: envelop, By: "adm"}, PolicyAccepted,
			`{"by":"adm","envelope":"` + e + `","version":3}`},
		{ledger.KindTUF, ledger.TUFAccepted{Version: 4, Roots: []attest.Digest{digest}, Targets: digest, Snapshot: envelop, Files: map[string]attest.Digest{canary: digest}, By: "adm"}, TUFAccepted,
			`{"by":"adm","roots":["` + d + `"],"snapshot":"` + e + `","targets":"` + d + `","version":4}`},
		{ledger.KindPrincipal, ledger.PrincipalAdded{Principal: canary, Name: canary, TokenMAC: canary, By: canary}, "", ""},
		{ledger.KindGrant, ledger.Granted{Principal: canary, Product: canary, Role: canary, By: canary}, "", ""},
		{ledger.KindToken, ledger.TokenMade{Token: canary, MAC: canary, Products: []string{canary}, Expires: time.Unix(0, 0).UTC(), By: canary}, "", ""},
		{ledger.KindChannel, ledger.ChannelTaken{Product: canary, Name: "stable", Version: 1, Bundle: digest, By: canary}, "", ""},
		{ledger.KindLint, ledger.Linted{Repository: canary, Digest: digest, Report: digest, Linter: canary, By: canary}, "", ""},
		{ledger.KindEmbargo, ledger.Embargoed{Product: canary, Patch: digest, Hosts: []string{canary}, By: canary}, "", ""},
		{ledger.KindEnded, ledger.PrincipalEnded{Principal: canary, By: canary}, "", ""},
		{ledger.KindBlob, ledger.BlobPut{Repository: canary, Digest: digest, Size: 1, By: canary}, "", ""},
		{ledger.KindBlobRemoved, ledger.BlobRemoved{Repository: canary, Digest: digest, By: canary}, "", ""},
		{ledger.KindHostRecord, ledger.HostRecorded{Host: canary, Sequence: 1, Envelope: digest}, "", ""},
		{ledger.KindUses, ledger.DecisionUses{Decision: canary, Uses: 1}, "", ""},
	}
}

// TestEventsSayThisAndNoMore holds the allow-list: every member of every event.
// Keys, token ids and MACs stay in the house.
func TestEventsSayThisAndNoMore(t *testing.T) {
	b := new(book)
	everyone := newTeller(config(b), Endpoint{})
	var seen []string
	for _, e := range entries() {
		r := b.add(t, e.kind, e.body)
		id, body, err := everyone.event(r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), canary) || strings.Contains(string(body), "7777") || strings.Contains(string(body), "8888") {
			t.Errorf("%s tells what it should not: %s", e.kind, body)
		}
		if e.want == "" {
			if id != "" {
				t.Errorf("%s is told: %s", e.kind, body)
			}
			continue
		}
		seen = append(seen, e.want)
		m := members(t, body)
		data, err := json.Marshal(m["data"])
		if err != nil {
			t.Fatal(err)
		}
		if m["type"] != typePrefix+e.want+".v1" || string(data) != e.sees {
			t.Errorf("%s: got %s with\n%s, want\n%s", e.want, m["type"], data, e.sees)
		}
	}
	if diff := cmp.Diff(Types(), seen, cmp.Transformer("sort", func(s []string) []string { return slices.Sorted(slices.Values(s)) })); diff != "" {
		t.Errorf("types without an entry: %s", diff)
	}
}

// TestEnvelope holds the members around the data, as CloudEvents 1.0 and its
// sequence extension have them.
func TestEnvelope(t *testing.T) {
	b := new(book)
	r := b.add(t, ledger.KindTag, ledger.TagMoved{Repository: "lib/a", Tag: "v1", Digest: digest, By: "pub"})
	id, body, err := newTeller(config(b), Endpoint{}).event(r)
	if err != nil {
		t.Fatal(err)
	}
	m := members(t, body)
	delete(m, "data")
	want := map[string]any{
		"specversion": "1.0", "id": id, "source": "https://patches.example.org/journal", "type": "com.github.patchfit.tag.moved.v1",
		"subject": "lib/a:v1", "time": "2026-07-01T12:00:00Z", "sequence": "0000000000000001", "datacontenttype": "application/json",
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	if !regexp.MustCompile(`^1-tag-[0-9a-f]{8}$`).MatchString(id) {
		t.Errorf("id %q", id)
	}
}

func TestFilters(t *testing.T) {
	for name, tc := range map[string]struct {
		types, products []string
		want            []string
	}{
		"everything":   {nil, nil, Types()},
		"by type":      {[]string{DecisionDenied, TagMoved}, nil, []string{TagMoved, DecisionDenied}},
		"its product":  {nil, []string{productA}, Types()},
		"another's":    {nil, []string{productB}, []string{HostEnrolled, HostState, PolicyAccepted, TUFAccepted}},
		"nobody's":     {nil, []string{"none"}, []string{PolicyAccepted, TUFAccepted}},
		"both filters": {[]string{TagMoved, HostState}, []string{productB}, []string{HostState}},
	} {
		b := new(book)
		teller := newTeller(config(b), Endpoint{Types: tc.types, Products: tc.products})
		var got []string
		for _, e := range entries() {
			id, body, err := teller.event(b.add(t, e.kind, e.body))
			if err != nil {
				t.Fatal(err)
			}
			if id != "" {
				got = append(got, e.want)
			}
			if len(tc.products) > 0 && tc.products[0] == productB && strings.Contains(string(body), productA) {
				t.Errorf("%s: tells of another product: %s", name, body)
			}
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(tc.want))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestSpecification holds the table of docs/spec/notifications.md against the
// code: each type with the members of its data, in order.
func TestSpecification(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, data := range map[string]any{
		ManifestPut: manifestData{}, ManifestDeleted: manifestData{}, TagMoved: tagData{}, TagDeleted: tagData{},
		StatementAdmitted: statementData{}, RevocationTaken: statementData{}, DecisionAllowed: decisionData{}, DecisionDenied: decisionData{},
		HostEnrolled: hostData{}, HostState: hostData{}, ProductAdded: productData{}, PolicyAccepted: policyData{}, TUFAccepted: tufData{},
	} {
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + regexp.QuoteMeta(kind) + "`[^|]*\\|[^|]*\\|([^|]*)\\|$").FindSubmatch(page)
		if row == nil {
			t.Errorf("no row for %s", kind)
			continue
		}
		var documented, coded []string
		for _, m := range regexp.MustCompile("`([a-zA-Z]+)`").FindAllSubmatch(row[1], -1) {
			documented = append(documented, string(m[1]))
		}
		for f := range reflect.TypeOf(data).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			coded = append(coded, name)
		}
		if diff := cmp.Diff(coded, documented); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
}

// dissent is the rebuild that the bundle envelop is about; that of digest was
// reproduced.
func dissent(bundle attest.Digest) *attest.Rebuild {
	switch bundle {
	case envelop:
		return &attest.Rebuild{
			Product: canary, Result: attest.Differs, Category: "code", Explanation: canary, Output: envelop,
			Compared: &attest.Compared{File: attest.Pair{Wanted: canary, Got: digest}}, Run: attest.Run{ID: canary, Builder: canary},
		}
	case digest:
		return &attest.Rebuild{Result: attest.Reproduced}
	}
	return nil
}

// A rebuild is told of as one where it came out otherwise; else it is a statement.
func TestRebuildsThatAgreeAreStatements(t *testing.T) {
	b := new(book)
	for _, bundle := range []attest.Digest{digest, attest.DigestOf(nil)} {
		r := b.add(t, ledger.KindStatement, ledger.StatementAdmitted{Repository: "lib/a", Subject: digest, Bundle: bundle, Type: attest.TypeRebuild, By: "reb"})
		f, err := newTeller(config(b), Endpoint{}).fact(r)
		if err != nil || f.kind != StatementAdmitted {
			t.Errorf("of %s: %+v, %v", bundle, f, err)
		}
	}
	c := config(b)
	c.Rebuild = nil
	r := b.add(t, ledger.KindStatement, ledger.StatementAdmitted{Repository: "lib/a", Subject: digest, Bundle: envelop, Type: attest.TypeRebuild, By: "reb"})
	if f, err := newTeller(c, Endpoint{}).fact(r); err != nil || f.kind != StatementAdmitted {
		t.Errorf("where nobody knows rebuilds: %+v, %v", f, err)
	}
}
