package api

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// What a client waits for by itself when a server says that it asks too often.
// Longer waits, as after many failures, are for whoever asked to know of.
const (
	longestWait = 10 * time.Second
	mostWaits   = 6
)

// patient sends a request again after the time a 429 asks for: such a request
// was not looked at, so that nothing is done twice.
type patient struct{ base http.RoundTripper }

func (p patient) RoundTrip(req *http.Request) (*http.Response, error) {
	for waits := 0; ; waits++ {
		resp, err := p.base.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests || waits == mostWaits {
			return resp, err
		}
		wait := retryAfter(resp)
		again := repeated(req)
		if wait <= 0 || wait > longestWait || again == nil {
			return resp, nil
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxTokenAnswer)) // so that the connection can be used again
		resp.Body.Close()
		select {
		case <-time.After(wait):
		case <-req.Context().Done():
			closeBody(again)
			return nil, req.Context().Err()
		}
		req = again
	}
}

// repeated returns req with its body from the start; nil where that is gone.
func repeated(req *http.Request) *http.Request {
	out := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return out
	}
	if req.GetBody == nil {
		return nil
	}
	var err error
	if out.Body, err = req.GetBody(); err != nil {
		return nil
	}
	return out
}

// retryAfter returns the seconds an answer asks to wait; 0: none.
func retryAfter(resp *http.Response) time.Duration {
	s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(s) * time.Second
}
