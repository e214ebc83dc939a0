package s3mysql

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
)

// below has a client's objects below a prefix. Tessera v1.0.4 has prefixes too,
// but puts them twice when it looks whether an object that is there already is
// the one it writes: after a write that was interrupted, nothing would be
// integrated any more. So Tessera is told of no prefix.
func below(prefix string) func(*s3.Options) {
	return func(o *s3.Options) {
		if prefix == "" {
			return
		}
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("patchfit/below", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				in.Parameters = moved(in.Parameters, prefix+"/")
				return next.HandleInitialize(ctx, in)
			}), middleware.Before)
		})
	}
}

// moved returns a copy of a request with its keys below prefix. Keys that came
// from a list are below it already.
func moved(request any, prefix string) any {
	key := func(k *string) *string {
		if k == nil || strings.HasPrefix(*k, prefix) {
			return k
		}
		full := prefix + *k
		return &full
	}
	switch r := request.(type) {
	case *s3.GetObjectInput:
		c := *r
		c.Key = key(r.Key)
		return &c
	case *s3.PutObjectInput:
		c := *r
		c.Key = key(r.Key)
		return &c
	case *s3.DeleteObjectInput:
		c := *r
		c.Key = key(r.Key)
		return &c
	case *s3.ListObjectsV2Input:
		c := *r
		c.Prefix = key(r.Prefix)
		return &c
	case *s3.DeleteObjectsInput:
		c := *r
		if r.Delete != nil {
			d := *r.Delete
			d.Objects = append([]types.ObjectIdentifier(nil), d.Objects...)
			for i := range d.Objects {
				d.Objects[i].Key = key(d.Objects[i].Key)
			}
			c.Delete = &d
		}
		return &c
	}
	return request
}
