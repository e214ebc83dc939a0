package s3

import (
	"errors"
	"fmt"

	"github.com/aws/smithy-go"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// An object's absence, in S3's words. A bucket's absence is something else:
// whoever took it for missing blobs would take an outage for an empty store.
const (
	noSuchKey    = "NoSuchKey"
	notFound     = "NotFound" // the answer to HEAD, which has no body to say what
	noSuchUpload = "NoSuchUpload"
	invalidRange = "InvalidRange"
	changed      = "PreconditionFailed"
)

func is(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}

// failed says what was tried at path, in the driver's own types where callers
// look for them.
func failed(doing, path string, err error) error {
	if is(err, noSuchKey, notFound) {
		return missing(path)
	}
	return fmt.Errorf("%s: %s %s: %w", name, doing, path, err)
}

func missing(path string) error {
	return storagedriver.PathNotFoundError{Path: path, DriverName: name}
}

// hint returns what to do about an error at the start, for people.
func hint(err error) string {
	switch {
	case is(err, "NoSuchBucket"):
		return " (create the bucket first)"
	case is(err, "InvalidAccessKeyId", "SignatureDoesNotMatch"):
		return " (check the access key and the secret key)"
	case is(err, "AccessDenied", "Forbidden"):
		return " (the key needs the rights listed in docs/object-storage.md)"
	case is(err, "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
		return " (check the region and the endpoint)"
	}
	return ""
}
