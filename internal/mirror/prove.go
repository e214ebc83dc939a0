package mirror

import (
	"bytes"
	"context"
	"slices"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/client"
)

// prove tells which bundles are evidence and copies their log entries, with
// proofs for the log's checkpoint as it is now.
func (p *pull) prove(ctx context.Context) error {
	a, err := newAssessor(p.src.Policy)
	if err != nil {
		return err
	}
	found, err := a.all(p.layout)
	if err != nil {
		return err
	}
	p.noteVoid(found)
	if p.options.WithoutLog {
		return nil
	}
	log, err := client.New(p.src.Server.Server(), p.src.Server.HTTP())
	if err != nil {
		return err
	}
	cp, err := log.Checkpoint(ctx, p.src.Policy.TrustedRoot)
	if err != nil {
		p := problem(NotLogged, "the source's log: %v", err).hint("is the source a mirror itself? its log is not the one its bundles are in: copy them without entries, --without-log")
		p.Err = err
		return p
	}
	_, id, err := openCheckpoint(cp.Raw, p.src.Policy.TrustedRoot)
	if err != nil {
		return err
	}
	proofs := log.Proofs(ctx, cp)
	entries, err := p.entries(ctx, proofs, wanted(found, id))
	if err != nil {
		return err
	}
	if entries.Since, err = p.since(proofs, cp); err != nil {
		return err
	}
	return p.keepLog(cp, entries)
}

// noteVoid notes in the record what counts for nothing.
func (p *pull) noteVoid(found []*finding) {
	for i := range p.layout.Record.Repositories {
		repo := &p.layout.Record.Repositories[i]
		for _, f := range found {
			if f.repository == repo.Repository && f.void() {
				repo.Void = append(repo.Void, f.bundle)
			}
		}
		slices.Sort(repo.Void)
		repo.Void = slices.Compact(repo.Void)
	}
}

// wanted lists the entries of evidence in one log, in order.
func wanted(found []*finding, id []byte) []int64 {
	var all []int64
	for _, f := range found {
		if f.evidence != nil && bytes.Equal(f.logID, id) {
			all = append(all, f.evidence.LogIndex())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (p *pull) entries(ctx context.Context, proofs *client.Proofs, indexes []int64) (*Entries, error) {
	e := &Entries{SchemaVersion: schemaVersion, Entries: []Entry{}, Since: []Since{}}
	for i, index := range indexes {
		p.options.Progress.Step("log: entry %d, %d of %d", index, i+1, len(indexes))
		leaf, proof, err := proofs.Entry(ctx, uint64(index))
		if err != nil {
			return nil, err
		}
		e.Entries = append(e.Entries, Entry{index, leaf, proof})
	}
	return e, nil
}

// since proves that the log goes on from what was asked for, and from where the
// mirrors before this one had it, so that whoever verified one of them can tell.
func (p *pull) since(proofs *client.Proofs, cp *client.Checkpoint) ([]Since, error) {
	sizes := slices.Clone(p.options.Since)
	if p.before != nil && p.before.Record.Log != nil && p.before.Record.Log.Origin == cp.Origin {
		sizes = append(sizes, p.before.Record.Log.Size)
		for _, s := range p.before.Entries.Since {
			sizes = append(sizes, s.Size)
		}
	}
	slices.Sort(sizes)
	sizes = slices.DeleteFunc(slices.Compact(sizes), func(n int64) bool { return n <= 0 || n >= int64(cp.Size) })
	all := []Since{}
	for _, n := range sizes[max(0, len(sizes)-maxSince):] {
		proof, err := proofs.Since(uint64(n))
		if err != nil {
			return nil, err
		}
		all = append(all, Since{n, proof})
	}
	return all, nil
}

func (p *pull) keepLog(cp *client.Checkpoint, entries *Entries) error {
	raw, err := strictjson.Canonical(entries)
	if err != nil {
		return err
	}
	record := &Log{
		Origin: cp.Origin, Size: int64(cp.Size), Root: cp.Root,
		Checkpoint: describe(MediaCheckpoint, cp.Raw), Entries: describe(MediaEntries, raw),
	}
	for d, b := range map[Descriptor][]byte{record.Checkpoint: cp.Raw, record.Entries: raw} {
		if err := p.in.put(d, b); err != nil {
			return err
		}
	}
	p.layout.Record.Log, p.layout.Entries = record, entries
	return nil
}
