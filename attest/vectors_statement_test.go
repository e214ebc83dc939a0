package attest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// statementVectors are about what is around a predicate.
func statementVectors(t *testing.T) []vector {
	var list []vector
	for _, s := range goodStatements(t) {
		good := statementBytes(t, s.name)
		list = append(list, vector{name: "statement-" + s.name + "-good.txt", kind: "statement", expect: accepted, data: good})
	}
	good := statementBytes(t, "revocation")
	subject := fmt.Sprintf(`{"digest":{"sha256":"%s"},"name":"lib/demo"}`, digest("patch manifest").Hex())
	list = append(list, edits(t, "statement", "statement", good, []edited{
		{"spaces", `"predicateType":`, ` "predicateType" : `, accepted},
		{"type-v0.1", `"https://in-toto.io/Statement/v1"`, `"https://in-toto.io/Statement/v0.1"`, `/_type: "https://in-toto.io/Statement/v0.1" is not "https://in-toto.io/Statement/v1"`},
		{"type-in-another-case", `"_type"`, `"_Type"`, "/_Type: unknown member"},
		{"type-twice", `"_type"`, `"_type":"https://in-toto.io/Statement/v1","_type"`, "/_type: duplicate object member name"},
		{"predicate-twice", `"predicate":`, `"predicate":{},"predicate":`, "/predicate: duplicate object member name"},
		{"unknown-member", `"_type"`, `"note":"","_type"`, "/note: unknown member"},
		{"predicate-type-empty", attest.TypeRevocation, ``, "/predicateType: empty"},
		{"predicate-type-of-another", attest.TypeRevocation, attest.TypeBase, "/predicate/digest: unknown member"},
		{"predicate-type-control-character", attest.TypeRevocation, `\u0007`, `/predicateType: "\a" holds characters that do not print`},
		{"predicate-not-object", string(predicateOf(good)), `[]`, "/predicate: array cannot be read as attest.Revocation"},
		{"predicate-null", string(predicateOf(good)), `null`, "/predicate: null is not allowed"},
		{"subject-none", subject, ``, "/subject: 0 subjects, want 1 to 64"},
		{"subject-null", subject, `null`, "/subject/0: null is not allowed"},
		{"subject-twice", subject, subject + "," + subject, `/subject/1: repeats element 0, "sha256:6b377756ef0271b942f9275c0c391c2d72a05deac4cb6652bdcc6751e18b5b1b"`},
		{"subject-extra", subject, subject + "," + strings.Replace(subject, digest("patch manifest").Hex(), digest("other").Hex(), 1), "/subject: 2 subjects, want 1"},
		{"subject-name-empty", `"name":"lib/demo"`, `"name":""`, "/subject/0/name: empty"},
		{"subject-name-newline", `"name":"lib/demo"`, `"name":"lib\ndemo"`, `/subject/0/name: "lib\ndemo" holds characters that do not print`},
		{"subject-unknown-member", `"name":"lib/demo"`, `"name":"lib/demo","uri":"x"`, "/subject/0/uri: unknown member"},
		{"subject-second-algorithm", `"sha256":`, `"sha1":"00","sha256":`, "/subject/0/digest/sha1: unknown member"},
		{"subject-digest-empty", subject, `{"digest":{"sha256":""},"name":"x"}`, `/subject/0/digest/sha256: "" is not 64 lower-case hex digits`},
		{"subject-digest-prefixed", subject, `{"digest":{"sha256":"` + string(digest("patch manifest")) + `"},"name":"x"}`, `/subject/0/digest/sha256: "sha256:6b377756ef0271b942f9275c0c391c2d72a05deac4cb6652bdcc6751e18b5b1b" is not 64 lower-case hex digits`},
		{"subject-digest-upper-case", subject, strings.Replace(subject, digest("patch manifest").Hex(), strings.ToUpper(digest("patch manifest").Hex()), 1), `/subject/0/digest/sha256: "6B377756EF0271B942F9275C0C391C2D72A05DEAC4CB6652BDCC6751E18B5B1B" is not 64 lower-case hex digits`},
		{"subject-not-the-revoked", subject, strings.Replace(subject, digest("patch manifest").Hex(), digest("other").Hex(), 1), "/subject/0: sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa is not the revoked digest sha256:6b377756ef0271b942f9275c0c391c2d72a05deac4cb6652bdcc6751e18b5b1b"},
	})...)
	list = append(list, missing(t, "statement", "statement", good, "", "/predicate")...)
	list = append(list, vector{name: "statement-missing.predicate.txt", kind: "statement", expect: "/predicate: missing", data: without(t, good, "predicate")})
	return append(list,
		vector{name: "statement-trailing-data.txt", kind: "statement", expect: "trailing data after the document at byte 443", data: append(good[:len(good):len(good)], good...)},
		vector{name: "statement-empty.txt", kind: "statement", expect: "empty document"},
		tooDeep(t),
	)
}

func without(t *testing.T, b []byte, member string) []byte {
	tree := parsed(t, b)
	remove(tree, []string{member})
	return canonical(t, tree)
}

// predicateOf returns the bytes of the predicate in a statement we made.
func predicateOf(statement []byte) []byte {
	_, rest, _ := strings.Cut(string(statement), `"predicate":`)
	p, _, _ := strings.Cut(rest, `,"predicateType":`)
	return []byte(p)
}

func tooDeep(t *testing.T) vector {
	good := statementBytes(t, "unknown")
	deep := strings.Repeat("[", 32) + strings.Repeat("]", 32)
	return vector{name: "statement-too-deep.txt", kind: "statement", expect: "/predicate/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0: nested deeper than 32", data: edit(t, good, `{"any":"thing"}`, deep)}
}

// predicateVectors are about what is in a predicate of ours. Each edit leaves
// the subjects right.
func predicateVectors(t *testing.T) []vector {
	var list []vector
	for name, e := range map[string][]edited{
		"environment": environmentStatementEdits(), "base": baseEdits(), "livepatch": patchEdits(),
		"host-record": recordEdits(), "revocation": revocationEdits(), "channel": channelEdits(),
		"import": importEdits(), "import-patch": importedPatchEdits(), "equivalence": equivalenceEdits(), "equivalence-unobserved": reconstructionEdits(),
	} {
		good := statementBytes(t, name)
		list = append(list, edits(t, "statement", name, good, e)...)
		if name != "environment" { // those are vectors of kind environment
			list = append(list, missing(t, "statement", name, good, "", append(optionalOf(name), "/_type", "/predicateType", "/subject", "/predicate/nothing")...)...)
		}
	}
	return list
}

func environmentStatementEdits() []edited {
	return []edited{
		{"statement-predicate-not-canonical", `"flags":[`, `"flags": [`, "/predicate: not in canonical form (RFC 8785)"},
		{"statement-subject-is-another", `"-O2"`, `"-O3"`, "/subject/1: sha256:1ce8ae5eb264e9773ac778f6f224937f3cc326cfbfc82aa1fd5de8812f086c52 is not the environment digest sha256:ebd9f8bfdc3e943ccba6dedf1dc80012243eb89e8684fb82b0a69c0eca60ad66"},
		{"statement-predicate-incomplete", `"wordSize":64`, `"wordSize":48`, "/predicate/target/wordSize: 48 is not 32 or 64"},
	}
}

func baseEdits() []edited {
	file, build := string(baseFile.Digest), `"buildId":"`+measured.BuildID+`"`
	return []edited{
		{"big-endian", `"little"`, `"big"`, accepted},
		{"product-not-uuid", productID, `libdemo`, `/predicate/product: "libdemo" is not a lower-case UUID`},
		{"product-upper-case", productID, strings.ToUpper(productID), `/predicate/product: "6F0F6C1E-7F0A-4C57-9D1B-2F6F4F1F7A10" is not a lower-case UUID`},
		{"product-zero", productID, `00000000-0000-0000-0000-000000000000`, `/predicate/product: "00000000-0000-0000-0000-000000000000" is not a lower-case UUID`},
		{"product-urn", productID, `urn:uuid:` + productID, `/predicate/product: "urn:uuid:6f0f6c1e-7f0a-4c57-9d1b-2f6f4f1f7a10" is not a lower-case UUID`},
		{"kind-unknown", `"elf-library"`, `"elf-kernel"`, `/predicate/kind: "elf-kernel" is not "elf-library" or "elf-executable" or "kernel" or "kernel-module"`},
		{"file-empty", `"size":16384`, `"size":0`, "/predicate/file/size: 0 is not between 1 and 9007199254740991"},
		{"file-size-negative", `"size":16384`, `"size":-1`, "/predicate/file/size: -1 is not between 1 and 9007199254740991"},
		{"file-size-beyond-doubles", `"size":16384`, `"size":9007199254740993`, "/predicate/file/size: number 9007199254740993 is not exact in every reader"},
		{"file-not-the-subject", `{"sha256":"` + baseFile.Digest.Hex() + `"}`, `{"sha256":"` + digest("other").Hex() + `"}`, "/subject/1: sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa is not the base's file sha256:f107a5f16cf6c8dee164f7eefaf1683b73517cc99fdf43b12c31a1891027fa58"},
		{"environment-not-a-digest", string(digest("environment")), `none`, `/predicate/environment: digest "none" is not sha256: and 64 lower-case hex digits`},
		{"no-measurement", `[{` + build + `,"digest":"` + file + `","kind":"elf-file"}]`, `[]`, "/predicate/measurements: a base without a measurement cannot be recognised"},
		{"measurement-twice", `{` + build + `,"digest":"` + file + `","kind":"elf-file"}`, `{` + build + `,"digest":"` + file + `","kind":"elf-file"},{` + build + `,"digest":"` + file + `","kind":"elf-file"}`, `/predicate/measurements/1: repeats element 0, "{elf-file sha256:f107a5f16cf6c8dee164f7eefaf1683b73517cc99fdf43b12c31a1891027fa5"`},
		{"measurement-of-another-file", build + `,"digest":"` + file, build + `,"digest":"` + string(digest("other")), "/predicate/measurements/0/digest: sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa is not the base's file sha256:f107a5f16cf6c8dee164f7eefaf1683b73517cc99fdf43b12c31a1891027fa58, which is what a mapped elf-file is"},
		{"measurement-kind-unknown", `"elf-file"`, `"kernel-uname"`, `/predicate/measurements/0/kind: "kernel-uname" is not "elf-file" or "kernel-notes" or "kernel-btf" or "module-notes"`},
		{"measurement-of-another-kind", `"elf-file"`, `"kernel-notes"`, `/predicate/measurements/0/kind: "kernel-notes" is nothing a host measures of a base of kind "elf-library"`},
		{"executable", `"elf-library"`, `"elf-executable"`, accepted},
		{"kernel-without-notes", `"elf-library","measurements":[{` + build + `,"digest":"` + file + `","kind":"elf-file"}]`,
			`"kernel","measurements":[{` + build + `,"digest":"` + file + `","kind":"kernel-btf"}]`, `/predicate/measurements: no kernel-notes, which every host takes of a base of kind "kernel"`},
		{"kernel", `"elf-library","measurements":[{` + build + `,"digest":"` + file + `","kind":"elf-file"}]`,
			`"kernel","measurements":[{` + build + `,"digest":"` + string(digest("notes")) + `","kind":"kernel-notes"},{` + build + `,"digest":"` + string(digest("BTF")) + `","kind":"kernel-btf"}]`, accepted},
		{"measurement-build-id-empty", build, `"buildId":""`, `/predicate/measurements/0/buildId: "" is not a build-id in lower-case hex`},
		{"unknown-member", `"kind":"elf-library"`, `"kind":"elf-library","origin":"built"`, "/predicate/origin: unknown member"},
	}
}

func patchEdits() []edited {
	return []edited{
		{"irreversible", `"revertible":true`, `"revertible":false`, accepted},
		{"kind-unknown", `"elf-test"`, `"klp"`, `/predicate/kind: "klp" is not "elf-test" or "kernel-livepatch" or "libpulp"`},
		{"kernel-livepatch", `"elf-test"`, `"kernel-livepatch"`, accepted},
		{"libpulp", `"elf-test"`, `"libpulp"`, accepted},
		{"file-not-the-subject", `{"sha256":"` + patchFile.Digest.Hex() + `"}`, `{"sha256":"` + digest("other").Hex() + `"}`, "/subject/1: sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa is not the patch's file sha256:3afa71dabc3e38d95dbb254e5b474f2fe02c361d9add92e046e1ec74c2bc4962"},
		{"file-empty", `"size":4096`, `"size":0`, "/predicate/file/size: 0 is not between 1 and 9007199254740991"},
		{"base-empty", string(digest("base manifest")), ``, `/predicate/base: digest "" is not sha256: and 64 lower-case hex digits`},
		{"revertible-as-number", `"revertible":true`, `"revertible":1`, "/predicate/revertible: number cannot be read as bool"},
		{"fixes-not-a-cve", `CVE-2026-12345`, `CVE-26-1`, `/predicate/fixes/0: "CVE-26-1" is not a CVE id`},
		{"fixes-twice", `"CVE-2026-12345"`, `"CVE-2026-12345","CVE-2026-12345"`, `/predicate/fixes/1: repeats element 0, "CVE-2026-12345"`},
		{"function-empty", `"parse_header"`, `""`, "/predicate/functions/0: empty"},
		{"function-twice", `"parse_header"`, `"parse_header","parse_header"`, `/predicate/functions/1: repeats element 0, "parse_header"`},
		{"import-with-newline", `"memcpy"`, `"mem\ncpy"`, `/predicate/imports/0: "mem\ncpy" holds characters that do not print`},
		{"replaces-twice", `"` + string(digest("older patch")) + `"`, `"` + string(digest("older patch")) + `","` + string(digest("older patch")) + `"`, `/predicate/replaces/1: repeats element 0, "sha256:139a054fa59581e51e46c3fde2dc86abb2988afae605759a386ee5d5e4276739"`},
		{"requires-not-a-digest", `"requires":[]`, `"requires":["v1"]`, `/predicate/requires/0: digest "v1" is not sha256: and 64 lower-case hex digits`},
		{"unknown-member", `"elf-test"`, `"elf-test","severity":"high"`, "/predicate/severity: unknown member"},
	}
}

func recordEdits() []edited {
	return []edited{
		{"nothing-running", runningOf(goodRecord()), ``, accepted},
		{"host-not-uuid", hostID, `web-17`, `/predicate/host: "web-17" is not a lower-case UUID`},
		{"boot-not-uuid", bootID, `boot`, `/predicate/bootId: "boot" is not a lower-case UUID`},
		{"sequence-zero", `"sequence":7`, `"sequence":0`, "/predicate/sequence: 0 is not between 1 and 9007199254740991"},
		{"sequence-fraction", `"sequence":7`, `"sequence":7.5`, "/predicate/sequence: number 7.5 cannot be read as int64"},
		{"nonce-empty", `"bm9uY2U"`, `""`, "/predicate/nonce: empty"},
		{"time-offset", `12:00:00Z`, `13:00:00+01:00`, `/predicate/time: "2026-03-01T13:00:00+01:00" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"time-offset-zero", `12:00:00Z`, `12:00:00+00:00`, `/predicate/time: "2026-03-01T12:00:00+00:00" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"time-no-zone", `12:00:00Z`, `12:00:00`, `/predicate/time: parsing time "2026-03-01T12:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"`},
		{"time-lower-case", `2026-03-01T12:00:00Z`, `2026-03-01t12:00:00z`, `/predicate/time: parsing time "2026-03-01t12:00:00z" as "2006-01-02T15:04:05Z07:00": cannot parse "t12:00:00z" as "T"`},
		{"time-fraction", `12:00:00Z`, `12:00:00.5Z`, "/predicate/time: 2026-03-01T12:00:00.5Z is not in whole seconds"},
		{"time-fraction-zero", `12:00:00Z`, `12:00:00.000Z`, `/predicate/time: "2026-03-01T12:00:00.000Z" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"time-leap-second", `12:00:00Z`, `23:59:60Z`, `/predicate/time: parsing time "2026-03-01T23:59:60Z": second out of range`},
		{"time-as-number", `"2026-03-01T12:00:00Z"`, `1772366400`, "/predicate/time: number cannot be read as time.Time"},
		{"time-zero", `2026-03-01`, `0001-01-01`, "/predicate/time: year 1 is out of range"},
		{"time-before-1970", `2026-03-01`, `1969-12-31`, "/predicate/time: year 1969 is out of range"},
		{"running-unsorted", runningOf(goodRecord()), otherRunning(productID) + "," + otherRunning(otherID), "/predicate/running/1: does not sort after the element before it by product and digest"},
		{"running-twice", runningOf(goodRecord()), runningOf(goodRecord()) + "," + runningOf(goodRecord()), "/predicate/running/1: does not sort after the element before it by product and digest"},
		{"running-64", runningOf(goodRecord()), manyRunning(64), accepted},
		{"running-65", runningOf(goodRecord()), manyRunning(65), "/predicate/running: 65 measurements, want at most 64"},
		{"running-product-not-uuid", productID, `lib/demo`, `/predicate/running/0/product: "lib/demo" is not a lower-case UUID`},
	}
}

func runningOf(h *attest.HostRecord) string { return otherRunning(h.Running[0].Product) }

func otherRunning(product string) string {
	return fmt.Sprintf(`{"measurement":{"buildId":"%s","digest":"%s","kind":"elf-file"},"product":"%s"}`, measured.BuildID, measured.Digest, product)
}

// manyRunning is n different measurements of one product, in order.
func manyRunning(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"measurement":{"buildId":"%s","digest":"sha256:%064x","kind":"elf-file"},"product":"%s"}`, measured.BuildID, i+1, productID)
	}
	return strings.Join(list, ",")
}

// TestSchemaBoundsRunning: the schema has the parser's limit.
func TestSchemaBoundsRunning(t *testing.T) {
	s, good := loadSchema(t, "host-record"), statementBytes(t, "host-record")
	for n, want := range map[int]bool{64: true, 65: false} {
		b := edit(t, good, runningOf(goodRecord()), manyRunning(n))
		if err := s.Check(predicateOf(b)); (err == nil) != want {
			t.Errorf("%d measurements: the schema says %v", n, err)
		}
	}
}

func revocationEdits() []edited {
	return []edited{
		{"of-a-key", `"kind":"subject"`, `"kind":"key"`, accepted},
		{"since", `"kind":"subject"`, `"kind":"key","since":{"checkpoint":"log.example\n9\n\n","logIndex":7}`, accepted},
		{"since-of-a-subject", `"kind":"subject"`, `"kind":"subject","since":{"checkpoint":"log.example\n","logIndex":7}`, "/predicate/since: only what a key said has a place in a log, this revokes a subject"},
		{"since-null", `"kind":"subject"`, `"kind":"key","since":null`, "/predicate/since: null is not allowed"},
		{"since-unknown-member", `"kind":"subject"`, `"kind":"key","since":{"checkpoint":"log.example\n","logIndex":7,"time":1}`, "/predicate/since/time: unknown member"},
		{"since-without-checkpoint", `"kind":"subject"`, `"kind":"key","since":{"logIndex":7}`, "/predicate/since/checkpoint: missing"},
		{"since-without-index", `"kind":"subject"`, `"kind":"key","since":{"checkpoint":"log.example\n"}`, "/predicate/since/logIndex: missing"},
		{"since-checkpoint-cut-off", `"kind":"subject"`, `"kind":"key","since":{"checkpoint":"log.example","logIndex":7}`, "/predicate/since/checkpoint: a signed note ends in a newline"},
		{"since-index-negative", `"kind":"subject"`, `"kind":"key","since":{"checkpoint":"log.example\n","logIndex":-1}`, "/predicate/since/logIndex: -1 is not between 0 and 9007199254740991"},
		{"kind-unknown", `"kind":"subject"`, `"kind":"host"`, `/predicate/kind: "host" is not "payload" or "subject" or "key" or "environment" or "builder-image"`},
		{"reason-empty", `"corrupts the header cache"`, `""`, "/predicate/reason: empty"},
		{"reason-two-lines", `header cache`, `header\ncache`, `/predicate/reason: "corrupts the header\ncache" holds characters that do not print`},
		{"reason-too-long", `header cache`, strings.Repeat("x", 5000), "/predicate/reason: text of 5013 bytes exceeds the limit of 4096"},
		{"product-of-nobody", productID, ``, `/predicate/product: "" is not a lower-case UUID`},
	}
}

func channelEdits() []edited {
	one, older := `"`+string(digest("patch one"))+`"`, `"`+string(digest("older patch"))+`"`
	return []edited{
		{"of-nothing", `"revocations":["` + string(digest("a revocation")) + `"]`, `"revocations":[]`, accepted},
		{"version-zero", `"version":3`, `"version":0`, "/predicate/version: 0 is not between 1 and 9007199254740991"},
		{"version-beyond-doubles", `"version":3`, `"version":9007199254740993`, "/predicate/version: number 9007199254740993 is not exact in every reader"},
		{"name-in-upper-case", `"name":"stable","product"`, `"name":"Stable","product"`, `/predicate/name: "Stable" is not a lower-case word`},
		{"name-of-another", `"name":"stable","product"`, `"name":"canary","product"`, "/subject/0: " + string(attest.ChannelID(productID, "stable")) + " is not the channel " + string(attest.ChannelID(productID, "canary"))},
		{"expires-with-fraction", `"2026-03-02T12:00:00Z"`, `"2026-03-02T12:00:00.5Z"`, "/predicate/expires: 2026-03-02T12:00:00.5Z is not in whole seconds"},
		{"expires-zero", `"2026-03-02T12:00:00Z"`, `"0001-01-01T00:00:00Z"`, "/predicate/expires: no time"},
		{"patch-twice", one, one + "," + one, `/predicate/bases/` + baseAt() + `/patches/1: repeats element 0, ` + cut(one)},
		{"patch-not-a-digest", one, `"fix-1"`, `/predicate/bases/` + baseAt() + `/patches/0: digest "fix-1" is not sha256: and 64 lower-case hex digits`},
		{"superseded-and-offered", older, one, `/predicate/bases/` + baseAt() + `/superseded/0: ` + string(digest("patch one")) + ` is one of the patches that are offered`},
		{"superseded-twice", older, older + "," + older, `/predicate/bases/` + baseAt() + `/superseded/1: ` + string(digest("older patch")) + ` does not sort after the element before it`},
		{"base-twice", string(digest("other base")), string(digest("base manifest")), `/predicate/bases/1: ` + string(digest("base manifest")) + ` does not sort after the element before it`},
		{"revocation-twice", `"` + string(digest("a revocation")) + `"`, `"` + string(digest("a revocation")) + `","` + string(digest("a revocation")) + `"`, `/predicate/revocations/1: ` + string(digest("a revocation")) + ` does not sort after the element before it`},
		{"unknown-member", `"version":3`, `"version":3,"wave":1`, "/predicate/wave: unknown member"},
	}
}

// baseAt is where in the good channel the base with patches is.
func baseAt() string {
	if goodChannel().Bases[0].Base == digest("base manifest") {
		return "0"
	}
	return "1"
}

// cut is how much of a quoted value an error shows.
func cut(quoted string) string {
	return fmt.Sprintf(`"%.80s"`, strings.Trim(quoted, `"`))
}
