package control

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gorilla/mux"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// A call is one request, with who makes it and what they may do here.
type call struct {
	s       *server
	r       *http.Request
	rule    rule
	who     state.Principal // zero on public routes
	cleared bool            // a role was checked for what this call is about
}

// errUncleared is a mistake of ours: a route that never asked who may.
var errUncleared = errors.New("route did not check the caller's role")

// guard lets a route answer only callers whom its row of the table allows.
func (s *server) guard(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rule, ok := rules[rt.name()]
		c := &call{s: s, r: r, rule: rule}
		c.who, _ = auth.From(r.Context())
		if !ok || !rule.public && c.who.ID == "" {
			s.fail(w, r, forbidden("nobody may do this"))
			return
		}
		c.cleared = rule.public
		r.Body = http.MaxBytesReader(w, r.Body, cmp.Or(rule.limit, api.MaxEnvelope)+1)
		answer, err := rt.answer(c)
		if err == nil && !c.cleared {
			err = errUncleared
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		answer(w)
	})
}

// An answer writes a response.
type answer func(w http.ResponseWriter)

// answered is the answer v.
func answered(v any, err error) (answer, error) {
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) { api.WriteJSON(w, http.StatusOK, v) }, nil
}

// inProduct clears the call for a product: the caller has one of the roles of
// the table's row there. To whoever has no role at all there is no product.
func (c *call) inProduct(product string) error {
	have := c.s.State.Roles(c.who.ID, product)
	switch {
	case slices.ContainsFunc(have, c.rule.has):
		c.cleared = true
		return nil
	case len(have) == 0 && product != state.AllProducts:
		return notFound("no product %.100q", product)
	}
	return c.wrongRole("in product " + product)
}

// onServer clears the call for the whole server.
func (c *call) onServer() error {
	if slices.ContainsFunc(c.s.State.Roles(c.who.ID, state.AllProducts), c.rule.has) {
		c.cleared = true
		return nil
	}
	return c.wrongRole("on the whole server")
}

// anywhere clears the call where the caller has one of the row's roles in any
// product, for what is then limited to those.
func (c *call) anywhere() error {
	if len(c.s.State.ProductsOf(c.who.ID, c.rule.roles...)) > 0 {
		c.cleared = true
		return nil
	}
	return c.onServer()
}

// aboutHost clears the call for a host and returns it: the caller is the host,
// where the row has role host, or has another of the roles in one of its
// products. To everybody else there is no such host.
func (c *call) aboutHost(id string) (*state.Host, error) {
	h, ok := c.s.State.Host(id)
	if !ok {
		return nil, notFound("no host %.100q", id)
	}
	if c.who.ID == h.ID && c.rule.has(state.RoleHost) {
		c.cleared = true
		return h, nil
	}
	for _, product := range h.Products {
		others := slices.DeleteFunc(c.s.State.Roles(c.who.ID, product), func(role string) bool { return role == state.RoleHost })
		if slices.ContainsFunc(others, c.rule.has) {
			c.cleared = true
			return h, nil
		}
	}
	if c.who.ID == h.ID {
		return nil, c.wrongRole("about itself")
	}
	return nil, notFound("no host %.100q", id)
}

// sees reports whether the caller may know what host h has to do with a
// product: it is the host, and no embargo keeps the product from it, or has one
// of the row's roles there.
func (c *call) sees(h *state.Host, product string) bool {
	return c.who.ID == h.ID && !c.s.State.ShutOut(h.ID, product, time.Now()) || slices.ContainsFunc(c.s.State.Roles(c.who.ID, product), c.rule.has)
}

func (c *call) wrongRole(where string) error {
	return forbidden("%s %s is not %s %s", c.who.Kind, c.who.ID, orList(c.rule.roles), where).
		Hint("ask an admin to grant the role: patchfit admin grant")
}

func orList(roles []string) string { return strings.Join(roles, " or ") }

// append writes a fact to the journal. Nothing is acknowledged before it
// returned nil.
func (c *call) append(kind ledger.Kind, body any) (ledger.Record, error) {
	if !c.cleared {
		return ledger.Record{}, errUncleared
	}
	r, err := c.s.Journal.Append(c.r.Context(), kind, body)
	if err != nil {
		c.s.logger.Error("recording", "kind", kind, "err", err)
		return r, unavailable()
	}
	return r, nil
}

// put stores bytes that a record will name.
func (c *call) put(b []byte) (attest.Digest, error) {
	if !c.cleared {
		return "", errUncleared
	}
	d, err := c.s.Store.Put(b)
	if err != nil {
		c.s.logger.Error("storing", "err", err)
		return "", unavailable()
	}
	return d, nil
}

// raw reads a body of at most limit bytes.
func (c *call) raw(limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(c.r.Body, limit+1))
	if err != nil {
		return nil, invalid(fmt.Errorf("the body ended early"))
	}
	if int64(len(b)) > limit {
		return nil, api.Errorf(http.StatusRequestEntityTooLarge, api.CodeTooLarge, "body exceeds %d bytes", limit)
	}
	return b, nil
}

// read reads a request of package api, strictly.
func (c *call) read(v any) error { return c.readUpTo(api.MaxRequest, v) }

func (c *call) readUpTo(limit int, v any) error {
	b, err := c.raw(int64(limit))
	if err != nil {
		return err
	}
	if err := strictjson.Unmarshal(b, limit, v); err != nil {
		return invalid(err)
	}
	return nil
}

// query returns the values of the query's members, each of which has to be
// there once, and no other.
func (c *call) query(names ...string) (map[string]string, error) {
	got := c.r.URL.Query()
	values := make(map[string]string)
	for _, name := range names {
		if v := got[name]; len(v) != 1 || v[0] == "" {
			return nil, invalid(fmt.Errorf("query: %s has to be given, once", name))
		}
		values[name] = got.Get(name)
	}
	for name := range got {
		if !slices.Contains(names, name) {
			return nil, invalid(fmt.Errorf("query: unknown %.40q", name))
		}
	}
	return values, nil
}

func (c *call) hostID() string { return mux.Vars(c.r)["id"] }

func invalid(err error) *api.Error {
	return api.Errorf(http.StatusBadRequest, api.CodeInvalid, "%v", err)
}

func notFound(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusNotFound, api.CodeNotFound, format, args...)
}

func forbidden(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusForbidden, api.CodeForbidden, format, args...)
}

func conflict(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusConflict, api.CodeConflict, format, args...)
}

func unavailable() *api.Error {
	return api.Errorf(http.StatusServiceUnavailable, api.CodeUnavailable, "the server cannot record this now, so it did not happen").
		Hint("try again later; the server's log says why")
}

// refused turns a refusal into an answer with the same words.
func refused(err error) error {
	var r *verify.Refusal
	if !errors.As(err, &r) {
		return err
	}
	return api.Errorf(http.StatusUnprocessableEntity, string(r.Reason), "%s", r.Fact).Hint("%s", r.Remedy)
}

// checkLabel refuses names that would not print as one line.
func checkLabel(at, name string) error {
	if name == "" || len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return invalid(strictjson.Errorf(at, "not a line of 1 to 128 bytes"))
	}
	return nil
}
