package attest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// goodRebuild is a rebuild that came out otherwise: the one that has most to say.
func goodRebuild() *attest.Rebuild {
	r := &attest.Rebuild{
		Product: productID, Environment: digest("environment"), Result: attest.Differs, Category: "build-path",
		Explanation: "differs only in build-id: built at another path",
		Compared: &attest.Compared{
			File:             attest.Pair{Wanted: patchFile.Digest, Got: digest("what came out")},
			WithoutSignature: &attest.Pair{Wanted: digest("unsigned"), Got: digest("what came out")},
			WithoutDebug:     &attest.Pair{Wanted: digest("stripped"), Got: digest("what came out, stripped")},
			Code:             &attest.Pair{Wanted: digest("code"), Got: digest("code")},
		},
		Log: digest("log"), Output: digest("rebuild manifest"),
		Independence: attest.Independence{Operator: "acme", Hosting: "acme-north", Toolchain: "debian-12"},
	}
	r.Run = attest.Run{
		ID: "run-17", Builder: "https://rebuilder.example/one",
		StartedOn:  time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC),
		FinishedOn: time.Date(2026, 3, 1, 11, 0, 9, 0, time.UTC),
	}
	return r
}

func goodAdjudication() *attest.Adjudication {
	return &attest.Adjudication{
		Product: productID, Verdict: attest.DissentDismissed, Outputs: []attest.Digest{digest("what came out")},
		Reason: "the file differs in its build-id alone",
	}
}

// rebuildVectors are about rebuild/v1: each result has what it has to have, and
// nothing of another one.
func rebuildVectors(t *testing.T) []vector {
	good := statementBytes(t, "rebuild")
	with := func(change func(*attest.Rebuild)) []byte {
		r := goodRebuild()
		change(r)
		b, err := attest.NewStatement(attest.TypeRebuild, []attest.Subject{{Name: "lib/demo", Digest: digest("patch manifest")}, {Name: "fix.so", Digest: patchFile.Digest}}, r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	reproduced := with(func(r *attest.Rebuild) {
		r.Result, r.Category, r.Explanation, r.Output = attest.Reproduced, "", "", ""
		r.Compared = &attest.Compared{File: attest.Pair{Wanted: patchFile.Digest, Got: patchFile.Digest}}
	})
	signed := with(func(r *attest.Rebuild) {
		r.Result, r.Category, r.Explanation = attest.Reproduced, "", ""
		r.Compared.WithoutSignature = &attest.Pair{Wanted: digest("unsigned"), Got: digest("unsigned")}
		r.Compared.WithoutDebug = nil
	})
	equivalent := with(func(r *attest.Rebuild) {
		r.Result, r.Normaliser = attest.Equivalent, &attest.Normaliser{Name: "strip-nondeterminism", Digest: digest("normaliser")}
	})
	failed := with(func(r *attest.Rebuild) {
		r.Result, r.Category, r.Compared, r.Output = attest.BuildFailed, "timeout", nil, ""
	})
	untried := with(func(r *attest.Rebuild) {
		r.Result, r.Category, r.Compared, r.Log, r.Output = attest.NotAttempted, "source-missing", nil, "", ""
	})
	pair := func(wanted, got string) string {
		return `{"got":"` + string(digest(got)) + `","wanted":"` + string(digest(wanted)) + `"}`
	}
	log, output := `"log":"`+string(digest("log"))+`",`, `"output":"`+string(digest("rebuild manifest"))+`",`
	alike := `{"got":"` + string(patchFile.Digest) + `","wanted":"` + string(patchFile.Digest) + `"}`
	file := `{"got":"` + string(digest("what came out")) + `","wanted":"` + string(patchFile.Digest) + `"}`
	list := edits(t, "statement", "rebuild", good, []edited{
		{"differs-of-another-file", `{"sha256":"` + patchFile.Digest.Hex() + `"}`, `{"sha256":"` + digest("other").Hex() + `"}`, "/subject/1: " + string(digest("other")) + " is not the file it was compared with " + string(patchFile.Digest)},
		{"differs-and-is-alike", `"file":` + file, `"file":` + alike, "/predicate/compared/withoutSignature: differs, where what it is a part of is alike"},
		{"differs-and-is-alike-unsigned", pair("unsigned", "what came out"), pair("unsigned", "unsigned"), "/predicate/compared/withoutDebug: differs, where what it is a part of is alike"},
		{"differs-without-category", `"category":"build-path",`, ``, "/predicate/category: missing: why is it differs?"},
		{"differs-without-output", output, ``, accepted},
		{"differs-without-log", log, ``, "/predicate/log: missing: a build that ran has one"},
		{"differs-without-compared", goodCompared(t), ``, "/predicate/compared: missing: what is differs was compared"},
		{"differs-with-normaliser", `"output":`, `"normaliser":{"digest":"` + string(digest("normaliser")) + `","name":"strip"},"output":`, "/predicate/normaliser: there, and nothing is normalised where the result is differs"},
		{"category-two-words", `"build-path"`, `"build path"`, `/predicate/category: "build path" is not a lower-case word`},
		{"explanation-two-lines", `build-id: built`, `build-id:\nbuilt`, `/predicate/explanation: "differs only in build-id:\nbuilt at another path" holds characters that do not print`},
		{"result-unknown", `"result":"differs"`, `"result":"same"`, `/predicate/result: "same" is not "reproduced" or "equivalent" or "differs" or "build-failed" or "not-attempted"`},
		{"result-in-upper-case", `"result":"differs"`, `"result":"Differs"`, `/predicate/result: "Differs" is not "reproduced" or "equivalent" or "differs" or "build-failed" or "not-attempted"`},
		{"file-got-not-a-digest", file, `{"got":"none","wanted":"` + string(patchFile.Digest) + `"}`, `/predicate/compared/file/got: digest "none" is not sha256: and 64 lower-case hex digits`},
		{"run-id-empty", `"run-17"`, `""`, "/predicate/run/id: empty"},
		{"builder-not-a-uri", `https://rebuilder.example/one`, `one`, `/predicate/run/builder: "one" is not a URI`},
		{"finished-before-started", `11:00:09Z`, `10:59:59Z`, "/predicate/run/finishedOn: 2026-03-01T10:59:59Z is before startedOn"},
		{"operator-in-upper-case", `"operator":"acme"`, `"operator":"Acme"`, `/predicate/independence/operator: "Acme" is not a lower-case word`},
		{"class-unknown", `"operator":"acme"`, `"country":"de","operator":"acme"`, "/predicate/independence/country: unknown member"},
		{"product-not-uuid", productID, `libdemo`, `/predicate/product: "libdemo" is not a lower-case UUID`},
		{"unknown-member", `"result":"differs"`, `"result":"differs","score":1`, "/predicate/score: unknown member"},
		{"one-subject", `,{"digest":{"sha256":"` + patchFile.Digest.Hex() + `"},"name":"fix.so"}`, ``, "/subject: 1 subjects, want 2"},
	})
	boast := edit(t, edit(t, good, `"category":"build-path",`, ``), `"result":"differs"`, `"result":"reproduced"`)
	list = append(list, vector{name: "rebuild-reproduced-and-is-not-alike.txt", kind: "statement", expect: "/predicate/compared: the files are alike: false, the result is reproduced", data: boast})
	list = append(list, missing(t, "statement", "rebuild", good, "", "/_type", "/predicateType", "/subject",
		"/predicate/category", "/predicate/explanation", "/predicate/compared", "/predicate/log", "/predicate/output",
		"/predicate/independence", "/predicate/run/startedOn", "/predicate/run/finishedOn")...)
	list = append(list, edits(t, "statement", "rebuild-reproduced", reproduced, []edited{
		{"good", "", "", accepted},
		{"with-category", `"compared":`, `"category":"path","compared":`, `/predicate/category: "path", and what is reproduced has none`},
		{"with-differing-code", `"compared":{`, `"compared":{"code":` + pair("code", "other code") + `,`, "/predicate/compared/code: differs, where what it is a part of is alike"},
		{"of-build-failed", `"result":"reproduced"`, `"category":"timeout","result":"build-failed"`, "/predicate/compared: there, and with build-failed nothing came out to compare"},
		{"of-differs", `"result":"reproduced"`, `"category":"timeout","result":"differs"`, "/predicate/compared: the files are alike: true, the result is differs"},
	})...)
	list = append(list, vector{name: "rebuild-reproduced-but-for-the-signature.txt", kind: "statement", expect: accepted, data: signed})
	list = append(list, edits(t, "statement", "rebuild-equivalent", equivalent, []edited{
		{"good", "", "", accepted},
		{"without-normaliser", `"normaliser":{"digest":"` + string(digest("normaliser")) + `","name":"strip-nondeterminism"},`, ``, "/predicate/normaliser: missing: under what is it equivalent?"},
		{"normaliser-without-digest", `"digest":"` + string(digest("normaliser")) + `",`, ``, "/predicate/normaliser/digest: missing"},
		{"normaliser-without-name", `,"name":"strip-nondeterminism"`, ``, "/predicate/normaliser/name: missing"},
		{"and-alike", `"result":"equivalent"`, `"result":"reproduced"`, `/predicate/category: "build-path", and what is reproduced has none`},
	})...)
	list = append(list, edits(t, "statement", "rebuild-failed", failed, []edited{
		{"good", "", "", accepted},
		{"without-category", `"category":"timeout",`, ``, "/predicate/category: missing: why is it build-failed?"},
		{"without-log", log, ``, "/predicate/log: missing: a build that ran has one"},
	})...)
	return append(list, edits(t, "statement", "rebuild-not-attempted", untried, []edited{
		{"good", "", "", accepted},
		{"with-output", `"result":"not-attempted"`, output + `"result":"not-attempted"`, "/predicate/output: there, and nothing was built"},
	})...)
}

func goodCompared(t *testing.T) string {
	return `"compared":` + string(canonical(t, goodRebuild().Compared)) + `,`
}

func adjudicationVectors(t *testing.T) []vector {
	good := statementBytes(t, "adjudication")
	out := `"` + string(digest("what came out")) + `"`
	list := edits(t, "statement", "adjudication", good, []edited{
		{"upheld", `"dismissed"`, `"upheld"`, accepted},
		{"verdict-unknown", `"dismissed"`, `"unclear"`, `/predicate/verdict: "unclear" is not "dismissed" or "upheld"`},
		{"of-nothing", `[` + out + `]`, `[]`, "/predicate/outputs: none: what is decided?"},
		{"output-twice", out, out + "," + out, "/predicate/outputs/1: " + strings.Trim(out, `"`) + " does not sort after the element before it"},
		{"output-not-a-digest", out, `"out"`, `/predicate/outputs/0: digest "out" is not sha256: and 64 lower-case hex digits`},
		{"output-of-the-artifact", out, `"` + string(patchFile.Digest) + `"`, "/subject/1: " + string(patchFile.Digest) + ", the artifact's own file, is output 0"},
		{"reason-empty", `"the file differs in its build-id alone"`, `""`, "/predicate/reason: empty"},
		{"unknown-member", `"verdict"`, `"until":"2026","verdict"`, "/predicate/until: unknown member"},
	})
	return append(list, missing(t, "statement", "adjudication", good, "", "/_type", "/predicateType", "/subject")...)
}

// quorumVectors are about what a trust policy asks of rebuilders.
func quorumVectors(t *testing.T) []vector {
	p := goodPolicy(t)
	p.Signers[0].Independence = attest.Independence{Operator: "acme", Hosting: "north", Toolchain: "debian"}
	p.Signers[1].Independence = attest.Independence{Operator: "initech", Hosting: "south", Toolchain: "debian"}
	p.Products[0].Authorities[attest.RoleRebuilder] = []string{p.Signers[0].Name, p.Signers[1].Name}
	p.Products[0].Authorities[attest.RoleAdjudicator] = []string{p.Signers[1].Name}
	p.Products[0].Rebuilds = attest.Rebuilds{
		Base:  &attest.Quorum{Reproduced: 1, Differ: []string{}},
		Patch: &attest.Quorum{Reproduced: 2, Differ: []string{attest.ClassHosting}},
	}
	asked := `"patch":{"differ":["hosting"],"reproduced":2}`
	return edits(t, "trust-policy", "trust-policy-rebuilds", policyBytes(t, p), []edited{
		{"good", "", "", accepted},
		{"of-the-base-alone", `,` + asked, ``, accepted},
		{"of-nothing", `"rebuilds":{"base":{"differ":[],"reproduced":1},` + asked + `}`, `"rebuilds":{}`, accepted},
		{"none-wanted", `"reproduced":2`, `"reproduced":0`, "/products/0/rebuilds/patch/reproduced: 0, want at least 1"},
		{"more-than-there-are", `"reproduced":2`, `"reproduced":3`, "/products/0/rebuilds/patch/reproduced: 3, and the signers with role rebuilder are of 2 different operators: nothing would ever go out"},
		{"of-one-toolchain", `["hosting"]`, `["hosting","toolchain"]`, "/products/0/rebuilds/patch/reproduced: 2, and the signers with role rebuilder are of 1 different toolchains: nothing would ever go out"},
		{"class-unknown", `["hosting"]`, `["country"]`, `/products/0/rebuilds/patch/differ/0: "country" is not "hosting" or "toolchain"`},
		{"class-twice", `["hosting"]`, `["hosting","hosting"]`, `/products/0/rebuilds/patch/differ/1: repeats element 0, "hosting"`},
		{"without-classes", `"differ":["hosting"],`, ``, "/products/0/rebuilds/patch/differ: missing"},
		{"of-an-environment", asked, `"environment":{"differ":[],"reproduced":1}`, "/products/0/rebuilds/environment: unknown member"},
		{"operator-unsaid", `"operator":"initech",`, ``, `/products/0/rebuilds/base: signer "` + p.Signers[1].Name + `" has role rebuilder and no operator`},
		{"hosting-unsaid", `"hosting":"south",`, ``, `/products/0/rebuilds/patch: signer "` + p.Signers[1].Name + `" has role rebuilder and no hosting`},
		{"one-operator", `"operator":"initech"`, `"operator":"acme"`, "/products/0/rebuilds/patch/reproduced: 2, and the signers with role rebuilder are of 1 different operators: nothing would ever go out"},
		{"operator-in-upper-case", `"operator":"acme"`, `"operator":"ACME"`, `/signers/0/independence/operator: "ACME" is not a lower-case word`},
		{"nobody-rebuilds", `"rebuilder":["` + p.Signers[0].Name + `","` + p.Signers[1].Name + `"],`, ``, "/products/0/rebuilds/base/reproduced: 1, and the signers with role rebuilder are of 0 different operators: nothing would ever go out"},
	})
}
