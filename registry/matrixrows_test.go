package registry_test

import (
	"net/http"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/spelling"
)

// patches: only the host that it fits.
func (m *matrix) patches() []row {
	one, get := m.one, http.MethodGet
	by512 := subject(repo, attest.Digest(name512(one.patch)), attest.Digest(name512(one.patchFile)))
	rows := slices.Concat(
		as("patch: ", spelling.Straight(subject(repo, one.PatchManifest, one.PatchFile.Digest)), gated),
		as("patch by sha512: ", spelling.Straight(by512), gated),
		as("patch: ", spelling.Swapped(subject(repo, one.PatchManifest, one.PatchFile.Digest)), readers),
		as("patch by sha512: ", spelling.Swapped(by512), readers),
	)
	for i := range rows { // a manifest that is not there is not there for hosts, too
		if strings.Contains(rows[i].name, "blob under manifests") {
			rows[i].want = members(404)
		}
	}
	etag := `"` + string(one.PatchManifest) + `"`
	return append(rows,
		row{"patch by tag", way(get, manifestPath("patch")), gated(200)},
		row{"patch by tag, head", way(http.MethodHead, manifestPath("patch")), gated(200)},
		row{"patch by tag, If-None-Match", way(get, manifestPath("patch"), "If-None-Match", etag), gated(304)},
		row{"patch by tag, If-None-Match of another", way(get, manifestPath("patch"), "If-None-Match", `"sha256:0"`), gated(200)},
	)
}

// crooked: what is written in another way is nothing, for everybody.
func (m *matrix) crooked() []row {
	return as("", spelling.Crooked(subject(repo, m.one.PatchManifest, m.one.PatchFile.Digest)), everybody)
}

// neverForHosts: what hosts never get, and copies where they have no role.
func (m *matrix) neverForHosts() []row {
	one, two := m.one, m.two
	var rows []row
	for name, s := range map[string]spelling.Subject{
		"base":           subject(repo, one.BaseManifest, one.BaseFile.Digest),
		"base by sha512": subject(repo, attest.Digest(name512(one.base)), attest.Digest(name512(one.baseFile))),
		"environment":    subject(repo, one.EnvManifest, one.EnvFile),
		"builder image":  subject(repo, one.Builder, attest.DigestOf(one.imageLayer)),
		"rebuild":        subject(repo, attest.DigestOf(m.rebuild), attest.DigestOf(rebuildLog)),
	} {
		rows = append(rows, as(name+": ", spelling.Straight(s), readers)...)
	}
	rows = append(rows, as("copy in another product: ", spelling.Straight(subject(otherRepo, two.PatchManifest, two.PatchFile.Digest)), next)...)
	for name, path := range map[string]string{
		"base by tag":                manifestPath("base"),
		"index of the patch":         manifestPath(string(m.index)),
		"index of the patch, by tag": manifestPath("index"),
		"artifact with its file":     manifestPath(string(m.image)),
		"blob nothing references":    blobPath(m.loose),
		"blob of a deleted manifest": blobPath(m.gone.PatchFile.Digest),
		"base of a deleted manifest": manifestPath(string(m.gone.BaseManifest)),
		"file of that base":          blobPath(m.gone.BaseFile.Digest),
	} {
		rows = append(rows, row{name, way(http.MethodGet, path), readers(200)})
	}
	return rows
}

// forMembers: what every active host of the product gets.
func (m *matrix) forMembers() []row {
	get, head := http.MethodGet, http.MethodHead
	carried := attest.DigestOf(carrier(m.t, m.bundle, m.about))
	patch := string(m.one.PatchManifest)
	return append(as("bundle: ", spelling.Straight(subject(repo, carried, attest.DigestOf(m.bundle))), members),
		row{"the empty blob", way(get, blobPath(attest.DigestOf(empty))), members(200)},
		row{"tags", way(get, "/v2/"+repo+"/tags/list"), members(200)},
		row{"referrers", way(get, "/v2/"+repo+"/referrers/"+patch), members(200)},
		row{"referrers, head", way(head, "/v2/"+repo+"/referrers/"+patch), members(200)},
		row{"referrers by sha512", way(get, "/v2/"+repo+"/referrers/"+name512(m.one.patch)), members(200)},
		row{"referrers of the unknown", way(get, "/v2/"+repo+"/referrers/"+sum([]byte("?"))), members(200)},
		row{"tags of another product", way(get, "/v2/"+otherRepo+"/tags/list"), next(200)},
		row{"referrers in another product", way(get, "/v2/"+otherRepo+"/referrers/"+patch), next(200)},
		row{"catalog", way(get, "/v2/_catalog"), only(200, admin)},
		row{"the registry", way(get, "/v2/"), everybody(200)},
		row{"the registry, head", way(head, "/v2/"), everybody(200)},
	)
}

// missing: what is not there is 404 for those who may know, and a blob that no
// patch of the product consists of is refused to hosts whether it is there or
// not.
func (m *matrix) missing() []row {
	get := http.MethodGet
	unknown := attest.DigestOf([]byte("nobody has this"))
	none512 := "sha512:" + strings.Repeat("a", 128)
	etag := `"` + string(unknown) + `"`
	rows := []row{
		{"unknown tag", way(get, manifestPath("nothing")), members(404)},
		{"unknown manifest", way(get, manifestPath(string(unknown))), members(404)},
		{"unknown manifest, If-None-Match", way(get, manifestPath(string(unknown)), "If-None-Match", etag), members(404)},
		{"deleted manifest", way(get, manifestPath(string(m.gone.PatchManifest))), members(404)},
		{"deleted manifest, If-None-Match", way(get, manifestPath(string(m.gone.PatchManifest)), "If-None-Match", `"`+string(m.gone.PatchManifest)+`"`), members(404)},
		{"unknown blob", way(get, blobPath(unknown)), readers(404)},
		{"unknown manifest by sha512", way(get, manifestPath(none512)), readers(404)},
		{"unknown blob by sha512", way(get, blobPath(attest.Digest(none512))), readers(404)},
		{"no such product", way(get, "/v2/no/such/product/manifests/patch"), everybody(404)},
		{"patch in another product", way(get, "/v2/"+otherRepo+"/manifests/"+string(m.one.PatchManifest)), next(404)},
		{"its file in another product", way(get, "/v2/"+otherRepo+"/blobs/"+string(m.one.PatchFile.Digest)), next(404)},
		{"no such route", way(get, "/v2/"+repo+"/nothing"), everybody(404)},
	}
	for _, raw := range m.wrapped {
		rows = append(rows, row{"refused manifest", way(get, manifestPath(sum(raw))), members(404)})
	}
	return rows
}

// changes: what changes something. Every row can be asked again and again.
func (m *matrix) changes() []row {
	one := m.one
	unknown := attest.DigestOf([]byte("nobody has this"))
	put := func(ref string, raw []byte) request {
		return request{method: http.MethodPut, path: manifestPath(ref), body: raw, header: http.Header{"Content-Type": {mediaManifest}}}
	}
	chunk := func(method, path string) request {
		return request{method: method, path: path, body: one.patchFile, header: http.Header{"Content-Type": {octets}}}
	}
	elsewhere := strings.Replace(m.upload, repo, otherRepo, 1)
	toOther := func(q request) request { q.path = strings.Replace(q.path, repo, otherRepo, 1); return q }
	referring := artifact("application/vnd.example", octets, rebuildLog, one.patch).bytes(m.t)
	beside := artifact("application/vnd.example", octets, rebuildLog, one.environment).bytes(m.t)
	misplaced := artifact(attest.ArtifactRebuild, octets, rebuildLog, one.environment).bytes(m.t)
	alone := artifact(attest.ArtifactRebuild, octets, rebuildLog, nil).bytes(m.t)
	carried := carrier(m.t, m.bundle, m.about)
	del := http.MethodDelete
	return []row{
		{"put a patch", put(string(one.PatchManifest), one.patch), removers(201)},
		{"put a patch by sha512", put(name512(one.patch), one.patch), removers(201)},
		{"put a base", put(string(one.BaseManifest), one.base), removers(201)},
		{"put an environment", put(string(one.EnvManifest), one.environment), removers(201)},
		{"put what refers to a patch", put(sum(referring), referring), removers(201)},
		{"put what refers to an environment", put(sum(beside), beside), removers(201)},
		{"attach a rebuild", put(sum(m.rebuild), m.rebuild), pushers(201)},
		{"attach a rebuild by sha512", put(name512(m.rebuild), m.rebuild), pushers(201)},
		{"attach a rebuild by tag", put("rebuild", m.rebuild), removers(201)},
		{"attach a rebuild by the tag of referrers", put("sha256-"+one.PatchManifest.Hex(), m.rebuild), removers(201)},
		{"attach a rebuild to an environment", put(sum(misplaced), misplaced), among(insiders(), 404)},
		{"attach a rebuild to nothing", put(sum(alone), alone), among(insiders(), 404)},
		{"attach a rebuild in another product", toOther(put(sum(m.rebuild), m.rebuild)), next(400)},
		{"attach a bundle", put(sum(carried), carried), pushers(201)},
		{"attach a bundle by tag", put("bundle", carried), removers(201)},
		{"put by digest, without a subject", put(string(one.Builder), one.image), removers(201)},
		{"put by tag", put("patch", one.patch), removers(201)},
		{"put by digest, with a tag", put(string(one.PatchManifest)+"?tag=patch", one.patch), removers(201)},
		{"put by sha512, with a tag", put(name512(one.patch)+"?tag=patch", one.patch), removers(201)},
		{"begin an upload", way("POST", "/v2/"+repo+"/blobs/uploads/"), pushers(202)},
		{"a blob in one POST", chunk("POST", "/v2/"+repo+"/blobs/uploads/?digest="+sum(one.patchFile)), pushers(201)},
		{"a blob in one POST, in another product", chunk("POST", "/v2/"+otherRepo+"/blobs/uploads/?digest="+sum(one.patchFile)), next(201)},
		{"mount within the product", way("POST", "/v2/"+repo+"/blobs/uploads/?mount="+string(one.PatchFile.Digest)+"&from="+repo), pushers(201)},
		{"delete an unknown tag", way(del, manifestPath("nothing")), removers(404)},
		{"delete an unknown manifest", way(del, manifestPath(string(unknown))), removers(404)},
		{"delete by an unknown sha512", way(del, manifestPath("sha512:"+strings.Repeat("a", 128))), removers(404)},
		{"delete an unknown blob", way(del, blobPath(unknown)), removers(404)},
		{"delete a blob that is needed", way(del, blobPath(one.PatchFile.Digest)), among(insiders(), 404)},
		{"another's upload", way(http.MethodGet, m.upload), pushers(404)},
		{"write to another's upload", chunk(http.MethodPatch, m.upload), pushers(404)},
		{"finish another's upload", chunk(http.MethodPut, m.upload+"&digest="+sum(one.patchFile)), pushers(404)},
		{"end another's upload", way(del, m.upload), pushers(404)},
		{"another's upload, in another product", chunk(http.MethodPatch, elsewhere), next(404)},
		{"an upload nobody began", way(http.MethodGet, "/v2/"+repo+"/blobs/uploads/0b0f3c62-6f1c-4a3e-9d3b-3f2f6f8f1a10"), pushers(404)},
	}
}
