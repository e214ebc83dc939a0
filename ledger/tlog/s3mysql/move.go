package s3mysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-sql-driver/mysql"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tlog"
)

// Integrated implements [tlog.Target].
func (s *Storage) Integrated(ctx context.Context) (n uint64, err error) {
	err = s.ask(ctx, func(db *sql.DB) error {
		return db.QueryRowContext(ctx, "SELECT seq FROM IntCoord WHERE id = 0").Scan(&n)
	})
	return n, err
}

// Adopt implements [tlog.Target]. Tessera's migration leaves the count of places
// given away as it was, so that the first new entry would be given a place that
// is taken: it is set here, and never back.
func (s *Storage) Adopt(ctx context.Context, cp *ledger.Checkpoint) error {
	err := s.ask(ctx, func(db *sql.DB) error {
		var waiting int
		if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM Seq").Scan(&waiting); err != nil {
			return err
		}
		if waiting > 0 {
			return errors.New("entries of another log wait there")
		}
		_, err := db.ExecContext(ctx, "UPDATE SeqCoord SET next = GREATEST(next, ?) WHERE id = 0", cp.Size)
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.config.Bucket, Key: s.key(layout.CheckpointPath), Body: bytes.NewReader(cp.Raw),
		ContentType: aws.String("text/plain; charset=utf-8"), CacheControl: aws.String("no-cache"),
	})
	if err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	return nil
}

// ask opens the database for one question.
func (s *Storage) ask(ctx context.Context, question func(*sql.DB) error) error {
	connector, err := mysql.NewConnector(s.db)
	if err != nil {
		return fmt.Errorf("address of the database: %w", err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if err := question(db); err != nil {
		return fmt.Errorf("asking the log's database: %w", err)
	}
	return nil
}

var _ tlog.Target = (*Storage)(nil)
