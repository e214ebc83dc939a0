// Package s3mysql keeps the files of a log in an S3 bucket, and what has to be
// done one after the other in a MySQL database: Tessera's driver for Amazon,
// on servers that need not be Amazon's. Entries get their places in the
// database, durably, and are integrated into the tree within a second or two.
//
// The log reads everything back and signs only what it computed itself
// (ledger/tlog), so that neither bucket nor database is trusted with more than
// keeping bytes. One server at a time writes: it holds a lock of the database
// for as long as it runs.
package s3mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/go-sql-driver/mysql"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	tesseraaws "github.com/transparency-dev/tessera/storage/aws"

	"github.com/patchfit/patchfit/ledger/tlog"
)

// Timeouts of the database, unless its name says others.
const (
	dialTimeout = 5 * time.Second
	ioTimeout   = 10 * time.Second
	watchEvery  = 5 * time.Second

	// lockPatience is how long the server before may take to be gone.
	lockPatience = 5 * time.Second
)

// maxConns is how many connections to the database Tessera may have open.
const maxConns = 16

// A Config says which bucket and which database. Each is for one log.
type Config struct {
	S3     func(*s3.Options) // address, keys, retries and deadlines of the bucket
	Bucket string
	Prefix string // of every object, without a slash at the end; may be empty
	DSN    string // of the database: user:password@tcp(host:port)/name, in the form of go-sql-driver
}

// A Storage is a place for a log.
type Storage struct {
	config Config
	api    *s3.Client
	db     *mysql.Config
}

// New returns the storage c names. It asks neither bucket nor database yet.
func New(c Config) (*Storage, error) {
	db, err := mysql.ParseDSN(strings.TrimSpace(c.DSN))
	if err != nil {
		return nil, errors.New("address of the database is not user:password@tcp(host:port)/name") // the error may show the password
	}
	if db.DBName == "" {
		return nil, errors.New("address of the database names none: it ends in /name")
	}
	for _, t := range []struct {
		timeout   *time.Duration
		otherwise time.Duration
	}{{&db.Timeout, dialTimeout}, {&db.ReadTimeout, ioTimeout}, {&db.WriteTimeout, ioTimeout}} {
		if *t.timeout == 0 {
			*t.timeout = t.otherwise
		}
	}
	if c.S3 == nil || c.Bucket == "" {
		return nil, errors.New("no bucket is named")
	}
	return &Storage{config: c, api: s3.New(s3.Options{}, c.S3), db: db}, nil
}

// Begin takes the lock of the database and returns Tessera's driver.
func (s *Storage) Begin(ctx context.Context, u tlog.Use) (tessera.Driver, error) {
	if err := s.reach(ctx); err != nil {
		return nil, err
	}
	if err := s.lock(ctx, u.Lost, u.Logger); err != nil {
		return nil, err
	}
	return s.driver(ctx, u.Client)
}

func (s *Storage) driver(ctx context.Context, asks *http.Client) (tessera.Driver, error) {
	return tesseraaws.New(ctx, tesseraaws.Config{
		SDKConfig: &aws.Config{}, S3Options: func(o *s3.Options) { s.config.S3(o); below(s.config.Prefix)(o) },
		Bucket: s.config.Bucket,
		DSN:    s.db.FormatDSN(), MaxOpenConns: maxConns, MaxIdleConns: maxConns, HTTPClient: asks,
	})
}

func (s *Storage) reach(ctx context.Context) error {
	if _, err := s.api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.config.Bucket}); err != nil {
		return fmt.Errorf("asking for the log's bucket %s: %w", s.config.Bucket, err)
	}
	return nil
}

// ErrTaken: another server writes to the log.
var ErrTaken = errors.New("another server has this log open")

// lock takes the lock that says who writes, and keeps it until ctx ends. A
// database that went away forgets its locks: then it is taken again, and if
// somebody else has it, lost is told.
func (s *Storage) lock(ctx context.Context, lost func(error), logger *slog.Logger) error {
	connector, err := mysql.NewConnector(s.db)
	if err != nil {
		return fmt.Errorf("address of the database: %w", err)
	}
	pool := sql.OpenDB(connector)
	conn, err := s.take(ctx, pool, lockPatience)
	if err != nil {
		return errors.Join(err, pool.Close())
	}
	go func() {
		defer pool.Close()
		for {
			select {
			case <-ctx.Done():
				_ = conn.Close() // and the lock with it
				return
			case <-time.After(watchEvery):
			}
			if held(ctx, conn, s.name()) {
				continue
			}
			next, err := s.take(ctx, pool, 0)
			switch {
			case errors.Is(err, ErrTaken):
				lost(err)
			case err != nil:
				logger.Warn("the log's database does not answer; nothing is logged until it does", "error", err)
			default:
				_ = conn.Close()
				conn = next
			}
		}
	}()
	return nil
}

// name is that of the lock, at most 64 bytes.
func (s *Storage) name() string { return "patchfit log " + fmt.Sprintf("%.48s", s.db.DBName) }

func (s *Storage) take(ctx context.Context, pool *sql.DB, patience time.Duration) (*sql.Conn, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("reaching the log's database: %w", err)
	}
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", s.name(), int(patience.Seconds())).Scan(&got); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the log's database: %w", err), conn.Close())
	}
	if got.Int64 != 1 {
		return nil, errors.Join(ErrTaken, conn.Close())
	}
	return conn, nil
}

func held(ctx context.Context, conn *sql.Conn, name string) bool {
	var mine sql.NullBool
	err := conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?) = CONNECTION_ID()", name).Scan(&mine)
	return err == nil && mine.Bool
}

// Interval implements [tlog.Storage]: it is the driver's.
func (s *Storage) Interval() time.Duration { return time.Second }

func (s *Storage) key(path string) *string {
	if s.config.Prefix != "" {
		path = s.config.Prefix + "/" + path
	}
	return &path
}

// Read implements [tlog.Storage].
func (s *Storage) Read(ctx context.Context, path string) ([]byte, error) {
	r, err := s.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.config.Bucket, Key: s.key(path)})
	if missing := new(types.NoSuchKey); errors.As(err, &missing) {
		return nil, fmt.Errorf("log has no object %s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s of the log: %w", path, err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the log: %w", path, err)
	}
	return b, nil
}

// Published implements [tlog.Storage].
func (s *Storage) Published(ctx context.Context) (time.Time, error) {
	r, err := s.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: s.key(layout.CheckpointPath)})
	if err != nil {
		return time.Time{}, err
	}
	return aws.ToTime(r.LastModified), nil
}

// ReadCheckpoint implements [tlog.Storage].
func (s *Storage) ReadCheckpoint(ctx context.Context) ([]byte, error) {
	return s.Read(ctx, layout.CheckpointPath)
}

// ReadTile implements [tlog.Storage].
func (s *Storage) ReadTile(ctx context.Context, level, index uint64, width uint8) ([]byte, error) {
	return s.either(ctx, width, func(w uint8) string { return layout.TilePath(level, index, w) })
}

// ReadEntryBundle implements [tlog.Storage].
func (s *Storage) ReadEntryBundle(ctx context.Context, index uint64, width uint8) ([]byte, error) {
	return s.either(ctx, width, func(w uint8) string { return layout.EntriesPath(index, w) })
}

// either reads a partial file, or the full one that took its place.
func (s *Storage) either(ctx context.Context, width uint8, path func(width uint8) string) ([]byte, error) {
	b, err := s.Read(ctx, path(width))
	if width > 0 && errors.Is(err, fs.ErrNotExist) {
		return s.Read(ctx, path(0))
	}
	return b, err
}

var _ tlog.Storage = (*Storage)(nil)
