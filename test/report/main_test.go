package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const pass = `{"Action":"pass","Package":"p","Test":"A"}` + "\n" + `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
	const skip = `{"Action":"output","Package":"p","Test":"B","Output":"    b_test.go:3: no gcc here\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"B"}` + "\n"
	const fail = `{"Action":"output","Package":"p","Test":"C","Output":"    c_test.go:9: got 1\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"C"}` + "\n"
	for _, c := range []struct {
		name, in string
		ci       bool
		code     int
		want     string
	}{
		{"all passed", pass, true, 0, "1 passed, 0 failed, 0 skipped"},
		{"a skip says why", pass + skip, false, 0, "p B: b_test.go:3: no gcc here"},
		{"a skip fails in CI", pass + skip, true, 1, "a skip is a failure"},
		{"a failure shows its output", pass + fail, false, 1, "got 1"},
		{"nothing ran", "", false, 1, "0 passed"},
		{"a package that does not build", `{"Action":"build-output","ImportPath":"p","Output":"x.go:1: bad\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n" + pass, false, 1, "x.go:1: bad"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			if code := run(strings.NewReader(c.in), &out, c.ci); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, &out)
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("output lacks %q:\n%s", c.want, &out)
			}
		})
	}
}
