package serverconfig

import (
	"errors"
	"fmt"
	"iter"
)

// BucketAndDatabase is a kind of [Log], besides [Disk].
const BucketAndDatabase = "s3+mysql"

// Log says where the log is kept (docs/log-backends.md). The zero Log is the
// disk. Nothing secret is in it.
type Log struct {
	Kind string `json:"kind"`        // "disk" or "s3+mysql"
	S3   S3     `json:"s3,omitzero"` // for kind s3+mysql alone
	// DatabaseFile holds the address of the database, which has a password in
	// it: one line, readable by its owner alone.
	DatabaseFile string `json:"databaseFile,omitzero"`
}

func (l *Log) check() error {
	switch {
	case l.Kind == "" || l.Kind == Disk:
		if l.S3 != (S3{}) || l.DatabaseFile != "" {
			return errors.New("log names a bucket or a database, but log.kind is not s3+mysql: say kind: s3+mysql, or leave them out")
		}
		return nil
	case l.Kind != BucketAndDatabase:
		return fmt.Errorf("log.kind %.80q is neither disk nor s3+mysql", l.Kind)
	case l.S3 == (S3{}):
		return errors.New("log.kind is s3+mysql, but log.s3 does not say which bucket")
	case l.DatabaseFile == "":
		return errors.New("log.kind is s3+mysql, but log.databaseFile does not say which database")
	}
	return l.S3.check("log.s3")
}

// files returns the paths of a bucket's, and a database's, secrets by their keys.
func (c *Config) files() iter.Seq2[string, *string] {
	return func(yield func(string, *string) bool) {
		for key, value := range c.Storage.S3.files("storage.s3") {
			if !yield(key, value) {
				return
			}
		}
		for key, value := range c.Log.S3.files("log.s3") {
			if !yield(key, value) {
				return
			}
		}
		yield("log.databaseFile", &c.Log.DatabaseFile)
	}
}
