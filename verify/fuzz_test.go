package verify_test

import (
	"errors"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// FuzzBundle: no input panics, every refusal is a Refusal with a known reason,
// and what is accepted says what one of the good bundles says. The fuzzer
// cannot sign, so anything else would be a forgery.
func FuzzBundle(f *testing.F) {
	l := newLab(f)
	good := make(map[string]bool)
	abouts := []verify.Artifact{{}}
	for _, s := range l.world.Said() {
		raw := l.Say(s)
		good[identity(f, l.verifier, raw, s.About)] = true
		abouts = append(abouts, s.About)
		f.Add(raw)
		f.Add(edit(f, raw, "verificationMaterial/publicKey/hint", ""))
		f.Add(edit(f, raw, "verificationMaterial/tlogEntries", nil))
	}
	f.Add(l.Unchecked([]byte(`{}`), l.Signer("base")))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, about := range abouts {
			ev, err := l.verifier.Bundle(raw, about)
			if err == nil {
				if got := identity(t, l.verifier, raw, about); !good[got] {
					t.Fatalf("forged: %s", got)
				}
				continue
			}
			var r *verify.Refusal
			if ev != nil || !errors.As(err, &r) || r.Reason.Sentence() == "" {
				t.Fatalf("evidence %v with error %v", ev, err)
			}
		}
		if ev, err := l.verifier.Revocation(raw); err == nil {
			t.Fatalf("a revocation nobody signed: %+v", ev)
		}
	})
}

// FuzzHostRecord: no input panics, and none is accepted but the one record.
func FuzzHostRecord(f *testing.F) {
	l := newLab(f)
	w := l.world
	f.Add(l.RecordEnvelope(w))
	f.Add([]byte(`{"payload":"","payloadType":"","signatures":[]}`))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		r, err := verify.StoredHostRecord(envelope, w.HostKey.Key, w.Record.Host)
		if err != nil {
			return
		}
		e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
		if err != nil || e.Verify(w.HostKey.Key) != nil || r.Sequence != w.Record.Sequence {
			t.Fatalf("accepted %+v; envelope: %v", r, err)
		}
	})
}
