package mirroring

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/internal/term"
)

// A pulledAnswer is what mirror pull prints.
type pulledAnswer struct {
	mirrorReport
	Fetched int64    `json:"fetched"`
	Came    int64    `json:"bytesFetched"`
	Present int64    `json:"present"`
	LeftOut []string `json:"leftOut"` // manifests that name something by another digest than a sha256
}

func newPulledAnswer(path string, p *mirror.Pulled) *pulledAnswer {
	return &pulledAnswer{*newMirrorReport(path, p.Report), p.Stats.Fetched, p.Stats.Bytes, p.Stats.Present, append([]string{}, p.Stats.LeftOut...)}
}

func (v *pulledAnswer) text(w io.Writer, m term.Marker) {
	v.mirrorReport.text(w, m)
	fmt.Fprintf(w, "%s %d fetched (%s), %d were there already\n", m.Tick, v.Fetched, term.Size(v.Came), v.Present)
	for _, name := range v.LeftOut {
		fmt.Fprintf(w, "%s %s was left out: it names what it needs by another digest than a sha256\n", m.Bang, name)
	}
}

// A mirrorReport is what a mirror came to.
type mirrorReport struct {
	SchemaVersion int                `json:"schemaVersion"`
	Mirror        string             `json:"mirror"`
	PolicyVersion int64              `json:"policyVersion"`
	Repositories  []mirrorRepository `json:"repositories"`
	Blobs         int                `json:"blobs"`
	Bytes         int64              `json:"bytes"`
	Log           *mirrorLog         `json:"log,omitzero"`
	Elsewhere     int                `json:"provenByThemselves"` // bundles without an entry in the mirror's log
	Void          []mirrorRefused    `json:"void"`
	Refused       []mirrorRefused    `json:"refused"`
	Problems      []mirrorProblem    `json:"problems"`
	Verified      bool               `json:"verified"`
}

type mirrorRepository struct {
	Repository  string         `json:"repository"`
	Product     string         `json:"product"`
	Manifests   int            `json:"manifests"`
	Tags        int            `json:"tags"`
	Kinds       map[string]int `json:"kinds"`
	Statements  map[string]int `json:"statements"` // verified, by predicate type
	Revocations int            `json:"revocations"`
	Channels    int            `json:"channels"`
}

type mirrorLog struct {
	Origin  string `json:"origin"`
	Size    int64  `json:"size"`
	Entries int    `json:"entries"`
	Before  *int64 `json:"before,omitzero"` // size when a mirror was verified last; absent: never
}

type mirrorRefused struct {
	Repository string        `json:"repository"`
	Bundle     attest.Digest `json:"bundle"`
	Reason     string        `json:"reason"`
	Fact       string        `json:"fact"`
	Remedy     string        `json:"remedy"`
}

type mirrorProblem struct {
	Code   string `json:"code"`
	Fact   string `json:"fact"`
	Remedy string `json:"remedy"`
}

func newMirrorReport(path string, r *mirror.Report) *mirrorReport {
	v := &mirrorReport{
		SchemaVersion: 1, Mirror: path, PolicyVersion: r.PolicyVersion, Repositories: []mirrorRepository{},
		Blobs: r.Blobs, Bytes: r.Bytes, Elsewhere: r.Elsewhere,
		Void: refusedBundles(r.Void), Refused: refusedBundles(r.Refused), Problems: []mirrorProblem{}, Verified: r.Verified(),
	}
	for _, repo := range r.Repositories {
		v.Repositories = append(v.Repositories, mirrorRepository(repo))
	}
	for _, p := range r.Problems {
		v.Problems = append(v.Problems, mirrorProblem{string(p.Code), p.Fact, p.Remedy})
	}
	if cp := r.Checkpoint; cp != nil {
		v.Log = &mirrorLog{Origin: cp.Origin, Size: int64(cp.Size), Entries: r.Entries}
		if r.Before != nil {
			before := r.Before.Size
			v.Log.Before = &before
		}
	}
	return v
}

func refusedBundles(list []mirror.Refused) []mirrorRefused {
	out := []mirrorRefused{}
	for _, r := range list {
		out = append(out, mirrorRefused{r.Repository, r.Bundle, string(r.Refusal.Reason), r.Refusal.Fact, r.Refusal.Remedy})
	}
	return out
}

func (v *mirrorReport) text(w io.Writer, m term.Marker) {
	fmt.Fprintf(w, "%s, by trust policy version %d\n", term.Printable(v.Mirror), v.PolicyVersion)
	for _, r := range v.Repositories {
		whole := !slices.ContainsFunc(v.Refused, func(f mirrorRefused) bool { return f.Repository == r.Repository })
		fmt.Fprintf(w, "%s %s: %s; %d tags\n", m.Tick, r.Repository, counts(r.Kinds, func(s string) string { return s }), r.Tags)
		fmt.Fprintf(w, "%s %s: verified %s; %d revocations, %d channels\n", m.Check(whole), r.Repository, counts(r.Statements, shell.TypeName), r.Revocations, r.Channels)
	}
	if v.Blobs > 0 {
		fmt.Fprintf(w, "%s %d blobs hashed, %s\n", m.Check(!v.has(mirror.Corrupt, mirror.Missing, mirror.Unsafe)), v.Blobs, term.Size(v.Bytes))
	}
	v.logText(w, m)
	for _, r := range v.Void {
		fmt.Fprintf(w, "%s bundle %s counts for nothing: %s: %s\n", m.Bang, r.Bundle.Short(), r.Reason, term.Printable(r.Fact))
	}
	for _, r := range v.Refused {
		fmt.Fprintf(w, "%s bundle %s in %s  %s: %s\n", m.Cross, r.Bundle.Short(), r.Repository, r.Reason, term.Printable(r.Fact))
	}
	for _, p := range v.Problems {
		fmt.Fprintf(w, "%s %s: %s\n", m.Cross, p.Code, p.Fact)
	}
	if !v.Verified {
		fmt.Fprintln(w, "NOT verified")
		return
	}
	fmt.Fprintln(w, "verified")
}

func (v *mirrorReport) logText(w io.Writer, m term.Marker) {
	if v.Elsewhere > 0 {
		fmt.Fprintf(w, "%s %d bundles stand on the log proof each has itself\n", m.Bang, v.Elsewhere)
	}
	if v.Log == nil {
		return
	}
	fmt.Fprintf(w, "%s log %s: %d entries proven for its checkpoint of %d\n", m.Check(!v.has(mirror.NotLogged, mirror.RolledBack, mirror.Forked, mirror.Unshown)), v.Log.Origin, v.Log.Entries, v.Log.Size)
	if v.Log.Before != nil && v.Verified {
		fmt.Fprintf(w, "%s the log continues the one seen before, of %d entries\n", m.Tick, *v.Log.Before)
	}
}

// has reports whether there is a problem of one of these codes.
func (v *mirrorReport) has(codes ...mirror.Code) bool {
	return slices.ContainsFunc(v.Problems, func(p mirrorProblem) bool { return slices.Contains(codes, mirror.Code(p.Code)) })
}

// counts tells how many there are of each: "1 base, 2 live-patch".
func counts(of map[string]int, name func(string) string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%d %s", of[k], name(k)))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// A pushedAnswer is what mirror push prints.
type pushedAnswer struct {
	SchemaVersion int             `json:"schemaVersion"`
	Server        string          `json:"server"`
	Repositories  []string        `json:"repositories"`
	Manifests     int64           `json:"manifests"` // sent
	Blobs         int64           `json:"blobs"`
	Bytes         int64           `json:"bytes"`
	Present       int64           `json:"present"` // manifests the server had
	Tags          int64           `json:"tags"`    // moved
	Revocations   int64           `json:"revocations"`
	Channels      int64           `json:"channels"`
	Skipped       []mirrorRefused `json:"skipped"`
}

func newPushedAnswer(server string, p *mirror.Pushed) *pushedAnswer {
	return &pushedAnswer{
		1, server, p.Repositories, p.Manifests, p.Blobs, p.Bytes, p.Present, p.Tags, p.Revocations, p.Channels, refusedBundles(p.Skipped),
	}
}

func (v *pushedAnswer) text(w io.Writer, m term.Marker) {
	fmt.Fprintf(w, "%s\n", v.Server)
	for _, r := range v.Repositories {
		fmt.Fprintf(w, "%s %s\n", m.Tick, r)
	}
	fmt.Fprintf(w, "%s %d manifests and %d blobs (%s) sent, %d manifests were there already\n", m.Tick, v.Manifests, v.Blobs, term.Size(v.Bytes), v.Present)
	fmt.Fprintf(w, "%s %d tags moved, %d revocations in effect, %d channels\n", m.Tick, v.Tags, v.Revocations, v.Channels)
	for _, r := range v.Skipped {
		fmt.Fprintf(w, "%s bundle %s in %s was skipped: %s: %s\n", m.Bang, r.Bundle.Short(), r.Repository, r.Reason, term.Printable(r.Fact))
	}
}
