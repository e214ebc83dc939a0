package registry

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestPatientBody: each read gets its time, and the connection has no deadline
// once the body is over.
func TestPatientBody(t *testing.T) {
	var deadlines []time.Time
	p := &patient{io.NopCloser(strings.NewReader("body")), func(at time.Time) error {
		deadlines = append(deadlines, at)
		return nil
	}}
	before := time.Now()
	if b, err := io.ReadAll(p); err != nil || string(b) != "body" {
		t.Fatalf("%q, %v", b, err)
	}
	if n := len(deadlines); n < 3 || !deadlines[n-1].IsZero() {
		t.Fatalf("deadlines %v", deadlines)
	}
	if got := deadlines[0].Sub(before); got < BodyStall || got > BodyStall+time.Minute {
		t.Errorf("the first read may take %v", got)
	}
}
