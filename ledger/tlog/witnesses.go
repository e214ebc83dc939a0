package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// maxCosignature is the most bytes a witness may answer with: the lines of a
// cosignature, of which the longest (ML-DSA-44) has less than 4 KiB.
const maxCosignature = 16 << 10

// How a witness answered a request.
const (
	Cosigned = "cosigned"
	Behind   = "behind"  // it cosigned another size last; it is asked again with the proof from there
	Refused  = "refused" // with another status
	Wrong    = "wrong"   // 200, and no cosignature of that checkpoint
	Silent   = "silent"  // no answer, or half of one, in time
)

// Outcomes returns every way a request to a witness can end.
func Outcomes() []string { return []string{Cosigned, Behind, Refused, Wrong, Silent} }

// A Witness is how one witness answered since the log was opened.
type Witness = backend.Witness

// Witnesses returns how each witness answered, in the order of the policy.
func (l *Log) Witnesses() []Witness {
	if l.witnesses == nil {
		return nil
	}
	return l.witnesses.report()
}

// witnesses stand between Tessera and those it asks. Tessera reads an answer
// to its end, and puts a signature line of it into the checkpoint without
// looking at what text the line is about; here an answer is short, and is a
// cosignature of the very checkpoint, or it is none. No redirect is followed.
type witnesses struct {
	life   context.Context // of the log
	send   http.RoundTripper
	logger *slog.Logger
	order  []string // URLs

	mu  sync.Mutex
	all map[string]*asked // by URL
}

type asked struct {
	Witness
	key note.Verifier
}

var errSameURL = errors.New("tlog-policy: two witnesses have one URL")

func newWitnesses(life context.Context, p *quorum.Policy, logger *slog.Logger) (*witnesses, error) {
	w := &witnesses{life: life, send: http.DefaultTransport, logger: logger, all: make(map[string]*asked)}
	for _, q := range p.Witnesses {
		u, err := url.Parse(q.URL)
		if err != nil || q.URL == "" {
			return nil, fmt.Errorf("tlog-policy: witness %s has no URL to ask", q.Name)
		}
		at := u.JoinPath("/add-checkpoint").String()
		if w.all[at] != nil { // Tessera would ask one of them
			return nil, fmt.Errorf("%w: %s and %s", errSameURL, w.all[at].Name, q.Name)
		}
		w.all[at] = &asked{Witness{Name: q.Name, Requests: make(map[string]int64)}, q.Verifier()}
		w.order = append(w.order, at)
	}
	return w, nil
}

// client returns what Tessera asks with.
func (w *witnesses) client() *http.Client {
	return &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// RoundTrip implements [http.RoundTripper]. Tessera stops waiting when enough
// have cosigned; the slower ones are heard out all the same, so that they know
// the checkpoint, and that a slow one is told from a silent one.
func (w *witnesses) RoundTrip(req *http.Request) (*http.Response, error) {
	type result struct {
		resp *http.Response
		err  error
	}
	done := make(chan result, 1)
	go func() {
		ctx, cancel := context.WithTimeout(w.life, witnessTimeout)
		defer cancel()
		resp, err := w.ask(req.Clone(ctx))
		done <- result{resp, err}
	}()
	select {
	case r := <-done:
		return r.resp, r.err
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

// ask sends a request and returns the whole answer, if it is one.
func (w *witnesses) ask(req *http.Request) (*http.Response, error) {
	a := w.all[req.URL.String()]
	if a == nil {
		return nil, fmt.Errorf("%s is no witness", req.URL.Redacted())
	}
	resp, body, err := w.fetch(req)
	if err != nil {
		w.count(a, Silent, err)
		return nil, err
	}
	outcome := Refused
	switch {
	case len(body) > maxCosignature:
		outcome, err = Wrong, fmt.Errorf("witness %s answers with more than %d bytes", a.Name, maxCosignature)
	case resp.StatusCode == http.StatusOK:
		if outcome, err = Cosigned, cosigned(req, body, a.key); err != nil {
			outcome, err = Wrong, fmt.Errorf("witness %s: %w", a.Name, err)
		}
	case resp.StatusCode == http.StatusConflict && resp.Header.Get("Content-Type") == "text/x.tlog.size":
		outcome = Behind
	}
	w.count(a, outcome, err)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// fetch reads an answer, and one byte more than there may be.
func (w *witnesses) fetch(req *http.Request) (*http.Response, []byte, error) {
	resp, err := w.send.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxCosignature+1))
	return resp, body, err
}

// cosigned asks that lines are signature lines, one of them by key over the
// checkpoint that was sent. An empty line among them would make another text
// of it.
func cosigned(req *http.Request, lines []byte, key note.Verifier) error {
	sent, err := req.GetBody()
	if err != nil {
		return err
	}
	request, err := io.ReadAll(sent)
	if err != nil {
		return err
	}
	_, checkpoint, _ := bytes.Cut(request, []byte("\n\n"))
	for line := range bytes.Lines(lines) {
		if !bytes.HasPrefix(line, []byte("— ")) || !bytes.HasSuffix(line, []byte("\n")) {
			return errors.New("its answer is not made of signature lines")
		}
	}
	if _, err := note.Open(slices.Concat(checkpoint, lines), note.VerifierList(key)); err != nil {
		return fmt.Errorf("its answer is no cosignature of the checkpoint: %w", err)
	}
	return nil
}

func (w *witnesses) count(a *asked, outcome string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.Requests[outcome]++
	if outcome == Cosigned {
		a.Witness.Cosigned = time.Now()
	}
	if outcome == Wrong {
		w.logger.Error("a witness answers what it must not", "witness", a.Name, "error", err)
	}
}

func (w *witnesses) report() (all []Witness) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.order {
		r := w.all[at].Witness
		requests := make(map[string]int64)
		for _, o := range Outcomes() {
			requests[o] = r.Requests[o]
		}
		r.Requests = requests
		all = append(all, r)
	}
	return all
}
