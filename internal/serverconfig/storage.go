package serverconfig

import (
	"errors"
	"fmt"
	"iter"
	"net/url"
)

// Kinds of [Storage].
const (
	Disk   = "disk"
	Bucket = "s3"
)

// Storage says where the bytes of blobs are. Everything else, and with it what
// is true about them, stays below [Config].Data. The zero Storage is the disk.
type Storage struct {
	Kind string `json:"kind"`        // "disk" or "s3"
	S3   S3     `json:"s3,omitzero"` // for kind s3 alone
}

// S3 is a bucket: see docs/object-storage.md. Nothing secret is in it.
type S3 struct {
	// Endpoint is "https://host" or "https://host:port"; plain http on loopback.
	Endpoint string `json:"endpoint"`
	Region   string `json:"region"`
	Bucket   string `json:"bucket"`
	// Prefix stands before every object's name. Left out, the bucket is the
	// server's alone.
	Prefix string `json:"prefix,omitzero"`
	// VirtualHost puts the bucket into the host name instead of the path.
	VirtualHost bool `json:"virtualHost,omitzero"`
	// The keys: two files of one line, readable by their owner alone. Both left
	// out, they are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the
	// environment, the one thing the server takes from there.
	AccessKeyFile string `json:"accessKeyFile,omitzero"`
	SecretKeyFile string `json:"secretKeyFile,omitzero"`
	// CAFile holds the only authorities the endpoint's certificate may be of;
	// left out, those of the system.
	CAFile string `json:"caFile,omitzero"`
}

// files returns the paths by their keys, of the section called at.
func (s *S3) files(at string) iter.Seq2[string, *string] {
	return func(yield func(string, *string) bool) {
		_ = yield(at+".accessKeyFile", &s.AccessKeyFile) &&
			yield(at+".secretKeyFile", &s.SecretKeyFile) &&
			yield(at+".caFile", &s.CAFile)
	}
}

func (s *Storage) check() error {
	switch {
	case s.Kind == "" && s.S3 == (S3{}), s.Kind == Disk && s.S3 == (S3{}):
		return nil
	case s.Kind == Bucket && s.S3 == (S3{}):
		return errors.New("storage.kind is s3, but storage.s3 does not say which bucket")
	case s.Kind == Bucket:
		return s.S3.check("storage.s3")
	case s.Kind == "" || s.Kind == Disk:
		return errors.New("storage.s3 names a bucket, but storage.kind is not s3: say kind: s3, or leave it out")
	}
	return fmt.Errorf("storage.kind %.80q is neither disk nor s3", s.Kind)
}

func (s *S3) check(at string) error {
	u, err := url.Parse(s.Endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("%s.endpoint: %w", at, err)
	case u.Host == "" || u.User != nil || s.Endpoint != u.Scheme+"://"+u.Host:
		return fmt.Errorf("%s.endpoint %q is not scheme://host or scheme://host:port alone", at, s.Endpoint)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return fmt.Errorf("%s.endpoint %q must be https:// (plain http is for loopback only)", at, s.Endpoint)
	case s.Region == "":
		return fmt.Errorf("%s.region is empty; servers without regions mostly want us-east-1", at)
	case s.Bucket == "":
		return fmt.Errorf("%s.bucket is empty", at)
	case (s.AccessKeyFile == "") != (s.SecretKeyFile == ""):
		return fmt.Errorf("%s names one of accessKeyFile and secretKeyFile: name both, or neither to take them from the environment", at)
	}
	return nil
}
