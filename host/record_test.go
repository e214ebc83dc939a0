package host

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

func TestRecord(t *testing.T) {
	m := enrolled(t)
	boot, err := os.ReadFile(bootIDFile)
	if err != nil {
		t.Fatal(err)
	}
	got := *m.server.records[0]
	if got.Time.IsZero() || got.Nonce == "" {
		t.Errorf("record without time or nonce: %+v", got)
	}
	want := attest.HostRecord{
		Host: m.server.host, BootID: strings.TrimSpace(string(boot)), Sequence: 1, Nonce: got.Nonce, Time: got.Time,
		Target:  m.server.world.Environment.Target,
		Running: []attest.Running{{Product: m.server.product.ID, Measurement: m.server.world.Base.Measurements[0]}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Without bases the ones of the last record are measured again.
func TestRecordAgain(t *testing.T) {
	m := enrolled(t)
	m.server.writeBase("second build")
	m.does(func(a *Agent) error {
		r, err := a.Record(t.Context(), nil)
		if err == nil && r.Record.Sequence != 2 {
			t.Errorf("sequence %d, want 2", r.Record.Sequence)
		}
		return err
	})
	now, err := Measure(m.server.basePath())
	if err != nil {
		t.Fatal(err)
	}
	if got := m.server.records[1].Running[0].Measurement; got != now {
		t.Errorf("recorded %v, the file is %v", got, now)
	}
}

// A number that was signed is never signed again: not after a crash, not when
// the server was set back.
func TestRecordNeverReusesASequence(t *testing.T) {
	m := enrolled(t)
	m.server.before = func(w http.ResponseWriter, path string) bool {
		if strings.HasSuffix(path, "/records") {
			api.WriteError(w, api.Errorf(http.StatusServiceUnavailable, api.CodeUnavailable, "not now"))
			return true
		}
		return false
	}
	if err := m.record(); err == nil {
		t.Fatal("a record the server did not take is taken for taken")
	}
	m.server.before = nil
	m.server.sequence = 0
	if err := m.record(); err != nil {
		t.Fatal(err)
	}
	if got := m.server.records[1].Sequence; got != 3 {
		t.Errorf("the record after 1 and a lost 2 has sequence %d, want 3", got)
	}
	if _, err := m.pull(); err != nil {
		t.Error(err)
	}
}

// A server cannot use up the numbers of a host: what it asks for is bounded,
// and a refusal leaves nothing behind.
func TestRecordSequenceIsBounded(t *testing.T) {
	m := enrolled(t)
	before, err := os.ReadFile(filepath.Join(m.state, recordFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, asked := range []int64{1<<53 - 1, 2 + maxSequenceJump} {
		m.server.sequence = asked - 1
		err := m.record()
		r := (*verify.Refusal)(nil)
		if !errors.As(err, &r) || r.Reason != verify.Corrupt || r.Remedy == "" || !strings.Contains(r.Fact, fmt.Sprintf("record %d, the last one this host signed is 1:", asked)) {
			t.Errorf("asked for record %d: %v, want CORRUPT with both numbers and a next step", asked, err)
		}
		if after, err := os.ReadFile(filepath.Join(m.state, recordFile)); err != nil || string(after) != string(before) {
			t.Errorf("asked for record %d: %s was written (%v)", asked, recordFile, err)
		}
	}
	m.server.sequence = 1
	if err := m.record(); err != nil {
		t.Fatalf("the honest server after it: %v", err)
	}
	m.server.sequence = 2 + maxSequenceJump - 1
	if err := m.record(); err != nil {
		t.Errorf("a jump of %d: %v", maxSequenceJump, err)
	}
	var got []int64
	for _, r := range m.server.records {
		got = append(got, r.Sequence)
	}
	if diff := cmp.Diff([]int64{1, 2, 2 + maxSequenceJump}, got); diff != "" {
		t.Error(diff)
	}
}

// The record before stays in force when a new one is not taken.
func TestRecordNotTaken(t *testing.T) {
	m := enrolled(t)
	m.server.before = func(w http.ResponseWriter, path string) bool {
		if strings.HasSuffix(path, "/records") {
			api.WriteJSON(w, 200, api.Recorded{SchemaVersion: 1, Sequence: 77, Bases: []api.Base{}})
			return true
		}
		return false
	}
	if err := m.record(); reasonOf(err) != verify.Rollback {
		t.Errorf("%v, want that the server took another record", err)
	}
	m.server.before = nil
	if _, err := m.pull(); err != nil {
		t.Error(err)
	}
}

func TestRecordRefuses(t *testing.T) {
	m := enrolled(t)
	other := attest.Product{ID: "0b0f3c62-6f1c-4a3e-9d3b-3f2f6f8f1a10"}
	for name, bases := range map[string][]Base{
		"a product of others": {{Product: other.ID, Path: m.server.basePath()}},
		"no file":             {{Product: m.server.product.ID, Path: filepath.Join(m.out, "none")}},
		"a directory":         {{Product: m.server.product.ID, Path: m.out}},
	} {
		if err := m.with(func(a *Agent) error { _, err := a.Record(t.Context(), bases); return err }); err == nil {
			t.Errorf("%s: recorded", name)
		}
	}
	if len(m.server.records) != 1 {
		t.Errorf("%d records, want 1", len(m.server.records))
	}
	fresh := newMachine(newServer(t))
	if _, err := fresh.enroll(); err != nil {
		t.Fatal(err)
	}
	if err := fresh.with(func(a *Agent) error { _, err := a.Record(t.Context(), nil); return err }); err == nil {
		t.Error("recorded nothing")
	}
}

func TestRecordTwoBasesInOrder(t *testing.T) {
	m := enrolled(t)
	second := filepath.Join(m.server.dir, "other.so")
	if err := os.WriteFile(second, elfFile(t, "another"), 0o644); err != nil {
		t.Fatal(err)
	}
	id := m.server.product.ID
	for _, bases := range [][]Base{
		{{id, second}, {id, m.server.basePath()}},
		{{id, m.server.basePath()}, {id, second}, {id, second}},
	} {
		m.does(func(a *Agent) error { _, err := a.Record(t.Context(), bases); return err })
	}
	if diff := cmp.Diff(m.server.records[1].Running, m.server.records[2].Running); diff != "" || len(m.server.records[1].Running) != 2 {
		t.Errorf("the order of the command line shows: %s", diff)
	}
}

func TestStatusAndWhy(t *testing.T) {
	m := enrolled(t)
	look := func() (s *Status, x *Explanation) {
		t.Helper()
		err := m.with(func(a *Agent) (err error) {
			if s, err = a.Status(); err == nil {
				x, err = a.Why(t.Context(), Reference{Repository: repository, Tag: "v1"})
			}
			if err == nil && s.Fresh(now(), a.Site()) != (x.Denied == nil) {
				t.Errorf("fresh is %v and Why says %v", s.Fresh(now(), a.Site()), x.Denied)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s, x
	}
	s, x := look()
	if !s.ThisBoot || len(s.Bases) != 1 || !s.Bases[0].Unchanged || s.Bases[0].Repository != repository || s.PolicyVersion != 1 {
		t.Errorf("status %+v", s)
	}
	if x.Denied != nil || !x.Server.Allow || len(x.Checks) == 0 {
		t.Errorf("explanation %+v", x)
	}
	m.server.writeBase("second build")
	s, x = look()
	if s.Bases[0].Unchanged || reasonOf(x.Denied) != verify.StaleHostRecord {
		t.Errorf("after a change: unchanged %v, denied %v", s.Bases[0].Unchanged, x.Denied)
	}
	if err := os.Remove(m.server.basePath()); err != nil {
		t.Fatal(err)
	}
	if err := m.with(func(a *Agent) (err error) { s, err = a.Status(); return err }); err != nil || s.Bases[0].Err == nil || s.Bases[0].Unchanged {
		t.Errorf("after a removal: %+v, %v", s.Bases[0], err)
	}
}
