package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// Codes of errors that are not reasons. A refusal for a reason has the reason
// as its code (docs/spec/reasons.md).
const (
	CodeUnauthorized = "UNAUTHORIZED" // 401: nobody, or no longer
	CodeDenied       = "DENIED"       // 403
	CodeForbidden    = "FORBIDDEN_ROLE"
	CodeInvalid      = "INVALID"   // 400: the message names the spot
	CodeNotFound     = "NOT_FOUND" // 404
	CodeMethod       = "METHOD_NOT_ALLOWED"
	CodeConflict     = "CONFLICT"        // 409: not in this order, or not twice
	CodeTooLarge     = "TOO_LARGE"       // 413
	CodeTooMany      = "TOOMANYREQUESTS" // 429, with Retry-After
	CodeUnavailable  = "UNAVAILABLE"     // 503: the server cannot record now
	CodeInternal     = "INTERNAL"        // 500
	CodeUnknown      = "UNKNOWN"         // an answer this client cannot read
	CodeNoToken      = "TOKEN_UNKNOWN"   // 403: an enrolment token that does not exist, was used or is over
)

// An Error is how a request was refused: a stable code, one line of fact, one
// line of what to do next.
type Error struct {
	Status     int           `json:"-"` // HTTP status
	Code       string        `json:"code"`
	Message    string        `json:"message"`
	Remedy     string        `json:"remedy"`
	Decision   string        `json:"decision"` // id of the recorded decision; "" where none was made
	RetryAfter time.Duration `json:"-"`        // what the server asked for; 0: nothing
}

// Error is the fact alone; Remedy is for a hint.
func (e *Error) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// Errorf returns an Error without a remedy.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Hint returns e with a remedy.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Remedy = fmt.Sprintf(format, args...)
	return e
}

type errorBody struct {
	SchemaVersion int    `json:"schemaVersion"`
	Error         *Error `json:"error"`
}

// WriteError answers a request of /v1 with e.
func WriteError(w http.ResponseWriter, e *Error) {
	setRetry(w, e)
	WriteJSON(w, e.Status, errorBody{SchemaVersion, e})
}

// ociErrors is the error body of the OCI distribution spec, section Error Codes.
type ociErrors struct {
	Errors []ociError `json:"errors"`
}

type ociError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// WriteOCIError answers a request of /v2 or /token with e, in the form OCI
// clients print: the remedy in the one line of the message.
func WriteOCIError(w http.ResponseWriter, e *Error) {
	message := e.Message
	if e.Remedy != "" {
		message += "; " + e.Remedy
	}
	setRetry(w, e)
	WriteJSON(w, e.Status, ociErrors{[]ociError{{Code: e.Code, Message: message}}})
}

// WriteJSON answers with v. Nothing of this API may be kept by a cache.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := strictjson.Canonical(v)
	if err != nil { // a type of ours that cannot be encoded: no input causes it
		status, b = http.StatusInternalServerError, []byte(`{"schemaVersion":1,"error":{"code":"INTERNAL","message":"encoding the answer","remedy":"","decision":""}}`)
	}
	h := w.Header()
	h.Set("Content-Type", MediaJSON)
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client is gone: there is nobody to tell
}

func setRetry(w http.ResponseWriter, e *Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int64((e.RetryAfter+time.Second-1)/time.Second)))
	}
}
