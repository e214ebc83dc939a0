package verify_test

import (
	"crypto"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// BenchmarkBundle verifies one bundle with this package and with sigstore-go
// alone, as its documentation does it, turn by turn so that both meet the same
// machine. "ratio" is the median of this package over the median of
// sigstore-go; the goal is 1.2.
func BenchmarkBundle(b *testing.B) {
	l := newLab(b)
	bare := newBare(b, l)
	var ours, theirs []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := l.verifier.Bundle(l.good, l.said.About); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		bare(b)
		ours, theirs = append(ours, middle.Sub(start)), append(theirs, time.Since(middle))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	mine, bareMedian := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(float64(mine)/float64(bareMedian), "ratio")
	b.ReportMetric(float64(mine.Microseconds()), "µs/bundle")
	b.ReportMetric(float64(bareMedian.Microseconds()), "µs/sigstore-go")
}

// BenchmarkBundleAlone is for profiles.
func BenchmarkBundleAlone(b *testing.B) {
	l := newLab(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.verifier.Bundle(l.good, l.said.About); err != nil {
			b.Fatal(err)
		}
	}
}

// newBare returns what verifies the good bundle with sigstore-go and no code of
// ours: parse, then verify log inclusion, timestamp, signature and subject.
func newBare(t testing.TB, l *lab) func(testing.TB) {
	t.Helper()
	material, err := root.NewTrustedRootFromJSON(l.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	s := l.Signer("base")
	key, err := signature.LoadECDSAVerifier(s.Key.ECDSA(), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	keys := root.NewTrustedPublicKeyMaterialFromMapping(map[string]*root.ExpiringKey{
		s.Key.Hint(): root.NewExpiringKey(key, s.From, s.Until),
	})
	v, err := sigstore.NewVerifier(root.TrustedMaterialCollection{material, keys}, sigstore.WithTransparencyLog(1), sigstore.WithSignedTimestamps(1))
	if err != nil {
		t.Fatal(err)
	}
	policy := sigstore.NewPolicy(sigstore.WithArtifactDigest("sha256", l.said.About.Manifest.Sum()), sigstore.WithKey())
	return func(t testing.TB) {
		var b bundle.Bundle
		if err := b.UnmarshalJSON(l.good); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(&b, policy); err != nil {
			t.Fatal(err)
		}
	}
}
