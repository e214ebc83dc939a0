package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// A report is what the suite wrote into junit.xml. The totals are its own;
// they count the groups of tests, too.
type report struct {
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Disabled int        `xml:"disabled,attr"`
	Cases    []testCase `xml:"testsuite>testcase"`
}

type testCase struct {
	Name   string `xml:"name,attr"`
	Status string `xml:"status,attr"`
	Why    string `xml:"system-out"`
}

func parseReport(raw []byte) (*report, error) {
	r := &report{}
	if err := xml.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("junit.xml: %w", err)
	}
	if len(r.Cases) == 0 || r.Tests < len(r.Cases) {
		return nil, errors.New("junit.xml: no tests were run")
	}
	return r, nil
}

func (r *report) failed() int  { return r.Failures + r.Errors }
func (r *report) skipped() int { return r.Skipped + r.Disabled }
func (r *report) passed() int  { return r.Tests - r.failed() - r.skipped() }

// good says that nothing failed, in the totals and in any test, and that nothing
// was skipped that used to pass: the suite skips what a registry does not show.
func (r *report) good() bool {
	for _, c := range r.Cases {
		if c.Status != "passed" && !c.mayBeSkipped() {
			return false
		}
	}
	return r.failed() == 0 && r.passed() > 0
}

// mayBeSkipped names the tests of what the specification lets a registry answer
// with an upload session, as this one does, and of what is off by default.
func (c testCase) mayBeSkipped() bool {
	return c.Status == "skipped" &&
		slices.Contains([]string{"blob-mount-anonymous", "blob-post-cancel"}, path.Base(c.Name))
}

// String is the line a run ends with. A test that the suite's defaults leave
// out counts as skipped.
func (r *report) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", r.passed(), r.failed(), r.skipped())
}

// explain names what failed and what was skipped, with the suite's reasons.
func (r *report) explain(out io.Writer, run string) {
	for _, status := range []string{"failure", "error", "skipped"} {
		for _, c := range r.Cases {
			if c.Status == status {
				fmt.Fprintf(out, "%s: %s: %s: %s\n", run, c.verdict(), strings.TrimPrefix(c.Name, "OCI Conformance Test/"), c.reason())
			}
		}
	}
}

func (c testCase) verdict() string {
	if c.Status == "skipped" && !c.mayBeSkipped() {
		return "skipped, and must not be"
	}
	return c.Status
}

// reason is what the suite says of a test, in one line.
func (c testCase) reason() string {
	if why := strings.Join(strings.Fields(c.Why), " "); why != "" {
		return why
	}
	return "left out by the suite's defaults"
}
