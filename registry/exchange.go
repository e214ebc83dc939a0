package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/registry/api/errcode"
	v2 "github.com/distribution/distribution/v3/registry/api/v2"
	"github.com/opencontainers/go-digest"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// An exchange is one request that was let in: who asks for what, and what they
// may. Whatever distribution calls on the way has to find it in the context,
// and can do no more than it says.
type exchange struct {
	target
	registry  *Registry
	answer    *answer
	principal *state.Principal // not changed
	action    action
	gated     bool // a host asks: the gate decides

	// sha512 is what a manifest is put under where that is not its sha256; the
	// request that distribution gets names it by a tag then.
	sha512  string
	whole   *whole   // the blob that comes with the request that begins its upload
	tags    []string // what a manifest is to be called that is put by its digest
	decided []decided
	first   [1]decided // room for what mostly is the only one
	cleanup []func()
}

// decided is whether a manifest may be read, asked once in an exchange.
type decided struct {
	digest   attest.Digest
	manifest *state.Manifest
	refusal  *api.Error // nil: it may
}

type exchangeKey struct{}

// exchangeOf returns the exchange a call belongs to.
func exchangeOf(ctx context.Context) (*exchange, error) {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errClosed
	}
	return x, nil
}

// open lets a request in, or says why not.
func (x *exchange) open(r *http.Request) *api.Error {
	p := auth.Asking(r.Context())
	if p == nil {
		return api.Errorf(http.StatusUnauthorized, api.CodeUnauthorized, "authentication required").Hint("log in first, or enrol this host")
	}
	if e := hygiene(r); e != nil {
		return e
	}
	if !x.registry.State.Ready() {
		return api.Errorf(http.StatusServiceUnavailable, api.CodeUnavailable, "the server is not ready to decide").Hint("try again")
	}
	t, e := x.registry.match(r)
	if e != nil {
		return e
	}
	want := actions[t.route][r.Method]
	if want == none {
		x.answer.Header().Set("Allow", allowed(t.route))
		return api.Errorf(http.StatusMethodNotAllowed, codeUnsupported, "this answers %s", allowed(t.route))
	}
	x.target, x.principal, x.action = t, p, want
	if e := x.permit(); e != nil {
		return e
	}
	return x.brought(r)
}

// brought reads what a request brings beside what it is about.
func (x *exchange) brought(r *http.Request) (e *api.Error) {
	if r.URL.RawQuery == "" {
		return nil
	}
	q := r.URL.Query()
	if x.whole, e = x.wholeOf(r, q); e != nil {
		return e
	}
	x.tags, e = x.tagsOf(q)
	return e
}

// permissions says what each role may do in a product. A host may read what
// the gate, too, lets it read.
var permissions = map[string][]action{
	state.RoleHost:      {read},
	state.RoleAuditor:   {read},
	state.RoleRebuilder: {read, push},
	state.RolePublisher: {read, push, remove},
	state.RoleAdmin:     {read, push, remove, catalog},
}

// permit asks whether one of the roles allows the action. To whoever has no role
// at all there is no such product, whether there is one or not.
func (x *exchange) permit() *api.Error {
	if x.action == ping {
		return nil
	}
	served := x.product != ""
	if !served {
		x.product, served = x.registry.State.Product(x.repository)
	}
	roles := x.registry.State.Roles(x.principal.ID, x.product)
	switch {
	case len(roles) == 0 && x.action == catalog:
		return forbidden("the list of all repositories is for admins of the server")
	case len(roles) == 0:
		x.tried(x.product)
		return x.unknown()
	case !slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(permissions[role], x.action) }):
		return forbidden("your role in repository %.200s, %s, does not allow this", x.repository, roles[0])
	case !served && x.action != catalog:
		return x.unknown()
	}
	x.gated = !slices.ContainsFunc(roles, func(role string) bool { return role != state.RoleHost })
	return nil
}

func forbidden(format string, args ...any) *api.Error {
	return denied(verify.ForbiddenRole, fmt.Sprintf(format, args...), verify.ForbiddenRole.Remedy())
}

// denied is a 403 that gives a reason: CODE: fact; next step.
func denied(reason verify.Reason, fact, next string) *api.Error {
	return api.Errorf(http.StatusForbidden, api.CodeDenied, "%s: %s", reason, fact).Hint("%s", next)
}

// readsAll reports whether who asks may read everything in a repository: then a
// blob of it can be mounted elsewhere. The gate mounts nothing.
func (x *exchange) readsAll(repository string) bool {
	product, served := x.registry.State.Product(repository)
	if !served {
		return false
	}
	return slices.ContainsFunc(x.registry.State.Roles(x.principal.ID, product), func(role string) bool {
		return role != state.RoleHost && slices.Contains(permissions[role], read)
	})
}

// maxBlob is how many bytes one blob may have.
func (x *exchange) maxBlob() int64 { return x.registry.Limits.Blob }

// resolve returns what a blob or manifest is known by here, of the digest that
// it is asked by.
func (x *exchange) resolve(named digest.Digest) (attest.Digest, error) {
	d, sha512, err := state.ParseName(string(named))
	if err != nil {
		return "", x.refuse(invalid(codeDigest, "%v", err))
	}
	if sha512 == "" {
		return d, nil
	}
	d, ok := x.registry.State.Resolve(x.repository, sha512)
	if !ok && x.gated {
		return "", x.refuse(denied(verify.ForbiddenRole, "nothing that this host may have is named "+sha512, askForPatch))
	}
	if !ok {
		code := codeNoBlob
		if x.route == v2.RouteNameManifest {
			code = codeNoManifest
		}
		return "", x.refuse(api.Errorf(http.StatusNotFound, code, "%s is not in %s", sha512, x.repository))
	}
	return d, nil
}

// anyManifest is what a client takes that takes everything (RFC 9110, section
// 12.5.1: no Accept is that, too).
var anyManifest = []string{state.MediaManifest, state.MediaIndex, "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"}

func acceptsAll(headers []string) bool { return len(headers) == 0 || accepts(headers, "*/*") }

// placeholder is the tag that distribution puts a manifest under which is put
// by its sha512: it knows no other digest than sha256. No such tag is made.
const placeholder = "sha512"

// request returns r as distribution gets it: with the exchange, and without
// what would be another say in it.
func (x *exchange) request(r *http.Request) *http.Request {
	r = r.Clone(context.WithValue(r.Context(), exchangeKey{}, x))
	for _, name := range []string{"Authorization", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"} {
		r.Header.Del(name)
	}
	if x.route == v2.RouteNameManifest && acceptsAll(r.Header["Accept"]) {
		r.Header["Accept"] = anyManifest // distribution reads none for none
	}
	if ref := x.reference; r.Method == http.MethodPut && strings.HasPrefix(ref, "sha512:") {
		x.sha512 = ref
		r.URL.Path = strings.TrimSuffix(r.URL.Path, ref) + placeholder
	}
	r.Body = onlyRead{r.Body}
	if x.whole != nil {
		x.whole.from = r.Body
	}
	return r
}

// onlyRead is a body that cannot write itself: a writer of uploads only reads.
type onlyRead struct{ io.ReadCloser }

// must refuses what the exchange was not let in for.
func (x *exchange) must(want action, repository string) error {
	if x.action != want || x.repository != repository {
		return x.refuse(forbidden("this was not asked for"))
	}
	return nil
}

// refuse makes e the answer, whatever distribution makes of the error.
func (x *exchange) refuse(e *api.Error) error {
	x.answer.refusal = e
	return errcode.ErrorCodeDenied.WithMessage(e.Message)
}

// refuseFor makes err the answer: the one table of errors and statuses.
func (x *exchange) refuseFor(err error) error {
	var refusal *verify.Refusal
	var missing *admit.MissingError
	var unread *unreadError
	var e *api.Error
	switch {
	case errors.As(err, &e):
		return x.refuse(e)
	case errors.As(err, &refusal) && refusal.Reason == verify.Corrupt:
		return x.refuse(invalid(codeManifest, "%s: %s", refusal.Reason, refusal.Fact).Hint("%s", refusal.Remedy))
	case errors.As(err, &refusal):
		return x.refuse(denied(refusal.Reason, refusal.Fact, refusal.Remedy))
	case errors.Is(err, admit.ErrTooMany):
		return x.refuse(api.Errorf(http.StatusForbidden, api.CodeDenied, "%v", err).Hint("delete referrers that are not needed"))
	case errors.As(err, &missing):
		return x.refuse(invalid(codeNoPart, "%v", missing).Hint("push it before the manifest"))
	case errors.Is(err, content.ErrFull):
		return x.refuse(full())
	case errors.As(err, &unread):
		return x.refuse(x.unread(unread))
	}
	x.registry.Logger.Error("answering failed", "route", x.route, "repository", x.repository, "error", err)
	return x.refuse(internal())
}

// unrecorded is for facts that the journal did not take.
func (x *exchange) unrecorded(err error) error {
	x.registry.Logger.Error("recording failed", "route", x.route, "repository", x.repository, "error", err)
	return x.refuse(api.Errorf(http.StatusServiceUnavailable, api.CodeUnavailable, "the server cannot record this now").Hint("try again"))
}

// record makes a fact durable, if who asks may still say it: a body can take long
// to come in, and does not outlast what let it in. An error is the answer already.
func (x *exchange) record(ctx context.Context, kind ledger.Kind, body any) error {
	if e := x.stillMay(); e != nil {
		return x.refuse(e)
	}
	if _, err := x.registry.Journal.Append(ctx, kind, body); err != nil {
		return x.unrecorded(err)
	}
	return nil
}

// stillMay asks again what open asked.
func (x *exchange) stillMay() *api.Error {
	if x.principal.Expired(time.Now()) {
		return api.Errorf(http.StatusUnauthorized, api.CodeUnauthorized, "what you logged in with expired while this came in").Hint("log in again")
	}
	return x.permit()
}

func (x *exchange) close() {
	for _, f := range x.cleanup {
		f()
	}
}
