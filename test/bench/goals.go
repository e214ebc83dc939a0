package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A goal is one figure of one benchmark, alone or divided by a peer's in the
// same run. A benchmark that pairs itself with its peer reports the ratio.
type goal struct {
	area, name string
	pkg        string
	benchmark  string
	peer       string // "" or the benchmark to divide by
	unit       string // as `go test -bench` prints it
	limit      float64
	least      bool // limit is the least, not the most
	stated     bool // no limit: the figure is stated, not judged
}

// peers is the program that measures other servers beside ours: its figures
// come in the form of a package's benchmarks.
const peers = "test/peers"

var goals = slices.Concat(spine, front(), evidence, build)

var spine = []goal{
	{area: "spine", name: "decide-allow-ns", pkg: "./policy", benchmark: "BenchmarkDecide/allow", unit: "cpu-ns/op", limit: 1000},
	{area: "spine", name: "decide-allow-allocs", pkg: "./policy", benchmark: "BenchmarkDecide/allow", unit: "allocs/op", limit: 0},
	{area: "spine", name: "standing-decision-ns", pkg: "./registry/gate", benchmark: "BenchmarkStandingDecision/one", unit: "cpu-ns/op", limit: 500},
	{area: "spine", name: "standing-decision-allocs", pkg: "./registry/gate", benchmark: "BenchmarkStandingDecision/one", unit: "allocs/op", limit: 0},
	{area: "spine", name: "access-token-again-ns", pkg: "./registry/auth", benchmark: "BenchmarkRequired/again", unit: "ns/op", limit: 5000},
	{area: "spine", name: "verify-vs-bare-sigstore-go", pkg: "./verify", benchmark: "BenchmarkBundle", unit: "ratio", limit: 1.2},
	{area: "spine", name: "first-decision-p50-us", pkg: "./registry/gate", benchmark: "BenchmarkFirstDecision", unit: "p50-µs", stated: true},
	{area: "spine", name: "first-decision-p99-us", pkg: "./registry/gate", benchmark: "BenchmarkFirstDecision", unit: "p99-µs", stated: true},
	{area: "spine", name: "log-write-p50-ms", pkg: "./ledger/tlog", benchmark: "BenchmarkLogWrite", unit: "p50-ms", limit: 150},
}

// evidence are the goals of log and proofs. Bare Tessera keeps a log that takes
// anything; a rate or a time next to it is what ours costs.
var evidence = []goal{
	{area: "evidence", name: "append-1-vs-tessera", pkg: "./ledger/tlog", benchmark: "BenchmarkAppend/writers=1", unit: "ratio", limit: 0.9, least: true},
	{area: "evidence", name: "append-64-vs-tessera", pkg: "./ledger/tlog", benchmark: "BenchmarkAppend/writers=64", unit: "ratio", limit: 0.9, least: true},
	{area: "evidence", name: "append-512-vs-tessera", pkg: "./ledger/tlog", benchmark: "BenchmarkAppend/writers=512", unit: "ratio", limit: 0.9, least: true},
	{area: "evidence", name: "append-512-entries-a-second", pkg: "./ledger/tlog", benchmark: "BenchmarkAppend/writers=512", unit: "entries/s", stated: true},
	{area: "evidence", name: "evidence-verify-vs-bare-sigstore-go", pkg: "./verify", benchmark: "BenchmarkBundle", unit: "ratio", limit: 1.2},
	{area: "evidence", name: "proof-1m-vs-10k-entries", pkg: "./ledger/tlog", benchmark: "BenchmarkProof", unit: "ratio", limit: 1.5},
	{area: "evidence", name: "proof-1m-p50-us", pkg: "./ledger/tlog", benchmark: "BenchmarkProof", unit: "p50-µs", stated: true},
	{area: "evidence", name: "proof-1m-p99-us", pkg: "./ledger/tlog", benchmark: "BenchmarkProof", unit: "p99-µs", stated: true},
	{area: "evidence", name: "monitor-1m-entries-s", pkg: "./ledger/monitor", benchmark: "BenchmarkMonitorMillion/entries", unit: "s", stated: true},
	{area: "evidence", name: "monitor-1m-keys-s", pkg: "./ledger/monitor", benchmark: "BenchmarkMonitorMillion/keys", unit: "s", stated: true},
	{area: "evidence", name: "monitor-1m-keys-heap-mb", pkg: "./ledger/monitor", benchmark: "BenchmarkMonitorMillion/keys", unit: "heap-MB", stated: true},
}

// build are the goals of contained builds.
var build = []goal{
	{area: "build", name: "sandboxed-vs-outside-cpu", pkg: "./build/sandbox", benchmark: "BenchmarkBuild/plain", unit: "cpu-ratio", limit: 1.05},
	{area: "build", name: "sandboxed-vs-outside-wall", pkg: "./build/sandbox", benchmark: "BenchmarkBuild/plain", unit: "ratio", limit: 1.05},
	{area: "build", name: "sandboxed-watched-vs-outside-cpu", pkg: "./build/sandbox", benchmark: "BenchmarkBuild/watched", unit: "cpu-ratio", limit: 1.05},
	{area: "build", name: "sandboxed-watched-vs-outside-wall", pkg: "./build/sandbox", benchmark: "BenchmarkBuild/watched", unit: "ratio", limit: 1.05},
	{area: "build", name: "sandbox-start-p50-ms", pkg: "./build/sandbox", benchmark: "BenchmarkStart", unit: "p50-ms", limit: 300},
	{area: "build", name: "unpack-warm-ms", pkg: "./build/rootfs", benchmark: "BenchmarkUnpack/warm", unit: "ms", limit: 100},
	{area: "build", name: "unpack-cold-us-a-file", pkg: "./build/rootfs", benchmark: "BenchmarkUnpack/cold", unit: "µs/file", stated: true},
}

const (
	cpuUnit  = "cpu-µs/req"
	rateUnit = "req/s"
)

// front are the goals of the registry's front end: per row, the most processor
// time next to zot's and a bare net/http server's, and the least throughput
// next to zot's.
func front() []goal {
	var all []goal
	for _, r := range []struct {
		row       string
		cpu, rate float64 // next to zot
		bare      float64 // processor time next to net/http; 0: no goal
	}{
		{"manifest-tag", 0.33, 1, 1.25},
		{"manifest-digest", 0.33, 1, 1.25},
		{"manifest-head", 0.33, 1, 1.25},
		{"blob-1k", 0.33, 1, 2},
		{"blob-1m", 0.5, 1, 1.25},
		{"blob-100m", 0.8, 1.2, 1.25},
		{"referrers", 0.05, 1, 0},
		{"push-1m", 0.8, 1, 0},
		{"push-100m", 0.8, 1, 0},
	} {
		all = append(all, against(r.row, "cpu", "zot", cpuUnit, r.cpu), against(r.row, "rate", "zot", rateUnit, r.rate))
		if r.bare > 0 {
			all = append(all, against(r.row, "cpu", "bare", cpuUnit, r.bare))
		}
	}
	for _, row := range []string{"tls-manifest-digest", "tls-blob-1m"} {
		for _, peer := range []string{"zot", "bare"} {
			all = append(all, stated(against(row, "cpu", peer, cpuUnit, 0)), stated(against(row, "rate", peer, rateUnit, 0)))
		}
	}
	return append(all,
		goal{area: "front", name: "front-idle-rss-mib", pkg: peers, benchmark: figure("memory", "patchfitd"), unit: "idle-MiB", limit: 64},
		goal{area: "front", name: "front-rss-64-parallel-100m-mib", pkg: peers, benchmark: figure("memory", "patchfitd"), unit: "peak-MiB", limit: 128},
		goal{area: "front", name: "front-flat-few-manifests", pkg: peers, benchmark: figure("flat", "few"), unit: "manifests", stated: true},
		goal{area: "front", name: "front-flat-many-manifests", pkg: peers, benchmark: figure("flat", "many"), unit: "manifests", stated: true},
		goal{area: "front", name: "front-flat-many-start-s", pkg: peers, benchmark: figure("flat", "many"), unit: "start-s", stated: true},
		goal{area: "front", name: "front-flat-many-rss-mib", pkg: peers, benchmark: figure("flat", "many"), unit: "idle-MiB", stated: true},
		flat("tag"), flat("digest"), flat("tags"), flat("referrers"),
		goal{area: "front", name: "front-pull-gate-vs-no-gate", pkg: "./registry", benchmark: "BenchmarkPullGateOnOff", unit: "ratio", limit: 0.97, least: true},
	)
}

func figure(row, who string) string { return "BenchmarkFront/" + row + "/" + who }

func against(row, what, peer, unit string, limit float64) goal {
	return goal{
		area: "front", name: "front-" + what + "-" + row + "-vs-" + peer, pkg: peers,
		benchmark: figure(row, "patchfitd"), peer: figure(row, peer), unit: unit, limit: limit, least: what == "rate",
	}
}

// stated is a goal without its limit.
func stated(g goal) goal {
	g.limit, g.least, g.stated = 0, false, true
	return g
}

// flat says that something costs the same in a repository of very many manifests.
func flat(what string) goal {
	row := "flat-" + what
	return goal{
		area: "front", name: "front-" + row + "-many-vs-few", pkg: peers,
		benchmark: figure(row, "many"), peer: figure(row, "few"), unit: cpuUnit, limit: 1.3,
	}
}

// wanted says what the goal asks for: at most, or at least.
func (g goal) wanted() string {
	switch text := strconv.FormatFloat(g.limit, 'g', 4, 64); {
	case g.stated:
		return "stated"
	case g.least:
		return ">=" + text
	default:
		return text
	}
}

func (g goal) met(v float64) bool {
	switch {
	case g.stated:
		return true
	case g.least:
		return v >= g.limit
	default:
		return v <= g.limit
	}
}

// line states the goal; what could not be measured falls short.
func (g goal) line(f figures) string {
	v, ok := f.median(g.benchmark, g.unit)
	if g.peer != "" {
		v, ok = f.ratio(g.benchmark, g.peer, g.unit)
	}
	switch {
	case !ok:
		return fmt.Sprintf("goal %s not-measured %s short", g.name, g.wanted())
	case g.met(v):
		return fmt.Sprintf("goal %s %.4g %s met", g.name, v, g.wanted())
	default:
		return fmt.Sprintf("goal %s %.4g %s short", g.name, v, g.wanted())
	}
}

// chosen returns the goals of an area.
func chosen(area string) []goal {
	return slices.DeleteFunc(slices.Clone(goals), func(g goal) bool { return area != "all" && g.area != area })
}

// pattern matches the benchmarks that goals of a package need, and no others.
func pattern(pkg string, some []goal) string {
	var names []string
	for _, g := range some {
		if g.pkg == pkg {
			name, _, _ := strings.Cut(g.benchmark, "/")
			names = append(names, name)
			if g.peer != "" {
				name, _, _ = strings.Cut(g.peer, "/")
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return "^(" + strings.Join(slices.Compact(names), "|") + ")$"
}
