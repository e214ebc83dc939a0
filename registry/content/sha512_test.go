package content

import (
	"context"
	"crypto/sha512"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// rereads counts how often the bytes of an upload are read again.
type rereads struct {
	Backend
	n int
}

type rereadDraft struct {
	Draft
	of *rereads
}

func (b *rereads) Begin(ctx context.Context) (Draft, error) {
	d, err := b.Backend.Begin(ctx)
	return rereadDraft{d, b}, err
}

func (d rereadDraft) Content(ctx context.Context) (io.ReadCloser, error) {
	d.of.n++
	return d.Draft.Content(ctx)
}

// TestSHA512Once: nobody who does not ask for it pays for it, and who asks again
// and again has it made once for the same bytes.
func TestSHA512Once(t *testing.T) {
	_, k := newDisk(t)
	counted := &rereads{Backend: k}
	u, err := New(counted, nil).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range []string{"a", "bc"} {
		if _, err := u.ReadFrom(strings.NewReader(part)); err != nil {
			t.Fatal(err)
		}
		if counted.n != i {
			t.Errorf("read again %d times before anybody asked for %q", counted.n, part)
		}
		for range 3 {
			want := fmt.Sprintf("sha512:%x", sha512.Sum512([]byte("abc")[:u.Size()]))
			if got, err := u.SHA512(t.Context()); got != want || err != nil {
				t.Errorf("%s, %v, want %s", got, err, want)
			}
		}
		if counted.n != i+1 {
			t.Errorf("read again %d times, want %d", counted.n, i+1)
		}
	}
	if err := u.Commit(t.Context(), attest.DigestOf([]byte("abc"))); err != nil || counted.n != 2 {
		t.Errorf("%v, read again %d times", err, counted.n)
	}
}
