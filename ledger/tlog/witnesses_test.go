package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger/quorum"
	"github.com/patchfit/patchfit/ledger/witness"
)

// late makes the honest witnesses answer after the one that lies.
const late = 50 * time.Millisecond

// A liar is a witness with a key of its own that answers as it likes.
type liar struct {
	signer note.Signer
	vkey   string
	answer func(l *liar, rw http.ResponseWriter, checkpoint []byte)
}

func (l *liar) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, checkpoint, _ := bytes.Cut(body, []byte("\n\n"))
	l.answer(l, rw, checkpoint)
}

// lines returns its signature line over a text.
func (l *liar) lines(text string) string {
	b, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		return err.Error()
	}
	return string(b[len(text)+1:])
}

func textOf(checkpoint []byte) string {
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	return text + "\n"
}

// withLiar lets the log have a third witness that lies; two are enough.
func (c *court) withLiar(h *house, answer func(*liar, http.ResponseWriter, []byte)) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	signer, err := witness.NewSigner("liar.example", key)
	if err != nil {
		c.t.Fatal(err)
	}
	server := httptest.NewServer(&liar{signer, witness.VKey("liar.example", key), answer})
	c.t.Cleanup(server.Close)
	var lines []string
	for line := range strings.Lines(c.text) {
		switch {
		case strings.HasPrefix(line, "witness w2 "):
			lines = append(lines, fmt.Sprintf("witness liar %s %s\n", witness.VKey("liar.example", key), server.URL))
		case strings.HasPrefix(line, "group "):
			lines = append(lines, "group two 2 w0 w1 liar\n")
		default:
			lines = append(lines, line)
		}
	}
	c.text = strings.Join(lines, "")
	if c.policy, err = quorum.Parse([]byte(c.text)); err != nil {
		c.t.Fatal(err)
	}
	h.opts.Witnesses = []byte(c.text)
}

// One witness of three lies, each way it can: the entry is answered all the
// same, by the others, and hosts take its checkpoint. A line that does not
// verify would have made them refuse it, whoever else cosigned.
func TestAttackLyingWitness(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(elsewhere.Close) // after the tests below, which go on when this one returns
	for name, tt := range map[string]struct {
		answer func(l *liar, rw http.ResponseWriter, checkpoint []byte)
		want   string
	}{
		"a cosignature of more text than was sent": {func(l *liar, rw http.ResponseWriter, cp []byte) {
			fmt.Fprintf(rw, "\nmore\n\n%s", l.lines(string(cp)+"\nmore\n"))
		}, Wrong},
		"a cosignature of another checkpoint": {func(l *liar, rw http.ResponseWriter, cp []byte) {
			fmt.Fprint(rw, l.lines("log.patchfit.localhost\n9\nAAAA\n"))
		}, Wrong},
		"a line between others": {func(l *liar, rw http.ResponseWriter, cp []byte) {
			fmt.Fprint(rw, "hello\n"+l.lines(textOf(cp)))
		}, Wrong},
		"a line without an end": {func(l *liar, rw http.ResponseWriter, cp []byte) {
			fmt.Fprint(rw, strings.TrimSuffix(l.lines(textOf(cp)), "\n"))
		}, Wrong},
		"lines without number": {func(l *liar, rw http.ResponseWriter, cp []byte) {
			fmt.Fprint(rw, strings.Repeat(l.lines(textOf(cp)), 120))
		}, Wrong},
		"a body without an end": {func(_ *liar, rw http.ResponseWriter, _ []byte) {
			for b := bytes.Repeat([]byte("— a b\n"), 1000); ; {
				if _, err := rw.Write(b); err != nil {
					return
				}
			}
		}, Wrong},
		"sizes without an end": {func(_ *liar, rw http.ResponseWriter, _ []byte) {
			rw.Header().Set("Content-Type", "text/x.tlog.size")
			rw.WriteHeader(http.StatusConflict)
			fmt.Fprintln(rw, "0")
		}, Behind},
		"a size of 2^63": {func(_ *liar, rw http.ResponseWriter, _ []byte) {
			rw.Header().Set("Content-Type", "text/x.tlog.size")
			rw.WriteHeader(http.StatusConflict)
			fmt.Fprintln(rw, uint64(1)<<63)
		}, Behind},
		"a redirect": {func(_ *liar, rw http.ResponseWriter, _ []byte) {
			rw.Header().Set("Location", elsewhere.URL)
			rw.WriteHeader(http.StatusTemporaryRedirect)
		}, Refused},
		"nothing": {func(*liar, http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) }, Silent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			c := newCourt(t, h)
			c.late.Store(true)
			c.withLiar(h, tt.answer)
			l := h.open()
			e, _, err := l.Add(t.Context(), leaf(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.seen(e); err != nil {
				t.Errorf("a host refuses the checkpoint: %v", err)
			}
			if got := e.GetInclusionProof().GetCheckpoint().GetEnvelope(); strings.Contains(got, "liar.example") {
				t.Errorf("the liar signs beside the others: %s", got)
			}
			report := heard(l, "liar", tt.want)
			i := slices.IndexFunc(report, func(w Witness) bool { return w.Name == "liar" })
			if i < 0 || report[i].Requests[tt.want] == 0 || !report[i].Cosigned.IsZero() {
				t.Errorf("the liar is counted as %+v, want %s", report, tt.want)
			}
		})
	}
	t.Cleanup(func() {
		if hits.Load() > 0 {
			t.Error("a redirect was followed")
		}
	})
}

// forEver is how long a test waits for what has to come, on a machine that has much
// else to do.
const forEver = time.Minute

// heard returns how witnesses answered when one has, so: it may be heard out
// after the others were enough.
func heard(l *Log, name, outcome string) []Witness {
	for deadline := time.Now().Add(forEver); ; time.Sleep(time.Millisecond) {
		report := l.Witnesses()
		if time.Now().After(deadline) || slices.ContainsFunc(report, func(w Witness) bool { return w.Name == name && w.Requests[outcome] > 0 }) {
			return report
		}
	}
}

// A witness that is slower than a quorum is heard out; one that hangs holds
// nobody up.
func TestSlowWitnesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := newCourt(t, h)
	release := make(chan struct{})
	c.withLiar(h, func(l *liar, rw http.ResponseWriter, cp []byte) {
		<-release
		fmt.Fprint(rw, l.lines(textOf(cp)))
	})
	l := h.open()
	if _, _, err := l.Add(t.Context(), leaf(t)); err != nil {
		t.Fatal(err)
	}
	if slow := l.Witnesses()[2]; !slow.Cosigned.IsZero() {
		t.Errorf("%+v", slow)
	}
	close(release)
	for deadline := time.Now().Add(forEver); l.Witnesses()[2].Cosigned.IsZero(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the slow one was not heard out: %+v", l.Witnesses())
		}
	}
}

func TestNobodyCosigns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := newCourt(t, h)
	l := h.open()
	if _, _, err := l.Add(t.Context(), leaf(t)); err != nil {
		t.Fatal(err)
	}
	if at := l.Unpublished(); !at.IsZero() {
		t.Errorf("waits since %v, and all is published", at)
	}
	began := time.Now()
	for i := range c.away {
		c.away[i].Store(true)
	}
	if _, err := impatient(t, l); err == nil {
		t.Fatal("an entry was answered for that no witness saw")
	}
	for deadline := time.Now().Add(forEver); l.Unpublished().IsZero(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody cosigns, and nothing waits")
		}
	}
	if at := l.Unpublished(); at.Before(began) {
		t.Errorf("nobody cosigns since %v, and it waits since %v", began, at)
	}
	// The one that was not needed may cosign the first entry still, after the
	// others are away; when all are silent, nobody does any more.
	silent := func() (all []Witness) {
		for _, name := range []string{"w0", "w1", "w2"} {
			all = heard(l, name, Silent)
		}
		return all
	}
	before := silent()
	if _, err := impatient(t, l); err == nil {
		t.Fatal("another entry was answered for")
	}
	for i, w := range l.Witnesses() {
		if w.Requests[Silent] == 0 || w.Requests[Cosigned] != before[i].Requests[Cosigned] {
			t.Errorf("%+v, before %+v", w, before[i])
		}
	}
}

func TestWitnessesOfOneURL(t *testing.T) {
	h := newHouse(t)
	c := newCourt(t, h)
	words := strings.Fields(c.text)
	one := words[slices.Index(words, "w0")+2]
	two := words[slices.Index(words, "w1")+2]
	h.opts.Witnesses = []byte(strings.Replace(c.text, two, one, 1))
	if l, err := Open(t.Context(), h.dir, origin, h.key, &h.opts); !errors.Is(err, errSameURL) {
		t.Errorf("got %v, %v", l, err)
	}
}
