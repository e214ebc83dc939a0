package main

import (
	"strings"
	"testing"
)

const someReport = `<testsuites tests="6" failures="2" errors="1" skipped="1" disabled="1">
<testsuite name="OCI Conformance Test" tests="6">
<testcase name="OCI Conformance Test/ping" status="passed"></testcase>
<testcase name="OCI Conformance Test/blob-mount-anonymous" status="skipped"><system-out>fell back
to an upload</system-out></testcase>
<testcase name="OCI Conformance Test/delete" status="skipped"></testcase>
<testcase name="OCI Conformance Test/push" status="failure"><system-out>no Location</system-out></testcase>
<testcase name="OCI Conformance Test/pull" status="error"><system-out>gone</system-out></testcase>
</testsuite></testsuites>`

func TestReport(t *testing.T) {
	r, err := parseReport([]byte(someReport))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.String(), "1 passed, 3 failed, 2 skipped"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if r.good() {
		t.Error("failures are good")
	}
	var out strings.Builder
	r.explain(&out, "x")
	want := `x: failure: push: no Location
x: error: pull: gone
x: skipped: blob-mount-anonymous: fell back to an upload
x: skipped, and must not be: delete: left out by the suite's defaults
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestGood(t *testing.T) {
	for in, want := range map[string]bool{
		`<testsuites tests="2" skipped="1"><testsuite><testcase status="passed"/><testcase name="x/blob-post-cancel" status="skipped"/></testsuite></testsuites>`: true,
		`<testsuites tests="2" skipped="1"><testsuite><testcase status="passed"/><testcase name="x/blob-post-only" status="skipped"/></testsuite></testsuites>`:   false,
		`<testsuites tests="2" skipped="1"><testsuite><testcase status="passed"/><testcase name="x/manifest-delete" status="skipped"/></testsuite></testsuites>`:  false,
		`<testsuites tests="1" skipped="1"><testsuite><testcase status="skipped"/></testsuite></testsuites>`:                                                      false,
		`<testsuites tests="2"><testsuite><testcase status="passed"/><testcase status="failure"/></testsuite></testsuites>`:                                       false,
		`<testsuites tests="2" errors="1"><testsuite><testcase status="passed"/></testsuite></testsuites>`:                                                        false,
		`<testsuites tests="2"><testsuite><testcase status="passed"/><testcase status="odd"/></testsuite></testsuites>`:                                           false,
	} {
		r, err := parseReport([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if r.good() != want {
			t.Errorf("%s: good %v, want %v", in, r.good(), want)
		}
	}
}

func TestNoReport(t *testing.T) {
	for _, in := range []string{"", "{}", `<testsuites tests="0"></testsuites>`, `<testsuites tests="1"></testsuites>`} {
		if _, err := parseReport([]byte(in)); err == nil {
			t.Errorf("%q passed for a report", in)
		}
	}
}
