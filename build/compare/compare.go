// Package compare says what differs between two builds of one thing, in the
// order in which a reviewer of live patches asks: which digests are the same
// and why the others are not ([Explain]), then functions, sections, imports,
// what a module says of itself, notes, compilers ([Files]).
// docs/spec/diff.md.
//
// It compares files and knows nothing of who built them. Like the readers in
// build/object it is bounded by the size of the files. [Report.Page] writes
// the report as one page of HTML, without a script, for whoever keeps it.
package compare

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/object"
)

// SchemaVersion is in every report. It rises when a member changes its meaning
// or goes.
const SchemaVersion = 1

// maxDebug is how many bytes of debug information are read for what they say
// of directories and options.
const maxDebug = 256 << 20

// maxListed is how many entries a list in a report has.
const maxListed = 5000

// A File is one of the two.
type File struct {
	Reader io.ReaderAt
	Size   int64
}

// A Report is what differs. Lists are sorted and empty where nothing does.
type Report struct {
	SchemaVersion int         `json:"schemaVersion"`
	A             Side        `json:"a"`
	B             Side        `json:"b"`
	Explanation   Explanation `json:"explanation"`
	Functions     []Function  `json:"functions"`
	Sections      []Section   `json:"sections"`
	Imports       []Import    `json:"imports"`
	Modinfo       []Value     `json:"modinfo"`
	Notes         []Value     `json:"notes"`
	Compilers     []Value     `json:"compilers"`
	Header        []Value     `json:"header"`
	More          int         `json:"more,omitzero"` // entries that lists had no room for
}

// A Side is one of the files.
type Side struct {
	Name    string          `json:"name,omitzero"` // what the caller calls it
	Size    int64           `json:"size"`
	File    attest.Digest   `json:"file"`
	Digests *object.Digests `json:"digests,omitzero"` // docs/spec/digests.md; absent where it cannot be read
	BuildID string          `json:"buildId,omitzero"`
	Problem string          `json:"problem,omitzero"` // why it cannot be read
}

// What happened to an entry of a list, from A to B.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// A Function differs. Sizes are in bytes.
type Function struct {
	Name        string   `json:"name"`
	Change      string   `json:"change"`
	Section     string   `json:"section"`
	SizeA       int64    `json:"sizeA"`
	SizeB       int64    `json:"sizeB"`
	Bytes       bool     `json:"bytes"`       // its bytes differ
	Relocations []string `json:"relocations"` // of a function that is in both: "- " and "+ " lines
}

// A Section differs.
type Section struct {
	Name   string `json:"name"`
	Change string `json:"change"`
	Loaded bool   `json:"loaded"`
	SizeA  int64  `json:"sizeA"`
	SizeB  int64  `json:"sizeB"`
}

// An Import differs: a symbol from elsewhere, or its checksum.
type Import struct {
	Symbol string `json:"symbol"`
	Change string `json:"change"`
	CRCA   string `json:"crcA,omitzero"`
	CRCB   string `json:"crcB,omitzero"`
}

// A Value differs. A and B are "" where there is none.
type Value struct {
	Key string `json:"key"`
	A   string `json:"a"`
	B   string `json:"b"`
}

// one is a file that has been read.
type one struct {
	File
	Side
	ident     object.Ident
	elf       *object.ELF // nil: no ELF file, or one that cannot be read
	functions []object.Body
	sections  []object.Content
	module    *object.Module
	imports   []string
	notes     map[string]string
	compilers []string
}

// Files compares a with b. It errs where one cannot be read at all; where its
// format cannot, the report says so.
func Files(a, b File) (*Report, error) {
	x, err := read(a)
	if err != nil {
		return nil, fmt.Errorf("reading the first file: %w", err)
	}
	y, err := read(b)
	if err != nil {
		return nil, fmt.Errorf("reading the second file: %w", err)
	}
	r := &Report{SchemaVersion: SchemaVersion, A: x.Side, B: y.Side}
	r.functions(x.functions, y.functions)
	r.sections(x.sections, y.sections)
	r.imports(x, y)
	r.Modinfo = values(x.modinfo(), y.modinfo())
	r.Notes = values(x.notes, y.notes)
	r.Compilers = values(set(x.compilers), set(y.compilers))
	r.Header = values(x.header(), y.header())
	if r.Explanation, err = explain(x, y, r); err != nil {
		return nil, err
	}
	r.cut()
	return r, nil
}

// read reads a file as far as it can be read.
func read(f File) (*one, error) {
	o := &one{File: f, notes: map[string]string{}}
	o.Side.Size = f.Size
	d, err := object.DigestsOf(f.Reader, f.Size)
	if err == nil {
		o.Side.File, o.Digests = d.File, &d
		err = o.read()
	} else if o.Side.File, _ = object.FileDigest(f.Reader, f.Size); o.Side.File == "" {
		return nil, err
	}
	var bad *object.FormatError
	if errors.As(err, &bad) {
		o.Problem, err = plain(bad.Error()), nil
	}
	return o, err
}

func (o *one) read() error {
	r, size := o.Reader, o.File.Size
	if k, err := object.ReadKpatch(r, size); err == nil && object.IsKpatch(r) {
		content := k.Body(r, size)
		r, size = content, content.Size()
		o.notes["libcare target"], o.notes["libcare built"] = plain(k.Target), k.Built.Format("2006-01-02T15:04:05Z")
	}
	id, ok := object.ReadIdent(r)
	if !ok {
		return nil
	}
	o.ident = id
	e, err := object.Open(r, size)
	if err != nil {
		return err
	}
	o.elf = e
	if o.BuildID, err = e.BuildID(); err != nil {
		return err
	}
	if o.functions, err = object.Bodies(e); err != nil {
		return err
	}
	if o.sections, err = e.Contents(); err != nil {
		return err
	}
	if o.module, err = object.ReadModule(e); err != nil {
		return err
	}
	if o.imports, err = e.Imports(); err != nil {
		return err
	}
	if o.compilers, err = e.Compilers(); err != nil {
		return err
	}
	return o.readNotes()
}

func (o *one) readNotes() error {
	notes, err := o.elf.Notes()
	for _, n := range notes {
		key := fmt.Sprintf("%s %#x", plain(n.Name), n.Type)
		o.notes[key] = hex.EncodeToString(n.Desc[:min(len(n.Desc), 64)])
	}
	if err == nil && o.elf.Signature != nil {
		o.notes["signature"] = fmt.Sprintf("%d bytes, type %d", o.elf.Signature.Size, o.elf.Signature.Type)
	}
	return err
}

// modinfo returns what a module says of itself; a key that is there twice is
// KEY#2.
func (o *one) modinfo() map[string]string {
	all := map[string]string{}
	if o.module == nil {
		return all
	}
	for _, p := range o.module.Info {
		key := plain(p.Key)
		for n := 2; ; n++ {
			if _, there := all[key]; !there || n > 1000 {
				break
			}
			key = fmt.Sprintf("%s#%d", plain(p.Key), n)
		}
		all[key] = plain(p.Value)
	}
	return all
}

func (o *one) header() map[string]string {
	if o.elf == nil {
		return map[string]string{}
	}
	return map[string]string{
		"class": o.ident.Class.String(), "byte order": o.ident.Data.String(), "machine": o.ident.Machine.String(),
		"OS ABI": o.ident.OSABI.String(), "type": o.elf.Type.String(), "entry": fmt.Sprintf("%#x", o.elf.Entry), "flags": fmt.Sprintf("%#x", o.elf.Flags),
	}
}

func set(list []string) map[string]string {
	all := map[string]string{}
	for _, s := range list {
		all[plain(s)] = plain(s)
	}
	return all
}

// values returns what differs between two tables.
func values(a, b map[string]string) []Value {
	list := []Value{}
	for k, v := range a {
		if w := b[k]; w != v {
			list = append(list, Value{k, v, w})
		}
	}
	for k, w := range b {
		if _, there := a[k]; !there {
			list = append(list, Value{k, "", w})
		}
	}
	slices.SortFunc(list, func(x, y Value) int { return cmp.Compare(x.Key, y.Key) })
	return list
}

// cut ends lists that are too long to be read.
func (r *Report) cut() {
	short(r, &r.Functions)
	short(r, &r.Sections)
	short(r, &r.Imports)
	short(r, &r.Modinfo)
	short(r, &r.Notes)
	short(r, &r.Compilers)
}

func short[T any](r *Report, list *[]T) {
	if more := len(*list) - maxListed; more > 0 {
		r.More += more
		*list = (*list)[:maxListed]
	}
}
