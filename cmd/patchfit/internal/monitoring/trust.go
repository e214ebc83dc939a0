package monitoring

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/quorum"
	"github.com/patchfit/patchfit/verify"
)

// requestTime is how long the log may take for one file.
const requestTime = time.Minute

// A trust is what a log is held to, and where it is read.
type trust struct {
	url      string
	http     *http.Client
	root     []byte         // trusted_root.json
	quorum   *quorum.Policy // nil: no witness is asked for
	knows    map[attest.Digest]string
	names    *verify.Verifier         // knows certificates
	also     map[attest.Digest]string // --known
	journals []attest.Digest          // keys of journals that the policy names; nil: it names none
	session  *shell.Session           // whose pinned policy is asked again; nil: none is
}

// trusted finds what to go by: the policy that was pinned or named, and the
// files that take the place of its parts.
func (a verbs) trusted(ctx context.Context, f *flags) (*trust, error) {
	s, err := a.Reach()
	if err != nil {
		return nil, err
	}
	limited := *s.Client.HTTP()
	limited.Timeout = requestTime
	t := &trust{url: s.Client.Server(), http: &limited}
	if t.also, err = named(ctx, f.known); err != nil {
		return nil, err
	}
	policy, err := a.policy(ctx, s, f)
	if err != nil {
		return nil, err
	}
	if policy != nil {
		if err := t.take(policy); err != nil {
			return nil, err
		}
		if f.policy == "" {
			t.session = s
		}
	}
	return t, t.files(f)
}

// policy returns the trust policy to go by; nil where files say all there is.
func (a verbs) policy(ctx context.Context, s *shell.Session, f *flags) (*attest.TrustPolicy, error) {
	if f.policy != "" {
		b, err := os.ReadFile(f.policy)
		if err != nil {
			return nil, fmt.Errorf("reading the trust policy: %w", err)
		}
		roots, err := shell.Digest(f.roots)
		if err != nil {
			return nil, err
		}
		p, err := attest.OpenTrustPolicy(b, roots)
		if err != nil {
			return nil, exit.With(exit.Unproven, fmt.Sprintf("trust policy %s: %v", f.policy, err), "ask the product's owners for the policy and the digest of its roots")
		}
		return p, nil
	}
	if s.Server.Roots == "" {
		if f.trustedRoot == "" {
			return nil, exit.BadUsage(errors.New("nothing says which log key to trust"), "name --trusted-root, or --trust-policy and --roots, or log in with --roots")
		}
		return nil, nil
	}
	return s.PinnedPolicy(ctx)
}

// take takes a trust policy's log keys, witnesses and signers.
func (t *trust) take(p *attest.TrustPolicy) error {
	t.root = p.TrustedRoot
	if p.LogPolicy != "" {
		q, err := quorum.Parse([]byte(p.LogPolicy))
		if err != nil {
			return fmt.Errorf("reading the trust policy's logPolicy: %w", err)
		}
		t.quorum = q
	}
	names, err := verify.New(p)
	if err != nil {
		return err
	}
	t.knows, t.names = map[attest.Digest]string{}, names
	if t.journals, err = p.JournalKeys(); err != nil {
		return fmt.Errorf("reading the keys of journals: %w", err)
	}
	for _, id := range t.journals {
		t.knows[id] = "journal"
	}
	for _, signer := range p.Signers {
		for _, k := range signer.Keys {
			key, err := attest.ParsePublicKey(k.Key)
			if err != nil {
				return fmt.Errorf("reading the key of %s: %w", signer.Name, err)
			}
			t.knows[key.ID()] = signer.Name
		}
		for _, i := range signer.Identities {
			t.knows[i.Name()] = signer.Name
		}
	}
	return nil
}

// files takes the files that take the place of a policy's parts.
func (t *trust) files(f *flags) error {
	if f.trustedRoot != "" {
		b, err := os.ReadFile(f.trustedRoot)
		if err != nil {
			return fmt.Errorf("reading the trusted root: %w", err)
		}
		t.root = b
	}
	if f.logPolicy == "" {
		return nil
	}
	b, err := os.ReadFile(f.logPolicy)
	if err != nil {
		return fmt.Errorf("reading the log policy: %w", err)
	}
	if t.quorum, err = quorum.Parse(b); err != nil {
		return exit.Hint(fmt.Errorf("reading the log policy: %w", err), "see docs/spec/witness.md; begin one with: patchfit witness policy")
	}
	return nil
}

// refresh takes the signers of the pinned policy as it is now. The log and its
// witnesses stay those this run began with.
func (t *trust) refresh(ctx context.Context) error {
	if t.session == nil {
		return nil
	}
	p, err := t.session.PinnedPolicy(ctx)
	if err != nil {
		return err
	}
	now := new(trust)
	if err := now.take(p); err != nil {
		return err
	}
	t.knows, t.names, t.journals = now.knows, now.names, now.journals
	return nil
}

// known reports whether the trust policy, or --known, names who signed. A
// certificate is asked as of when it began: a leaf has no time.
func (t *trust) known(e *ledger.Entry) bool {
	if e.Certificate != nil {
		return t.names.Certificate(e.Certificate, e.Certificate.X509().NotBefore) == nil
	}
	key := e.Key.ID()
	_, signer := t.knows[key]
	_, also := t.also[key]
	return signer || also
}

// named reads public keys, and calls each as its file is called.
func named(ctx context.Context, files []string) (map[attest.Digest]string, error) {
	if len(files) == 0 {
		return nil, nil
	}
	keys := map[attest.Digest]string{}
	for _, file := range files {
		key, err := shell.ReadPublic(ctx, file)
		if err != nil {
			return nil, err
		}
		keys[key.ID()] = filepath.Base(file)
	}
	return keys, nil
}
