package registry_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// nowhere is a repository of no product, with a name as long as the product's.
var nowhere = strings.Repeat("x", len(repo))

// embargo keeps a patch, or for "" the product, from every host not named.
func (m *matrix) embargo(patch attest.Digest, until time.Time, hosts ...string) {
	m.t.Helper()
	if hosts == nil {
		hosts = []string{}
	}
	m.Must(ledger.KindEmbargo, ledger.Embargoed{Product: m.Product.ID, Patch: patch, Until: until, Hosts: hosts, By: m.Admin})
}

func (m *matrix) lift(patch attest.Digest) {
	m.t.Helper()
	m.Must(ledger.KindEmbargo, ledger.Embargoed{Product: m.Product.ID, Patch: patch, Hosts: []string{}, Lifted: true, By: m.Admin})
}

// outsider enrols one more host that the patch is for.
func (m *matrix) outsider() string {
	m.t.Helper()
	id, key := m.Enrol("outsider")
	m.runs(id, key, m.one)
	return id
}

// TestEmbargo asks in every way for everything as everybody while the product is
// embargoed: to its hosts that are not named there is no such product, down to
// the last byte, and for everybody else nothing changed.
func TestEmbargo(t *testing.T) {
	m := newMatrix(t)
	outsider := m.outsider()
	m.embargo("", time.Now().Add(time.Hour).UTC().Truncate(time.Second), m.who[fitting])
	for _, r := range m.rows() {
		for c := range columns {
			switch c {
			case misfit:
			case suspended:
				for _, m.who[suspended] = range []string{m.otherHost, outsider} {
					m.ask(r, c)
					m.nothing(r)
				}
			default:
				m.ask(r, c)
			}
		}
	}
	m.lift("")
	m.must(http.StatusOK, request{who: outsider, method: http.MethodGet, path: manifestPath("patch"), header: accept})
}

// nothing asks as a host that an embargo is for, and again in a repository of no
// product: the answers are one.
func (m *matrix) nothing(r row) {
	m.t.Helper()
	var got [2]reply
	for i, name := range []string{repo, nowhere} {
		q := r.request
		q.who, q.path = m.who[suspended], strings.ReplaceAll(q.path, repo, name)
		got[i] = m.send(q)
		got[i].body = bytes.ReplaceAll(got[i].body, []byte(name), nil)
		got[i].header.Del("Date")
	}
	if d := cmp.Diff(got[1].header, got[0].header); d != "" || got[0].status != got[1].status || !bytes.Equal(got[0].body, got[1].body) {
		m.t.Errorf("%s: %s %s: %d %s; where there is no product %d %s\n%s", r.name, r.method, r.path, got[0].status, got[0].body, got[1].status, got[1].body, d)
	}
}

// TestEmbargoIsOnRecord: who asked for a patch of an embargoed product is there
// for its auditors, although they were told that there is none.
func TestEmbargoIsOnRecord(t *testing.T) {
	m := newMatrix(t)
	outsider := m.outsider()
	m.embargo("", time.Time{}, m.who[fitting])
	for _, path := range []string{manifestPath("patch"), manifestPath(name512(m.one.patch)), blobPath(m.one.PatchFile.Digest), blobPath(attest.Digest(name512(m.one.patchFile)))} {
		before := m.decided(outsider)
		m.embargo("", time.Time{}, m.who[fitting]) // another epoch: another decision
		m.must(http.StatusNotFound, request{who: outsider, method: http.MethodGet, path: path, header: accept})
		m.oci.Settle()
		all := m.decided(outsider)
		if len(all) != len(before)+1 || all[len(all)-1].Allow || all[len(all)-1].Artifact != m.one.PatchManifest || len(all[len(all)-1].Reasons) != 1 || all[len(all)-1].Reasons[0].Reason != "EMBARGOED" {
			t.Errorf("%s: %+v", path, all)
		}
	}
	n := len(m.House.Journal.Records())
	for _, path := range []string{manifestPath("nothing"), manifestPath("base"), blobPath(m.one.BaseFile.Digest), "/v2/" + repo + "/tags/list"} {
		for _, who := range []string{outsider, m.stranger, m.who[suspended]} {
			m.must(http.StatusNotFound, request{who: who, method: http.MethodGet, path: path, header: accept})
		}
	}
	m.must(http.StatusNotFound, request{who: m.stranger, method: http.MethodGet, path: manifestPath("patch"), header: accept})
	m.oci.Settle()
	if got := len(m.House.Journal.Records()); got != n {
		t.Errorf("%d records of what is nothing to decide on", got-n)
	}
}

// decided returns the decisions on record about a host.
func (m *matrix) decided(host string) []ledger.Decided {
	var all []ledger.Decided
	for _, r := range m.House.Journal.Records() {
		if r.Kind != ledger.KindDecision {
			continue
		}
		if d, err := ledger.Decode[ledger.Decided](r); err != nil {
			m.t.Error(err)
		} else if d.Host == host {
			all = append(all, *d)
		}
	}
	return all
}

// TestEmbargoOfPatch: a patch that is embargoed, what was said about it and what
// it is called are kept from the hosts that are not named, which are told why;
// nothing changes for anybody else, or about anything else.
func TestEmbargoOfPatch(t *testing.T) {
	m := newMatrix(t)
	outsider := m.outsider()
	m.embargo(m.one.PatchManifest, time.Now().Add(time.Hour).UTC().Truncate(time.Second), m.who[fitting])
	for _, r := range m.rows() {
		want := r.want
		if s := r.want[misfit]; strings.HasPrefix(r.name, "bundle: ") && s != http.StatusNotFound {
			r.want[misfit] = http.StatusForbidden
		}
		for _, m.who[misfit] = range []string{outsider, m.otherHost} {
			m.ask(r, misfit)
		}
		r.want = want
		for c := range columns {
			if c != misfit {
				m.ask(r, c)
			}
		}
	}
	for _, who := range []string{outsider, m.otherHost} {
		r := m.get(who, manifestPath("patch"))
		if text := r.message(); r.status != http.StatusForbidden || !strings.HasPrefix(text, "EMBARGOED: want the patch = handed out to this host, got embargoed until 20") || strings.Contains(text, "also") {
			t.Errorf("%d %s", r.status, text)
		}
		list := m.get(who, "/v2/"+repo+"/referrers/"+string(m.one.PatchManifest))
		var index struct{ Manifests []json.RawMessage }
		if err := json.Unmarshal(list.body, &index); err != nil || len(index.Manifests) != 0 {
			t.Errorf("%s, %v", list.body, err)
		}
		if list := m.get(who, "/v2/"+repo+"/tags/list"); strings.Contains(string(list.body), `"patch"`) {
			t.Errorf("%s", list.body)
		}
	}
	m.lift(m.one.PatchManifest)
	m.must(http.StatusOK, request{who: outsider, method: http.MethodGet, path: manifestPath("patch"), header: accept})
}
