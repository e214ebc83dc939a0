package s3

import (
	"errors"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-cmp/cmp"
)

// TestWalkOrder visits keys in S3's order, where "-" and "." come before "/".
func TestWalkOrder(t *testing.T) {
	keys := []string{"/a-b/x", "/a.b", "/a/b-c/1", "/a/b/1", "/a/b/2/3", "/a/c", "/b"}
	stop := errors.New("stop")
	for name, tc := range map[string]struct {
		from, at string // where the walk's function returns err
		err      error
		want     []string
		end      error
	}{
		"all":       {"/", "", nil, []string{"/a-b", "/a-b/x", "/a.b", "/a", "/a/b-c", "/a/b-c/1", "/a/b", "/a/b/1", "/a/b/2", "/a/b/2/3", "/a/c", "/b"}, nil},
		"skip":      {"/", "/a/b", storagedriver.ErrSkipDir, []string{"/a-b", "/a-b/x", "/a.b", "/a", "/a/b-c", "/a/b-c/1", "/a/b", "/a/c", "/b"}, nil},
		"skip deep": {"/", "/a", storagedriver.ErrSkipDir, []string{"/a-b", "/a-b/x", "/a.b", "/a", "/b"}, nil},
		"skip file": {"/", "/a.b", storagedriver.ErrSkipDir, []string{"/a-b", "/a-b/x", "/a.b", "/a", "/a/b-c", "/a/b-c/1", "/a/b", "/a/b/1", "/a/b/2", "/a/b/2/3", "/a/c", "/b"}, nil},
		"enough":    {"/", "/a/b", storagedriver.ErrFilledBuffer, []string{"/a-b", "/a-b/x", "/a.b", "/a", "/a/b-c", "/a/b-c/1", "/a/b"}, nil},
		"error":     {"/", "/a.b", stop, []string{"/a-b", "/a-b/x", "/a.b"}, stop},
		"from":      {"/a", "", nil, []string{"/a/b-c", "/a/b-c/1", "/a/b", "/a/b/1", "/a/b/2", "/a/b/2/3", "/a/c"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			w := walk{at: tc.from, f: func(f storagedriver.FileInfo) error {
				got = append(got, f.Path())
				if f.Path() == tc.at {
					return tc.err
				}
				return nil
			}}
			var end error
			for _, key := range keys {
				if !within(key, tc.from) {
					continue
				}
				more, err := w.visit(info(key, 1, nil, ""))
				if end = err; err != nil || !more {
					break
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || !errors.Is(end, tc.end) {
				t.Errorf("%v %s", end, diff)
			}
		})
	}
}
