// Package statetest makes a server's state for tests: a [House] has a trust
// policy, a product, principals, hosts and published patches, in memory, with
// real keys and bundles that verify. Its journal applies each record as the
// real one does, and can be made to fail.
package statetest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/fileid"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// Repository is where a House's first product lives.
const Repository = "kernel/debian-12-amd64"

// A Key is a key pair.
type Key struct {
	Signer crypto.Signer
	Public *attest.PublicKey
}

// NewKey returns a fresh key pair.
func NewKey(t testing.TB) Key {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	pub, err := attest.NewPublicKey(k.Public())
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return Key{k, pub}
}

// Sign returns k as a signer of envelopes.
func (k Key) Sign(t testing.TB) signature.Signer {
	t.Helper()
	s, err := signature.LoadSigner(k.Signer, crypto.SHA256)
	if err != nil {
		t.Fatalf("loading a signer: %v", err)
	}
	return s
}

// Blobs is a ledger store in memory.
type Blobs struct {
	mu       sync.Mutex
	m        map[attest.Digest][]byte
	versions map[attest.Digest]uint64
	// Err is what Put fails with; nil: it does not fail.
	Err     error
	readErr error
}

// FailReads has Get and Identity fail with err, as a disk does that cannot be
// read for a while; nil: they do not.
func (b *Blobs) FailReads(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readErr = err
}

// found returns the bytes of d, changed or not, with the errors of the real
// store. mu is held.
func (b *Blobs) found(d attest.Digest) ([]byte, error) {
	if b.readErr != nil {
		return nil, fmt.Errorf("reading %s: %w", d, b.readErr)
	}
	data, ok := b.m[d]
	if !ok {
		return nil, fmt.Errorf("%s: %w", d, store.ErrNotFound)
	}
	return data, nil
}

// Put stores b.
func (b *Blobs) Put(data []byte) (attest.Digest, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Err != nil {
		return "", b.Err
	}
	d := attest.DigestOf(data)
	b.set(d, slices.Clone(data))
	return d, nil
}

func (b *Blobs) set(d attest.Digest, data []byte) {
	b.m[d] = data
	if b.versions == nil {
		b.versions = make(map[attest.Digest]uint64)
	}
	b.versions[d]++
}

// Identity returns one that changes with the bytes.
func (b *Blobs) Identity(d attest.Digest) (fileid.Identity, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, err := b.found(d)
	if err != nil {
		return fileid.Identity{}, err
	}
	return fileid.Identity{Inode: b.versions[d], Size: int64(len(data)), Changed: 1}, nil
}

// Get returns bytes, hashed again.
func (b *Blobs) Get(d attest.Digest) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, err := b.found(d)
	if err != nil {
		return nil, err
	}
	if attest.DigestOf(data) != d {
		return nil, fmt.Errorf("%s: %w", d, store.ErrCorrupt)
	}
	return slices.Clone(data), nil
}

// Damage changes the stored bytes of d, or takes them away.
func (b *Blobs) Damage(d attest.Digest, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if data == nil {
		delete(b.m, d)
		return
	}
	b.set(d, data)
}

// A Journal is a journal in memory.
type Journal struct {
	mu      sync.Mutex
	records []ledger.Record
	apply   func(ledger.Record) error
	// Err is what Append fails with, having done nothing; nil: it does not fail.
	Err error
	// Time is the time of the next records; zero: time.Now.
	Time time.Time
}

// Append applies a record and keeps it.
func (j *Journal) Append(_ context.Context, kind ledger.Kind, body any) (ledger.Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.Err != nil {
		return ledger.Record{}, j.Err
	}
	b, err := ledger.EncodeBody(kind, body)
	if err != nil {
		return ledger.Record{}, err
	}
	now := j.Time
	if now.IsZero() {
		now = time.Now()
	}
	r := ledger.Record{Sequence: int64(len(j.records)) + 1, Time: now.UTC().Truncate(time.Microsecond), Kind: kind, Salt: make([]byte, 16), Body: b}
	if err := j.apply(r); err != nil {
		return ledger.Record{}, errors.Join(errors.New("the journal would be down now"), err)
	}
	j.records = append(j.records, r)
	return r, nil
}

// Records returns what was appended.
func (j *Journal) Records() []ledger.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.records)
}

// A House is a server's state with what it was made of.
type House struct {
	*verifytest.Authority
	State   *state.State
	Blobs   *Blobs
	Journal *Journal
	Product attest.Product
	Root    Key
	Admin   string // principal id, with role admin everywhere

	t    testing.TB
	site *policy.Site
}

// Site returns the House's site policy.
func (h *House) Site() *policy.Site { return h.site }

// New returns a House with a trust policy of version 1, its product, and an
// admin with a bearer token of MAC "00".
func New(t testing.TB) *House {
	t.Helper()
	h := Empty(t)
	h.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 1, Envelope: h.Put(h.Policy(1, h.Product)), By: h.Admin})
	h.Must(ledger.KindProduct, ledger.ProductAdded{Product: h.Product.ID, Repository: h.Product.Repository, By: h.Admin})
	return h
}

// Empty returns a House with an admin and nothing else.
func Empty(t testing.TB) *House {
	t.Helper()
	h := &House{Authority: verifytest.New(t), Blobs: &Blobs{m: make(map[attest.Digest][]byte)}, Root: NewKey(t), Admin: uuid.NewString(), t: t}
	h.Product = h.Authority.Product(Repository)
	h.site = policy.DefaultSite()
	h.State = state.New(h.Blobs, h.site)
	h.Journal = &Journal{apply: h.State.Apply}
	if err := h.State.SetReady(); err != nil {
		t.Fatalf("empty state: %v", err)
	}
	h.Must(ledger.KindPrincipal, ledger.PrincipalAdded{Principal: h.Admin, Name: "admin", TokenMAC: "00", By: h.Admin})
	h.Must(ledger.KindGrant, ledger.Granted{Principal: h.Admin, Product: state.AllProducts, Role: state.RoleAdmin, By: h.Admin})
	return h
}

// Must journals a fact.
func (h *House) Must(kind ledger.Kind, body any) ledger.Record {
	h.t.Helper()
	r, err := h.Journal.Append(context.Background(), kind, body)
	if err != nil {
		h.t.Fatalf("journaling %s: %v", kind, err)
	}
	return r
}

// Put stores bytes.
func (h *House) Put(b []byte) attest.Digest {
	h.t.Helper()
	d, err := h.Blobs.Put(b)
	if err != nil {
		h.t.Fatalf("storing: %v", err)
	}
	return d
}

// Policy returns the envelope of a trust policy with the House's root, all its
// signers and these products.
func (h *House) Policy(version int64, products ...attest.Product) []byte {
	h.t.Helper()
	p := h.TrustPolicy(products...)
	p.Version = version
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{h.Root.Public.Base64()}}
	return h.SignPolicy(p, h.Root)
}

// SignPolicy returns the envelope of p, signed by keys.
func (h *House) SignPolicy(p *attest.TrustPolicy, keys ...Key) []byte {
	h.t.Helper()
	b, err := strictjson.Canonical(p)
	if err != nil {
		h.t.Fatalf("trust policy: %v", err)
	}
	envelope, err := attest.SignEnvelope(attest.PolicyPayload, b, keys[0].Sign(h.t))
	for _, k := range keys[1:] {
		if err == nil {
			envelope, err = attest.AddSignature(envelope, k.Sign(h.t))
		}
	}
	if err != nil {
		h.t.Fatalf("signing the trust policy: %v", err)
	}
	return envelope
}

// Trust has the state take another trust policy.
func (h *House) Trust(p *attest.TrustPolicy) {
	h.t.Helper()
	h.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: p.Version, Envelope: h.Put(h.SignPolicy(p, h.Root)), By: h.Admin})
}

// Principal adds someone with a key and roles in the House's product.
func (h *House) Principal(name string, roles ...string) (id string, key Key) {
	h.t.Helper()
	id, key = uuid.NewString(), NewKey(h.t)
	h.Must(ledger.KindPrincipal, ledger.PrincipalAdded{Principal: id, Name: name, Key: key.Public.Base64(), By: h.Admin})
	for _, role := range roles {
		h.Must(ledger.KindGrant, ledger.Granted{Principal: id, Product: h.Product.ID, Role: role, By: h.Admin})
	}
	return id, key
}

// Enrol adds a host in the House's product.
func (h *House) Enrol(name string) (id string, key Key) {
	h.t.Helper()
	id, key = uuid.NewString(), NewKey(h.t)
	token := rand.Text()
	h.Must(ledger.KindToken, ledger.TokenMade{Token: token, MAC: "00", Products: []string{h.Product.ID}, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second), By: h.Admin})
	h.Must(ledger.KindHost, ledger.HostEnrolled{Host: id, Name: name, Key: key.Public.Base64(), Products: []string{h.Product.ID}, Token: token, State: state.Active})
	return id, key
}

// SetState changes the state of a host.
func (h *House) SetState(id, to string) {
	h.t.Helper()
	host, ok := h.State.Host(id)
	if !ok {
		h.t.Fatalf("no host %s", id)
	}
	h.Must(ledger.KindHost, ledger.HostEnrolled{Host: id, Name: host.Name, Key: host.Key.Base64(), Products: host.Products, State: to, By: h.Admin})
}

// RecordEnvelope returns a host's record in which it runs measurements of w's
// base.
func (h *House) RecordEnvelope(id string, key Key, r attest.HostRecord) []byte {
	h.t.Helper()
	r.Host = id
	statement := h.Statement(attest.TypeHostRecord, key.Public.ID(), "", &r)
	envelope, err := attest.SignEnvelope(attest.PayloadType, statement, key.Sign(h.t))
	if err != nil {
		h.t.Fatalf("signing a host record: %v", err)
	}
	return envelope
}

// Record journals that a host runs the base of w.
func (h *House) Record(id string, key Key, sequence int64, w *verifytest.World) {
	h.t.Helper()
	r := *w.Record
	r.Sequence = sequence
	h.Must(ledger.KindHostRecord, ledger.HostRecorded{Host: id, Sequence: sequence, Envelope: h.Put(h.RecordEnvelope(id, key, r))})
}
