// Package witness runs a witness (C2SP tlog-witness): it cosigns a checkpoint of
// a log only with a proof that it continues the last checkpoint of that log it
// cosigned. Whoever asks for its cosignature cannot be shown two histories.
//
// What it promises stands on one file a log, its last cosigned checkpoint:
//
//  1. The checkpoint is opened with the key the witness's policy names for its
//     origin, and compared with the file: size, root, proof.
//  2. It is cosigned, and written to the file with the cosignature: synced,
//     renamed, directory synced. A crash before this ends leaves the old file.
//  3. Only then the cosignature is handed out. A crash before leaves a witness
//     that has seen more than it said, which harms nobody. The next start syncs
//     the directory again, because it may hand that out.
//
// All of that is under one lock. Two witnesses with one key are none: the
// directory is locked while one has it open, and the file is read again before
// each cosignature, lest somebody removed the lock. A file that is damaged, or that an
// older backup brought back, is not the witness's to judge: it refuses the first
// and cannot see the second, so never restore the directory from a backup; make a
// new witness.
//
// What proves that a log contradicts itself, two checkpoints that its key
// signed, is kept beside the file. docs/spec/witness.md.
package witness

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// Why a checkpoint is not cosigned; [Witness.Add] wraps them.
var (
	ErrUnknownLog = errors.New("no log of this origin is known to this witness")
	ErrConflict   = errors.New("the last cosigned checkpoint is of another size") // see [Stale]
	ErrDisproved  = errors.New("the proof does not show that the log continues its last cosigned checkpoint")
	ErrBadRequest = errors.New("not an add-checkpoint request")
)

// Stale is the error of a request that starts from another size than the last
// cosigned checkpoint has. It is an [ErrConflict].
type Stale struct{ Size uint64 }

func (s *Stale) Error() string { return fmt.Sprintf("%v: %d", ErrConflict, s.Size) }

// Is reports whether target is ErrConflict.
func (s *Stale) Is(target error) bool { return target == ErrConflict }

// Options are what a Witness can do without.
type Options struct {
	// Logger takes what logs are caught at. Nil: nothing is logged.
	Logger *slog.Logger
}

// A Witness is open. Its methods can be called concurrently.
type Witness struct {
	fs     disk.FS
	dir    string
	signer *cosignature.Signer
	logs   map[string][]ledger.LogKey // by origin
	logger *slog.Logger
	lock   io.Closer

	mu   sync.Mutex
	last map[string]*ledger.Checkpoint // by origin; what the files say
}

// Open opens the witness that keeps its state in dir, which exists, and cosigns
// as name, a schema-less URL, with key. It cosigns for the logs of policy, of
// which nothing else is read. One process at a time may have dir open.
func Open(dir, name string, key ed25519.PrivateKey, policy *quorum.Policy, o *Options) (*Witness, error) {
	return open(disk.OS{}, dir, name, key, policy, o)
}

func open(fsys disk.FS, dir, name string, key ed25519.PrivateKey, policy *quorum.Policy, o *Options) (*Witness, error) {
	signer, err := NewSigner(name, key)
	if err != nil {
		return nil, err
	}
	w := &Witness{fs: fsys, dir: dir, signer: signer, logs: map[string][]ledger.LogKey{}, last: map[string]*ledger.Checkpoint{}, logger: slog.New(slog.DiscardHandler)}
	if o != nil && o.Logger != nil {
		w.logger = o.Logger
	}
	for _, l := range policy.Logs {
		k, err := logKey(l)
		if err != nil {
			return nil, err
		}
		w.logs[k.Origin] = append(w.logs[k.Origin], k)
	}
	if len(w.logs) == 0 {
		return nil, errors.New("the policy of the witness names no log")
	}
	if w.lock, err = fsys.Lock(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("opening the witness: %w", err)
	}
	if err := w.load(); err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	return w, nil
}

// logKey reads the key of a log line. Witnessed logs sign with Ed25519.
func logKey(l quorum.Log) (ledger.LogKey, error) {
	const ed25519Signature = 1
	parts := strings.SplitN(l.VKey, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != ed25519Signature {
		return ledger.LogKey{}, fmt.Errorf("log %s: its key is not Ed25519, the kind a witness checks", l.Origin())
	}
	return ledger.LogKey{Origin: l.Origin(), Key: ed25519.PublicKey(raw[1:])}, nil
}

// NewSigner returns what cosigns as name with key (C2SP tlog-cosignature, type
// 0x04). The verifier key others pin is [VKey].
func NewSigner(name string, key ed25519.PrivateKey) (*cosignature.Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("the key of a witness is an Ed25519 key")
	}
	const skey = "PRIVATE+KEY+%s+%08x+%s"
	s, err := cosignature.NewSignerForCosignatureV1(fmt.Sprintf(skey, name, keyHash(name, 1, key), encode(1, key.Seed())))
	if err != nil {
		return nil, fmt.Errorf("%.80q is no name of a witness: a name has no space and no plus sign", name)
	}
	return s, nil
}

// VKey returns the verifier key of the witness name with key, as policies
// write it (C2SP signed-note, type 0x04).
func VKey(name string, key ed25519.PrivateKey) string {
	const cosigns = 4
	return fmt.Sprintf("%s+%08x+%s", name, keyHash(name, cosigns, key), encode(cosigns, key.Public().(ed25519.PublicKey)))
}

func encode(keyType byte, b []byte) string {
	return base64.StdEncoding.EncodeToString(append([]byte{keyType}, b...))
}

func keyHash(name string, keyType byte, key ed25519.PrivateKey) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"+string(rune(keyType))), key.Public().(ed25519.PublicKey)...))
	return binary.BigEndian.Uint32(sum[:])
}

// Close lets another process open the directory.
func (w *Witness) Close() error { return w.lock.Close() }

// load reads the last cosigned checkpoint of every log. A process that was
// killed may have renamed a file and not synced the directory: what is handed
// out from here on is made durable first.
func (w *Witness) load() error {
	if err := w.fs.SyncDir(w.dir); err != nil {
		return fmt.Errorf("opening the witness: %w", err)
	}
	for origin := range w.logs {
		c, err := w.read(origin)
		if err != nil {
			return err
		}
		if c != nil {
			w.last[origin] = c
		}
	}
	return nil
}

// read reads the last cosigned checkpoint of a log; nil where there is none.
func (w *Witness) read(origin string) (*ledger.Checkpoint, error) {
	raw, err := w.fs.ReadFile(w.file(origin))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was cosigned last for %s: %w", origin, err)
	}
	c, err := ledger.OpenCheckpoint(raw, w.logs[origin])
	if err != nil {
		return nil, fmt.Errorf("what was cosigned last for %s is damaged, or the log has another key now: %w", origin, err)
	}
	if !w.cosigned(raw) {
		return nil, fmt.Errorf("what was cosigned last for %s was not cosigned by this witness's key", origin)
	}
	return c, nil
}

// refresh asks that the file still says what was cosigned last. Where it says
// more, another process has the directory, whose lock somebody removed, or a
// write that failed came through after all: then that was the last. Where it
// says less, somebody put an older one back.
func (w *Witness) refresh(origin string) error {
	c, err := w.read(origin)
	if err != nil {
		return err
	}
	last := w.last[origin]
	switch {
	case c == nil && last == nil:
		return nil
	case c != nil && last != nil && c.Size == last.Size && bytes.Equal(c.Root, last.Root):
		return nil
	case c == nil || last != nil && c.Size <= last.Size:
		return fmt.Errorf("what was cosigned last for %s is of %d entries, and its file was replaced by an older one or another", origin, last.Size)
	}
	if err := w.fs.SyncDir(w.dir); err != nil {
		return fmt.Errorf("keeping what was cosigned last for %s: %w", origin, err)
	}
	w.logger.Warn("what was cosigned last is not what this process cosigned: is there another?", "origin", origin, "size", c.Size)
	w.last[origin] = c
	return nil
}

func (w *Witness) cosigned(raw []byte) bool {
	n, err := note.Open(raw, note.VerifierList(w.signer.Verifier()))
	return err == nil && len(n.Sigs) == 1
}

// file is where the last checkpoint of a log is kept.
func (w *Witness) file(origin string) string {
	return filepath.Join(w.dir, originHash(origin)+".checkpoint")
}

// originHash names a log in paths: the hex of the sha256 of its origin.
func originHash(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// Last returns the last cosigned checkpoint of the log with this origin hash,
// with this witness's cosignature; nil where there is none.
func (w *Witness) Last(hash string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	for origin, c := range w.last {
		if originHash(origin) == hash {
			return bytes.Clone(c.Raw)
		}
	}
	return nil
}

// Add cosigns the checkpoint of r, if it continues the last one, and returns
// the lines of the cosignature: durable when they are returned.
func (w *Witness) Add(r *Request) ([]byte, error) {
	origin, _, _ := bytes.Cut(r.Checkpoint, []byte("\n"))
	keys := w.logs[string(origin)]
	if keys == nil {
		return nil, fmt.Errorf("%w: %.80q", ErrUnknownLog, origin)
	}
	next, err := ledger.OpenCheckpoint(r.Checkpoint, keys)
	if err != nil {
		return nil, err
	}
	if r.Old > next.Size {
		return nil, fmt.Errorf("%w: it starts from %d entries and the checkpoint has %d", ErrBadRequest, r.Old, next.Size)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refresh(next.Origin); err != nil {
		return nil, err
	}
	if err := w.continues(next, r); err != nil {
		return nil, err
	}
	return w.cosign(next)
}

// continues asks that next continues what was cosigned last.
func (w *Witness) continues(next *ledger.Checkpoint, r *Request) error {
	if err := emptyRoot(next); err != nil {
		return err
	}
	last := w.last[next.Origin]
	if last == nil {
		empty := sha256.Sum256(nil)
		last = &ledger.Checkpoint{Origin: next.Origin, Root: empty[:]}
	}
	if last.Size == next.Size && last.Size > 0 && !bytes.Equal(last.Root, next.Root) {
		w.keep(last, next)
		return fmt.Errorf("%w: two roots for %d entries", ErrDisproved, next.Size)
	}
	if r.Old != last.Size {
		return &Stale{last.Size}
	}
	if (r.Old == 0 || r.Old == next.Size) && len(r.Proof) > 0 {
		return fmt.Errorf("%w: from %d to %d entries there is nothing to prove", ErrDisproved, r.Old, next.Size)
	}
	if err := next.Continues(last, r.Proof); err != nil {
		w.logger.Warn("a log sent a checkpoint without proof that it continues the last", "origin", next.Origin, "last", last.Size, "next", next.Size)
		return fmt.Errorf("%w: %v", ErrDisproved, err)
	}
	return nil
}

func emptyRoot(c *ledger.Checkpoint) error {
	if empty := sha256.Sum256(nil); c.Size == 0 && !bytes.Equal(c.Root, empty[:]) {
		return fmt.Errorf("%w: no entries make the root %x", ErrDisproved, c.Root)
	}
	return nil
}

// cosign signs, keeps and returns. The log's signature stays with it; those of
// others, which this witness did not check, do not.
func (w *Witness) cosign(c *ledger.Checkpoint) ([]byte, error) {
	n, err := w.signedByLog(c)
	if err != nil {
		return nil, err
	}
	raw, err := note.Sign(n, w.signer)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	if last := w.last[c.Origin]; last == nil || last.Size != c.Size { // else the file says it already: whoever repeats one costs no sync
		name := w.file(c.Origin)
		if err := disk.WriteFile(w.fs, name+".new", name, raw); err != nil {
			return nil, fmt.Errorf("keeping what is cosigned: %w", err)
		}
	}
	kept := *c
	kept.Raw = raw
	w.last[c.Origin] = &kept
	return linesBy(raw, w.signer.Name()), nil
}

func (w *Witness) signedByLog(c *ledger.Checkpoint) (*note.Note, error) {
	var verifiers []note.Verifier
	for _, k := range w.logs[c.Origin] {
		v, err := k.Verifier()
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, v)
	}
	n, err := note.Open(c.Raw, note.VerifierList(verifiers...))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ledger.ErrUnsigned, err)
	}
	return &note.Note{Text: n.Text, Sigs: n.Sigs}, nil
}

// linesBy returns the signature lines of a note that name makes.
func linesBy(raw []byte, name string) (lines []byte) {
	for line := range bytes.Lines(raw) {
		if bytes.HasPrefix(line, []byte("— "+name+" ")) {
			lines = append(lines, line...)
		}
	}
	return lines
}

// keep puts two checkpoints that contradict each other aside: the log's own
// signatures prove it. What cannot be kept is logged.
func (w *Witness) keep(a, b *ledger.Checkpoint) {
	both := bytes.Join([][]byte{a.Raw, b.Raw}, []byte("\n"))
	name := filepath.Join(w.dir, originHash(a.Origin)+".contradiction")
	err := disk.WriteFile(w.fs, name+".new", name, both)
	w.logger.Error("a log signed two histories", "origin", a.Origin, "size", a.Size, "roots", fmt.Sprintf("%x and %x", a.Root, b.Root), "kept", name, "at", time.Now().UTC(), "error", err)
}
