package collect_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/collect"
	"github.com/patchfit/patchfit/registry/state"
)

const month = 720 * time.Hour

func (s *shelf) retain(how collect.Retention) (collect.Retained, error) {
	s.t.Helper()
	return collect.New(collect.Config{State: s.State, Content: s.content, Journal: s.journal}, nil).Retain(s.t.Context(), how)
}

func (s *shelf) ago(age time.Duration) { s.House.Journal.Time = time.Now().Add(-age) }

// image puts a manifest of others that nobody tags.
func (s *shelf) image(name string, subject attest.Digest) attest.Digest {
	s.t.Helper()
	m := map[string]any{
		"schemaVersion": 2, "annotations": map[string]string{"name": name}, "layers": []any{},
		"config": map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": attest.DigestOf([]byte("{}")), "size": 2},
	}
	if subject != "" {
		m["subject"] = map[string]any{"mediaType": state.MediaManifest, "digest": subject, "size": 1}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.PutManifest(raw)
}

func (s *shelf) index(children ...attest.Digest) attest.Digest {
	s.t.Helper()
	var list []string
	for _, d := range children {
		list = append(list, fmt.Sprintf(`{"mediaType":"%s","digest":"%s","size":1}`, state.MediaManifest, d))
	}
	d := s.Put(fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[%s]}`, strings.Join(list, ",")))
	s.Must(ledger.KindManifest, ledger.ManifestPut{Repository: repo, Digest: d, MediaType: state.MediaIndex, By: s.Admin})
	return d
}

func (s *shelf) tag(tag string, d attest.Digest) {
	s.t.Helper()
	s.Must(ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: tag, Digest: d, By: s.Admin})
}

func (s *shelf) visible(what string, d attest.Digest, want bool) {
	s.t.Helper()
	if _, ok := s.State.Manifest(repo, d); ok != want {
		s.t.Errorf("%s: visible %v, want %v", what, ok, want)
	}
}

var untagged = collect.Retention{Rules: []collect.Rule{{Untagged: month}}}

// TestRetention: what nobody tags goes when it is old, and nothing that
// something alive leads to.
func TestRetention(t *testing.T) {
	s := newShelf(t)
	s.ago(2 * month)
	child, loose := s.image("child", ""), s.image("loose", "")
	list := s.index(child)
	s.tag("list", list)
	about, subject := s.image("about it", child), s.image("subject", "")
	patchOf := s.image("tagged referrer", subject)
	s.tag("referrer", patchOf)
	about2 := s.image("about what is about it", about)
	deadList := s.index(loose, child)
	dead := s.image("about nothing", loose)
	moved, next := s.image("had a tag until now", ""), s.image("has it", "")
	s.tag("moving", moved)
	keeps := s.image("old, of a young one", "")
	s.ago(time.Hour)
	young := s.image("young", keeps)
	s.tag("moving", next)
	s.House.Journal.Time = time.Time{}

	for _, dry := range []bool{true, false} {
		untagged := untagged
		untagged.DryRun = dry
		if r, err := s.retain(untagged); err != nil || r != (collect.Retained{Manifests: 3}) {
			t.Errorf("dry run %v: %+v, %v", dry, r, err)
		}
		s.visible("an index nobody tags", deadList, dry)
	}
	for what, d := range map[string]attest.Digest{
		"a tagged index": list, "its child": child, "about its child": about, "about that": about2, "a tagged referrer": patchOf,
		"what it refers to": subject, "what had a tag an hour ago": moved, "what has it": next, "young": young, "what a young one refers to": keeps,
	} {
		s.visible(what, d, true)
	}
	s.visible("loose", loose, false)
	s.visible("about nothing", dead, false)
	if r, err := s.retain(untagged); err != nil || r != (collect.Retained{}) {
		t.Errorf("the second time: %+v, %v", r, err)
	}
	var order []attest.Digest
	for _, r := range s.House.Journal.Records() {
		if d, err := ledger.Decode[ledger.Deleted](r); err == nil && d.By == "retention" {
			order = append(order, d.Digest)
		}
	}
	if !slices.Equal(order, []attest.Digest{deadList, dead, loose}) {
		t.Errorf("hidden in the order %v", order)
	}
	if _, err := s.Rebuild(); err != nil {
		t.Errorf("the journal does not replay: %v", err)
	}
}

// TestEvidenceIsRetained: a patch, what it stands on and what was said about
// it stay, unless a rule names them.
func TestEvidenceIsRetained(t *testing.T) {
	s := newShelf(t)
	s.ago(2 * month)
	w := s.Publish("one")
	s.House.Journal.Time = time.Time{}
	all := len(s.State.Visible(repo))
	if r, err := s.retain(untagged); err != nil || r != (collect.Retained{}) {
		t.Errorf("%+v, %v", r, err)
	}
	s.tag("live", w.PatchManifest)
	artifacts := collect.Retention{Rules: []collect.Rule{{Untagged: month, Artifacts: true}}}
	if r, err := s.retain(artifacts); err != nil || r != (collect.Retained{}) {
		t.Errorf("one of them has a tag: %+v, %v", r, err)
	}
	s.ago(2 * month)
	s.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Tag: "live", By: s.Admin})
	s.House.Journal.Time = time.Time{}
	if r, err := s.retain(artifacts); err != nil || r.Manifests != all || all < 6 {
		t.Errorf("%+v of %d, %v", r, all, err)
	}
}

// TestKeepLast: of the tags that match, the newest stay, and those that are
// never moved do not count.
func TestKeepLast(t *testing.T) {
	s := newShelf(t)
	s.push("{}", long)
	for i := range 40 {
		s.ago(month - time.Duration(i)*time.Hour)
		s.tag(fmt.Sprintf("nightly-%d", i), s.image(fmt.Sprint(i), ""))
	}
	s.tag("nightly-release", s.image("release", ""))
	s.tag("other", s.image("other", ""))
	s.House.Journal.Time = time.Time{}
	how := collect.Retention{
		Rules:     []collect.Rule{{Repository: "elsewhere/*", Untagged: 1}, {Repository: repo, Tags: "nightly-*", KeepLast: 2}},
		Immutable: func(tag string) bool { return tag == "nightly-release" },
	}
	how.DryRun = true
	if r, err := s.retain(how); err != nil || r != (collect.Retained{Tags: 38}) {
		t.Errorf("a dry run: %+v, %v", r, err)
	}
	how.DryRun = false
	s.journal.before = errors.New("broken")
	if r, err := s.retain(how); !errors.Is(err, s.journal.before) || r.Tags != 0 {
		t.Errorf("without a journal: %+v, %v", r, err)
	}
	s.journal.before = nil
	if r, err := s.retain(how); err != nil || r != (collect.Retained{Tags: 38}) {
		t.Errorf("%+v, %v", r, err)
	}
	if got, want := s.State.Tags(repo), []string{"nightly-38", "nightly-39", "nightly-release", "other"}; !slices.Equal(got, want) {
		t.Errorf("%v are left, want %v", got, want)
	}
}

func TestRulesThatAreNone(t *testing.T) {
	for _, rule := range []collect.Rule{
		{}, {Untagged: -1}, {Tags: "x"}, {KeepLast: 1}, {Tags: "x", KeepLast: -1}, {Untagged: 1, Tags: "x"}, {Repository: "[", Untagged: 1},
	} {
		if _, err := newShelf(t).retain(collect.Retention{Rules: []collect.Rule{rule}}); err == nil {
			t.Errorf("%+v is taken", rule)
		}
	}
}
