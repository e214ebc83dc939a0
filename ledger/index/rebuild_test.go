package index

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
)

// everything asks x everything there is to ask as of some times, and returns
// all answers as one text. Questions come from the history alone.
func everything(t *testing.T, x *Index, s *ledgerSource, times []time.Time) string {
	t.Helper()
	var out strings.Builder
	say := func(question string, answer any, err error) {
		b := []byte("null")
		if err == nil {
			if b, err = strictjson.Canonical(answer); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&out, "%s: %s %v\n", question, b, err)
	}
	for _, within := range []Products{nil, {productA}, {}} {
		if within != nil {
			times = times[:1]
		}
		for _, asOf := range times {
			askLineages(x, s, within, asOf, say)
			askDecisions(t, x, within, asOf, say)
			askHosts(t, x, within, asOf, say)
			askChannels(t, x, within, asOf, say)
			askRebuilds(t, x, within, asOf, say)
		}
	}
	for from := int64(0); ; {
		p, err := x.Records(t.Context(), RecordQuery{From: from, Limit: 7})
		say(fmt.Sprint("records from ", from), p, err)
		if err != nil || p.Next == 0 {
			return out.String()
		}
		from = p.Next
	}
}

type sayer func(question string, answer any, err error)

func askLineages(x *Index, s *ledgerSource, within Products, asOf time.Time, say sayer) {
	var digests []attest.Digest
	for d := range s.blobs {
		digests = append(digests, d)
	}
	slices.Sort(digests)
	for _, repository := range []string{repoA, repoB} {
		for _, d := range digests {
			l, err := x.WhoBuilt(context.Background(), LineageQuery{within, repository, d, asOf})
			say(fmt.Sprint("who built ", within, repository, d, asOf), l, err)
		}
	}
}

func askDecisions(t *testing.T, x *Index, within Products, asOf time.Time, say sayer) {
	yes, no := true, false
	for _, q := range []DecisionQuery{
		{}, {Product: productA}, {Repository: repoB}, {Host: uuid(1)}, {Allow: &yes}, {Allow: &no, Product: productB},
	} {
		q.Within, q.AsOf, q.Limit = within, asOf, 3
		for {
			p, err := x.Decisions(t.Context(), q)
			say(fmt.Sprint("decisions ", q.Within, q.Product, q.Repository, q.Host, choice(q.Allow), q.Range), p, err)
			if err != nil || p.Cursor == "" {
				break
			}
			q.Cursor, q.AsOf = p.Cursor, time.Time{}
		}
	}
}

func askChannels(t *testing.T, x *Index, within Products, asOf time.Time, say sayer) {
	for _, q := range []ChannelQuery{{}, {Product: productA}, {Repository: repoB}, {Name: "stable"}} {
		q.Within, q.AsOf = within, asOf
		p, err := x.Channels(t.Context(), q)
		say(fmt.Sprint("channels ", q.Within, q.Product, q.Repository, q.Name, q.Range), p, err)
	}
}

func askHosts(t *testing.T, x *Index, within Products, asOf time.Time, say sayer) {
	for _, q := range []HostQuery{{}, {Product: productB}, {Host: uuid(2)}} {
		q.Within, q.AsOf, q.Limit = within, asOf, 2
		for {
			p, err := x.Hosts(t.Context(), q)
			say(fmt.Sprint("hosts ", q.Within, q.Product, q.Host, q.Range), p, err)
			if err != nil || p.Cursor == "" {
				break
			}
			q.Cursor, q.AsOf = p.Cursor, time.Time{}
		}
	}
}

// TestRebuildGivesTheSameBytes: an index that grew in random steps and one that
// is built anew give the same bytes for every question, as of any time; and what
// was answered as of a time when it was now is answered ever after.
func TestRebuildGivesTheSameBytes(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := randomHistory(t, seed, 150)
			r := rand.New(rand.NewPCG(seed, 3))
			path := filepath.Join(t.TempDir(), "index.db")
			x, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			past := time.Time{}
			then := ""
			for s.limit < len(s.records) {
				s.limit = min(len(s.records), max(s.limit, 1)+2*r.IntN(15))
				catchUp(t, x, s)
				if then == "" && s.limit > 60 && s.limit%2 == 1 { // no later record has this time
					past = at(int64(s.limit))
					then = everything(t, x, s, []time.Time{past})
				}
			}
			times := []time.Time{{}, epoch.Add(-time.Hour), at(77), past}
			grown := everything(t, x, s, times)
			now := everything(t, x, s, []time.Time{past})
			if cut := strings.Index(then, "records from"); then == "" || !strings.HasPrefix(now, then[:cut]) {
				t.Errorf("as of %s the answers have changed: %s", past, cmp.Diff(strings.Split(then[:cut], "\n"), strings.Split(now, "\n")))
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := Rebuild(t.Context(), path, s); err != nil {
				t.Fatal(err)
			}
			if x, err = Open(path); err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			if diff := cmp.Diff(strings.Split(grown, "\n"), strings.Split(everything(t, x, s, times), "\n")); diff != "" {
				t.Errorf("rebuilt it answers otherwise: %s", diff)
			}
		})
	}
}

func answers(t *testing.T, path string, s *ledgerSource) string {
	t.Helper()
	x, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	return everything(t, x, s, []time.Time{{}})
}

// TestRebuildReplacesAnything: whatever is in the place of the index.
func TestRebuildReplacesAnything(t *testing.T) {
	s := randomHistory(t, 9, 60)
	other := randomHistory(t, 10, 90)
	fresh := filepath.Join(t.TempDir(), "index.db")
	if err := Rebuild(t.Context(), fresh, s); err != nil {
		t.Fatal(err)
	}
	want := answers(t, fresh, s)
	for name, prepare := range map[string]func(path string) error{
		"nothing":     func(string) error { return nil },
		"no database": func(path string) error { return os.WriteFile(path, []byte("rubbish, and not a little of it"), 0o600) },
		"a stale log": func(path string) error { return staleLog(t, path, other) },
		"a tampered index": func(path string) error {
			if err := Rebuild(t.Context(), path, s); err != nil {
				return err
			}
			x, err := Open(path)
			if err != nil {
				return err
			}
			_, err = x.write.Exec("UPDATE decision SET allow = 1 - allow; DELETE FROM statement")
			return errors.Join(err, x.Close())
		},
		"an interrupted rebuild": func(path string) error { return os.WriteFile(path+".rebuild", []byte("half"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index.db")
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			if err := Rebuild(t.Context(), path, s); err != nil {
				t.Fatal(err)
			}
			left, err := filepath.Glob(path + "*")
			if err != nil || len(left) != 1 {
				t.Errorf("files: %v, %v", left, err)
			}
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(answers(t, path, s), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// staleLog leaves what a killed process leaves: a file and a write-ahead log
// that belongs to it, both of another journal.
func staleLog(t *testing.T, path string, s *ledgerSource) error {
	x, err := Open(path + ".other")
	if err != nil {
		return err
	}
	catchUp(t, x, s)
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + ".other" + suffix)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(x.Close(), os.Remove(path+".other"))
}

// TestFailedRebuildLeavesTheOldIndex: it is renamed at the very end.
func TestFailedRebuildLeavesTheOldIndex(t *testing.T) {
	s := randomHistory(t, 4, 60)
	path := filepath.Join(t.TempDir(), "index.db")
	if err := Rebuild(t.Context(), path, s); err != nil {
		t.Fatal(err)
	}
	want := answers(t, path, s)
	broken := *s
	broken.statements = nil
	if err := Rebuild(t.Context(), path, &broken); err == nil {
		t.Error("rebuilt without statements")
	}
	if got := answers(t, path, s); got != want {
		t.Error("the old index has changed")
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
		t.Errorf("files: %v, %v", left, err)
	}
}

// TestCatchUpNoticesAnotherJournal: an index that is ahead, or that belongs to
// another history, says so.
func TestCatchUpNoticesAnotherJournal(t *testing.T) {
	s := randomHistory(t, 5, 40)
	x := openIndex(t)
	catchUp(t, x, s)
	catchUp(t, x, s) // nothing new is fine
	s.limit = 39
	if err := x.CatchUp(t.Context(), s); !errors.Is(err, ErrRebuild) {
		t.Errorf("ahead of the journal: %v", err)
	}
	if err := x.CatchUp(t.Context(), randomHistory(t, 6, 40)); !errors.Is(err, ErrRebuild) {
		t.Errorf("another journal: %v", err)
	}
}

// TestCatchUpAfterAnError goes on where it was.
func TestCatchUpAfterAnError(t *testing.T) {
	s := newSource(t)
	for i := range batchSize + 10 {
		s.add(ledger.KindUses, ledger.DecisionUses{Decision: "d", Uses: int64(i)})
	}
	_, st := s.statement(repoA, attest.TypeBase, attest.DigestOf(nil), 0)
	delete(s.statements, st.Bundle)
	x := openIndex(t)
	if err := x.CatchUp(t.Context(), s); err == nil || !strings.Contains(err.Error(), string(st.Bundle)) {
		t.Errorf("CatchUp without the statement: %v", err)
	}
	if n, err := x.Applied(t.Context()); n != batchSize || err != nil {
		t.Errorf("%d records are applied, %v", n, err)
	}
	s.statements[st.Bundle] = st
	catchUp(t, x, s)
	if n, err := x.Applied(t.Context()); n != int64(len(s.records)) || err != nil {
		t.Errorf("%d records are applied, %v", n, err)
	}
}

func TestOpenRefusesAnotherFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.write.Exec("UPDATE applied SET format = format + 1"); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrRebuild) {
		t.Errorf("Open: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestDatabaseSettings: what the driver does when not told differs by driver
// and version, so it is told, and asked.
func TestDatabaseSettings(t *testing.T) {
	x := openIndex(t)
	for query, want := range map[string]string{
		"PRAGMA synchronous":  "1", // NORMAL: the index can be rebuilt
		"PRAGMA journal_mode": "wal",
		"SELECT sqlite_version() >= '3.51.3' OR sqlite_version() >= '3.100'": "1", // older ones could corrupt a reset log
	} {
		var got string
		if err := x.read.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %s, %v; want %s", query, got, err, want)
		}
	}
	if _, err := x.read.Exec("DELETE FROM record"); err == nil {
		t.Error("a reader can write")
	}
}
