package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// TestAnswer: what was refused goes out in place of what is written, what fails
// inside goes out without its details, and what was begun is not changed.
func TestAnswer(t *testing.T) {
	refusal := denied(verify.Revoked, `the "patch" is revoked: naïve`, "take another")
	for name, c := range map[string]struct {
		refusal       *api.Error
		status, want  int
		has, warning  string
		leaks, header string // header: one that success has and refusals have not
	}{
		"success":            {nil, 200, 200, "secret", "", "", "Etag"},
		"not found":          {nil, 404, 404, "secret", "", "", "Etag"},
		"failure":            {nil, 500, 500, "INTERNAL", `299 - "`, "secret", ""},
		"unavailable":        {nil, 503, 500, "INTERNAL", `299 - "`, "secret", ""},
		"refused":            {refusal, 403, 403, "REVOKED: ", `299 - "REVOKED: the 'patch' is revoked: na?ve; take another"`, "secret", ""},
		"refused as success": {refusal, 202, 403, "REVOKED: ", "299", "secret", ""},
		"refused as failure": {refusal, 500, 403, "REVOKED: ", "299", "secret", ""},
	} {
		w := httptest.NewRecorder()
		a := &answer{ResponseWriter: w, refusal: c.refusal}
		a.Header().Set("Etag", "x")
		a.WriteHeader(c.status)
		if _, err := io.WriteString(a, "secret"); err != nil {
			t.Error(err)
		}
		if _, err := a.ReadFrom(strings.NewReader(" secret")); err != nil {
			t.Error(err)
		}
		a.finish()
		body := w.Body.String()
		if w.Code != c.want || !strings.Contains(body, c.has) || c.leaks != "" && strings.Contains(body, c.leaks) {
			t.Errorf("%s: %d %s", name, w.Code, body)
		}
		if got := w.Header().Get("Warning"); !strings.HasPrefix(got, c.warning) || c.warning == "" && got != "" {
			t.Errorf("%s: warning %q", name, got)
		}
		if got := w.Header().Get("Etag"); (got != "") != (c.header != "") || w.Header().Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: headers %v", name, w.Header())
		}
	}
}

// TestNobodyAnswered: silence is a failure, and a refusal that nobody wrote goes
// out.
func TestNobodyAnswered(t *testing.T) {
	for want, refusal := range map[int]*api.Error{http.StatusInternalServerError: nil, http.StatusForbidden: forbidden("no")} {
		w := httptest.NewRecorder()
		a := &answer{ResponseWriter: w, refusal: refusal}
		a.finish()
		if w.Code != want {
			t.Errorf("%d, want %d", w.Code, want)
		}
	}
	w := httptest.NewRecorder()
	a := &answer{ResponseWriter: w}
	a.WriteHeader(http.StatusOK)
	a.refuse(forbidden("too late"))
	if w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("a refusal after the answer began: %d %s", w.Code, w.Body)
	}
}
