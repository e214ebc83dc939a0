package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// few is how many notes the repository has that the one of very many manifests
// is compared with.
const few = 10

// flat compares a repository of few manifests with one of very many, on one
// server that holds both.
func (f *field) flat(ctx context.Context) {
	if !f.wants("flat") || f.seed == 0 {
		return
	}
	if err := f.fillMany(ctx); err != nil {
		f.report.missing["flat"] = err.Error()
		return
	}
	for _, r := range f.flatRows() {
		role := "host"
		if r.name == "flat-tags" || r.name == "flat-referrers" {
			role = "publisher" // a host is shown what it may have, each time
		}
		f.run(ctx, r, []entrant{
			{"few", endpoint{f.house.server, role, readRepo}},
			{"many", endpoint{f.house.server, role, manyRepo}},
		})
	}
}

// fillMany fills one repository a little and the other up, and starts the server
// again on what it has then.
func (f *field) fillMany(ctx context.Context) error {
	if err := seedFew(ctx, endpoint{f.house.server, "publisher", readRepo}, few); err != nil {
		return err
	}
	f.say("filling %s with %d manifests", manyRepo, f.seed)
	f.house.server.stop()
	if err := f.house.fill(ctx, manyRepo, f.seed); err != nil {
		return err
	}
	start := time.Now()
	if err := f.house.server.start(ctx); err != nil {
		return err
	}
	f.report.state("flat", "many", time.Since(start).Seconds(), "start-s")
	if err := f.settled(ctx); err != nil {
		return err
	}
	now, _, err := memory(f.house.server.pid())
	if err != nil {
		return err
	}
	f.report.state("flat", "few", float64(few+len(f.stock.manifests)), "manifests")
	f.report.state("flat", "many", float64(f.seed), "manifests")
	f.report.state("flat", "many", now, "idle-MiB")
	return nil
}

// quietSeconds are enough: for one, a server that has work may not get to it
// beside others.
const quietSeconds = 5

// settled waits until the server does nothing any more: its index has followed.
func (f *field) settled(ctx context.Context) error {
	before, quiet := time.Duration(0), 0
	for range 120 {
		now, err := cpuTime(f.house.server.pid())
		if err != nil {
			return err
		}
		if quiet++; now-before > 5*tick {
			quiet = 0
		}
		if before = now; quiet == quietSeconds {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return fmt.Errorf("%s is still busy after two minutes", f.house.server.name)
}

// flatRows have short windows and many turns: to collect the garbage of a server
// that keeps very much takes a good part of a second, which falls to whoever is
// asked just then.
func (f *field) flatRows() []row {
	small := payloads[0]
	one := func(name, page string, size int64) row {
		return row{name: name, clients: 32, window: f.window / 2, turns: 3, ratio: true, work: pull(http.MethodGet, fixed(page), size)}
	}
	return []row{
		one("flat-tag", "manifests/"+small.tag, f.size(http.MethodGet)),
		one("flat-digest", "manifests/"+f.known[small.tag], f.size(http.MethodGet)),
		one("flat-tags", fmt.Sprintf("tags/list?n=%d", few), 0),
		one("flat-referrers", "referrers/"+f.known[small.tag], 0),
	}
}

// fill puts many manifests into a repository of the server, which is stopped.
func (h *house) fill(ctx context.Context, repo string, number int64) error {
	_, err := h.run(ctx, nil, "", "fill", "-config", filepath.Join(h.dir, "patchfitd.yaml"), "-repository", repo,
		"-by", h.principal, "-manifests", fmt.Sprint(number))
	return err
}
