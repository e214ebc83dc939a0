// Package index answers the auditor's questions from a SQLite file that is a
// projection of the journal: who built this, which host was told what, and what
// was known as of a time. docs/spec/index.md.
//
// The index decides nothing and is the truth about nothing. Whoever can write
// to its file can make it lie to an auditor until the next [Rebuild], and can
// change no decision. Every row names the journal record it comes from and the
// digests of the evidence, so that an answer can be checked without it.
//
// Answers depend on the journal and the question alone. As of a time means: from
// the records with a journal time up to and including it. So a rebuilt index
// gives the same bytes for every question.
package index

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed schema.sql
var schema string

// format is the version of schema.sql and of what is projected into it. An
// index of another one is refused and has to be rebuilt.
const format = 3

// What the index reports with errors.Is.
var (
	// ErrNotFound: the journal, as of then, knows no such thing.
	ErrNotFound = errors.New("not in the ledger")
	// ErrQuestion: the question cannot be answered; its message says why.
	ErrQuestion = errors.New("not a question the index answers")
	// ErrRebuild: the file is not a projection of this journal by this version.
	ErrRebuild = errors.New("the index has to be rebuilt (patchfitd reindex)")
)

// A Statement is one admitted statement, as its verification found it.
type Statement struct {
	Bundle    attest.Digest // address of the stored bundle
	Payload   attest.Digest // of the statement's bytes, its identity
	Subject   attest.Digest // what it is about
	File      attest.Digest // the subject's one file; zero for none
	Signer    attest.Digest // of the key's SPKI DER
	Type      string        // predicate type
	Product   string        // product id the predicate names; "" where its type names none
	BuilderID string        // of provenance; "" for others
	Time      time.Time     // of the signed timestamp
	LogIndex  int64         // of its leaf

	Channel *attest.Channel // of channel/v1: what it says; nil for others
	// Environment is what a base/v1 or livepatch/v1 names; Rebuild and
	// Adjudication are predicates of those types; nil for others.
	Environment  attest.Digest
	Rebuild      *attest.Rebuild
	Adjudication *attest.Adjudication
}

// A Source is where the index comes from.
type Source interface {
	// Records returns the journal's records from a sequence on, in order.
	Records(from int64) iter.Seq2[ledger.Record, error]
	// Blob returns bytes of the ledger store.
	Blob(d attest.Digest) ([]byte, error)
	// Statement returns the statement in a bundle the journal admitted.
	Statement(bundle attest.Digest) (Statement, error)
}

// An Index is open in one process only. Its methods may be called at the same
// time.
type Index struct {
	read  *sql.DB // as many connections as there is parallelism: more are slower
	write *sql.DB // one
	mu    sync.Mutex
}

// Open opens the index in the file path and makes it where there is none.
// ErrRebuild: the file is of another version.
func Open(path string) (*Index, error) {
	x, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the index %s: %w", path, err)
	}
	return x, nil
}

func open(path string) (*Index, error) {
	// SQLite gives its other files the mode of this one.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	x := &Index{}
	if x.write, err = connect(path, 1, "_txlock=immediate"); err != nil {
		return nil, err
	}
	if x.read, err = connect(path, runtime.GOMAXPROCS(0), "_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(err, x.write.Close())
	}
	if err := x.prepare(); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// connect opens a pool of n connections. synchronous=NORMAL: a power cut may
// take the newest rows, which CatchUp projects again.
func connect(path string, n int, extra string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dsn := (&url.URL{Scheme: "file", Path: abs}).String() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-16000)&" + extra
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// prepare makes the tables of a new file and checks those of an old one.
func (x *Index) prepare() error {
	var tables int
	if err := x.write.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		return x.create()
	}
	var have int64
	err := x.write.QueryRow("SELECT format FROM applied").Scan(&have)
	if err != nil || have != format {
		return fmt.Errorf("%w: format %d, not %d", ErrRebuild, have, format)
	}
	if _, err = x.write.Exec("CREATE INDEX IF NOT EXISTS statement_leaf ON statement (log_index, sequence)"); err != nil {
		return err
	}
	_, err = x.write.Exec(lintTable)
	return err
}

func (x *Index) create() error {
	tx, err := x.write.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.Exec(schema); err != nil {
		return err
	}
	if _, err := tx.Exec(lintTable); err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO applied (one, format, sequence) VALUES (1, ?, 0)", format); err != nil {
		return err
	}
	return tx.Commit()
}

// Applied returns the sequence of the newest record the index holds; 0: none.
func (x *Index) Applied(ctx context.Context) (int64, error) {
	var n int64
	err := x.read.QueryRowContext(ctx, "SELECT sequence FROM applied").Scan(&n)
	return n, err
}

// Close closes the file.
func (x *Index) Close() error { return errors.Join(x.read.Close(), x.write.Close()) }
