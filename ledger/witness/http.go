package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/patchfit/patchfit/ledger"
)

// Handler answers add-checkpoint and GET /<origin hash>/checkpoint (C2SP
// tlog-witness). There is no authentication but the checkpoint's signature.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.add)
	mux.HandleFunc("GET /{hash}/checkpoint", w.checkpoint)
	return mux
}

func (w *Witness) add(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, MaxRequest))
	if err != nil {
		refuse(rw, http.StatusRequestEntityTooLarge, err)
		return
	}
	request, err := ParseRequest(body)
	if err != nil {
		refuse(rw, http.StatusBadRequest, err)
		return
	}
	lines, err := w.Add(request)
	if err != nil {
		w.answer(rw, err)
		return
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Write(lines)
}

// statuses are those of C2SP tlog-witness.
var statuses = []struct {
	err    error
	status int
}{
	{ErrBadRequest, http.StatusBadRequest},
	{ledger.ErrTampered, http.StatusBadRequest}, // signed, and no checkpoint: of 2^63 entries
	{ErrUnknownLog, http.StatusNotFound},
	{ledger.ErrUnsigned, http.StatusForbidden},
	{ErrDisproved, http.StatusUnprocessableEntity},
}

func (w *Witness) answer(rw http.ResponseWriter, err error) {
	var stale *Stale
	if errors.As(err, &stale) {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", stale.Size)
		return
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			refuse(rw, s.status, err)
			return
		}
	}
	w.logger.Error("a checkpoint could not be cosigned", "error", err)
	refuse(rw, http.StatusInternalServerError, errors.New("the witness cannot keep what it cosigns; try again"))
}

func refuse(rw http.ResponseWriter, status int, err error) {
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	http.Error(rw, err.Error(), status)
}

func (w *Witness) checkpoint(rw http.ResponseWriter, r *http.Request) {
	raw := w.Last(r.PathValue("hash"))
	if raw == nil {
		refuse(rw, http.StatusNotFound, errors.New("no checkpoint of this log was cosigned"))
		return
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.Write(raw)
}
