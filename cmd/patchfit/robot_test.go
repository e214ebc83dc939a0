package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/admin"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/registry/api"
)

func (s *site) robot(t *testing.T, args ...string) admin.Robot {
	t.Helper()
	return answer[admin.Robot](t, append(append([]string{}, s.admin...), append([]string{"robot", "create"}, args...)...)...)
}

// docker logs in as a stock client does, and returns the status of a request
// it then makes.
func (s *site) docker(t *testing.T, user, password, method, path string) int {
	t.Helper()
	token := struct{ Token string }{}
	req := must(http.NewRequestWithContext(t.Context(), "GET", s.url+"/token?service=x&scope=repository:x:pull", nil))(t)
	req.SetBasicAuth(user, password)
	if status := ask(t, req, &token); status != 200 {
		return status
	}
	req = must(http.NewRequestWithContext(t.Context(), method, s.url+path, nil))(t)
	req.Header.Set("Authorization", "Bearer "+token.Token)
	return ask(t, req, nil)
}

func TestRobots(t *testing.T) {
	s := newSite(t)
	made := s.robot(t, "ci", "--product", s.product, "--role", "publisher")
	if made.Username != "robot$ci" || made.Token == "" {
		t.Errorf("made %+v", made)
	}
	if got := s.docker(t, made.Username, made.Token, "POST", "/v2/"+repository+"/blobs/uploads/"); got != 202 {
		t.Errorf("a publisher's upload: %d", got)
	}
	if got := s.docker(t, made.Username, made.Token, "GET", "/v2/_catalog"); got != 403 {
		t.Errorf("what a publisher may not: %d", got)
	}

	reader := s.robot(t, "reader", "--product", s.product, "--role", "publisher", "--read-only", "--ttl", "1h", "-o", "reader.token")
	if reader.Token != "" || reader.File != "reader.token" {
		t.Errorf("the token is in a file and in the answer: %+v", reader)
	}
	token := strings.TrimSpace(string(must(os.ReadFile("reader.token"))(t)))
	if info := must(os.Stat("reader.token"))(t); info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %v", info.Mode())
	}
	if got := s.docker(t, reader.Username, token, "POST", "/v2/"+repository+"/blobs/uploads/"); got != 403 {
		t.Errorf("a read-only upload: %d", got)
	}
	if got := s.docker(t, reader.Principal, token, "GET", "/v2/"+repository+"/tags/list"); got != 200 {
		t.Errorf("what it may read: %d", got)
	}
	fails(t, exit.Denied, "not admin", "--server", s.url, "--token-file", "reader.token", "robot", "list")

	list := answer[api.Principals](t, append(s.admin, "robot", "list")...)
	if len(list.Principals) != 3 { // the first admin, ci and reader
		t.Errorf("listed %+v", list.Principals)
	}
	if all := answer[api.Principals](t, append(s.admin, "robot", "list", "--all")...); len(all.Principals) != 5 {
		t.Errorf("all of them: %+v", all.Principals)
	}
	text := ok(t, append(s.admin, "robot", "list")...)
	if !strings.Contains(text, "publisher in "+s.product+" (read-only)") || strings.Contains(text, token) || strings.Contains(text, "pfr_") {
		t.Errorf("the list:\n%s", text)
	}
	ok(t, append(s.admin, "robot", "revoke", made.Principal)...)
	if got := s.docker(t, made.Username, made.Token, "GET", "/v2/"); got != 401 {
		t.Errorf("a revoked robot: %d", got)
	}
	s.robotsRefused(t)
}

func (s *site) robotsRefused(t *testing.T) {
	t.Helper()
	refuse := func(code int, words string, args ...string) {
		t.Helper()
		fails(t, code, words, append(append([]string{}, s.admin...), append([]string{"robot"}, args...)...)...)
	}
	refuse(exit.Usage, "--role is missing", "create", "x", "--product", s.product)
	refuse(exit.Usage, "not between", "create", "x", "--product", s.product, "--role", "auditor", "--ttl", "9000h")
	refuse(exit.Failure, "reader.token exists", "create", "x", "--product", s.product, "--role", "auditor", "-o", "reader.token")
	refuse(exit.Failure, "/role", "create", "x", "--product", s.product, "--role", "admin")
	refuse(exit.NotFound, "no product", "create", "x", "--product", "other", "--role", "auditor")
	refuse(exit.Usage, "several can have one name", "revoke", "reader")
	refuse(exit.NotFound, "no principal", "revoke", "00000000-0000-0000-0000-000000000000")

	ok(t, "keygen", "-o", "rebuilder.pem")
	s.enlist(t, "rebuilder", "rebuilder.pem")
	s.as(t, "rebuilder")
	fails(t, exit.Denied, "admin", "robot", "list")
}
