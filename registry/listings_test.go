package registry_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/patchfit/patchfit/attest"
)

// listed returns what a list names: tags, repositories or digests.
func listed(t *testing.T, r reply) []string {
	t.Helper()
	var all struct {
		Tags         []string `json:"tags"`
		Repositories []string `json:"repositories"`
		Manifests    []struct {
			Digest string `json:"digest"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(r.body, &all); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	names := slices.Concat(all.Tags, all.Repositories)
	for _, m := range all.Manifests {
		names = append(names, m.Digest)
	}
	slices.Sort(names)
	return names
}

// TestListsNameWhatMayBeRead: every list names, to everybody, what they may
// read and nothing else.
func TestListsNameWhatMayBeRead(t *testing.T) {
	m := newMatrix(t)
	if r := m.putManifest(m.publisher, repo, "two", m.two.patch); r.status != http.StatusCreated {
		t.Fatal(r.status)
	}
	insiders := []int{rebuilder, auditor, publisher, admin}
	per := func(insider, host, other []string) map[int][]string {
		all := map[int][]string{fitting: host, misfit: other}
		for _, c := range insiders {
			all[c] = insider
		}
		return all
	}
	bundles := func(of attest.Digest) (all []string) {
		for _, r := range m.State.Referrers(repo, string(of)) {
			if r.Bundle != "" {
				all = append(all, string(r.Artifact.Manifest))
			}
		}
		return all
	}
	patch, image := string(m.one.PatchManifest), string(m.image)
	onBase, onPatch := bundles(m.one.BaseManifest), bundles(m.one.PatchManifest)
	if len(onBase) == 0 || len(onPatch) == 0 {
		t.Fatal("the test expects bundles about base and patch")
	}
	lists := map[string]map[int][]string{
		"/v2/" + repo + "/tags/list":                      per([]string{"base", "index", "patch", "two"}, []string{"patch"}, []string{"two"}),
		"/v2/" + repo + "/tags/list?n=1":                  per([]string{"base"}, []string{"patch"}, []string{"two"}),
		"/v2/" + repo + "/tags/list?last=o":               per([]string{"patch", "two"}, []string{"patch"}, []string{"two"}),
		"/v2/" + otherRepo + "/tags/list":                 {neighbour: nil, admin: nil},
		"/v2/_catalog":                                    {admin: {repo, otherRepo}},
		referrersPath(m.one.BaseManifest):                 per(append([]string{patch}, onBase...), append([]string{patch}, onBase...), onBase),
		referrersPath(m.one.PatchManifest):                per(append([]string{image, sum(m.rebuild)}, onPatch...), onPatch, onPatch),
		referrersPath(m.gone.BaseManifest):                per(bundles(m.gone.BaseManifest), bundles(m.gone.BaseManifest), bundles(m.gone.BaseManifest)),
		referrersPath(m.one.Builder):                      per(append([]string{string(m.one.EnvManifest)}, bundles(m.one.Builder)...), bundles(m.one.Builder), bundles(m.one.Builder)),
		referrersPath(attest.Digest(name512(m.one.base))): per(append([]string{patch}, onBase...), append([]string{patch}, onBase...), onBase),
	}
	for path, sees := range lists {
		for c := range columns {
			for _, slow := range []bool{true, false} {
				m.oci.Slow(slow)
				r := m.get(m.who[c], path)
				want, may := sees[c]
				switch {
				case !may && c == nobody && r.status == http.StatusUnauthorized, !may && c != nobody && path == "/v2/_catalog" && r.status == http.StatusForbidden,
					!may && c != nobody && path != "/v2/_catalog" && r.status == http.StatusNotFound:
				case !may || r.status != http.StatusOK:
					t.Errorf("%s: %s: %d %s", columnNames[c], path, r.status, r.body)
				default:
					if d := cmp.Diff(want, listed(t, r), cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b string) bool { return a < b })); d != "" {
						t.Errorf("%s: %s (-want +got):\n%s", columnNames[c], path, d)
					}
				}
			}
		}
	}
}

func referrersPath(d attest.Digest) string { return "/v2/" + repo + "/referrers/" + string(d) }
