package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/update"
	"github.com/patchfit/patchfit/registry/spelling"
)

// renewTrust is how long before its end what people sign offline is to be
// signed again.
const renewTrust = 14 * 24 * time.Hour

// The probes of trust distribution.
const (
	whatPolicy     = "trust policy"
	whatRepository = "trust repository"
	whatSame       = "trust repository: trust policy"
)

// trust looks at how hosts come to their trust policy, as a host does that
// pinned what the server itself says: whether they could, not whether they
// should, which is for those who hold the keys to say.
func (d *Doctor) trust(ctx context.Context) {
	envelope, policy := d.policy(ctx)
	pin, ok := d.pin(ctx, policy)
	if !ok {
		return
	}
	client := &update.Client{Server: strings.TrimSuffix(d.server.String(), "/"), HTTP: d.nobody, Dir: os.TempDir()}
	state, err := client.Update(ctx, pin, nil)
	if err != nil {
		d.note(Fail, whatRepository, err.Error(), "hosts take no patch until this is mended: the server's log, or patchfit trust tuf show, says what is missing")
		return
	}
	d.note(OK, whatRepository, fmt.Sprintf("a host gets through: root version %d, targets version %d", state.Heading(tuf.RoleRoot).Version, state.Heading(tuf.RoleTargets).Version), "")
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot} {
		d.until(whatRepository+": "+role, state.Heading(role).Expires, renewTrust, "have its owners sign the next one: docs/keys.md")
	}
	d.until(whatRepository+": timestamp", state.Heading(tuf.RoleTimestamp).Expires, 0, "see the server's log")
	if !bytes.Equal(state.Files[tuf.TrustPolicy], envelope) {
		d.note(Fail, whatSame, "it is not the one in effect", "put that one in targets, and publish: patchfit trust tuf targets DIR --policy FILE")
		return
	}
	d.note(OK, whatSame, "it is the one in effect", "")
}

// policy returns the trust policy in effect; nil: none that could be read.
func (d *Doctor) policy(ctx context.Context) ([]byte, *attest.TrustPolicy) {
	a, err := d.ask(ctx, d.nobody, spelling.Way{Method: http.MethodGet, Target: "/v1/trust-policy"})
	switch {
	case err != nil:
		d.note(Fail, whatPolicy, err.Error(), "see the server's log")
		return nil, nil
	case a.status == http.StatusNotFound:
		d.note(Skip, whatPolicy, "this server has none yet", "make one: patchfit trust init")
		return nil, nil
	case a.status != http.StatusOK:
		d.note(Fail, whatPolicy, a.told(), "anybody may read it: see the server's log, and what stands before it")
		return nil, nil
	}
	p, err := readPolicy(a.body)
	if err != nil {
		d.note(Fail, whatPolicy, err.Error(), "see what stands before the server: it must not change answers")
		return nil, nil
	}
	d.until(whatPolicy, p.Expires, renewTrust, "have its roots sign the next one: patchfit trust edit, trust sign")
	return a.body, p
}

func readPolicy(envelope []byte) (*attest.TrustPolicy, error) {
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	if err != nil {
		return nil, err
	}
	return attest.ParseTrustPolicy(e.Payload)
}

// pin returns the root that hosts begin from: the one the trust policy names,
// or the first one of a repository that no policy names yet.
func (d *Doctor) pin(ctx context.Context, p *attest.TrustPolicy) (pin attest.TUFRoot, ok bool) {
	if p != nil && p.TUF != (attest.TUFRoot{}) {
		return p.TUF, true
	}
	a, err := d.ask(ctx, d.nobody, spelling.Way{Method: http.MethodGet, Target: update.Path + "/1.root.json"})
	switch {
	case err != nil:
		d.note(Fail, whatRepository, err.Error(), "see the server's log")
		return pin, false
	case a.status == http.StatusNotFound:
		d.note(Skip, whatRepository, "this server has none", "hosts take trust policies from it alone; docs/keys.md sets one up")
		return pin, false
	case a.status != http.StatusOK:
		d.note(Fail, whatRepository, a.told(), "anybody may read it: see the server's log, and what stands before it")
		return pin, false
	}
	return attest.TUFRoot{Version: 1, Root: attest.DigestOf(a.body)}, true
}

// until notes whether something is good for some time yet.
func (d *Doctor) until(what string, end time.Time, least time.Duration, next string) {
	fact := fmt.Sprintf("it is good until %s", end.UTC().Format(time.RFC3339))
	if end.Sub(d.Now()) <= least {
		d.note(Fail, what, fact, next)
		return
	}
	d.note(OK, what, fact, "")
}
