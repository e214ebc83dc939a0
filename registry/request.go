package registry

import (
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	v2 "github.com/distribution/distribution/v3/registry/api/v2"
	"github.com/distribution/reference"
	"github.com/gorilla/mux"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// Codes of errors that the OCI distribution spec names.
const (
	codeDigest      = "DIGEST_INVALID"
	codeManifest    = "MANIFEST_INVALID"
	codeNoManifest  = "MANIFEST_UNKNOWN"
	codeNoPart      = "MANIFEST_BLOB_UNKNOWN"
	codeNoBlob      = "BLOB_UNKNOWN"
	codeNoUpload    = "BLOB_UPLOAD_UNKNOWN"
	codeUpload      = "BLOB_UPLOAD_INVALID"
	codeName        = "NAME_INVALID"
	codeNoName      = "NAME_UNKNOWN"
	codeSize        = "SIZE_INVALID"
	codeTag         = "TAG_INVALID"          // of distribution
	codeFull        = "INSUFFICIENT_STORAGE" // not of the specification; 507
	codeUnsupported = "UNSUPPORTED"
)

// An action is what a request wants, as roles permit it.
type action int

const (
	none    action = iota
	ping           // nothing but whether it is there
	read           // pull
	push           // uploads, manifests, tags
	remove         // delete
	catalog        // the list of all repositories
)

const routeReferrers = "referrers"

// actions says what each method means on each route. What is not here is not
// allowed.
var actions = map[string]map[string]action{
	v2.RouteNameBase:            {http.MethodGet: ping, http.MethodHead: ping},
	v2.RouteNameCatalog:         {http.MethodGet: catalog},
	v2.RouteNameTags:            {http.MethodGet: read},
	v2.RouteNameManifest:        {http.MethodGet: read, http.MethodHead: read, http.MethodPut: push, http.MethodDelete: remove},
	v2.RouteNameBlob:            {http.MethodGet: read, http.MethodHead: read, http.MethodDelete: remove},
	v2.RouteNameBlobUpload:      {http.MethodPost: push},
	v2.RouteNameBlobUploadChunk: {http.MethodGet: push, http.MethodPatch: push, http.MethodPut: push, http.MethodDelete: push},
	routeReferrers:              {http.MethodGet: read, http.MethodHead: read},
}

// newRouter knows distribution's routes by distribution's own patterns, and
// one more.
func newRouter() *mux.Router {
	r := mux.NewRouter()
	r.Path("/v2/{name:" + reference.NameRegexp.String() + "}/referrers/{digest:[^/]+}").Name(routeReferrers)
	r.NewRoute().MatcherFunc(distributionRoutes())
	return r
}

func distributionRoutes() mux.MatcherFunc {
	routes := v2.RouterWithPrefix("")
	return func(r *http.Request, m *mux.RouteMatch) bool { return routes.Match(r, m) }
}

// hygiene refuses a request that two readers could take for two requests.
func hygiene(r *http.Request) *api.Error {
	switch {
	case !plain(r.URL) && (strings.Contains(r.URL.EscapedPath(), "%") || !canonical(r.URL.Path)):
		return invalid(codeName, "the path is not in its one form: no percent signs, no empty or dotted segments, a slash at the end only of /v2/ and of uploads/")
	case len(r.Header["Content-Type"]) > 1:
		return invalid(api.CodeInvalid, "Content-Type is given more than once")
	case isForm(r.Header.Get("Content-Type")):
		return api.Errorf(http.StatusUnsupportedMediaType, codeUnsupported, "a body that is a form is not read here").
			Hint("send parameters in the query and bytes as application/octet-stream")
	case r.URL.RawQuery == "":
		return nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid(api.CodeInvalid, "the query does not parse")
	}
	for name, values := range q {
		if len(values) > 1 && !mayRepeat(r, name) {
			return invalid(api.CodeInvalid, "parameter %.40q is given more than once", name)
		}
	}
	for _, name := range []string{"digest", "mount"} {
		if e := oneDigest(q.Get(name)); e != nil {
			return e
		}
	}
	return nil
}

// plain reports whether the path of u, at one glance, is in its one form: most
// are. What it says no to may be so all the same.
func plain(u *url.URL) bool {
	p, before := u.Path, byte(0)
	for i := range len(p) {
		c := p[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == ':', c == '-':
		case (c == '/' || c == '.') && before != '/':
		default:
			return false
		}
		before = c
	}
	return u.RawPath == "" && before != '/' && strings.HasPrefix(p, "/v2/") && !strings.HasSuffix(p, "/blobs/uploads")
}

// canonical reports whether p is the one way to write a path of the API.
func canonical(p string) bool {
	const uploads = "/blobs/uploads"
	if trimmed := strings.TrimSuffix(p, "/"); trimmed == "/v2" || strings.HasSuffix(trimmed, uploads) {
		return p == trimmed+"/" && path.Clean(p) == trimmed
	}
	return path.Clean(p) == p && !strings.ContainsAny(p, "\\\x00")
}

func oneDigest(s string) *api.Error {
	if s == "" {
		return nil
	}
	if _, _, err := state.ParseName(s); err != nil {
		return invalid(codeDigest, "%v", err).Hint("name it by its sha256 or its sha512")
	}
	return nil
}

// isForm reports whether Go's form readers would read a body of this type.
// They take more than parses.
func isForm(contentType string) bool {
	if contentType == "" {
		return false
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		t = strings.ToLower(strings.TrimSpace(contentType))
	}
	return strings.HasPrefix(t, "application/x-www-form-urlencoded") || strings.HasPrefix(t, "multipart/")
}

func invalid(code, format string, args ...any) *api.Error {
	return api.Errorf(http.StatusBadRequest, code, format, args...)
}

// A target is what a request is about.
type target struct {
	route      string
	repository string // "" where it is not about one
	reference  string // the tag or digest; "" where there is none

	// What quickMatch found out on the way; "" where it did not.
	product string        // that lives in the repository
	digest  attest.Digest // that the reference is, or names
}

// match finds what a request is about.
func (g *Registry) match(r *http.Request) (target, *api.Error) {
	if t, ok := g.quickMatch(r.URL.Path); ok {
		return t, nil
	}
	var m mux.RouteMatch
	if !g.router.Match(r, &m) || m.Route == nil || m.Route.GetName() == "" {
		return target{}, api.Errorf(http.StatusNotFound, api.CodeNotFound, "there is nothing here")
	}
	t := target{route: m.Route.GetName(), repository: m.Vars["name"], reference: m.Vars["digest"]}
	if e := oneDigest(t.reference); e != nil {
		return target{}, e
	}
	if ref := m.Vars["reference"]; ref != "" {
		t.reference = ref
		if strings.Contains(ref, ":") { // no tag has one
			return t, oneDigest(ref)
		}
	}
	return t, nil
}

// quickRoutes are the routes of what is read most, by the segment before the
// last of their paths.
var quickRoutes = map[string]string{
	"manifests": v2.RouteNameManifest, "blobs": v2.RouteNameBlob, "referrers": routeReferrers,
}

// quickMatch finds, without a regular expression, what most requests are about:
// something in a repository that is served, by its digest or by a tag that is
// there. What it does not know the router has to say.
func (g *Registry) quickMatch(p string) (target, bool) {
	rest, ok := strings.CutPrefix(p, "/v2/")
	at := strings.LastIndexByte(rest, '/')
	if !ok || at < 0 {
		return target{}, false
	}
	rest, reference := rest[:at], rest[at+1:]
	at = strings.LastIndexByte(rest, '/')
	if at < 0 {
		return target{}, false
	}
	t := target{route: quickRoutes[rest[at+1:]], repository: rest[:at], reference: reference}
	if t.route == "" {
		return target{}, false
	}
	if t.product, ok = g.State.Product(t.repository); !ok {
		return target{}, false
	}
	if strings.IndexByte(reference, ':') >= 0 { // no tag has one
		var err error
		t.digest, err = attest.ParseDigest(reference)
		return t, err == nil
	}
	t.digest, ok = g.State.PlainTag(t.repository, reference)
	return t, ok && t.route == v2.RouteNameManifest
}

// allowed lists the methods of a route.
func allowed(route string) string {
	var methods []string
	for m := range actions[route] {
		methods = append(methods, m)
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
