package tlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
)

// maxRequest is the longest request to add an entry, in bytes; real ones have
// less than 1000.
const maxRequest = 64 << 10

// addTimeout is how long a request waits for its entry. Rekor's clients wait
// for 30 s.
const addTimeout = 20 * time.Second

// A door is where a log is written to and read from over HTTP.
type door struct {
	log    backend.Log
	logger *slog.Logger
	mux    *http.ServeMux
}

// Handler answers everything under [ledger.ReadPath] for a log: Rekor v2's write
// API, the checkpoint, and the tiles (docs/spec/log.md, "API"). Reading is for
// everybody. logger takes what is wrong on the server's side.
func Handler(log backend.Log, logger *slog.Logger) http.Handler {
	l := &door{log: log, logger: logger, mux: http.NewServeMux()}
	l.mux.HandleFunc("POST "+ledger.EntriesPath, l.serveAdd)
	l.mux.HandleFunc("GET "+ledger.ReadPath+"checkpoint", l.serveCheckpoint)
	l.mux.HandleFunc("GET "+ledger.ReadPath+"tile/{path...}", l.serveTile)
	return l
}

// ServeHTTP implements [http.Handler].
func (l *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	l.mux.ServeHTTP(w, r)
}

// ServeHTTP is the log's own [Handler].
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.door.ServeHTTP(w, r) }

func (l *door) serveAdd(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		l.refuse(w, fmt.Errorf("reading the request: %w", err))
		return
	}
	req, err := parseRequest(body)
	if err != nil {
		l.refuse(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), addTimeout)
	defer cancel()
	entry, _, err := l.log.Add(ctx, req)
	if err != nil {
		l.refuse(w, err)
		return
	}
	reply, err := encode(entry)
	if err != nil {
		l.refuse(w, err)
		return
	}
	writeJSON(w, http.StatusCreated, reply)
}

// parseRequest reads the body of a request to add an entry (rekor-tiles,
// CreateEntryRequest): unknown members, duplicate members and trailing data are
// errors.
func parseRequest(body []byte) (*pb.HashedRekordRequestV002, error) {
	var c pb.CreateEntryRequest
	if err := protojson.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadEntry, err)
	}
	req := c.GetHashedRekordRequestV002()
	if req == nil {
		return nil, fmt.Errorf("%w: invalid type, must be %s", ErrBadEntry, ledger.EntryKind)
	}
	return req, nil
}

// encode writes m as Rekor does: empty members too.
func encode(m proto.Message) ([]byte, error) {
	b, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding the entry: %w", err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, fmt.Errorf("encoding the entry: %w", err)
	}
	return out.Bytes(), nil
}

// A status is what Rekor's clients see of an error: an HTTP status and a gRPC
// code.
type status struct {
	http int
	code int
}

var unexpected = status{http.StatusInternalServerError, 13}

func statusOf(err error) status {
	table := []struct {
		is error
		status
	}{
		{ErrStranger, status{http.StatusForbidden, 7}},
		{ErrBadEntry, status{http.StatusBadRequest, 3}},
		{ErrCorrupt, status{http.StatusInternalServerError, 15}},
		{ErrBusy, status{http.StatusServiceUnavailable, 14}},
		{ErrClosed, status{http.StatusServiceUnavailable, 14}},
		{backend.ErrAway, status{http.StatusServiceUnavailable, 14}},
		{context.DeadlineExceeded, status{http.StatusServiceUnavailable, 14}},
		{context.Canceled, status{http.StatusServiceUnavailable, 14}},
		{io.ErrUnexpectedEOF, status{http.StatusBadRequest, 3}},
	}
	for _, row := range table {
		if errors.Is(err, row.is) {
			return row.status
		}
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return status{http.StatusRequestEntityTooLarge, 3}
	}
	return unexpected
}

// refuse answers with the error in the form of Rekor's gateway. What goes wrong
// on the server's side is logged, and told without details of the disk.
func (l *door) refuse(w http.ResponseWriter, err error) {
	s, message := statusOf(err), err.Error()
	if errors.Is(err, backend.ErrAway) { // why, is about addresses behind this server
		l.logger.Warn("log entry not taken", "error", err)
		message = backend.ErrAway.Error() + " by this server now; send the same again"
	}
	switch s.http {
	case http.StatusInternalServerError:
		l.logger.Error("log entry not taken", "error", err)
		message = "the log cannot take entries now; the reason is in the server's own messages"
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	reply, err := json.Marshal(struct {
		Code    int      `json:"code"`
		Message string   `json:"message"`
		Details []string `json:"details"`
	}{s.code, message, []string{}})
	if err != nil {
		l.logger.Error("refusal not encoded", "error", err)
		reply = []byte("{}")
	}
	writeJSON(w, s.http, reply)
}

func writeJSON(w http.ResponseWriter, status int, reply []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
	w.WriteHeader(status)
	_, _ = w.Write(reply) // the client is gone, and retries
}

func (l *door) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	cp, err := l.log.Checkpoint(r.Context())
	if err != nil {
		l.unread(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(cp.Raw))
}

func (l *door) serveTile(w http.ResponseWriter, r *http.Request) {
	b, err := l.log.Read(r.Context(), "tile/"+r.PathValue("path"))
	if err != nil {
		l.unread(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

func (l *door) unread(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, backend.ErrNoCheckpoint) {
		http.NotFound(w, r)
		return
	}
	if r.Context().Err() == nil {
		l.logger.Error("log not readable", "path", r.URL.Path, "error", err)
	}
	http.Error(w, "the log cannot be read now", http.StatusInternalServerError)
}
