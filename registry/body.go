package registry

import (
	"io"
	"net/http"
	"time"
)

// BodyStall is how long a body may make no progress before its connection is
// given up.
const BodyStall = 30 * time.Second

// A patient body is read for as long as bytes keep coming.
type patient struct {
	io.ReadCloser
	until func(time.Time) error // sets the deadline of reading; zero: none
}

func newPatient(w http.ResponseWriter, body io.ReadCloser) *patient {
	return &patient{body, http.NewResponseController(w).SetReadDeadline}
}

// Read waits BodyStall at most. Where a deadline cannot be set there is none.
func (p *patient) Read(b []byte) (int, error) {
	_ = p.until(time.Now().Add(BodyStall))
	n, err := p.ReadCloser.Read(b)
	if err != nil {
		_ = p.until(time.Time{})
	}
	return n, err
}
