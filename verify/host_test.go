package verify_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

func TestHostRecord(t *testing.T) {
	l := newLab(t)
	w := l.world
	key := w.HostKey.Key
	envelope := l.RecordEnvelope(w)
	fresh := verify.Host{ID: w.Record.Host, After: 6, Nonce: verifytest.Nonce, Now: l.Now.Add(time.Minute), Boot: w.Record.BootID}
	tests := []struct {
		name     string
		envelope []byte
		key      *attest.PublicKey
		change   func(h *verify.Host)
		want     verify.Reason
		says     []string
	}{
		{"good", envelope, key, func(*verify.Host) {}, "", nil},
		{"good, boot not known", envelope, key, func(h *verify.Host) { h.Boot = "" }, "", nil},
		{"the first one", envelope, key, func(h *verify.Host) { h.After = 0 }, "", nil},
		{"taken before", envelope, key, func(h *verify.Host) { h.After = 7 }, verify.Rollback, []string{"7, want more than 7"}},
		{"older than one taken", envelope, key, func(h *verify.Host) { h.After = 9 }, verify.Rollback, []string{"9"}},
		{"another challenge", envelope, key, func(h *verify.Host) { h.Nonce = "other" }, verify.StaleHostRecord, []string{verifytest.Nonce, "other"}},
		{"no challenge", envelope, key, func(h *verify.Host) { h.Nonce = "" }, verify.StaleHostRecord, nil},
		{"clock behind", envelope, key, func(h *verify.Host) { h.Now = l.Now.Add(6 * time.Minute) }, verify.StaleHostRecord, []string{"5m"}},
		{"clock ahead", envelope, key, func(h *verify.Host) { h.Now = l.Now.Add(-6 * time.Minute) }, verify.StaleHostRecord, nil},
		{"no time", envelope, key, func(h *verify.Host) { h.Now = time.Time{} }, verify.StaleHostRecord, nil},
		{"another boot", envelope, key, func(h *verify.Host) { h.Boot = "5a1a3b52-8a38-4c7c-9f0e-6a4a8f6f2c12" }, verify.ClonedKey, []string{"5a1a3b52"}},
		{"another host", envelope, key, func(h *verify.Host) { h.ID = "1b0f3c62-6f1c-4a3e-9d3b-3f2f6f8f1a10" }, verify.SubjectMismatch, []string{w.Record.Host}},
		{"no host", envelope, key, func(h *verify.Host) { h.ID = "" }, verify.SubjectMismatch, nil},
		{"another key", envelope, l.Signer("base").Key, func(*verify.Host) {}, verify.BadSignature, nil},
		{"no key", envelope, nil, func(*verify.Host) {}, verify.UntrustedSigner, nil},
		{"not an envelope", []byte("{}"), key, func(*verify.Host) {}, verify.Corrupt, nil},
		{"another statement", l.Envelope(l.Statement(l.said.Type, l.said.About.Manifest, l.said.About.File, l.said.Predicate), w.HostKey), key,
			func(*verify.Host) {}, verify.Corrupt, []string{attest.TypeBase}},
		{"about another key", l.Envelope(l.Statement(attest.TypeHostRecord, l.Signer("base").Key.ID(), "", w.Record), w.HostKey), key,
			func(*verify.Host) {}, verify.SubjectMismatch, nil},
		{"not a statement", l.Envelope([]byte(`{}`), w.HostKey), key, func(*verify.Host) {}, verify.Corrupt, []string{"/payload"}},
		{"two signatures", twice(t, l, envelope), key, func(*verify.Host) {}, verify.BadSignature, nil},
		{"tampered", edit(t, envelope, "payload", base64.StdEncoding.EncodeToString([]byte(`{}`))), key, func(*verify.Host) {}, verify.BadSignature, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := fresh
			tt.change(&want)
			r, err := verify.HostRecord(tt.envelope, tt.key, want)
			if tt.want == "" {
				if err != nil || r.Sequence != 7 {
					t.Errorf("%+v, %v", r, err)
				}
				return
			}
			if r != nil {
				t.Errorf("a record of a refused envelope: %+v", r)
			}
			wantRefusal(t, err, tt.want, tt.says...)
		})
	}
}

func twice(t *testing.T, l *lab, envelope []byte) []byte {
	t.Helper()
	b, err := attest.AddSignature(envelope, l.Signer("base"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What was journaled is verified again without challenge and clock, which are
// gone, and with all the rest.
func TestStoredHostRecord(t *testing.T) {
	l := newLab(t)
	w := l.world
	envelope := l.RecordEnvelope(w)
	if _, err := verify.StoredHostRecord(envelope, w.HostKey.Key, w.Record.Host); err != nil {
		t.Error(err)
	}
	_, err := verify.StoredHostRecord(envelope, l.Signer("base").Key, w.Record.Host)
	wantRefusal(t, err, verify.BadSignature)
	_, err = verify.StoredHostRecord(envelope, w.HostKey.Key, "")
	wantRefusal(t, err, verify.SubjectMismatch)
}
