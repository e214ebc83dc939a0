package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/exit"
)

// enrol makes a host that runs the base in file, and returns its agent.
func (s *site) enrol(t *testing.T, name, file string) *host.Agent {
	t.Helper()
	token := ok(t, append(append([]string{}, s.admin...), "admin", "token", "--product", s.product)...)
	dir := filepath.Join(mustGetwd(t), name)
	must(host.Enroll(t.Context(), dir, host.Enrolment{Token: token, Name: name}, nil))(t)
	agent := must(host.Open(t.Context(), dir, nil))(t)
	t.Cleanup(func() { closing(t, agent.Close) })
	must(agent.Record(t.Context(), []host.Base{{Product: s.product, Path: filepath.Join(mustGetwd(t), file)}}))(t)
	return agent
}

// TestWhyAndDecisions asks what the gate would say, has it say so, and reads it
// in the ledger.
func TestWhyAndDecisions(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	digest := publishAll(t).Artifacts[0].Digest
	published(t, "base", "b.so", "--capture", "b.json", "--to", repository+":b", "--key", "signer.pem")
	a, b := s.enrol(t, "host-a", "a.so"), s.enrol(t, "host-b", "b.so")
	s.as(t, "auditor")

	ref := repository + "@" + string(digest)
	if text := ok(t, "why", a.Identity().Host, ref); !strings.Contains(text, "may have") || !strings.Contains(text, "fit basis environment") {
		t.Errorf("why not to deny host A:\n%s", text)
	}
	o := cli(t, "why", b.Identity().Host, repository+":fix")
	if o.code != exit.Denied || !strings.Contains(o.stdout, "may not have") || !strings.Contains(o.stderr, "ENV_MISMATCH") || !strings.Contains(o.stderr+o.stdout, "-fshort-enums") {
		t.Errorf("why to deny host B: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	fails(t, exit.NotFound, "", "why", a.Identity().Host, repository+":none")
	if text := ok(t, "audit", "decisions", "--as-of", "2001-01-01T00:00:00Z"); text != "as of before the first journal record" {
		t.Errorf("before there was anything:\n%s", text)
	}
	if text := ok(t, "audit", "decisions"); strings.Contains(text, "host-a") {
		t.Errorf("a question was recorded as a decision:\n%s", text)
	}

	pull := host.Reference{Repository: repository, Digest: digest}
	if _, err := a.Pull(t.Context(), pull, filepath.Join(mustGetwd(t), "got.so")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pull(t.Context(), pull, filepath.Join(mustGetwd(t), "not.so")); err == nil {
		t.Error("host B got the patch")
	}
	if _, err := os.Stat("not.so"); err == nil {
		t.Error("host B kept a file")
	}
	both := ok(t, "audit", "decisions", "--artifact", string(digest))
	for _, word := range []string{"host-a", "host-b", "allowed", "denied", "ENV_MISMATCH", "-fshort-enums"} {
		if !strings.Contains(both, word) {
			t.Errorf("decisions do not say %q:\n%s", word, both)
		}
	}
	if only := ok(t, "audit", "decisions", "--allowed"); strings.Contains(only, "host-b") || !strings.Contains(only, "host-a") {
		t.Errorf("what was allowed:\n%s", only)
	}
	state := append(append([]string{}, s.admin...), "admin", "host", a.Identity().Host)
	if text := ok(t, append(state, "--state", "suspended")...); !strings.Contains(text, "suspended") {
		t.Errorf("suspended host:\n%s", text)
	}
	fails(t, exit.Denied, "HOST_NOT_ACTIVE", "why", a.Identity().Host, ref)
}
