// Package spelling lists the ways to write a request for one artifact: the
// right ones, those that another reader would take for a request for something
// else, and those that ask to have the bytes put where somebody else may read
// them. Each led around the gate of one registry or another.
//
// The test of the registry and patchfitd doctor read the same list, so that
// what is tested here can be asked of any server. Nothing in it changes what a
// server has beyond an upload session that ends by itself.
package spelling

import (
	"net/http"
	"strings"
)

// A Subject is what is asked for.
type Subject struct {
	Repository string
	Manifest   string // its digest
	File       string // digest of the one file it consists of; "": not known
	Elsewhere  string // a repository that who asks may push to, for mounts
}

// A Way is one request. It goes out as it is written here, uncleaned.
type Way struct {
	Name   string
	Method string
	Target string // path and query
	Header http.Header
	Body   string
	// Status is what answers someone with every right to the artifact, and for
	// crooked ways everybody who is somebody.
	Status int
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	formType     = "application/x-www-form-urlencoded"
	none512      = "sha512:0000000000000000000000000000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000000"
)

func (s Subject) manifest() string { return "/v2/" + s.Repository + "/manifests/" + s.Manifest }

func (s Subject) blob() string { return "/v2/" + s.Repository + "/blobs/" + s.file() }

// file is the manifest's digest where the file's is not known: a server may
// take one for the other.
func (s Subject) file() string {
	if s.File == "" {
		return s.Manifest
	}
	return s.File
}

// header returns the headers of a request for a manifest, and these.
func header(pairs ...string) http.Header {
	h := http.Header{"Accept": {manifestType}}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// Straight returns the right ways to ask for the manifest and the file, all
// conditions and ranges included.
func Straight(s Subject) []Way {
	m, b := s.manifest(), s.blob()
	get, head := http.MethodGet, http.MethodHead
	tag := func(d string) string { return `"` + d + `"` }
	ways := []Way{
		{"manifest", get, m, header(), "", 200},
		{"manifest, head", head, m, header(), "", 200},
		{"manifest, as anything", get, m, http.Header{"Accept": {"*/*"}}, "", 200},
		{"manifest, with a query", get, m + "?ns=elsewhere.example", header(), "", 200},
		{"manifest, If-None-Match", get, m, header("If-None-Match", tag(s.Manifest)), "", 304},
		{"manifest, head, If-None-Match unquoted", head, m, header("If-None-Match", s.Manifest), "", 304},
		{"manifest, rewritten by headers", get, m, header("X-Forwarded-Host", "evil.example", "X-Original-Url", "/v2/"), "", 200},
	}
	if s.File == "" {
		return append(ways, Way{"blob", get, b, nil, "", 404})
	}
	return append(ways,
		Way{"blob", get, b, nil, "", 200},
		Way{"blob, head", head, b, nil, "", 200},
		Way{"blob, range", get, b, header("Range", "bytes=0-1"), "", 206},
		Way{"blob, two ranges", get, b, header("Range", "bytes=0-1,3-4"), "", 206},
		Way{"blob, last bytes", get, b, header("Range", "bytes=-2"), "", 206},
		Way{"blob, range past the end", get, b, header("Range", "bytes=99999999-"), "", 416},
		Way{"blob, If-None-Match", get, b, header("If-None-Match", tag(s.File)), "", 304},
		Way{"blob, If-Range", get, b, header("Range", "bytes=0-1", "If-Range", tag(s.File)), "", 206},
		Way{"blob, If-Range of another", get, b, header("Range", "bytes=0-1", "If-Range", `"other"`), "", 200},
	)
}

// Swapped returns requests for a manifest as a blob and for a blob as a
// manifest: there is none of either.
func Swapped(s Subject) []Way {
	m := "/v2/" + s.Repository + "/blobs/" + s.Manifest
	b := "/v2/" + s.Repository + "/manifests/" + s.file()
	ways := []Way{
		{"manifest under blobs", http.MethodGet, m, header(), "", 404},
		{"manifest under blobs, head", http.MethodHead, m, header(), "", 404},
		{"manifest under blobs, range", http.MethodGet, m, header("Range", "bytes=0-1"), "", 404},
	}
	if s.File == "" {
		return ways
	}
	return append(ways,
		Way{"blob under manifests", http.MethodGet, b, header(), "", 404},
		Way{"blob under manifests, If-None-Match", http.MethodGet, b, header("If-None-Match", `"`+s.File+`"`), "", 404},
	)
}

// Crooked returns ways to write the same that are no way to write it.
func Crooked(s Subject) []Way {
	m, b := s.manifest(), s.blob()
	first, rest, _ := strings.Cut(s.Repository, "/")
	replace := strings.Replace
	ways := []Way{}
	add := func(status int, name, target string) {
		ways = append(ways, Way{name, http.MethodGet, target, header(), "", status})
	}
	add(400, "slashes of manifests as %2F", replace(m, "/manifests/", "%2Fmanifests%2F", 1))
	add(400, "colon as %3A", replace(m, "sha256:", "sha256%3A", 1))
	add(400, "colon of a blob as %3a", replace(b, "sha256:", "sha256%3a", 1))
	add(400, "m as %6d", replace(m, "manifests", "%6danifests", 1))
	add(400, "s of blobs as %73", replace(b, "blobs", "blob%73", 1))
	add(400, "v as %76", replace(m, "/v2/", "/%762/", 1))
	add(400, "percent as %25", replace(m, "/manifests/", "%252Fmanifests%252F", 1))
	add(400, "a space behind", m+"%20")
	add(400, "a question mark behind", m+"%3F")
	add(400, "a NUL behind", m+"%00")
	add(400, "a line break behind", m+"%0d%0a")
	add(400, "slash twice in front", "/"+m)
	add(400, "slash twice", replace(m, "/manifests", "//manifests", 1))
	add(400, "slash behind", m+"/")
	add(400, "dots", "/v2/x/../"+s.Repository+"/manifests/"+s.Manifest)
	add(400, "dots as %2e%2e", "/v2/x/%2e%2e/"+s.Repository+"/manifests/"+s.Manifest)
	add(400, "dots behind blobs", "/v2/"+s.Repository+"/blobs/../manifests/"+s.Manifest)
	add(400, "a dot", "/v2/./"+s.Repository+"/manifests/"+s.Manifest)
	add(400, "no slash behind v2", "/v2")
	add(400, "backslash", replace(m, first, first+`\`, 1))
	add(400, "backslashes for slashes", replace(m, "/manifests/", `\manifests\`, 1))
	add(400, "sha512 with the hex of a sha256", replace(m, "sha256", "sha512", 1))
	add(400, "blob by sha512 in capitals", "/v2/"+s.Repository+"/blobs/sha512:"+strings.Repeat("A", 128))
	add(400, "uploads without a slash", "/v2/"+s.Repository+"/blobs/uploads")
	add(400, "half a digest in the query", b+"?digest=sha512:"+strings.Repeat("a", 127))
	add(400, "digest twice in the query", m+"?digest="+s.Manifest+"&digest="+s.Manifest)
	add(400, "a query that does not parse", m+"?a=%zz")
	add(400, "a semicolon in the query", m+"?a=1;b=2")
	add(404, "digest algorithm in capitals", replace(m, "sha256", "SHA256", 1))
	add(404, "manifests in capitals", replace(m, "manifests", "Manifests", 1))
	add(404, "a suffix", m+".sig")
	add(404, "parameters of a segment", m+";x=y")
	if rest != "" {
		add(400, "slash of the name as %2f", "/v2/"+first+"%2f"+rest+"/manifests/"+s.Manifest)
	}
	return append(ways, methods(m, b)...)
}

// methods are ways to read that are none.
func methods(m, b string) []Way {
	return []Way{
		{"get in small letters", "get", m, header(), "", 405},
		{"post", http.MethodPost, m, header(), "", 405},
		{"post that says it is a get", http.MethodPost, b, header("X-Http-Method-Override", "GET"), "", 405},
		{"options", http.MethodOptions, m, header(), "", 405},
		{"patch of a blob", http.MethodPatch, b, nil, "", 405},
		{"trace", http.MethodTrace, "/v2/", nil, "", 405},
	}
}

// Mounts returns requests to have the file put into the repository Elsewhere.
// Status is for someone who may push there and may not read it here.
func Mounts(s Subject) []Way {
	uploads := "/v2/" + s.Elsewhere + "/blobs/uploads/"
	d, from := "mount="+s.file(), "from="+s.Repository
	form := func(types ...string) http.Header { return http.Header{"Content-Type": types} }
	ways := []Way{}
	add := func(status int, name, query string, h http.Header, body string) {
		ways = append(ways, Way{name, http.MethodPost, uploads + query, h, body, status})
	}
	add(202, "mount", "?"+d+"&"+from, nil, "")
	add(202, "mount without from", "?"+d, nil, "")
	add(202, "mount by an unknown sha512", "?mount="+none512+"&"+from, nil, "")
	add(415, "mount by a form", "", form(formType), d+"&"+from)
	add(415, "mount by a form, decoy in the query", "?"+d+"&from="+s.Elsewhere, form(formType), d+"&"+from)
	add(415, "mount by a form, digest in the query", "?"+d, form(formType), from)
	add(415, "mount by a form with parameters", "", form("Application/X-WWW-Form-Urlencoded; charset=utf-8"), d+"&"+from)
	add(415, "mount by a form that is none", "", form(formType+";;;"), d+"&"+from)
	add(415, "mount by a form of parts", "", form("multipart/form-data; boundary=x"), d+"&"+from)
	add(400, "mount by one of two types", "", form("application/octet-stream", formType), d+"&"+from)
	add(400, "mount, from twice", "?"+d+"&from="+s.Elsewhere+"&"+from, nil, "")
	add(400, "mount twice", "?"+d+"&"+d+"&"+from, nil, "")
	add(400, "mount with semicolons", "?"+d+";"+from, nil, "")
	add(400, "mount by half a sha512", "?mount=sha512:"+strings.Repeat("a", 64)+"&"+from, nil, "")
	return ways
}

// Changes returns requests that would change something, of whoever may do
// nothing. Status is for a host of the product.
func Changes(s Subject) []Way {
	uploads := "/v2/" + s.Repository + "/blobs/uploads/"
	octets := http.Header{"Content-Type": {"application/octet-stream"}}
	return []Way{
		{"put a manifest", http.MethodPut, s.manifest(), http.Header{"Content-Type": {manifestType}}, "{}", 403},
		{"delete a manifest", http.MethodDelete, s.manifest(), nil, "", 403},
		{"delete a blob", http.MethodDelete, s.blob(), nil, "", 403},
		{"begin an upload", http.MethodPost, uploads, octets, "", 403},
		{"write to an upload", http.MethodPatch, uploads + "0b0f3c62-6f1c-4a3e-9d3b-3f2f6f8f1a10", octets, "x", 403},
	}
}

// Lists returns requests that name artifacts without their bytes.
func Lists(s Subject) []Way {
	return []Way{
		{"the registry", http.MethodGet, "/v2/", nil, "", 200},
		{"list of repositories", http.MethodGet, "/v2/_catalog", nil, "", 200},
		{"list of tags", http.MethodGet, "/v2/" + s.Repository + "/tags/list", nil, "", 200},
		{"referrers", http.MethodGet, "/v2/" + s.Repository + "/referrers/" + s.Manifest, nil, "", 200},
		{"referrers, head", http.MethodHead, "/v2/" + s.Repository + "/referrers/" + s.Manifest, nil, "", 200},
	}
}
