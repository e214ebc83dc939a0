package attest_test

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// provenanceVectors are about SLSA provenance, a type of others: members we do
// not know are ignored, those we need are not.
func provenanceVectors(t *testing.T) []vector {
	environment := `{"digest":{"sha256":"` + digest("environment").Hex() + `"},"name":"environment"}`
	return edits(t, "statement", "provenance", statementBytes(t, "provenance"), []edited{
		{"unknown-member", `"internalParameters":{`, `"extension":{"a":[1]},"internalParameters":{"b":1,`, accepted},
		{"no-internal-parameters", `"internalParameters":{"contained":false},`, ``, accepted},
		{"no-metadata", `"builder":{"id":"https://builder.example/one"},"metadata":{"finishedOn":"2026-03-01T11:00:09Z","invocationId":"build-17","startedOn":"2026-03-01T11:00:00Z"}`, `"builder":{"id":"https://builder.example/one"}`, accepted},
		{"no-dependencies", environment + `,{"digest":{"sha256":"` + digest("builder manifest").Hex() + `"},"name":"builder-image","uri":"oci://lib/demo"}`, ``, accepted},
		{"other-digest-algorithm", environment, environment + `,{"digest":{"gitCommit":"c0ffee"},"name":"source-repository"}`, accepted},
		{"unknown-member-twice", `"internalParameters":{`, `"internalParameters":{"b":1,"b":2,`, "/predicate/buildDefinition/internalParameters/b: duplicate object member name"},
		{"member-in-another-case", `"buildType"`, `"BuildType"`, `/predicate/buildDefinition/BuildType: name differs only in case from "buildType"`},
		{"build-type-missing", `"buildType":"` + attest.BuildType + `",`, ``, `/predicate/buildDefinition/buildType: "" is not "https://github.com/patchfit/patchfit/attestation/container-build/v1"`},
		{"build-type-of-others", attest.BuildType, `https://actions.github.io/buildtypes/workflow/v1`, `/predicate/buildDefinition/buildType: "https://actions.github.io/buildtypes/workflow/v1" is not "https://github.com/patchfit/patchfit/attestation/container-build/v1"`},
		{"build-type-next-version", attest.BuildType, strings.Replace(attest.BuildType, "/v1", "/v2", 1), `/predicate/buildDefinition/buildType: "https://github.com/patchfit/patchfit/attestation/container-build/v2" is not "https://github.com/patchfit/patchfit/attestation/container-build/v1"`},
		{"product-missing", `,"product":"` + productID + `"`, ``, `/predicate/buildDefinition/externalParameters/product: "" is not a lower-case UUID`},
		{"product-empty", productID, ``, `/predicate/buildDefinition/externalParameters/product: "" is not a lower-case UUID`},
		{"product-not-uuid", productID, `lib/demo`, `/predicate/buildDefinition/externalParameters/product: "lib/demo" is not a lower-case UUID`},
		{"product-in-another-case", `"product"`, `"Product"`, `/predicate/buildDefinition/externalParameters/Product: name differs only in case from "product"`},
		{"command-missing", `"command":["make","lib.so"],`, ``, "/predicate/buildDefinition/externalParameters/command: no command"},
		{"command-empty", `["make","lib.so"]`, `[]`, "/predicate/buildDefinition/externalParameters/command: no command"},
		{"command-with-nul", `"lib.so"`, `"\u0000"`, `/predicate/buildDefinition/externalParameters/command/1: "\x00" holds a NUL or is not valid UTF-8`},
		{"recipe", `"product":"` + productID + `"`, `"product":"` + productID + `","recipe":{"artifact":"out/lib.so","configuration":"/usr/src/.config","directory":"src","sourceDateEpoch":0}`, accepted},
		{"recipe-without-artifact", `"product":"` + productID + `"`, `"product":"` + productID + `","recipe":{"sourceDateEpoch":0}`, "/predicate/buildDefinition/externalParameters/recipe/artifact: empty"},
		{"recipe-artifact-outside", `"product":"` + productID + `"`, `"product":"` + productID + `","recipe":{"artifact":"../lib.so","sourceDateEpoch":0}`, `/predicate/buildDefinition/externalParameters/recipe/artifact: "../lib.so" is no path below a directory in its shortest form`},
		{"recipe-directory-absolute", `"product":"` + productID + `"`, `"product":"` + productID + `","recipe":{"artifact":"lib.so","directory":"/etc","sourceDateEpoch":0}`, `/predicate/buildDefinition/externalParameters/recipe/directory: "/etc" is no path below a directory in its shortest form`},
		{"recipe-configuration-outside", `"product":"` + productID + `"`, `"product":"` + productID + `","recipe":{"artifact":"lib.so","configuration":"/a/../b","sourceDateEpoch":0}`, `/predicate/buildDefinition/externalParameters/recipe/configuration: "a/../b" is no path below a directory in its shortest form`},
		{"recipe-epoch-negative", `"product":"` + productID + `"`, `"product":"` + productID + `","recipe":{"artifact":"lib.so","sourceDateEpoch":-1}`, "/predicate/buildDefinition/externalParameters/recipe/sourceDateEpoch: -1 is not between 0 and 9007199254740991"},
		{"dependency-twice", environment, environment + "," + environment, `/predicate/buildDefinition/resolvedDependencies/1: repeats element 0, "environment"`},
		{"dependency-twice-other-digest", environment, environment + `,{"digest":{"sha256":"` + digest("other").Hex() + `"},"name":"environment"}`, `/predicate/buildDefinition/resolvedDependencies/1: repeats element 0, "environment"`},
		{"dependency-without-name", `"name":"environment"`, `"uri":"x"`, "/predicate/buildDefinition/resolvedDependencies/0/name: empty"},
		{"dependency-without-sha256", `"sha256":"` + digest("environment").Hex() + `"`, `"sha512":"00"`, "/predicate/buildDefinition/resolvedDependencies/0/digest/sha256: missing"},
		{"dependency-digest-upper-case", digest("environment").Hex(), strings.ToUpper(digest("environment").Hex()), `/predicate/buildDefinition/resolvedDependencies/0/digest/sha256: "BA5285161BA6EED0085FB13784CE5C92F70EBC268B94FD66AA1D68A32884204D" is not 64 lower-case hex digits`},
		{"dependency-digest-prefixed", digest("environment").Hex(), string(digest("environment")), `/predicate/buildDefinition/resolvedDependencies/0/digest/sha256: "sha256:ba5285161ba6eed0085fb13784ce5c92f70ebc268b94fd66aa1d68a32884204d" is not 64 lower-case hex digits`},
		{"builder-missing", `"builder":{"id":"https://builder.example/one"},`, ``, `/predicate/runDetails/builder/id: "" is not a URI`},
		{"builder-not-a-uri", `https://builder.example/one`, `one`, `/predicate/runDetails/builder/id: "one" is not a URI`},
		{"started-with-offset", `"startedOn":"2026-03-01T11:00:00Z"`, `"startedOn":"2026-03-01T12:00:00+01:00"`, `/predicate/runDetails/metadata/startedOn: "2026-03-01T12:00:00+01:00" is not a time in UTC in its one form, as 2006-01-02T15:04:05Z (RFC 3339)`},
		{"started-with-fraction", `"startedOn":"2026-03-01T11:00:00Z"`, `"startedOn":"2026-03-01T11:00:00.5Z"`, "/predicate/runDetails/metadata/startedOn: 2026-03-01T11:00:00.5Z is not in whole seconds"},
		{"finished-before-started", `"finishedOn":"2026-03-01T11:00:09Z"`, `"finishedOn":"2026-03-01T10:59:59Z"`, "/predicate/runDetails/metadata/finishedOn: 2026-03-01T10:59:59Z is before startedOn"},
		{"contained-as-text", `"contained":false`, `"contained":"false"`, "/predicate/buildDefinition/internalParameters/contained: string cannot be read as bool"},
		{"third-subject", `"name":"libdemo.so.1"}`, `"name":"libdemo.so.1"},{"digest":{"sha256":"` + digest("other").Hex() + `"},"name":"x"}`, "/subject: 3 subjects, want a manifest and at most its one file"},
	})
}
