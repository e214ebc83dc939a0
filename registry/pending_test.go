package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/state"
)

// patch adds bytes to an upload, or begins one with them.
func (q *quiet) patch(who state.Principal, location string, b []byte) *httptest.ResponseRecorder {
	q.t.Helper()
	if location == "" {
		w := q.ask(who, httptest.NewRequest(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil))
		location = w.Header().Get("Location")
	}
	return q.ask(who, httptest.NewRequest(http.MethodPatch, location, bytes.NewReader(b)))
}

// TestPendingBytes: what one principal's open uploads hold has an end, however
// few they are: the one that was idle longest makes room, as where they are too
// many. Others lose nothing, and what became a blob is not counted any more.
func TestPendingBytes(t *testing.T) {
	q := newQuiet(t, registry.Limits{OwnPending: 250})
	me, other := q.who[0], q.who[1]
	hundred := bytes.Repeat([]byte("x"), 100)
	theirs := q.patch(other, "", hundred).Header().Get("Location")
	first := q.patch(me, "", hundred).Header().Get("Location")
	second := q.patch(me, "", hundred).Header().Get("Location")
	w := q.patch(me, second, hundred)
	if w.Code != http.StatusAccepted {
		t.Fatalf("300 bytes, of which 100 are idle: %d %s", w.Code, w.Body)
	}
	second = w.Header().Get("Location")
	if w := q.patch(me, first, hundred); w.Code != http.StatusNotFound {
		t.Errorf("the idle one: %d %s", w.Code, w.Body)
	}
	if w := q.patch(me, second, hundred); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "250 bytes") {
		t.Errorf("300 bytes of one upload: %d %s", w.Code, w.Body)
	}
	if w := q.patch(other, theirs, hundred); w.Code != http.StatusAccepted {
		t.Errorf("another principal: %d %s", w.Code, w.Body)
	}
	if n := q.held(); n != 1 {
		t.Errorf("%d uploads hold room, want that of the other principal", n)
	}
	for i := range 5 { // 500 bytes, one blob after the other
		b := bytes.Repeat([]byte{byte('a' + i)}, 100)
		r := httptest.NewRequest(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+sum(b), bytes.NewReader(b))
		r.Header.Set("Content-Type", octets)
		if w := q.ask(me, r); w.Code != http.StatusCreated {
			t.Fatalf("blob %d: %d %s", i, w.Code, w.Body)
		}
	}
	long := httptest.NewRequest(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+sum(hundred), io.LimitReader(endless{}, 1<<20))
	long.Header.Set("Content-Type", octets)
	if w := q.ask(me, long); w.Code != http.StatusTooManyRequests {
		t.Errorf("1 MiB in one request: %d %s", w.Code, w.Body)
	}
	if n := q.held(); n != 1 {
		t.Errorf("in the end %d uploads hold room", n)
	}
}

// TestPendingBytesOfAll: what all open uploads hold has an end, too, however many
// principals there are: 507, and whoever comes last loses nothing but their own.
func TestPendingBytesOfAll(t *testing.T) {
	q := newQuiet(t, registry.Limits{OwnPending: 250, Pending: 300})
	me, other := q.who[0], q.who[1]
	hundred := bytes.Repeat([]byte("x"), 100)
	theirs := q.patch(other, "", hundred).Header().Get("Location")
	theirs = q.patch(other, theirs, hundred).Header().Get("Location")
	idle := q.patch(me, "", hundred).Header().Get("Location")
	w := q.patch(me, "", hundred) // 400 bytes, of which 100 are mine and idle
	if w.Code != http.StatusAccepted {
		t.Fatalf("an idle one of one's own makes room: %d %s", w.Code, w.Body)
	}
	mine := w.Header().Get("Location")
	if w := q.patch(me, idle, hundred); w.Code != http.StatusNotFound {
		t.Errorf("the idle one: %d %s", w.Code, w.Body)
	}
	w = q.patch(me, mine, hundred)
	if w.Code != http.StatusInsufficientStorage || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "300 bytes") {
		t.Errorf("400 bytes of two principals: %d %s", w.Code, w.Body)
	}
	if w := q.patch(me, mine, hundred); w.Code != http.StatusNotFound {
		t.Errorf("what was refused still holds room: %d %s", w.Code, w.Body)
	}
	if w := q.patch(other, theirs, []byte("y")); w.Code != http.StatusAccepted {
		t.Errorf("another's upload is lost: %d %s", w.Code, w.Body)
	}
	if w := q.patch(me, "", hundred[:90]); w.Code != http.StatusAccepted {
		t.Errorf("the room is not given back: %d %s", w.Code, w.Body)
	}
	if n := q.held(); n != 2 {
		t.Errorf("%d uploads hold room, want one of each", n)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
