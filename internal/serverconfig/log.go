package serverconfig

import (
	"errors"
	"fmt"
	"iter"
	"net/url"
)

// Kinds of [Log], besides [Disk].
const (
	BucketAndDatabase = "s3+mysql"
	ExternalRekor     = "rekor"
)

// Log says where the log is kept (docs/log-backends.md). The zero Log is the
// disk. Nothing secret is in it.
type Log struct {
	Kind string `json:"kind"`        // "disk", "s3+mysql" or "rekor"
	S3   S3     `json:"s3,omitzero"` // for kind s3+mysql alone
	// DatabaseFile holds the address of the database, which has a password in
	// it: one line, readable by its owner alone.
	DatabaseFile string `json:"databaseFile,omitzero"`
	Rekor        Rekor  `json:"rekor,omitzero"` // for kind rekor alone
}

// Rekor is another server's Rekor v2, whose log this server's is.
type Rekor struct {
	// URL is where entries are sent: "https://host" or "https://host:port"; plain
	// http on loopback.
	URL string `json:"url"`
	// Tiles is where checkpoint and tiles are read, in the same form; left out, at
	// URL.
	Tiles string `json:"tiles,omitzero"`
	// KeyFile holds the public key the log signs its checkpoints with, as PEM. It is
	// pinned: another key is another log.
	KeyFile string `json:"keyFile"`
}

func (r *Rekor) check(at string) error {
	for key, address := range map[string]string{"url": r.URL, "tiles": r.Tiles} {
		if key == "tiles" && address == "" {
			continue
		}
		u, err := url.Parse(address)
		switch {
		case err != nil:
			return fmt.Errorf("%s.%s: %w", at, key, err)
		case u.Host == "" || u.User != nil || address != u.Scheme+"://"+u.Host:
			return fmt.Errorf("%s.%s %q is not scheme://host or scheme://host:port alone", at, key, address)
		case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
			return fmt.Errorf("%s.%s %q must be https:// (plain http is for loopback only)", at, key, address)
		}
	}
	if r.KeyFile == "" {
		return fmt.Errorf("%s.keyFile is empty: the log's public key is pinned", at)
	}
	return nil
}

func (l *Log) check() error {
	bucket, external := l.S3 != (S3{}) || l.DatabaseFile != "", l.Rekor != (Rekor{})
	switch {
	case l.Kind != BucketAndDatabase && bucket:
		return errors.New("log names a bucket or a database, but log.kind is not s3+mysql: say kind: s3+mysql, or leave them out")
	case l.Kind != ExternalRekor && external:
		return errors.New("log.rekor names a Rekor, but log.kind is not rekor: say kind: rekor, or leave it out")
	case l.Kind == "" || l.Kind == Disk:
		return nil
	case l.Kind == ExternalRekor && !external:
		return errors.New("log.kind is rekor, but log.rekor does not say which")
	case l.Kind == ExternalRekor:
		return l.Rekor.check("log.rekor")
	case l.Kind != BucketAndDatabase:
		return fmt.Errorf("log.kind %.80q is neither disk nor s3+mysql nor rekor", l.Kind)
	case l.S3 == (S3{}):
		return errors.New("log.kind is s3+mysql, but log.s3 does not say which bucket")
	case l.DatabaseFile == "":
		return errors.New("log.kind is s3+mysql, but log.databaseFile does not say which database")
	}
	return l.S3.check("log.s3")
}

// checkAsked refuses witnesses for a log that somebody else signs.
func (c *Config) checkAsked() error {
	if c.Log.Kind == ExternalRekor && c.Witnesses != "" {
		return errors.New("witnesses are asked by who signs the log, and log.kind is rekor: leave witnesses out, and have whoever runs that Rekor ask them")
	}
	return nil
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
		_ = yield("log.databaseFile", &c.Log.DatabaseFile) && yield("log.rekor.keyFile", &c.Log.Rekor.KeyFile)
	}
}
