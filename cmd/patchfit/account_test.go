package main

import (
	"crypto"
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/audit"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/monitor"
)

// Body and Segments are what patchfitd gives its auditors.
func (s *testServer) Body(d attest.Digest) ([]byte, error) { return s.store.Get(d) }

func (s *testServer) Segments(_ string, from, to uint64) (list []account.Segment, err error) {
	for _, seal := range s.journal.Seals() {
		if uint64(seal.Index) < from || uint64(seal.Index) >= to {
			continue
		}
		b, err := s.store.Get(seal.Envelope)
		if err != nil {
			return nil, err
		}
		list = append(list, account.Segment{SchemaVersion: 1, Index: seal.Index, Body: b})
	}
	return list, nil
}

// logs logs a statement that nobody admits, as cosign attest-blob does.
func (s *testServer) logs(t *testing.T, keyFile string) {
	t.Helper()
	key := must(shell.LoadKey(keyFile))(t)
	b := must(attest.NewStatement("https://example.com/note/v1", []attest.Subject{{Name: "blob", Digest: attest.DigestOf([]byte("blob"))}}, map[string]any{"note": "hello"}))(t)
	e := must(attest.SignEnvelope(attest.PayloadType, b, must(signature.LoadSigner(key, crypto.SHA256))(t)))(t)
	c := must(client.New(s.url, nil))(t)
	must(c.Log(t.Context(), e, must(attest.NewPublicKey(key.Public()))(t)))(t)
}

// A vandal edits the index's database and puts it back.
type vandal struct {
	t  *testing.T
	db *sql.DB
}

func (v *vandal) do(query string) {
	v.t.Helper()
	r, err := v.db.Exec(query)
	if err != nil {
		v.t.Fatalf("%s: %v", query, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 && !strings.HasPrefix(query, "CREATE") {
		v.t.Fatalf("%s: %d rows, %v", query, n, err)
	}
}

func (v *vandal) restore() {
	for _, table := range []string{"statement", "record"} {
		if _, err := v.db.Exec("DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM kept_" + table); err != nil {
			v.t.Fatal(err)
		}
	}
}

// Whoever can write to the index's database can hide a row, change it, or add
// one: the log tells which.
func TestIndexIsComparedWithTheLog(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	publishAll(t)
	s.logs(t, "signer.pem")
	if err := s.journal.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.as(t, "auditor")
	good := answer[audit.LogAnswer](t, "audit", "verify", "--index").Index
	signer := must(shell.ReadPublic(t.Context(), "signer.pem"))(t).ID()
	if good.Wrong != 0 || good.Statements < 6 || good.Unsealed != 0 || good.Segments == 0 || good.Journal != s.journalPublic.ID() {
		t.Errorf("%+v", good)
	}
	if len(good.Strangers) != 1 || good.Strangers[0].Key != signer || good.Strangers[0].Leaves != 1 {
		t.Errorf("never admitted: %+v", good.Strangers)
	}
	if text := ok(t, "audit", "verify", "--index"); !strings.Contains(text, "logged, never admitted: 1 entries by key "+string(signer)) {
		t.Error(text)
	}
	v := &vandal{t, must(sql.Open("sqlite", filepath.Join(s.dir, "index.db")))(t)}
	t.Cleanup(func() { closing(t, v.db.Close) })
	for _, table := range []string{"statement", "record"} {
		v.do("CREATE TABLE kept_" + table + " AS SELECT * FROM " + table)
	}
	const one = " WHERE sequence = (SELECT max(sequence) FROM kept_statement)"
	for _, tt := range []struct {
		name, edit string
		kind       account.Kind
		words      string
	}{
		{"a row deleted", "DELETE FROM statement" + one, account.RowMissing, "no row says so"},
		{"its record too", "DELETE FROM statement" + one + "; DELETE FROM record" + one, account.RecordChanged, "are not those of segment"},
		{"another signer", "UPDATE statement SET signer = zeroblob(32)" + one, account.RowChanged, "signer is sha256:0000"},
		{"another subject", "UPDATE statement SET subject = zeroblob(32)" + one, account.RowChanged, "subject is sha256:0000"},
		{"another type", "UPDATE statement SET type = 'https://example.com/note/v1'" + one, account.RowChanged, "type is https://example.com/note/v1, want"},
		{"another file", "UPDATE statement SET file = NULL" + one, account.RowChanged, "file is"},
		{"another payload", "UPDATE statement SET payload = zeroblob(32)" + one, account.RowChanged, "payload is"},
		{"another bundle", "UPDATE statement SET bundle = zeroblob(32)" + one, account.RowChanged, "bundle"},
		{"another's bundle", "UPDATE statement SET bundle = (SELECT bundle FROM kept_statement ORDER BY sequence LIMIT 1)" + one, account.RowChanged, "the leaf is another's"},
		{"another referrer", "UPDATE statement SET referrer = NULL" + one, account.RowChanged, "referrer is"},
		{"another builder", "UPDATE statement SET builder = 'https://evil.example'" + one, account.RowChanged, "builder is https://evil.example"},
		{"another product", "UPDATE statement SET product = '00000000-0000-4000-8000-000000000000'" + one, account.RowChanged, "product is"},
		{"another repository", "UPDATE statement SET repository = 'lib/other'" + one, account.RowChanged, "repository is lib/other"},
		{"another publisher", "UPDATE statement SET by = 'nobody'" + one, account.RowChanged, "by is nobody"},
		{"another time", "UPDATE statement SET signed = signed - 1000000" + one, account.RowChanged, "signed is"},
		{"another leaf", "UPDATE statement SET log_index = log_index - 1" + one, account.RowChanged, "leaf is"},
		{"a leaf far away", "UPDATE statement SET log_index = 1000000" + one, account.RowChanged, "leaf is 1000000"},
		{"a leaf before all", "UPDATE statement SET log_index = -7" + one, account.RowChanged, "leaf is -7"},
		{"a row added", "INSERT INTO statement SELECT 1, repository, product, type, subject, file, payload, bundle, referrer, signer, builder, signed, log_index, by FROM kept_statement" + one, account.RowAdded, "there is no record 1 that admitted"},
		{"a row of no record", "INSERT INTO statement SELECT 99999, repository, product, type, subject, file, payload, bundle, referrer, signer, builder, signed, log_index, by FROM kept_statement" + one, account.RowAdded, "there is no record 99999 that"},
		{"rows swapped", "UPDATE statement SET sequence = -1" + one, account.RowMissing, "no row says so"},
		{"a record changed", `UPDATE record SET canonical = replace(CAST(canonical AS TEXT), 'sha256', 'sha255')` + one, account.RecordChanged, "are not those of segment"},
	} {
		v.do(tt.edit)
		var got audit.LogAnswer
		o := cli(t, "--format", "json", "audit", "verify", "--index")
		if o.code != exit.Unproven {
			t.Errorf("%s: exit code %d\n%s%s", tt.name, o.code, o.stdout, o.stderr)
		} else if got = read[audit.LogAnswer](t, o.stdout); !slices.ContainsFunc(got.Index.Findings, func(f account.Finding) bool {
			return f.Kind == tt.kind && strings.Contains(f.Text, tt.words)
		}) {
			t.Errorf("%s: found %+v", tt.name, got.Index.Findings)
		}
		v.restore()
	}
	monitored := []string{"monitor", "--state", "seen", "--once", "--index", "1h", "--known", s.journalKey(t)}
	if o := cli(t, monitored...); o.code != 0 || o.stdout != "" {
		t.Errorf("the monitor: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	v.do("DELETE FROM statement" + one)
	if o := cli(t, monitored...); o.code != exit.Unproven || len(told(t, o)) != 1 || told(t, o)[0].Alert != monitor.Index {
		t.Errorf("the monitor, of a row deleted: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	v.restore()
	again := answer[audit.LogAnswer](t, "audit", "verify", "--index").Index
	if again.Wrong != 0 || again.Statements != good.Statements {
		t.Errorf("when all is as it was: %+v", again)
	}
}
