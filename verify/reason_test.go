package verify_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/verify"
)

// docs/spec/reasons.md has each reason once, with its sentence and remedy.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "spec", "reasons.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want [][]string
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (.+?) \\| (.+?) \\|$").FindAllStringSubmatch(string(page), -1) {
		got = append(got, row[1:])
	}
	for _, r := range verify.Reasons() {
		if r.Sentence() == "" || r.Remedy() == "" {
			t.Errorf("%s has no sentence or no remedy", r)
		}
		want = append(want, []string{string(r), r.Sentence(), r.Remedy()})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/spec/reasons.md (-code +page):\n%s", diff)
	}
}

// The names are public: a reason that is lost or renamed breaks those who read it.
func TestReasonNames(t *testing.T) {
	want := []verify.Reason{
		"NO_ATTESTATION", "BAD_SIGNATURE", "UNTRUSTED_SIGNER", "NOT_LOGGED", "UNKNOWN_BASE", "NO_PROVENANCE", "BASE_MISMATCH", "ENV_MISMATCH",
		"STALE_HOST_RECORD", "LOW_ASSURANCE", "REBUILD_QUORUM", "CONTESTED", "REVOKED", "SUPERSEDED", "ROLLBACK", "EXPIRED", "EMBARGOED", "HOST_NOT_ACTIVE", "CLONED_KEY", "SUBJECT_MISMATCH",
		"CORRUPT", "FORBIDDEN_ROLE",
	}
	if diff := cmp.Diff(want, verify.Reasons()); diff != "" {
		t.Error(diff)
	}
	if verify.Reason("NO_SUCH").Sentence() != "" || verify.Reason("NO_SUCH").Remedy() != "" {
		t.Error("a name that is no reason means something")
	}
}
