package s3mysql

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestBelow: every request Tessera makes is below the prefix, once.
func TestBelow(t *testing.T) {
	const want = "p/log/tile/0/000"
	for _, k := range []string{"tile/0/000", want} {
		key := aws.String(k)
		var got []*string
		got = append(got, moved(&s3.GetObjectInput{Key: key}, "p/log/").(*s3.GetObjectInput).Key)
		got = append(got, moved(&s3.PutObjectInput{Key: key}, "p/log/").(*s3.PutObjectInput).Key)
		got = append(got, moved(&s3.DeleteObjectInput{Key: key}, "p/log/").(*s3.DeleteObjectInput).Key)
		got = append(got, moved(&s3.ListObjectsV2Input{Prefix: key}, "p/log/").(*s3.ListObjectsV2Input).Prefix)
		got = append(got, moved(&s3.DeleteObjectsInput{Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: key}}}}, "p/log/").(*s3.DeleteObjectsInput).Delete.Objects[0].Key)
		for i, g := range got {
			if *g != want {
				t.Errorf("request %d of %s asks for %s", i, k, *g)
			}
		}
		if *key != k {
			t.Error("the caller's own key was changed")
		}
	}
}

func TestNew(t *testing.T) {
	options := func(*s3.Options) {}
	for dsn, ok := range map[string]bool{
		"u:p@tcp(127.0.0.1:3306)/log": true,
		"u:p@tcp(127.0.0.1:3306)/":    false,
		"nothing":                     false,
		"":                            false,
	} {
		s, err := New(Config{S3: options, Bucket: "b", DSN: dsn + "\n"})
		if (err == nil) != ok {
			t.Errorf("%q: %v, %v", dsn, s, err)
		}
	}
	if _, err := New(Config{S3: options, DSN: "u:p@tcp(h:1)/l"}); err == nil {
		t.Error("no bucket was taken")
	}
}
