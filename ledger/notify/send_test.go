package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// TestSignature verifies a delivery as a receiver would, from nothing but what
// docs/spec/notifications.md says.
func TestSignature(t *testing.T) {
	var got http.Header
	var body []byte
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	old := []byte("the secret that is on its way out")
	e := Endpoint{Name: "a", URL: srv.URL, Secrets: [][]byte{secret, old}, Timeout: DefaultTimeout, Roots: x509.NewCertPool()}
	e.Roots.AddCert(srv.Certificate())
	if err := newSender(e, nil).send(t.Context(), "7-tag-00", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if ct := got.Get("Content-Type"); ct != "application/cloudevents+json; charset=utf-8" {
		t.Errorf("content type %q", ct)
	}
	at, err := strconv.ParseInt(got.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		t.Errorf("timestamp %q", got.Get("webhook-timestamp"))
	}
	signatures := strings.Fields(got.Get("webhook-signature"))
	if len(signatures) != 2 {
		t.Fatalf("signatures %q", signatures)
	}
	for i, key := range e.Secrets {
		m := hmac.New(sha256.New, key)
		io.WriteString(m, got.Get("webhook-id")+"."+got.Get("webhook-timestamp")+"."+string(body))
		if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); signatures[i] != want {
			t.Errorf("signature %q, want %q", signatures[i], want)
		}
	}
}

// TestRedirectIsNotFollowed: an endpoint cannot send events, or the server,
// anywhere else.
func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed") }))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	e := Endpoint{Name: "a", URL: srv.URL, Secrets: [][]byte{secret}, Timeout: DefaultTimeout}
	err := newSender(e, nil).send(t.Context(), "1-tag-00", []byte("{}"))
	if no := (*refusal)(nil); !errors.As(err, &no) || no.status != http.StatusTemporaryRedirect || no.final() {
		t.Errorf("got %v, want a refusal that may pass", err)
	}
}

func TestAddressesNoEndpointHas(t *testing.T) {
	for address, want := range map[string][2]bool{ // with TLS, without
		"93.184.216.34:443":         {true, false},
		"10.1.2.3:443":              {true, false},
		"127.0.0.1:80":              {true, true},
		"[::1]:80":                  {true, true},
		"169.254.169.254:80":        {false, false},
		"[::ffff:169.254.169.254]:": {false, false},
		"[fe80::1]:443":             {false, false},
		"224.0.0.1:443":             {false, false},
		"0.0.0.0:443":               {false, false},
	} {
		for i, plain := range []bool{false, true} {
			if err := permitted(plain)("tcp", address, nil); (err == nil) != want[i] {
				t.Errorf("%s, plain %t: %v", address, plain, err)
			}
		}
	}
}

// TestErrorsDoNotTellTheURL: for some endpoints the URL is the secret.
func TestErrorsDoNotTellTheURL(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	e := Endpoint{Name: "a", URL: srv.URL + "/CANARY?t=CANARY", Secrets: [][]byte{secret}, Timeout: DefaultTimeout}
	err := newSender(e, nil).send(t.Context(), "1-tag-00", []byte("{}"))
	if err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("got %v", err)
	}
}

// TestSlowAnswerIsGivenUp: an endpoint that takes the request and says nothing.
func TestSlowAnswerIsGivenUp(t *testing.T) {
	over := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-over }))
	defer srv.Close()
	defer close(over)
	e := Endpoint{Name: "a", URL: srv.URL, Secrets: [][]byte{secret}, Timeout: 50 * time.Millisecond}
	if err := newSender(e, nil).send(t.Context(), "1-tag-00", []byte("{}")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
}

// A receiver keeps what it takes, fails at random, and sometimes takes an event
// and says that it did not.
type receiver struct {
	mu  sync.Mutex
	rnd *rand.Rand
	got []string
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	switch n := rc.rnd.IntN(10); {
	case n < 1:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case n < 2:
		panic(http.ErrAbortHandler)
	case n < 3:
		w.WriteHeader(http.StatusInternalServerError) // and kept all the same
	}
	rc.got = append(rc.got, r.Header.Get("Webhook-Id"))
}

// TestNothingIsLost sends over real connections and a real disk to a receiver
// that fails at random, with stops in between: every event arrives, and none
// before one that came earlier.
func TestNothingIsLost(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		rc := &receiver{rnd: rand.New(rand.NewPCG(seed, 0))}
		srv := httptest.NewServer(rc)
		b := new(book)
		c := config(b, Endpoint{Name: "a", URL: srv.URL, Secrets: [][]byte{secret}})
		c.Dir = t.TempDir()
		for round := range 8 {
			n, err := open(disk.OS{}, c, &Options{FirstWait: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			before := len(rc.ids())
			b.tags(t, 5)
			if round < 7 {
				until(t, func() bool { return len(rc.ids()) >= before+round%3 })
			} else {
				until(t, func() bool { return len(once(rc.ids())) == 8*5 })
			}
			n.Close() // breaks off what is under way
		}
		srv.Close()
		if diff := cmp.Diff(wanted(t, b, 1), once(rc.ids())); diff != "" {
			t.Errorf("seed %d: %s", seed, diff)
		}
		if len(rc.ids()) == 8*5 {
			t.Errorf("seed %d: nothing came twice, so nothing was tried", seed)
		}
	}
}

func (rc *receiver) ids() []string {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]string(nil), rc.got...)
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that")
		}
		time.Sleep(time.Millisecond)
	}
}
