package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	referrers = 1000 // of one subject: the most patchfitd takes
	parallel  = 64   // downloads at once while memory is looked at
)

// A field is the servers that compete, with their content.
type field struct {
	options
	dir     string
	stderr  io.Writer
	report  *report
	house   *house
	rivals  []*server // registries
	bare    *server
	stock   *stock
	subject string
	known   map[string]string // digests by what they are of, as patch-1k, patch-1k layer
}

func (f *field) say(format string, args ...any) {
	fmt.Fprintf(f.stderr, "peers: "+format+"\n", args...)
}

func (f *field) labels() []string { return []string{"patchfitd", "distribution", "zot", "bare"} }

// open starts patchfitd, publishes, and gives the others the same content.
// Who does not start does not compete.
func (f *field) open(ctx context.Context) error {
	f.say("measuring in %s; publishing", f.dir)
	var err error
	if f.house, err = newHouse(filepath.Join(f.dir, "patchfitd"), f.bin, f.demo); err != nil {
		return err
	}
	if err := f.house.setUp(ctx); err != nil {
		return err
	}
	var tags []string
	for _, p := range payloads {
		tags = append(tags, p.tag)
	}
	publisher := endpoint{f.house.server, "publisher", readRepo}
	if f.stock, err = collect(ctx, publisher, filepath.Join(f.dir, "stock"), append([]string{"builder", "base"}, tags...)); err != nil {
		return err
	}
	if f.subject, err = seedReferrers(ctx, endpoint{f.house.server, "publisher", referredRepo}, referrers); err != nil {
		return err
	}
	if err := (endpoint{f.house.server, "publisher", pushRepo}).putEmpty(ctx); err != nil {
		return err
	}
	if err := f.know(tags); err != nil {
		return err
	}
	f.openRivals(ctx)
	if err := f.openBare(ctx); err != nil {
		return err
	}
	return f.restart(ctx)
}

func (f *field) know(tags []string) error {
	f.known = map[string]string{}
	for _, tag := range tags {
		digest, layer, err := f.stock.tagged(tag)
		if err != nil {
			return err
		}
		f.known[tag], f.known[tag+" layer"] = digest, layer
	}
	return nil
}

func (f *field) openRivals(ctx context.Context) {
	for _, r := range []struct {
		name, program string
		make          func(program, dir string, k keyPair) (*server, error)
		refers        bool
	}{{"distribution", f.registry, newDistribution, false}, {"zot", f.zot, newZot, true}} {
		if r.program == "" {
			f.drop(r.name, errors.New("its program is not given"))
			continue
		}
		dir := filepath.Join(f.dir, r.name)
		s, err := r.make(r.program, dir, keyPair{})
		if err == nil {
			err = f.fill(ctx, s, r.refers)
		}
		if err != nil {
			f.drop(r.name, err)
			continue
		}
		f.rivals = append(f.rivals, s)
	}
}

// drop says that a server does not compete, and why.
func (f *field) drop(name string, err error) {
	f.report.missing[name] = err.Error()
	f.say("%s does not compete: %v", name, err)
}

// fill starts a registry and gives it what patchfitd has.
func (f *field) fill(ctx context.Context, s *server, refers bool) error {
	if _, err := os.Stat(s.program); err != nil {
		return err
	}
	f.say("filling %s", s.name)
	err := s.start(ctx)
	if err == nil {
		err = f.stock.push(ctx, endpoint{s, "", readRepo})
	}
	if err == nil {
		err = endpoint{s, "", pushRepo}.putEmpty(ctx)
	}
	if err == nil && refers {
		_, err = seedReferrers(ctx, endpoint{s, "", referredRepo}, referrers)
	}
	if err != nil {
		s.stop()
	}
	return err
}

func (f *field) openBare(ctx context.Context) error {
	pages, err := f.pages(ctx)
	if err != nil {
		return err
	}
	b, err := json.Marshal(pages)
	if err != nil {
		return err
	}
	list, dir := filepath.Join(f.dir, "pages.json"), filepath.Join(f.dir, "bare")
	program, err := os.Executable()
	if err == nil {
		f.bare, err = newBare(program, dir, list, keyPair{})
	}
	return errors.Join(err, os.Mkdir(dir, 0o755), os.WriteFile(list, b, 0o644))
}

// pages are what the bare server is asked for in some row.
func (f *field) pages(ctx context.Context) ([]page, error) {
	b, err := endpoint{f.house.server, "publisher", referredRepo}.get(ctx, "referrers/"+f.subject)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(f.dir, "referrers.json")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return nil, err
	}
	pages := []page{{"/v2/" + referredRepo + "/referrers/" + f.subject, mediaIndex, "", file}}
	for _, p := range payloads {
		d, layer := f.known[p.tag], f.known[p.tag+" layer"]
		for _, reference := range []string{p.tag, d} {
			pages = append(pages, page{"/v2/" + readRepo + "/manifests/" + reference, mediaManifest, d, f.stock.file(d)})
		}
		pages = append(pages, page{"/v2/" + readRepo + "/blobs/" + layer, "application/octet-stream", layer, f.stock.file(layer)})
	}
	return pages, nil
}

// restart starts everybody afresh: nobody remembers having been filled.
func (f *field) restart(ctx context.Context) error {
	f.stop()
	syscall.Sync()
	for _, s := range []*server{f.house.server, f.bare} {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	f.rivals = slices.DeleteFunc(f.rivals, func(s *server) bool {
		err := s.start(ctx)
		if err != nil {
			f.drop(s.name, err)
		}
		return err != nil
	})
	time.Sleep(2 * time.Second) // what a start does is done, and files are old enough to be trusted
	for _, s := range f.servers() {
		now, _, err := memory(s.pid())
		if err != nil {
			return err
		}
		f.report.state("memory", s.name, now, "idle-MiB")
	}
	return nil
}

func (f *field) servers() []*server {
	all := append([]*server{f.house.server}, f.rivals...)
	if f.bare != nil {
		all = append(all, f.bare)
	}
	return all
}

func (f *field) stop() {
	if f.house == nil {
		return
	}
	for _, s := range f.servers() {
		s.stop()
	}
}

// entrants are those servers that have a name of names, as who may do it.
func (f *field) entrants(role, repo string, names ...string) []entrant {
	var all []entrant
	for _, s := range f.servers() {
		if slices.Contains(names, s.name) {
			all = append(all, entrant{s.name, endpoint{s, role, repo}})
		}
	}
	return all
}

// compete measures row after row.
func (f *field) compete(ctx context.Context) {
	registries := []string{"patchfitd", "distribution", "zot"}
	everybody := append(registries, "bare")
	for _, r := range f.pulls() {
		f.run(ctx, r, f.entrants("host", readRepo, everybody...))
	}
	f.run(ctx, f.referrersRow(), f.entrants("publisher", referredRepo, "patchfitd", "zot", "bare"))
	if f.wants("memory") {
		f.memory(ctx, f.entrants("host", readRepo, everybody...))
	}
	for _, r := range f.pushes() {
		f.run(ctx, r, f.entrants("publisher", pushRepo, registries...))
	}
	f.flat(ctx)
	f.tls(ctx)
}

func (f *field) wants(name string) bool { return f.only.MatchString(name) }

func (f *field) pulls() []row {
	manifest := func(name, method, reference string) row {
		return row{name: name, clients: 32, window: f.window, work: pull(method, fixed("manifests/"+reference), f.size(method))}
	}
	blob := func(name string, clients int, p payload, window time.Duration) row {
		r := row{name: name, clients: clients, window: window, work: pull(http.MethodGet, fixed("blobs/"+f.known[p.tag+" layer"]), p.size)}
		if p.size >= 1<<20 {
			r.bytes = p.size
		}
		return r
	}
	small, middle, large := payloads[0], payloads[1], payloads[2]
	dropped := blob("blob-100m-dropped", 2, large, 2*f.window)
	dropped.unread = true
	return []row{
		manifest("manifest-tag", http.MethodGet, small.tag),
		manifest("manifest-digest", http.MethodGet, f.known[small.tag]),
		manifest("manifest-head", http.MethodHead, small.tag),
		blob("blob-1k", 32, small, f.window),
		blob("blob-1m", 8, middle, f.window),
		blob("blob-100m", 2, large, 2*f.window),
		dropped,
	}
}

// size is that of the manifest that is pulled, as method answers with it; 0
// where it is not known.
func (f *field) size(method string) int64 {
	info, err := os.Stat(f.stock.file(f.known[payloads[0].tag]))
	if err != nil || method == http.MethodHead {
		return 0
	}
	return info.Size()
}

func (f *field) referrersRow() row {
	return row{name: "referrers", clients: 4, window: f.window, work: pull(http.MethodGet, fixed("referrers/"+f.subject), 0)}
}

// pushes count what a server does after it has answered: its journal, its
// index. Large blobs are few: the disk is not without end.
func (f *field) pushes() []row {
	var all []row
	for _, r := range []row{
		{name: "push-1m", clients: 4, window: 2 * f.window, bytes: 1 << 20, settle: 300 * time.Millisecond},
		{name: "push-100m", clients: 1, times: 4, rounds: 4, bytes: 100 << 20, settle: 300 * time.Millisecond},
	} {
		p, err := newPress(r.bytes, r.name)
		if err != nil {
			f.report.missing[r.name] = err.Error()
			continue
		}
		r.work = p.push
		all = append(all, r)
	}
	return all
}

// run measures a row, its entrants taking turns; in every other round the last
// is first. An entrant that fails is out.
func (f *field) run(ctx context.Context, r row, entrants []entrant) {
	if !f.wants(r.name) || len(entrants) == 0 {
		return
	}
	f.say("%s", r.name)
	f.report.rows = append(f.report.rows, r)
	rounds := f.rounds
	if r.rounds > 0 {
		rounds = min(rounds, r.rounds)
	}
	rounds *= max(1, r.turns)
	for round := range rounds + 1 { // the first warms up and does not count
		var out []string
		for _, i := range order(len(entrants), round) {
			e, w := entrants[i], r
			if round == 0 && w.times == 0 {
				w.window /= 4
			} else if round == 0 {
				w.times = 1
			}
			if r.bytes > 0 && strings.HasPrefix(r.name, "push") {
				syscall.Sync() // nobody pays for what another left unwritten
			}
			s, err := w.measure(ctx, e)
			if err != nil {
				f.report.missing[place(r.name, e.label)] = err.Error()
				out = append(out, e.label)
			} else if round > 0 {
				f.report.add(r, e.label, s)
			}
		}
		entrants = slices.DeleteFunc(entrants, func(e entrant) bool { return slices.Contains(out, e.label) })
	}
}

// memory looks at the most memory a server takes while many download at once.
func (f *field) memory(ctx context.Context, entrants []entrant) {
	f.say("memory under %d downloads of 100 MiB", parallel)
	large := payloads[2]
	r := row{clients: parallel, times: 2 * parallel, work: pull(http.MethodGet, fixed("blobs/"+f.known[large.tag+" layer"]), large.size)}
	for _, e := range entrants {
		err := forgetPeak(e.server.pid())
		if err == nil {
			_, err = r.measure(ctx, e)
		}
		_, peak, err2 := memory(e.server.pid())
		if err = errors.Join(err, err2); err != nil {
			f.report.missing["memory/"+e.label] = err.Error()
			continue
		}
		f.report.state("memory", e.label, peak, "peak-MiB")
	}
}
