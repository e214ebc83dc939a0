package host

import (
	"cmp"
	"context"
	"crypto"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// maxSequenceJump is how far above the last record's sequence a server may ask
// for the next: a restored host catches up, and nobody uses the numbers up.
const maxSequenceJump = 1 << 20

// Recorded is what the server took.
type Recorded struct {
	Record *attest.HostRecord
	Bases  []api.Base // what the server resolves it to: empty means no patch will fit
}

// Base names a base by its product, an id or a repository of the trust
// policy, and a path.
func (a *Agent) Base(product, path string) (Base, error) {
	p, ok := a.productNamed(product)
	if !ok {
		return Base{}, fmt.Errorf("the trust policy of this host has no product %.200q", product)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Base{}, fmt.Errorf("finding %s: %w", path, err)
	}
	return Base{Product: p.ID, Path: abs}, nil
}

func (a *Agent) productNamed(name string) (*attest.Product, bool) {
	for i := range a.pinned.Products {
		if p := &a.pinned.Products[i]; p.ID == name || p.Repository == name {
			return p, true
		}
	}
	return nil, false
}

// Refresh takes a newer trust policy where the server has one. Record and
// Pull do it by themselves.
func (a *Agent) Refresh(ctx context.Context) error { return a.updatePolicy(ctx) }

// Record measures bases, signs what it found and sends it. Without bases it
// measures those of the last record again. docs/spec/host-record.md.
func (a *Agent) Record(ctx context.Context, bases []Base) (*Recorded, error) {
	if err := a.updatePolicy(ctx); err != nil {
		return nil, err
	}
	if len(bases) == 0 {
		bases = a.last.Bases
	}
	statement, err := a.describe(bases)
	if err != nil {
		return nil, err
	}
	challenge, err := a.client.Challenge(ctx, a.me.Host)
	if err != nil {
		return nil, err
	}
	statement.Nonce = challenge.Nonce
	if statement.Sequence, err = a.next(challenge.Sequence); err != nil {
		return nil, err
	}
	envelope, err := a.sign(statement)
	if err != nil {
		return nil, err
	}
	return a.deliver(ctx, bases, statement, envelope)
}

// next returns the sequence of the next record, for which the server asks for
// one. Two different records must never have the same: a server that was set
// back to a backup asks for a number we used.
func (a *Agent) next(asked int64) (int64, error) {
	if asked > a.last.Signed && asked-a.last.Signed > maxSequenceJump {
		return 0, &verify.Refusal{
			Reason: verify.Corrupt,
			Fact:   fmt.Sprintf("the server asks for record %d, the last one this host signed is %d: more than %d apart", asked, a.last.Signed, maxSequenceJump),
			Remedy: "ask an admin of the server why it asks for that number; if it is right, this host lost its state: enrol it again",
		}
	}
	return max(asked, a.last.Signed+1), nil
}

// describe says what this host runs, of which the server's challenge is missing.
func (a *Agent) describe(bases []Base) (*attest.HostRecord, error) {
	if len(bases) == 0 {
		return nil, fmt.Errorf("nothing to record: name a base, as PRODUCT=PATH")
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	running, err := a.running(bases)
	if err != nil {
		return nil, err
	}
	machine, err := machineFor(bases)
	if err != nil {
		return nil, err
	}
	return &attest.HostRecord{Host: a.me.Host, BootID: boot, Time: now(), Target: machine, Running: running}, nil
}

// running measures bases, in the order records have.
func (a *Agent) running(bases []Base) ([]attest.Running, error) {
	var all []attest.Running
	for _, b := range bases {
		if !slices.Contains(a.me.Products, b.Product) {
			return nil, refuse(verify.ForbiddenRole, "this host is enrolled for %v and not for product %s", a.me.Products, b.Product)
		}
		m, err := Measure(b.Path)
		if err != nil {
			return nil, err
		}
		all = append(all, attest.Running{Product: b.Product, Measurement: m})
	}
	slices.SortFunc(all, func(a, b attest.Running) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Measurement.Digest, b.Measurement.Digest))
	})
	return slices.Compact(all), nil
}

func (a *Agent) sign(r *attest.HostRecord) ([]byte, error) {
	statement, err := attest.NewStatement(attest.TypeHostRecord, []attest.Subject{{Name: "host-key", Digest: a.key.ID()}}, r)
	if err != nil {
		return nil, fmt.Errorf("making the host record: %w", err)
	}
	s, err := signature.LoadSigner(a.signer, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing the host record: %w", err)
	}
	return attest.SignEnvelope(attest.PayloadType, statement, s)
}

// deliver sends a signed record. Its sequence is written down before it is
// sent, so that after a crash no other record gets the same.
func (a *Agent) deliver(ctx context.Context, bases []Base, r *attest.HostRecord, envelope []byte) (*Recorded, error) {
	signed := *a.last
	signed.Signed = r.Sequence
	if err := a.state.write(recordFile, &signed); err != nil {
		return nil, err
	}
	a.last = &signed
	taken, err := a.client.Record(ctx, a.me.Host, envelope)
	if err != nil {
		return nil, err
	}
	if taken.Sequence != r.Sequence {
		return nil, refuse(verify.Rollback, "the server took record %d, this host sent record %d", taken.Sequence, r.Sequence)
	}
	done := lastRecord{SchemaVersion: stateVersion, Bases: bases, Signed: r.Sequence, Envelope: envelope, Received: now(), Resolved: taken.Bases}
	if err := a.state.write(recordFile, &done); err != nil {
		return nil, err
	}
	a.last, a.record = &done, r
	return &Recorded{Record: r, Bases: taken.Bases}, nil
}

// measured takes the measurements of the bases of a product again, now. They
// have to be what the last record says of this boot: the server decided on it.
func (a *Agent) measured(product string) ([]attest.Running, error) {
	if a.record == nil {
		return nil, refuse(verify.StaleHostRecord, "this host has not recorded what it runs")
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if boot != a.record.BootID {
		return nil, refuse(verify.StaleHostRecord, "record %d is of boot %s, this is boot %s", a.record.Sequence, a.record.BootID, boot)
	}
	found, err := a.running(basesOf(product, a.last.Bases))
	if err != nil {
		return nil, err
	}
	recorded := slices.DeleteFunc(slices.Clone(a.record.Running), func(r attest.Running) bool { return r.Product != product })
	if !slices.Equal(found, recorded) {
		return nil, refuse(verify.StaleHostRecord, "record %d of %s says %s, and now it is %s",
			a.record.Sequence, a.record.Time.Format(time.RFC3339), listRunning(recorded), listRunning(found))
	}
	return found, nil
}

func basesOf(product string, bases []Base) []Base {
	return slices.DeleteFunc(slices.Clone(bases), func(b Base) bool { return b.Product != product })
}

func listRunning(all []attest.Running) string {
	if len(all) == 0 {
		return "nothing of this product"
	}
	var text string
	for i, r := range all {
		if i > 0 {
			text += ", "
		}
		text += string(r.Measurement.Digest)
	}
	return text
}
