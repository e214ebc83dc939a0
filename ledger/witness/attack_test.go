package witness

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	checkpoints "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// sized is a checkpoint the log signs of as many entries, and with as long a
// root, as it likes.
func (f *fork) sized(size uint64, root []byte) []byte {
	f.t.Helper()
	c := checkpoints.Checkpoint{Origin: f.key.Name(), Size: size, Hash: root}
	b, err := note.Sign(&note.Note{Text: string(c.Marshal())}, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// A log that signs what is no checkpoint is told so; it is no trouble of the
// witness's, and nothing of it is remembered.
func TestAttackSizes(t *testing.T) {
	l := newFork(t, origin).grow(3, "a")
	w := reopen(t, newDisk(t), l)
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	if _, err := w.Add(l.since(0)); err != nil {
		t.Fatal(err)
	}
	before := w.Last(originHash(origin))
	root := make([]byte, 32)
	for name, tt := range map[string]struct {
		body string
		want int
	}{
		"2^63 entries":             {"old 3\n\n" + string(l.sized(1<<63, root)), http.StatusBadRequest},
		"2^64-1 entries":           {"old 3\n\n" + string(l.sized(math.MaxUint64, root)), http.StatusBadRequest},
		"2^63-1 entries, no proof": {"old 3\n\n" + string(l.sized(math.MaxInt64, root)), http.StatusUnprocessableEntity},
		"a short root":             {"old 3\n\n" + string(l.sized(4, root[:31])), http.StatusBadRequest},
		"a long root":              {"old 3\n\n" + string(l.sized(4, make([]byte, 64))), http.StatusBadRequest},
		"from 2^63":                {"old 9223372036854775808\n\n" + string(l.checkpoint()), http.StatusBadRequest},
		"from 2^63-1":              {"old 9223372036854775807\n\n" + string(l.checkpoint()), http.StatusBadRequest},
		"from -1":                  {"old -1\n\n" + string(l.checkpoint()), http.StatusBadRequest},
		"64 lines of proof":        {"old 3\n" + strings.Repeat("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 64) + "\n" + string(l.sized(4, root)), http.StatusBadRequest},
		"more than is read":        {"old 3\n\n" + string(l.checkpoint()) + strings.Repeat("— a AAAAAA\n", 6000), http.StatusRequestEntityTooLarge},
		"101 signatures":           {"old 3\n\n" + string(l.checkpoint()) + strings.Repeat("— a AAAAAA==\n", 101), http.StatusForbidden},
	} {
		resp, err := http.Post(server.URL+"/add-checkpoint", "text/plain", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, answer, tt.want)
		}
	}
	if !bytes.Equal(before, w.Last(originHash(origin))) {
		t.Error("what was cosigned last has changed")
	}
}

// Two logs of one witness do not get in each other's way, whatever one of them
// sends in the name of the other.
func TestAttackInTheNameOfAnother(t *testing.T) {
	one, two := newFork(t, origin).grow(3, "a"), newFork(t, origin+".other").grow(8, "b")
	w := reopen(t, newDisk(t), one, two)
	for _, l := range []*fork{one, two} {
		if _, err := w.Add(l.since(0)); err != nil {
			t.Fatal(err)
		}
	}
	c := checkpoints.Checkpoint{Origin: origin, Size: two.tree.Size(), Hash: two.tree.Hash()}
	forged, err := note.Sign(&note.Note{Text: string(c.Marshal())}, two.key)
	if err != nil {
		t.Fatal(err)
	}
	if lines, err := w.Add(&Request{Old: 3, Checkpoint: forged}); err == nil {
		t.Errorf("cosigned: %s", lines)
	}
	for _, l := range []*fork{one, two} {
		if got := w.Last(originHash(l.key.Name())); !bytes.HasPrefix(got, fmt.Appendf(nil, "%s\n%d\n", l.key.Name(), l.tree.Size())) {
			t.Errorf("%s: %s", l.key.Name(), got)
		}
	}
}
