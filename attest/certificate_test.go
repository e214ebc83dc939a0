package attest_test

import (
	"encoding/asn1"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// TestAttackNameOfAnotherClass: a name under a tag that only has the number of a
// URI's is no name to the standard library, which asks name constraints of
// nothing then; it is none here.
func TestAttackNameOfAnotherClass(t *testing.T) {
	for name, n := range map[string]asn1.RawValue{
		"universal":   {Class: asn1.ClassUniversal, Tag: 6, Bytes: []byte(spiffe)},
		"application": {Class: asn1.ClassApplication, Tag: 6, Bytes: []byte(spiffe)},
		"private":     {Class: asn1.ClassPrivate, Tag: 1, Bytes: []byte("release@example.org")},
	} {
		c, err := attest.ParseCertificate(leafCertificate(t, names(t, n)))
		if err == nil || err.Error() != "certificate's name is neither a URI nor an email address (subject alternative name)" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if c, err := attest.ParseCertificate(leafCertificate(t, names(t, general(6, spiffe)))); err != nil || c.SAN() != spiffe {
		t.Errorf("a URI: %v", err)
	}
}
