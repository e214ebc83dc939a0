package shards

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore/pkg/signature"
	checkpoints "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// shard returns a new shard and its last checkpoint, of an empty tree.
func shard(t *testing.T, origin string) (Shard, *ledger.Checkpoint) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(origin, pub, begin)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := signature.LoadED25519Signer(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := rekornote.NewNoteSigner(context.Background(), origin, inner)
	if err != nil {
		t.Fatal(err)
	}
	body := checkpoints.Checkpoint{Origin: origin, Hash: rfc6962.DefaultHasher.EmptyRoot()}.Marshal()
	raw, err := note.Sign(&note.Note{Text: string(body)}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return s, &ledger.Checkpoint{Origin: origin, Root: rfc6962.DefaultHasher.EmptyRoot(), Raw: raw}
}

func TestList(t *testing.T) {
	data := t.TempDir()
	if l, err := Load(data); l != nil || err != nil {
		t.Fatalf("nothing there: %v, %v", l, err)
	}
	a, final := shard(t, "a.example")
	b, _ := shard(t, "b.example")
	one := &List{Shards: []Shard{a}}
	two, err := one.Freeze(final, b)
	if err := errors.Join(err, two.Store(data)); err != nil {
		t.Fatal(err)
	}
	got, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(two, got); d != "" {
		t.Error(d)
	}
	if one.Current().Final != "" || got.Current().Origin != "b.example" || len(got.Frozen()) != 1 || got.Current().Dir != "log-b.example" {
		t.Errorf("got %+v, then %+v", one, got)
	}
	cp, err := got.Frozen()[0].Checkpoint()
	if err != nil || cp.Size != 0 || cp.Origin != "a.example" {
		t.Errorf("final checkpoint %+v, %v", cp, err)
	}
	keys, err := got.LogKeys()
	if err != nil || len(keys) != 2 || keys[0].Origin != "a.example" || !keys[1].Start.Equal(begin.Truncate(time.Second)) {
		t.Errorf("keys %+v, %v", keys, err)
	}
}

// TestNoList: what is no list of logs is not stored, and not read.
func TestNoList(t *testing.T) {
	a, final := shard(t, "a.example")
	b, other := shard(t, "b.example")
	frozen := a
	frozen.Final = string(final.Raw)
	forged, twice, same, up, ended := frozen, b, b, b, b
	forged.Final = string(other.Raw)
	twice.Origin = a.Origin
	same.Key = a.Key
	up.Dir = "../elsewhere"
	ended.Final = string(other.Raw)
	for wrong, list := range map[string]List{
		"0 logs":                     {},
		"is frozen":                  {Shards: []Shard{a, b}},
		"number 2 of 2":              {Shards: []Shard{frozen, ended}},
		"not signed":                 {Shards: []Shard{forged, b}},
		"share":                      {Shards: []Shard{frozen, twice}},
		"share origin, key":          {Shards: []Shard{frozen, same}},
		"no names":                   {Shards: []Shard{frozen, up}},
		"is not a host name":         {Shards: []Shard{{Origin: "A"}}},
		"key of log c.example":       {Shards: []Shard{{Origin: "c.example", Dir: "c", KeyFile: "c", Start: begin}}},
		"log c.example has no start": {Shards: []Shard{{Origin: "c.example", Dir: "c", KeyFile: "c"}}},
	} {
		data := t.TempDir()
		if err := list.Store(data); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("storing: %v, want %q", err, wrong)
		}
		if err := store(disk.OS{}, filepath.Join(data, listFile), &list); err != nil {
			t.Fatal(err)
		}
		if l, err := Load(data); err == nil || l != nil {
			t.Errorf("%q was read", wrong)
		}
	}
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, listFile), []byte(`{"shards":[],"more":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(data); err == nil {
		t.Error("an unknown member was read")
	}
}

func TestNext(t *testing.T) {
	data := t.TempDir()
	if s, err := Next(data); s != nil || err != nil {
		t.Fatalf("nothing prepared: %v, %v", s, err)
	}
	a, _ := shard(t, "a.example")
	if err := a.Prepare(data); err != nil {
		t.Fatal(err)
	}
	got, err := Next(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&a, got); d != "" {
		t.Error(d)
	}
	b, _ := shard(t, "b.example")
	if err := b.Prepare(data); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another was prepared: %v", err)
	}
	if got, err := Next(data); err != nil || got.Origin != a.Origin {
		t.Errorf("prepared is %+v, %v", got, err)
	}
	if err := errors.Join(Begun(data), Begun(data)); err != nil {
		t.Error(err)
	}
	if s, err := Next(data); s != nil || err != nil {
		t.Errorf("it began, and is still prepared: %v, %v", s, err)
	}
}

// TestTooLongAList: what would not be read again is not stored, and what is
// there stays.
func TestTooLongAList(t *testing.T) {
	data := t.TempDir()
	a, final := shard(t, "a.example")
	b, _ := shard(t, "b.example")
	one := &List{Shards: []Shard{a}}
	if err := one.Store(data); err != nil {
		t.Fatal(err)
	}
	cosigned := bytes.Clone(final.Raw)
	other := "— w.example/" + strings.Repeat("w", maxSize/60) + " " + base64.StdEncoding.EncodeToString(make([]byte, 76)) + "\n"
	for len(cosigned) < maxSize {
		cosigned = append(cosigned, other...)
	}
	two, err := one.Freeze(&ledger.Checkpoint{Origin: a.Origin, Root: final.Root, Raw: cosigned}, b)
	if err == nil {
		err = two.Store(data)
	}
	if err == nil {
		t.Error("it was stored")
	}
	if got, err := Load(data); err != nil || len(got.Shards) != 1 {
		t.Errorf("then there is %+v, %v", got, err)
	}
}

// TestKilledThenCut: the process that stored a list is killed at each of its
// operations, the next one reads a list, and the power goes. What was read is
// there: entries may have gone into the log that it says takes them.
func TestKilledThenCut(t *testing.T) {
	const data = "/d"
	a, final := shard(t, "a.example")
	b, _ := shard(t, "b.example")
	one := &List{Shards: []Shard{a}}
	two, err := one.Freeze(final, b)
	if err != nil {
		t.Fatal(err)
	}
	began := false
	for n := range 6 {
		f := disktest.New()
		if err := errors.Join(f.Mkdir(data), f.SyncDir("/"), one.store(f, data)); err != nil {
			t.Fatal(err)
		}
		f.BreakNth(n, disktest.Dead)
		_ = two.store(f, data)
		next := f.Kill()
		read, err := loadList(next, data)
		if err != nil {
			t.Fatal(err)
		}
		began = began || len(read.Shards) == 2
		if left, err := loadList(next.Cut(), data); err != nil || len(left.Shards) != len(read.Shards) {
			t.Errorf("killed at operation %d: %d logs were read and, after a power cut, %+v, %v", n, len(read.Shards), left, err)
		}
	}
	if !began {
		t.Error("the second log never began")
	}
}
