package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
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

// good says that nothing failed, in the totals and in any test.
func (r *report) good() bool {
	for _, c := range r.Cases {
		if c.Status != "passed" && c.Status != "skipped" {
			return false
		}
	}
	return r.failed() == 0 && r.passed() > 0
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
				fmt.Fprintf(out, "%s: %s: %s: %s\n", run, status, strings.TrimPrefix(c.Name, "OCI Conformance Test/"), c.reason())
			}
		}
	}
}

// reason is what the suite says of a test, in one line.
func (c testCase) reason() string {
	if why := strings.Join(strings.Fields(c.Why), " "); why != "" {
		return why
	}
	return "left out by the suite's defaults"
}
