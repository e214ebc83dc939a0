package rekorv2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
)

// maxAnswer is the longest answer to an entry, in bytes; real ones have some
// thousand.
const maxAnswer = 1 << 20

// duplicateHeader says where an entry is that was in the log before.
const duplicateHeader = "x-log-index"

// A receipt is what the server says of an entry: where it is, and with a new one
// a checkpoint that has it. None of it is believed before the entry is found there.
type receipt struct {
	index      uint64
	checkpoint []byte // nil: a duplicate's
}

// submit sends an entry, and returns when the server says that it is in a
// checkpoint.
func (l *Log) submit(ctx context.Context, req *pb.HashedRekordRequestV002) (*receipt, error) {
	body, err := protojson.Marshal(&pb.CreateEntryRequest{Spec: &pb.CreateEntryRequest_HashedRekordRequestV002{HashedRekordRequestV002: req}})
	if err != nil {
		return nil, fmt.Errorf("encoding the log entry: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(l.config.URL, "/")+ledger.EntriesPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := l.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrAway, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%w: reading its answer: %w", backend.ErrAway, err)
	}
	return received(resp, answer)
}

// received reads an answer to an entry.
func received(resp *http.Response, answer []byte) (*receipt, error) {
	switch resp.StatusCode {
	case http.StatusCreated, http.StatusOK:
		e := new(rekor.TransparencyLogEntry)
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer, e); err != nil {
			return nil, fmt.Errorf("%w: its answer cannot be read: %w", backend.ErrAway, err)
		}
		if e.GetLogIndex() < 0 {
			return nil, fmt.Errorf("%w: it answers with entry %d", backend.ErrAway, e.GetLogIndex())
		}
		return &receipt{uint64(e.GetLogIndex()), []byte(e.GetInclusionProof().GetCheckpoint().GetEnvelope())}, nil
	case http.StatusConflict:
		index, err := strconv.ParseUint(resp.Header.Get(duplicateHeader), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%w: it has the entry, and does not say where", backend.ErrAway)
		}
		return &receipt{index: index}, nil
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return nil, fmt.Errorf("%w: the external log refuses it: %s", backend.ErrBadEntry, words(answer))
	case http.StatusMethodNotAllowed:
		return nil, fmt.Errorf("%w: the external log is frozen: %s; begin the next one with: patchfitd log rotate", backend.ErrClosed, words(answer))
	}
	return nil, fmt.Errorf("%w: it answers %d: %s", backend.ErrAway, resp.StatusCode, words(answer))
}

// words are what a server says went wrong.
func words(answer []byte) string {
	var said struct {
		Message string `json:"message"`
	}
	if err := strictjson.UnmarshalForeign(answer, maxAnswer, &said); err == nil && said.Message != "" {
		return fmt.Sprintf("%.200q", said.Message)
	}
	return fmt.Sprintf("%.200q", bytes.TrimSpace(answer))
}

var errLied = errors.New("it answered for an entry that is not in it")
