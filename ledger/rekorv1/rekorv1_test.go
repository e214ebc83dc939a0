package rekorv1_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/patchfit/patchfit/ledger/rekorv1"
)

var kinds = []string{"hashedrekord", "dsse", "intoto"}

func TestBundle(t *testing.T) {
	for _, kind := range kinds {
		for name, make := range map[string]func(*world) *protobundle.Bundle{
			"key":         func(w *world) *protobundle.Bundle { return w.bundle(t, kind) },
			"certificate": func(w *world) *protobundle.Bundle { return w.certified(t, kind) },
		} {
			t.Run(kind+" by "+name, func(t *testing.T) {
				w := newWorld(t)
				e, err := w.verifier(t).Bundle(raw(t, make(w)), w.want(t))
				if err != nil {
					t.Fatal(err)
				}
				if !e.Proven() || !e.Promised() || e.Kind != kind || e.LogIndex != 1001 || e.TreeIndex != 1 || e.TreeSize != 3 ||
					!e.Integrated.Equal(epoch) || e.LogURL != "https://rekor.example" {
					t.Errorf("%+v", e)
				}
			})
		}
	}
}

// What only a promise vouches for is not told without one.
func TestWithoutPromise(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(t, "hashedrekord")
	entryOf(b).InclusionPromise = nil
	v := rekorv1.New(w.trusted(t, epoch.AddDate(-1, 0, 0), epoch.AddDate(0, 1, 0)))
	e, err := v.Bundle(raw(t, b), w.want(t))
	if err != nil {
		t.Fatal(err)
	}
	if !e.Proven() || e.Promised() || e.LogIndex != -1 || !e.Integrated.IsZero() || e.TreeIndex != 1 {
		t.Errorf("%+v", e)
	}
	if err := e.CountsAt(epoch); err != nil {
		t.Error(err)
	}
	var r *rekorv1.Refusal
	if err := e.CountsAt(epoch.AddDate(0, 2, 0)); !errors.As(err, &r) || r.Reason != rekorv1.LogKeyExpired {
		t.Error(err)
	}
}

// A v0.1 bundle may have a promise alone.
func TestPromiseAlone(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(t, "hashedrekord")
	b.MediaType = v01
	entryOf(b).InclusionProof = nil
	e, err := w.verifier(t).Bundle(raw(t, b), w.want(t))
	if err != nil || e.TreeIndex != -1 || e.TreeSize != 0 || e.LogIndex != 1001 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestZeroEntryProvesNothing(t *testing.T) {
	var none *rekorv1.Entry
	if none.Proven() || none.Promised() || new(rekorv1.Entry).Proven() || none.CountsAt(epoch) == nil || new(rekorv1.Entry).CountsAt(epoch) == nil {
		t.Error("an entry nobody verified counts")
	}
}

// Every attack on a bundle whose signature is good, and why it is refused. The
// log is honest where a case does not say otherwise.
var attacks = []struct {
	name string
	kind string // "" is all
	do   func(t *testing.T, w *world, b *protobundle.Bundle)
	want rekorv1.Reason
}{
	{"no entry", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries = nil }, rekorv1.NoProof},
	{"two entries", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) {
		b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, entryOf(b))
	}, rekorv1.Malformed},
	{"no body", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).CanonicalizedBody = nil }, rekorv1.Malformed},
	{"a bundle of tomorrow", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) {
		b.MediaType = "application/vnd.dev.sigstore.bundle.v0.4+json"
	}, rekorv1.Malformed},
	{"labelled as another kind", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).KindVersion.Kind = "rekord" }, rekorv1.OtherKind},
	{"labelled as Rekor v2", "hashedrekord", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).KindVersion.Version = "0.0.2" }, rekorv1.OtherKind},
	{"a body with spaces", "", func(t *testing.T, w *world, b *protobundle.Bundle) {
		w.relog(t, b, append([]byte(" "), entryOf(b).CanonicalizedBody...))
	}, rekorv1.OtherEntry},
	{"a body with one member more", "", func(t *testing.T, w *world, b *protobundle.Bundle) {
		w.relog(t, b, replaced(t, entryOf(b).CanonicalizedBody, `"spec":{`, `"spec":{"a":"b",`))
	}, rekorv1.OtherEntry},
	{"a body with a name twice", "", func(t *testing.T, w *world, b *protobundle.Bundle) {
		w.relog(t, b, replaced(t, entryOf(b).CanonicalizedBody, `"kind":`, `"kind":"x","kind":`))
	}, rekorv1.Malformed},

	{"no proof", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof = nil }, rekorv1.NoProof},
	{"no checkpoint", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.Checkpoint = nil }, rekorv1.NoProof},
	{"v0.1 without a promise", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) {
		b.MediaType, entryOf(b).InclusionPromise = v01, nil
	}, rekorv1.NoProof},
	{"a hash flipped", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.Hashes[0][0] ^= 1 }, rekorv1.BadProof},
	{"a hash left out", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) {
		entryOf(b).InclusionProof.Hashes = entryOf(b).InclusionProof.Hashes[1:]
	}, rekorv1.BadProof},
	{"a hash of no bytes", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.Hashes[0] = nil }, rekorv1.BadProof},
	{"another index in the tree", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.LogIndex = 0 }, rekorv1.BadProof},
	{"an index beyond the tree", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.LogIndex = 3 }, rekorv1.BadProof},
	{"another root", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.RootHash[0] ^= 1 }, rekorv1.OtherCheckpoint},
	{"another size than the checkpoint's", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.TreeSize = 4 }, rekorv1.OtherCheckpoint},
	{"an honest checkpoint of another tree", "", func(t *testing.T, w *world, b *protobundle.Bundle) {
		entryOf(b).InclusionProof.Checkpoint.Envelope = w.checkpoint(t, 3, bytes.Repeat([]byte{7}, 32))
	}, rekorv1.OtherCheckpoint},
	{"a checkpoint by another log", "", func(t *testing.T, w *world, b *protobundle.Bundle) {
		other := newWorld(t)
		entryOf(b).InclusionProof.Checkpoint.Envelope = other.checkpoint(t, 3, entryOf(b).InclusionProof.RootHash)
	}, rekorv1.BadCheckpoint},
	{"a checkpoint nobody signed", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) {
		c := entryOf(b).InclusionProof.Checkpoint
		c.Envelope, _, _ = strings.Cut(c.Envelope, "\n\n")
	}, rekorv1.BadCheckpoint},

	{"a promise by another log", "", func(t *testing.T, _ *world, b *protobundle.Bundle) { newWorld(t).promise(t, entryOf(b)) }, rekorv1.BadPromise},
	{"another time than promised", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).IntegratedTime++ }, rekorv1.BadPromise},
	{"another index than promised", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).LogIndex++ }, rekorv1.BadPromise},
	{"promised for no time", "", func(t *testing.T, w *world, b *protobundle.Bundle) {
		entryOf(b).IntegratedTime = 0
		w.promise(t, entryOf(b))
	}, rekorv1.BadPromise},
	{"a log that is not trusted", "", func(t *testing.T, w *world, b *protobundle.Bundle) {
		w.log = ecKey(t)
		w.relog(t, b, entryOf(b).CanonicalizedBody)
		w.log = nil
	}, rekorv1.UnknownLog},
	{"another log's id", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).LogId.KeyId[0] ^= 1 }, rekorv1.UnknownLog},
	{"no log id", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).LogId = nil }, rekorv1.UnknownLog},

	{"a negative index", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).LogIndex = -1 }, rekorv1.Malformed},
	{"a negative index in the tree", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.LogIndex = -1 }, rekorv1.Malformed},
	{"a negative size", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { entryOf(b).InclusionProof.TreeSize = -1 }, rekorv1.Malformed},

	{"no envelope", "dsse", func(_ *testing.T, _ *world, b *protobundle.Bundle) { b.Content = nil }, rekorv1.Malformed},
	{"an envelope without a signature", "dsse", func(_ *testing.T, _ *world, b *protobundle.Bundle) { b.GetDsseEnvelope().Signatures = nil }, rekorv1.Malformed},
	{"an envelope with two signatures", "dsse", func(_ *testing.T, _ *world, b *protobundle.Bundle) {
		b.GetDsseEnvelope().Signatures = append(b.GetDsseEnvelope().Signatures, b.GetDsseEnvelope().Signatures[0])
	}, rekorv1.Malformed},
	{"an envelope of another type", "dsse", func(_ *testing.T, _ *world, b *protobundle.Bundle) { b.GetDsseEnvelope().PayloadType = "text/plain" }, rekorv1.BadSignature},
	{"a signature of no bytes", "hashedrekord", func(_ *testing.T, _ *world, b *protobundle.Bundle) { b.GetMessageSignature().Signature = nil }, rekorv1.Malformed},
	{"a bare signature in an entry for envelopes", "dsse", func(t *testing.T, w *world, b *protobundle.Bundle) {
		b.Content = w.bundle(t, "hashedrekord").Content
	}, rekorv1.OtherContent},
	{"neither key nor certificate", "", func(_ *testing.T, _ *world, b *protobundle.Bundle) { b.VerificationMaterial.Content = nil }, rekorv1.Malformed},
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		for _, kind := range kinds {
			if a.kind != "" && a.kind != kind {
				continue
			}
			t.Run(a.name+" "+kind, func(t *testing.T) {
				w := newWorld(t)
				v, want, b := w.verifier(t), w.want(t), w.bundle(t, kind)
				if _, err := v.Bundle(raw(t, b), want); err != nil {
					t.Fatalf("before the attack: %v", err)
				}
				a.do(t, w, b)
				e, err := v.Bundle(raw(t, b), want)
				refused(t, e, err, a.want)
			})
		}
	}
}

// TestCVE2026_22703: any valid entry of the log was taken for any artifact.
// Each entry here is in the log and verifies in the bundle it was made for;
// whoever stole the signer's key pastes it in, to keep the real one out of
// sight of those who watch the log.
func TestCVE2026_22703(t *testing.T) {
	for _, kind := range kinds {
		for _, c := range []struct {
			name  string
			other func(*world)
			want  rekorv1.Reason
		}{
			{"of another artifact", func(w *world) {
				w.artifact = []byte("harmless\n")
				w.statement = bytes.Replace(w.statement, []byte("patch"), []byte("other"), 1)
			}, rekorv1.OtherContent},
			{"by another key", func(w *world) { w.signer = ecKey(t) }, rekorv1.OtherKey},
			{"of another signature", func(*world) {}, rekorv1.OtherSignature},
		} {
			t.Run(kind+" "+c.name, func(t *testing.T) {
				w := newWorld(t)
				v, want, b := w.verifier(t), w.want(t), w.bundle(t, kind)
				c.other(w)
				other := w.bundle(t, kind)
				if _, err := v.Bundle(raw(t, other), w.want(t)); err != nil {
					t.Fatalf("the entry pasted in is not valid: %v", err)
				}
				b.VerificationMaterial.TlogEntries = other.VerificationMaterial.TlogEntries
				e, err := v.Bundle(raw(t, b), want)
				refused(t, e, err, c.want)
			})
		}
	}
}

// The entry of the same artifact, by the same key, of another kind.
func TestEntryOfAnotherKindIsNotOurs(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(t, "dsse")
	b.VerificationMaterial.TlogEntries = w.bundle(t, "hashedrekord").VerificationMaterial.TlogEntries
	e, err := w.verifier(t).Bundle(raw(t, b), w.want(t))
	refused(t, e, err, rekorv1.OtherContent)
}

// The signature in bundle and entry agree, and are by nobody: a log that
// takes anything is no proof of a signature.
func TestSignatureByNobody(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(t, "dsse")
	good, forged := b.GetDsseEnvelope().Signatures[0].Sig, sign(t, ecKey(t), []byte("something else"))
	body := replaced(t, entryOf(b).CanonicalizedBody, base64Of(good), base64Of(forged))
	b.GetDsseEnvelope().Signatures[0].Sig = forged
	w.relog(t, b, body)
	e, err := w.verifier(t).Bundle(raw(t, b), w.want(t))
	refused(t, e, err, rekorv1.BadSignature)
}

func TestWant(t *testing.T) {
	w := newWorld(t)
	v, want := w.verifier(t), w.want(t)
	for _, c := range []struct {
		name, kind string
		want       rekorv1.Want
		reason     rekorv1.Reason
	}{
		{"another artifact", "hashedrekord", rekorv1.Want{Digest: want.Digest[:len(want.Digest)-1] + "0", Key: want.Key}, rekorv1.OtherArtifact},
		{"no artifact", "hashedrekord", rekorv1.Want{Key: want.Key}, rekorv1.OtherArtifact},
		{"no key", "dsse", rekorv1.Want{Digest: want.Digest}, rekorv1.NoKey},
		{"a key that is none", "dsse", rekorv1.Want{Digest: want.Digest, Key: []byte("key")}, rekorv1.NoKey},
		{"another key", "dsse", rekorv1.Want{Digest: want.Digest, Key: pem(t, ecKey(t))}, rekorv1.OtherKey},
		{"a key of a megabyte", "dsse", rekorv1.Want{Digest: want.Digest, Key: make([]byte, 1<<20)}, rekorv1.NoKey},
	} {
		e, err := v.Bundle(raw(t, w.bundle(t, c.kind)), c.want)
		t.Run(c.name, func(t *testing.T) { refused(t, e, err, c.reason) })
	}
}

func TestWindows(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name     string
		from, to time.Time
		at       time.Time
		want     rekorv1.Reason
	}{
		{"inside", epoch.Add(-day), epoch.Add(day), epoch, ""},
		{"at the start", epoch, epoch.Add(day), epoch, ""},
		{"at the end", epoch.Add(-day), epoch, epoch, ""},
		{"log key not yet valid", epoch.Add(time.Second), time.Time{}, epoch, rekorv1.LogKeyExpired},
		{"log key no longer valid", epoch.Add(-day), epoch.Add(-time.Second), epoch, rekorv1.LogKeyExpired},
		{"before the certificate", epoch.Add(-day), time.Time{}, epoch.Add(-6 * time.Minute), rekorv1.CertificateExpired},
		{"after the certificate", epoch.Add(-day), time.Time{}, epoch.Add(6 * time.Minute), rekorv1.CertificateExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.at = c.at
			e, err := rekorv1.New(w.trusted(t, c.from, c.to)).Bundle(raw(t, w.certified(t, "dsse")), w.want(t))
			if c.want == "" && err != nil {
				t.Error(err)
			}
			if c.want != "" {
				refused(t, e, err, c.want)
			}
		})
	}
}

// The one thing of an entry that a bundle does not determine is the hash of
// the JSON the log was sent. The log vouches for it, and nothing hangs on it.
func TestEnvelopeHashIsTheLogs(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(t, "dsse")
	const before = `"envelopeHash":{"algorithm":"sha256","value":"`
	_, after, _ := bytes.Cut(entryOf(b).CanonicalizedBody, []byte(before))
	other := replaced(t, entryOf(b).CanonicalizedBody, before+string(after[:64]), before+strings.Repeat("0", 64))
	entryOf(b).CanonicalizedBody = other
	e, err := w.verifier(t).Bundle(raw(t, b), w.want(t))
	refused(t, e, err, rekorv1.BadProof)
	w.relog(t, b, other)
	if _, err := w.verifier(t).Bundle(raw(t, b), w.want(t)); err != nil {
		t.Error(err)
	}
}

// A fact is one line, whatever the libraries and the sender write.
func TestFactsAreOneLine(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(t, "dsse")
	entryOf(b).InclusionProof.Hashes[0][0] ^= 1
	e, err := w.verifier(t).Bundle(raw(t, b), w.want(t))
	if fact := refused(t, e, err, rekorv1.BadProof); strings.ContainsAny(fact, "\n\r") {
		t.Errorf("%q", fact)
	}
	b.MediaType = strings.Repeat("x\n", 2000)
	e, err = w.verifier(t).Bundle(raw(t, b), w.want(t))
	if fact := refused(t, e, err, rekorv1.Malformed); strings.Contains(fact, "\n") || len(fact) > 700 {
		t.Errorf("%d bytes: %q", len(fact), fact)
	}
}

// The page that lists the reasons is held to the code.
func TestReasonsAreOnTheirPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "rekor-v1.md"))
	_, section, found := strings.Cut(string(must(t, page, err)), "\n## Reasons\n")
	if !found {
		t.Fatal("docs/spec/rekor-v1.md has no section Reasons")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []rekorv1.Reason
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| [A-Z]").FindAllStringSubmatch(section, -1) {
		listed = append(listed, rekorv1.Reason(m[1]))
	}
	if diff := cmp.Diff(rekorv1.Reasons(), listed); diff != "" {
		t.Errorf("docs/spec/rekor-v1.md (-code +page):\n%s", diff)
	}
}

// RekorV2 is what an entry says of itself, whatever the bundle says of it.
func TestRekorV2(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(t, "hashedrekord")
	entryOf(b).KindVersion.Version = "0.0.2"
	parsed, err := rekorv1.Parse(raw(t, b))
	if err != nil || parsed.RekorV2() {
		t.Errorf("%v: an entry of v1 passes for one of v2", err)
	}
	entryOf(b).CanonicalizedBody = []byte(`{"apiVersion":"0.0.2","kind":"hashedrekord"}`)
	entryOf(b).KindVersion = &rekor.KindVersion{Kind: "hashedrekord", Version: "0.0.1"}
	if parsed, err = rekorv1.Parse(raw(t, b)); err != nil || !parsed.RekorV2() {
		t.Errorf("%v: an entry of v2 passes for one of v1", err)
	}
}
