package attest_test

import (
	"strings"
	"testing"
)

func environmentVectors(t *testing.T) []vector {
	good, err := goodEnvironment().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	list := edits(t, "environment", "environment", good, []edited{
		{"good", "", "", accepted},
		{"no-flags", `["-O2","-fPIC","-shared"]`, `[]`, accepted},
		{"empty-flag", `"-O2"`, `""`, accepted},
		{"big-endian", `"little"`, `"big"`, accepted},
		{"spaces", `"flags":[`, `"flags": [`, "not in canonical form (RFC 8785)"},
		{"members-unsorted", `"abi":"sysv","architecture":"x86_64"`, `"architecture":"x86_64","abi":"sysv"`, "not in canonical form (RFC 8785)"},
		{"number-form", `"wordSize":64`, `"wordSize":64.0`, "/target/wordSize: number 64.0 cannot be read as int"},
		{"escape-form", `"-O2"`, `"\u002dO2"`, "not in canonical form (RFC 8785)"},
		{"newline-at-end", `"wordSize":64}}`, "\"wordSize\":64}}\n", "not in canonical form (RFC 8785)"},
		{"trailing-data", `"wordSize":64}}`, `"wordSize":64}}{}`, "trailing data after the document at byte 1024"},
		{"cut-off", `"wordSize":64}}`, `"wordSize":64}`, "unexpected EOF"},
		{"duplicate-member", `"byteOrder":"little"`, `"byteOrder":"little","byteOrder":"big"`, "/target/byteOrder: duplicate object member name"},
		{"member-in-another-case", `"byteOrder"`, `"byteorder"`, "/target/byteorder: unknown member"},
		{"unknown-member", `"wordSize":64`, `"wordSize":64,"xtra":1`, "/target/xtra: unknown member"},
		{"unknown-member-of-tool", `"name":"gcc"`, `"name":"gcc","path":"/usr/bin/gcc"`, "/compiler/path: unknown member"},
		{"null", `"makeVariables":[{"name":"V","value":"1"}]`, `"makeVariables":null`, "/makeVariables: null is not allowed"},
		{"number-as-string", `"wordSize":64`, `"wordSize":"64"`, "/target/wordSize: string cannot be read as int"},
		{"invalid-utf8", `"-O2"`, "\"\xff\"", "/flags/0: invalid UTF-8"},
		{"nul-in-flag", `"-O2"`, `"\u0000"`, `/flags/0: "\x00" holds a NUL or is not valid UTF-8`},
		{"builder-image-empty", string(digest("builder manifest")), ``, `/builderImage: digest "" is not sha256: and 64 lower-case hex digits`},
		{"builder-image-sha512", string(digest("builder manifest")), "sha512:" + digest("builder manifest").Hex(), `/builderImage: digest "sha512:57c1e4df2e74fa15f287d8cf822a7d76379a4e0a89089000f5c13bab069573c4" is not sha256: and 64 lower-case hex digits`},
		{"digest-in-upper-case", digest("gcc").Hex(), strings.ToUpper(digest("gcc").Hex()), `/compiler/digest: digest "sha256:94F0FA7F897CCCE65856DC5A98BAE4BF6957A346766613D79414C976D093AA4A" is not sha256: and 64 lower-case hex digits`},
		{"compiler-name-empty", `"name":"gcc"`, `"name":""`, "/compiler/name: empty"},
		{"compiler-version-empty", `"gcc (Debian 12.2.0-14) 12.2.0"`, `""`, "/compiler/version: empty"},
		{"compiler-version-two-lines", `"gcc (Debian 12.2.0-14) 12.2.0"`, `"gcc\n12.2.0"`, `/compiler/version: "gcc\n12.2.0" holds characters that do not print`},
		{"compiler-version-escape-sequence", `"gcc (Debian 12.2.0-14) 12.2.0"`, `"gcc\u001b[2J"`, `/compiler/version: "gcc\x1b[2J" holds characters that do not print`},
		{"variable-without-name", `{"name":"V","value":"1"}`, `{"name":"","value":"1"}`, "/makeVariables/0/name: empty"},
		{"variable-name-with-equals", `{"name":"V","value":"1"}`, `{"name":"V=2","value":"1"}`, `/makeVariables/0/name: "V=2" holds an equals sign`},
		{"libraries-unsorted", `"soname":"ld-linux-x86-64.so.2"`, `"soname":"libz.so.1"`, `/libraries/1/soname: "libc.so.6" does not sort after "libz.so.1"`},
		{"library-twice", `"soname":"ld-linux-x86-64.so.2"`, `"soname":"libc.so.6"`, `/libraries/1/soname: "libc.so.6" does not sort after "libc.so.6"`},
		{"library-soname-empty", `"soname":"ld-linux-x86-64.so.2"`, `"soname":""`, "/libraries/0/soname: empty"},
		{"build-id-empty", strings.Repeat("1", 40), ``, `/libraries/0/buildId: "" is not a build-id in lower-case hex`},
		{"build-id-odd", strings.Repeat("1", 40), strings.Repeat("1", 39), `/libraries/0/buildId: "111111111111111111111111111111111111111" is not a build-id in lower-case hex`},
		{"build-id-upper-case", strings.Repeat("1", 40), strings.Repeat("A", 40), `/libraries/0/buildId: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" is not a build-id in lower-case hex`},
		{"byte-order-unknown", `"little"`, `"middle"`, `/target/byteOrder: "middle" is not "little" or "big"`},
		{"word-size-16", `"wordSize":64`, `"wordSize":16`, "/target/wordSize: 16 is not 32 or 64"},
		{"architecture-upper-case", `"x86_64"`, `"X86_64"`, `/target/architecture: "X86_64" is not a lower-case word`},
		{"abi-empty", `"sysv"`, `""`, `/target/abi: "" is not a lower-case word`},
	})
	return append(list, missing(t, "environment", "environment", good, "")...)
}
