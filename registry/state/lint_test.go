package state_test

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// TestLintIsOfThePatchAndItsBase: a report counts where it is about the file
// the patch has and the base it is attached to, and comes back after a start.
func TestLintIsOfThePatchAndItsBase(t *testing.T) {
	h := statetest.New(t)
	w := h.Publish("one")
	id, key := h.Enrol("host")
	h.Record(id, key, 1, w)
	if err := h.State.SetReady(); err != nil {
		t.Fatal(err)
	}
	found := func() *lint.Report {
		v, ok := h.State.View(id, statetest.Repository, w.PatchManifest, h.Now)
		if !ok || v.Facts.Patch == nil {
			t.Fatal("there is nothing to decide on")
		}
		if v.Facts.Patch.Lint == nil {
			return nil
		}
		return &lint.Report{Linter: v.Facts.Patch.Lint.Linter}
	}
	if found() != nil {
		t.Error("nobody looked, and something was found")
	}
	say := func(r lint.Report) {
		r.SchemaVersion, r.Facts.Kind, r.Facts.Functions, r.Facts.Imports = 1, lint.KindELF, []lint.Function{}, []lint.Import{}
		r.Findings, r.NotChecked = []lint.Finding{}, []lint.Unchecked{}
		raw, err := strictjson.Canonical(r)
		if err != nil {
			t.Fatal(err)
		}
		before := h.State.Epoch(statetest.Repository, w.PatchManifest)
		h.Must(ledger.KindLint, ledger.Linted{Repository: statetest.Repository, Digest: w.PatchManifest, Report: h.Put(raw), Linter: r.Linter, By: h.Admin})
		if h.State.Epoch(statetest.Repository, w.PatchManifest) == before {
			t.Error("decisions of before hold on")
		}
	}
	other := attest.DigestOf([]byte("other"))
	for _, c := range []struct {
		name  string
		r     lint.Report
		there bool
	}{
		{"another file", lint.Report{Linter: "one", Patch: other}, false},
		{"another base", lint.Report{Linter: "two", Patch: w.PatchFile.Digest, Base: other}, false},
		{"no base", lint.Report{Linter: "three", Patch: w.PatchFile.Digest}, true},
		{"the base", lint.Report{Linter: "four", Patch: w.PatchFile.Digest, Base: w.BaseFile.Digest}, true},
	} {
		say(c.r)
		if got := found(); (got != nil) != c.there || got != nil && got.Linter != c.r.Linter {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	again, err := h.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	if l := again.Lint(statetest.Repository, w.PatchManifest); l == nil || l.Linter != "four" {
		t.Errorf("after a start: %+v", l)
	}
}

// TestLintRecordsAreChecked: what a report is not, no record makes it.
func TestLintRecordsAreChecked(t *testing.T) {
	h := statetest.New(t)
	w := h.Publish("one")
	for name, c := range map[string]struct {
		raw  string
		says string
	}{
		"no report":      {"{}", "missing"},
		"another linter": {`{"facts":{"functions":[],"imports":[],"kind":"elf"},"findings":[],"linter":"other","notChecked":[],"patch":"` + string(w.PatchFile.Digest) + `","schemaVersion":1}`, "is by"},
	} {
		_, err := h.Journal.Append(t.Context(), ledger.KindLint, ledger.Linted{
			Repository: statetest.Repository, Digest: w.PatchManifest, Report: h.Put([]byte(c.raw)), Linter: lint.Version, By: h.Admin,
		})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
