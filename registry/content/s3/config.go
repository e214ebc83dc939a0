package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/patchfit/patchfit/internal/keyfile"
)

// A Config says which bucket, and who we are there.
type Config struct {
	// Endpoint is the server's address, as "https://s3.eu-central-1.amazonaws.com";
	// no path. Plain http is for loopback only.
	Endpoint string
	// Region is what requests are signed for. Servers without regions mostly
	// want "us-east-1".
	Region string
	// Bucket must exist. Nothing else should write to it below Prefix.
	Bucket string
	// Prefix stands before the name of every object, as "patchfit/prod". Empty:
	// the bucket is ours alone.
	Prefix string
	// VirtualHost puts the bucket into the host name, which some servers want,
	// instead of the path, which most understand.
	VirtualHost bool
	// AccessKeyFile and SecretKeyFile hold one line each and must not be
	// readable by others. Both or neither: without them the keys are those of
	// the environment, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for
	// temporary ones, AWS_SESSION_TOKEN. They are read once.
	AccessKeyFile, SecretKeyFile string
	// CAFile holds the PEM certificates of the only authorities the server's
	// own may come from. Empty: those of the system.
	CAFile string
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,62}$`)
)

// Check reports the first thing in c that no driver could work with.
func (c Config) Check() error {
	if err := checkEndpoint(c.Endpoint); err != nil {
		return err
	}
	switch {
	case !regionName.MatchString(c.Region):
		return fmt.Errorf("region %.80q is not a region's name", c.Region)
	case !bucketName.MatchString(c.Bucket):
		return fmt.Errorf("bucket %.80q is not a bucket's name, 3 to 63 small letters, digits, dashes and dots", c.Bucket)
	case c.Prefix != "" && (!goodPath("/"+c.Prefix) || len(c.Prefix) > 256):
		return fmt.Errorf("prefix %.80q is not names of letters, digits, ., _ and - joined by slashes, without a slash at either end", c.Prefix)
	case (c.AccessKeyFile == "") != (c.SecretKeyFile == ""):
		return errors.New("of the files with access key and secret key only one is named: name both, or neither to take them from the environment")
	}
	return nil
}

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("endpoint: %w", err)
	case u.Host == "" || u.User != nil || endpoint != u.Scheme+"://"+u.Host:
		return fmt.Errorf("endpoint %q is not scheme://host or scheme://host:port alone", endpoint)
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("endpoint %q must be https:// (plain http is for loopback only)", endpoint)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c Config) credentials() (aws.CredentialsProvider, error) {
	if c.AccessKeyFile == "" {
		id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
		if id == "" || secret == "" {
			return nil, errors.New("no keys for the bucket: name files that hold them, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		}
		return credentials.NewStaticCredentialsProvider(id, secret, os.Getenv("AWS_SESSION_TOKEN")), nil
	}
	id, err := keyfile.LoadLine(c.AccessKeyFile)
	if err != nil {
		return nil, err
	}
	secret, err := keyfile.LoadLine(c.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	return credentials.NewStaticCredentialsProvider(id, secret, ""), nil
}

func (c Config) httpClient(patience time.Duration) (*http.Client, error) {
	tc := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the bucket's authorities: %w", err)
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities file %s holds no PEM certificate", c.CAFile)
		}
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       tc,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // bytes as they are stored
		ExpectContinueTimeout: time.Second,
	}
	return &http.Client{
		Transport: &patient{next: t, patience: patience},
		// A server that sends us elsewhere would get our signature there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
