// Package state is what the server knows, in memory: principals and their
// roles, hosts and what they run, manifests and tags, trust and evidence. The
// gate decides from it without a disk, a network or a signature.
//
// It is a projection of the journal and nothing else. [State.Apply] takes one
// record after another and refuses the first it does not understand or cannot
// verify; every signature is checked again, with the bytes in the ledger
// store, so that whoever can write to a database can inject nothing. The same
// records give the same state, down to the epochs: an epoch is the sequence of
// the record that last changed what a decision could depend on.
//
// Evidence says who signed. Whether they are trusted is asked of the trust
// policy in effect; when another one is applied, every bundle is verified again
// with its keys, logs and timestamp authorities. A bundle they do not verify
// is kept and counts for nothing. One that no policy ever accepted here
// verifies is an error, and the server does not start.
//
// A State that is not ready answers that there is nothing to decide on.
package state

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// Blobs is where the bytes are that records name.
type Blobs interface {
	// Get returns the bytes with this digest, hashed again.
	Get(d attest.Digest) ([]byte, error)
}

// A State is safe for concurrent use; Apply and SetReady are called from one
// goroutine at a time. What its methods return is not changed later and must
// not be changed by the caller.
type State struct {
	blobs Blobs
	site  *policy.Site

	mu    sync.RWMutex
	ready bool
	last  int64 // sequence of the newest record applied

	trust        trust
	tuf          published
	principals   map[string]*Principal
	macs         map[string]string        // MAC of a bearer token -> principal id
	keys         map[attest.Digest]string // key id -> principal id, hosts' too
	grants       map[grant]bool
	tokens       map[string]*Token
	hosts        map[string]*Host
	products     map[string]string // product id -> repository, as an admin added it
	repositories map[string]*repository
	bundles      map[attest.Digest]*statement // first of each bundle
	copies       map[attest.Digest]int        // repositories a blob is in
}

// New returns the state before the first record. site is what the site asks
// for beyond the core rules.
func New(blobs Blobs, site *policy.Site) *State {
	return &State{
		blobs: blobs, site: site,
		principals: make(map[string]*Principal), macs: make(map[string]string), keys: make(map[attest.Digest]string),
		grants: make(map[grant]bool), tokens: make(map[string]*Token), hosts: make(map[string]*Host),
		products: make(map[string]string), repositories: make(map[string]*repository),
		bundles: make(map[attest.Digest]*statement), copies: make(map[attest.Digest]int),
	}
}

// A change is what a checked record does to the state. It cannot fail.
type change func()

// Apply makes a record take effect. Records come in order, without gaps. An
// error names the record; the state is then as it was before it.
func (s *State) Apply(r ledger.Record) error {
	if want := s.last + 1; r.Sequence != want {
		return fmt.Errorf("record %d came where record %d belongs", r.Sequence, want)
	}
	do, err := s.check(r) // reads without the lock: nobody else writes
	if err != nil {
		return fmt.Errorf("record %d, %s: %w", r.Sequence, r.Kind, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	s.last = r.Sequence
	return nil
}

func (s *State) check(r ledger.Record) (change, error) {
	switch r.Kind {
	case ledger.KindTrustPolicy:
		return checked(r, s.trustPolicy)
	case ledger.KindTUF:
		return checked(r, s.tufAccepted)
	case ledger.KindProduct:
		return checked(r, s.product)
	case ledger.KindPrincipal:
		return checked(r, s.principal)
	case ledger.KindEnded:
		return checked(r, s.principalEnded)
	case ledger.KindGrant:
		return checked(r, s.granted)
	case ledger.KindToken:
		return checked(r, s.tokenMade)
	case ledger.KindEmbargo:
		return checked(r, s.embargoed)
	case ledger.KindHost:
		return checked(r, s.hostEnrolled)
	case ledger.KindHostRecord:
		return checked(r, s.hostRecorded)
	}
	return s.checkRegistry(r)
}

// checkRegistry checks the records that the registry and its gate write.
func (s *State) checkRegistry(r ledger.Record) (change, error) {
	switch r.Kind {
	case ledger.KindBlob:
		return checked(r, s.blobPut)
	case ledger.KindBlobRemoved:
		return checked(r, s.blobRemoved)
	case ledger.KindManifest:
		return checked(r, s.manifestPut)
	case ledger.KindTag:
		return checked(r, s.tagMoved)
	case ledger.KindDelete:
		return checked(r, s.deleted)
	case ledger.KindStatement:
		return checked(r, s.statementAdmitted)
	case ledger.KindChannel:
		return checked(r, s.channelTaken)
	case ledger.KindLint:
		return checked(r, s.linted)
	case ledger.KindDecision:
		return checked(r, s.decided)
	case ledger.KindUses:
		return checked(r, func(ledger.Record, *ledger.DecisionUses) (change, error) { return func() {}, nil })
	}
	return nil, errors.New("unknown kind of record")
}

func checked[T any](r ledger.Record, check func(ledger.Record, *T) (change, error)) (change, error) {
	body, err := ledger.Decode[T](r)
	if err != nil {
		return nil, err
	}
	return check(r, body)
}

// decided changes nothing: decisions are evidence for auditors, not for
// decisions.
func (s *State) decided(_ ledger.Record, d *ledger.Decided) (change, error) {
	if s.hosts[d.Host] == nil {
		return nil, fmt.Errorf("host %q is not known", d.Host)
	}
	return func() {}, nil
}

// Ready reports whether the state is whole. Until then nothing is decided.
func (s *State) Ready() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ready
}

// SetReady makes the state whole once every record of the journal is applied:
// what was verified with an earlier trust policy is verified with the one in
// effect. On an error, which names the bundle, the state stays unready.
func (s *State) SetReady() error {
	evidence, err := s.verifyAgain(s.trust.verifier)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reassess(evidence)
	s.ready = true
	return nil
}

// Last returns the sequence of the newest record applied; 0: none.
func (s *State) Last() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last
}

// Trust returns the trust policy in effect, in the form decisions ask it; nil
// before the first, which trusts nobody.
func (s *State) Trust() *policy.Trust {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.trust.decisions
}

// Verifier returns the verifier with the keys, logs and timestamp authorities
// of the trust policy in effect; nil before the first.
func (s *State) Verifier() *verify.Verifier {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.trust.verifier
}

// TrustPolicy returns the trust policy in effect and its signed envelope; nil
// before the first.
func (s *State) TrustPolicy() (*attest.TrustPolicy, []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.trust.policy, s.trust.envelope
}

// Certified returns nil where the trust policy in effect names a certificate's
// identity, and all of its chain counts at the time now.
func (s *State) Certified(c *attest.Certificate, now time.Time) error {
	v := s.Verifier()
	if v == nil {
		return errors.New("there is no trust policy yet: push one")
	}
	return v.Certificate(c, now)
}

// KnownSigner reports whether the trust policy in effect names a key, by its
// id, as a signer's. The log takes no entries of others.
func (s *State) KnownSigner(key attest.Digest) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.trust.signers[key]
}
