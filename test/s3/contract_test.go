package s3

import (
	"flag"
	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/testsuites"

	"github.com/patchfit/patchfit/registry/content/s3"
)

// most are the suite's tests but for one, the upload of 5 GiB: TestLarge is ours.
const most = "^Test([^W]|WriteRead[^L]|WriteZero)"

// TestContract runs the suite distribution holds its own drivers to, with the
// sizes it has for a hurry.
func TestContract(t *testing.T) {
	set(t, "testify.m", most)
	set(t, "test.short", "true")
	bucket := newBucket(t)
	testsuites.Driver(t, func() (storagedriver.StorageDriver, error) {
		return s3.New(t.Context(), s3.Config{Endpoint: server, Region: region, Bucket: bucket}, nil)
	}, false)
	if left := append(keys(t, bucket), openUploads(t, bucket)...); len(left) > 0 {
		t.Errorf("the suite left %s", strings.Join(left, ", "))
	}
}

// set sets a flag of the test binary until t ends.
func set(t *testing.T, name, value string) {
	t.Helper()
	before := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, before) })
}
