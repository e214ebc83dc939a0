package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

const trustCrashRounds = 20

// TestEvidenceTrustCrash kills the server while an owner pushes the next state
// of the TUF repository. After each kill the server has the state before or the
// one after, whole, and a host gets through to it; a push that was acknowledged
// is there.
func TestEvidenceTrustCrash(t *testing.T) {
	w := newCrashWorld(t)
	w.start()
	w.prelude("tuf")
	w.kill()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	at, acknowledged := 1, 0
	for range rounds(trustCrashRounds) {
		w.must(nil, "patchfit", "trust", "tuf", "targets", "tuf")
		w.must(nil, "patchfit", "trust", "tuf", "sign", "tuf", "--key", "release-1.pem", "--key", "release-2.pem")
		next := at + 1
		w.start()
		pushed := make(chan bool, 1)
		go func() {
			_, _, ok := w.try(context.Background(), nil, "patchfit", "trust", "tuf", "push", "tuf", "--server", w.url, "--token-file", "pf/admin-token")
			pushed <- ok
		}()
		time.Sleep(time.Duration(20+random.IntN(250)) * time.Millisecond)
		w.kill()
		ok := <-pushed
		w.start()
		got := w.targetsOf("a")
		switch {
		case ok && got != next:
			t.Fatalf("targets version %d was acknowledged, and the host sees %d", next, got)
		case got != at && got != next:
			t.Fatalf("the host sees targets version %d, want %d or %d", got, at, next)
		}
		if ok {
			acknowledged++
		}
		w.must(nil, "patchfitd", "doctor", w.url)
		if got != next { // brought to its end, as an owner does who got no answer
			w.must(nil, "patchfit", "trust", "tuf", "push", "tuf", "--server", w.url, "--token-file", "pf/admin-token")
		}
		at = next
		w.kill()
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, "pf/data/tuf/*.new")); err != nil || len(left) > 1 {
		t.Errorf("%v, %v", left, err)
	}
	w.start()
	if got := w.targetsOf("b"); got != at {
		t.Errorf("a host that was away sees targets version %d, want %d", got, at)
	}
	t.Logf("%d of %d pushes were acknowledged before the server died", acknowledged, rounds(trustCrashRounds))
}

var targetsVersion = regexp.MustCompile(`trust repository +root 1, targets (\d+)`)

// targetsOf has a host record, which brings its trust up to date, and returns
// the version of targets it came to.
func (w *crashWorld) targetsOf(host string) (version int) {
	w.t.Helper()
	w.must(w.host(host), "patchfit-agent", "record")
	out := w.must(w.host(host), "patchfit-agent", "status")
	m := targetsVersion.FindStringSubmatch(out)
	if m == nil {
		w.t.Fatalf("host %s knows no trust repository: %s", host, out)
	}
	fmt.Sscan(m[1], &version)
	return version
}
