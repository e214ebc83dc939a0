package shell

import (
	"strings"

	"github.com/patchfit/patchfit/attest"
)

// TypeNames are the predicate types a person can call by a short name.
func TypeNames() map[string]string {
	return map[string]string{
		"provenance":   attest.TypeProvenance,
		"environment":  attest.TypeEnvironment,
		"base":         attest.TypeBase,
		"livepatch":    attest.TypeLivePatch,
		"import":       attest.TypeImport,
		"equivalence":  attest.TypeEquivalence,
		"rebuild":      attest.TypeRebuild,
		"adjudication": attest.TypeAdjudication,
	}
}

// TypeName returns a predicate type as people say it.
func TypeName(typ string) string {
	if typ == attest.TypeProvenance {
		return "provenance"
	}
	if i := strings.Index(typ, "/attestation/"); i >= 0 {
		return typ[i+len("/attestation/"):]
	}
	return typ
}
