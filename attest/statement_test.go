package attest_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/patchfit/patchfit/attest"
)

func TestNewStatementReadsBack(t *testing.T) {
	for _, s := range goodStatements(t) {
		t.Run(s.name, func(t *testing.T) {
			got, err := attest.ParseStatement(statementBytes(t, s.name))
			if err != nil {
				t.Fatal(err)
			}
			want := &attest.Statement{Subjects: s.subjects, Type: s.typ, Predicate: s.predicate}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("statement differs (-want +got):\n%s", diff)
			}
			product := ""
			if !strings.Contains("environment host-record unknown", s.name) {
				product = productID
			}
			if got.Product() != product {
				t.Errorf("product is %q, want %q", got.Product(), product)
			}
		})
	}
}

func TestNewStatementRefuses(t *testing.T) {
	one := []attest.Subject{{Name: "x", Digest: digest("x")}}
	two := []attest.Subject{{Digest: digest("manifest")}, {Digest: baseFile.Digest}}
	local := goodRecord()
	local.Time = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	fraction := goodRecord()
	fraction.Time = fraction.Time.Add(time.Millisecond)
	noTime := goodRecord()
	noTime.Time = time.Time{}
	for _, tt := range []struct {
		name      string
		typ       string
		subjects  []attest.Subject
		predicate any
		want      string
	}{
		{"another predicate", attest.TypeBase, two, goodPatch(), "/predicate/base: unknown member"},
		{"zero predicate", attest.TypeBase, two, new(attest.Base), "/predicate/environment: digest"},
		{"no predicate", attest.TypeBase, two, nil, "null is not allowed"},
		{"nil predicate", attest.TypeBase, two, (*attest.Base)(nil), "null is not allowed"},
		{"no JSON", "https://example.com/x/v1", one, attest.Unknown("{"), "unexpected EOF"},
		{"empty unknown", "https://example.com/x/v1", one, attest.Unknown(nil), "null is not allowed"},
		{"no type", "", one, attest.Unknown("{}"), "/predicateType: empty"},
		{"no subject", attest.TypeBase, nil, goodBase(), "/subject: 0 subjects, want 1 to 64"},
		{"one subject of two", attest.TypeBase, two[:1], goodBase(), "/subject: 1 subjects, want 2"},
		{"subject without digest", attest.TypeBase, []attest.Subject{{Name: "x"}, two[1]}, goodBase(), "/subject/0/digest/sha256"},
		{"subjects in another order", attest.TypeBase, []attest.Subject{two[1], two[0]}, goodBase(), "/subject/1: sha256:"},
		{"local time", attest.TypeHostRecord, one, local, "/predicate/time: "},
		{"fraction of a second", attest.TypeHostRecord, one, fraction, "/predicate/time: 2026-03-01T12:00:00.001Z is not in whole seconds"},
		{"no time", attest.TypeHostRecord, one, noTime, "/predicate/time: no time"},
		{"too large", "https://example.com/x/v1", one, attest.Unknown(`"` + strings.Repeat("x", attest.MaxStatement) + `"`), "exceeds the limit of 524288"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := attest.NewStatement(tt.typ, tt.subjects, tt.predicate)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s, %v; want an error that says %q", b, err, tt.want)
			}
		})
	}
}

func TestNewStatementIsCanonical(t *testing.T) {
	b := statementBytes(t, "base")
	again, err := attest.NewStatement(attest.TypeBase, goodStatements(t)[1].subjects, goodBase())
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("the same statement has other bytes: %s (%v)", again, err)
	}
	if !bytes.Equal(b, canonical(t, parsed(t, b))) {
		t.Errorf("not canonical: %s", b)
	}
}

func TestSubjectWithoutName(t *testing.T) {
	b, err := attest.NewStatement(attest.TypeHostRecord, []attest.Subject{{Digest: digest("key")}}, goodRecord())
	if err != nil {
		t.Fatal(err)
	}
	s, err := attest.ParseStatement(b)
	if err != nil || s.Subjects[0].Name != "_" {
		t.Errorf("subjects %v (%v), want the name _", s, err)
	}
}

func TestUnknownIsKeptAsItCame(t *testing.T) {
	b := edit(t, statementBytes(t, "unknown"), `{"any":"thing"}`, `{ "z": 1,  "a": 1.50 }`)
	s, err := attest.ParseStatement(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Predicate.(attest.Unknown); !ok || string(got) != `{ "z": 1,  "a": 1.50 }` {
		t.Errorf("predicate is %T %s", s.Predicate, s.Predicate)
	}
}

func TestDependency(t *testing.T) {
	p := goodProvenance()
	deps := &p.BuildDefinition.ResolvedDependencies
	*deps = append(*deps,
		attest.ResourceDescriptor{Name: "twice", Digest: map[string]string{"sha256": digest("a").Hex()}},
		attest.ResourceDescriptor{Name: "twice", Digest: map[string]string{"sha256": digest("a").Hex()}},
		attest.ResourceDescriptor{Name: "git", Digest: map[string]string{"gitCommit": "c0ffee"}},
		attest.ResourceDescriptor{Name: "odd", Digest: map[string]string{"sha256": "c0ffee"}},
		attest.ResourceDescriptor{Name: "bare"},
	)
	for name, want := range map[string]attest.Digest{
		attest.DependencyEnvironment: digest("environment"), attest.DependencyBuilder: digest("builder manifest"),
		"twice": "", "git": "", "odd": "", "bare": "", "nothing": "", "": "", "Environment": "",
	} {
		if got, ok := p.Dependency(name); got != want || ok != (want != "") {
			t.Errorf("dependency %q is %q, %v; want %q", name, got, ok, want)
		}
	}
}

// cosign attest writes the older header. What is only kept may have it; what is
// evidence may not.
func TestOlderStatementsAreOnlyKept(t *testing.T) {
	older := func(typ string, predicate any) string {
		b, err := attest.NewStatement(typ, []attest.Subject{{Digest: digest("a")}, {Digest: digest("b")}}, predicate)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(string(b), attest.StatementType, "https://in-toto.io/Statement/v0.1", 1)
	}
	if s, err := attest.ParseStatement([]byte(older("https://example.com/review/v1", attest.Unknown(`{"by":"two"}`)))); err != nil || string(s.Predicate.(attest.Unknown)) != `{"by":"two"}` {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, typ := range []string{attest.TypeProvenance, attest.TypeBase, attest.TypeRevocation} {
		known := strings.Replace(older("https://example.com/review/v1", attest.Unknown(`{}`)), "https://example.com/review/v1", typ, 1)
		if s, err := attest.ParseStatement([]byte(known)); err == nil || s != nil || !strings.Contains(err.Error(), "/_type") {
			t.Errorf("%s: got %+v, %v", typ, s, err)
		}
	}
}

func TestSizeLimits(t *testing.T) {
	big := func(n int) []byte { return bytes.Repeat([]byte(" "), n+1) }
	for name, err := range map[string]error{
		"environment":  second(attest.ParseEnvironment(big(attest.MaxEnvironment))),
		"statement":    second(attest.ParseStatement(big(attest.MaxStatement))),
		"envelope":     second(attest.ParseEnvelope(big(attest.MaxEnvelope), attest.PayloadType)),
		"bundle":       second(attest.ParseBundle(big(attest.MaxBundle))),
		"trust policy": second(attest.ParseTrustPolicy(big(attest.MaxTrustPolicy))),
	} {
		if err == nil || !strings.Contains(err.Error(), "exceeds the limit") {
			t.Errorf("%s above its limit: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
