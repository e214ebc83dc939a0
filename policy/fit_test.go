package policy_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// These tests hold the promise this project makes: change any one field of
// environment, base, measurement or record, or leave one out, and the answer is
// deny. Each mutated document is signed again by its legitimate signer, logged,
// timestamped and put through admission, so that nothing but the fit itself
// stands between it and an allow.

// free says why a mutation may be allowed: the place does not decide the fit.
// Nothing of environment, base, measurement or record is free.
func free(m mutation) string {
	place, path := m.place(), strings.Join(m.path, "/")
	switch m.doc {
	case "livepatch":
		for _, name := range []string{"unsigned", "code", "functions", "imports", "fixes", "replaces", "requires", "conflicts", "revertible"} {
			if strings.HasPrefix(place, "livepatch/"+name) {
				return "tells people and appliers about the patch; its bytes are the file's digest"
			}
		}
	case "patch provenance", "base provenance":
		if strings.HasPrefix(path, "buildDefinition/resolvedDependencies/2") || strings.HasSuffix(m.what, "swapped with the one before") {
			return "the source is for auditors, and dependencies have no order"
		}
		return freeBuild(m)
	case "builder provenance":
		return freeBuild(m)
	}
	return ""
}

func freeBuild(m mutation) string {
	place := m.place()
	for _, name := range []string{"buildDefinition/externalParameters/command", "buildDefinition/internalParameters", "runDetails"} {
		if strings.HasPrefix(place, m.doc+"/"+name) {
			return "provenance says who built how, for auditors"
		}
	}
	if strings.Contains(place, "/resolvedDependencies/#/uri") {
		return "where it came from, for people"
	}
	if strings.Contains(place, "externalParameters swapped") || strings.HasSuffix(place, "resolvedDependencies") && m.doc == "builder provenance" {
		return "a builder image depends on nothing of ours"
	}
	return ""
}

// TestNoMutationIsAllowed changes each field of each document in place.
func TestNoMutationIsAllowed(t *testing.T) {
	s := newStage(t)
	s.mustAllow("before", s.play(nil))
	counts := make(map[string]int)
	for _, m := range s.mutations() {
		changed := m.apply(s.docs[m.doc])
		if reflect.DeepEqual(changed, s.docs[m.doc]) || free(m) != "" {
			continue
		}
		counts[m.doc]++
		if d := s.decide(s.play(map[string]doc{m.doc: changed})); d.Allow || len(d.Reasons) == 0 {
			t.Errorf("%s: %+v", m, d)
		}
	}
	s.mustAllow("after", s.play(nil))
	t.Logf("denied, by document: %v", counts)
	for _, name := range []string{"environment", "base", "record", "livepatch"} {
		if counts[name] < 50 {
			t.Errorf("only %d mutations of %s", counts[name], name)
		}
	}
}

// TestNoOtherEnvironmentFits changes each field of the environment and puts the
// result everywhere it could matter, everything else true to it: in most of
// these worlds every single statement is consistent, signed and admitted.
func TestNoOtherEnvironmentFits(t *testing.T) {
	s := newStage(t)
	for mode, stage := range s.environmentModes() {
		s.mustAllowOnly(mode, stage)
	}
	n := 0
	for _, m := range s.mutations() {
		if m.doc != "environment" {
			continue
		}
		changed := m.apply(s.docs["environment"])
		if reflect.DeepEqual(changed, s.docs["environment"]) {
			continue
		}
		for mode, stage := range s.environmentModes() {
			if testing.Short() && mode != hostBuiltIn {
				continue
			}
			n++
			d := s.decide(stage(changed))
			if d.Allow || len(d.Reasons) == 0 {
				t.Errorf("%s, %s: %+v", mode, m, d)
			}
			if mode == hostBuiltIn {
				namesField(t, m, d)
			}
		}
	}
	t.Logf("%d worlds denied", n)
}

// namesField asks that a denial leads with ENV_MISMATCH and names the field.
func namesField(t *testing.T, m mutation, d policy.Decision) {
	t.Helper()
	if d.Reasons[0].Reason != verify.EnvMismatch {
		t.Errorf("%s: leads with %s", m, d.Reasons[0])
		return
	}
	if strings.HasPrefix(d.Reasons[0].Want, "environment of the base the host runs") {
		return // the environment itself was refused, so there are no fields
	}
	for _, r := range d.Reasons {
		if r.Reason == verify.EnvMismatch && strings.HasPrefix(r.Want, m.path[0]) && r.Want != r.Got {
			return
		}
	}
	t.Errorf("%s is not named: %v", m, d.Reasons)
}

// TestNoPairOfMutationsIsAllowed changes two places at once, sampled by a seed
// that is printed. PATCHFIT_SEED repeats a run.
func TestNoPairOfMutationsIsAllowed(t *testing.T) {
	s := newStage(t)
	r, seed := random(t)
	var all []mutation
	for _, m := range s.mutations() {
		if free(m) == "" {
			all = append(all, m)
		}
	}
	pairs := 600
	if testing.Short() {
		pairs = 100
	}
	for range pairs {
		a, b := all[r.IntN(len(all))], all[r.IntN(len(all))]
		changed := map[string]doc{a.doc: a.apply(s.docs[a.doc])}
		from, done := changed[b.doc]
		if !done {
			from = s.docs[b.doc]
		}
		changed[b.doc] = b.apply(from)
		if s.same(changed) {
			continue
		}
		if d := s.decide(s.play(changed)); d.Allow || len(d.Reasons) == 0 {
			t.Errorf("seed %d: %s and %s: %+v", seed, a, b, d)
		}
	}
	s.mustAllow("after", s.play(nil))
}

// same reports whether the documents are as they were, or whether base and
// record were given one and the same other measurement: then the host runs what
// the base authority says it does, and that world is true.
func (s *stage) same(changed map[string]doc) bool {
	unlike := 0
	for name, d := range changed {
		if !reflect.DeepEqual(needed(d), needed(s.docs[name])) {
			unlike++
		}
	}
	base, record := changed["base"], changed["record"]
	if unlike == 0 || base == nil || record == nil {
		return unlike == 0
	}
	m := get(record, []string{"running", "0", "measurement"})
	was := get(s.docs["base"], []string{"measurements", "0"})
	return reflect.DeepEqual(get(base, []string{"measurements", "0"}), m) &&
		reflect.DeepEqual(with(base, []string{"measurements", "0"}, was), s.docs["base"]) &&
		reflect.DeepEqual(with(record, []string{"running", "0", "measurement"}, was), s.docs["record"])
}

// needed returns a document without dependencies that nobody asks for: one
// that was doubled, with the first of the two renamed, is such a thing, and
// what was asked for is still there, once.
func needed(d doc) doc {
	path := []string{"buildDefinition", "resolvedDependencies"}
	all, ok := get(d, path).([]any)
	if !ok {
		return d
	}
	asked := slices.DeleteFunc(slices.Clone(all), func(one any) bool {
		name := get(one, []string{"name"})
		return name != attest.DependencyEnvironment && name != attest.DependencyBuilder
	})
	return with(d, path, asked)
}

// TestNoTamperingIsAllowed changes documents after they were signed: whatever
// the place, even a free one, the signature does not hold.
func TestNoTamperingIsAllowed(t *testing.T) {
	s := newStage(t)
	for _, m := range s.mutations() {
		if m.doc != "record" {
			continue
		}
		changed := m.apply(s.docs[m.doc])
		if reflect.DeepEqual(changed, s.docs[m.doc]) {
			continue
		}
		signed := s.RecordEnvelope(s.w)
		a := act{typ: attest.TypeHostRecord, about: verify.Artifact{Manifest: s.w.HostKey.Key.ID()}, predicate: changed}
		forged := resigned(t, signed, statement(t, a))
		_, err := verify.StoredHostRecord(forged, s.w.HostKey.Key, s.w.Record.Host)
		if r, ok := err.(*verify.Refusal); !ok || r.Reason != verify.BadSignature {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// resigned returns the envelope with another payload under the old signature.
func resigned(t *testing.T, envelope, payload []byte) []byte {
	t.Helper()
	e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
	if err != nil {
		t.Fatal(err)
	}
	b, err := strictjson.Canonical(map[string]any{
		"payloadType": e.PayloadType, "payload": payload,
		"signatures": []any{map[string]any{"keyid": e.Signatures[0].KeyID, "sig": e.Signatures[0].Sig}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNothingThatFitsIsDenied makes worlds at random, all of them true.
func TestNothingThatFitsIsDenied(t *testing.T) {
	s := newStage(t)
	r, seed := random(t)
	for i := range 40 {
		w := s.World(s.product, fmt.Sprintf("world %d", i))
		w.Environment.Flags = randomWords(r)
		w.Environment.Compiler.Version = strings.Join(randomWords(r), " ") + " ü"
		w.Environment.MakeVariables = nil
		for _, word := range randomWords(r) {
			w.Environment.MakeVariables = append(w.Environment.MakeVariables, attest.Variable{Name: word[1:], Value: word})
		}
		w.Environment.Libraries = w.Environment.Libraries[:r.IntN(3)]
		w.Environment.Target = []attest.Target{w.Environment.Target, {Architecture: "s390x", ByteOrder: "big", WordSize: 64, ABI: "gnu"}, {Architecture: "arm", ByteOrder: "little", WordSize: 32, ABI: "sysv"}}[r.IntN(3)]
		w.Base.Target, w.Record.Target = w.Environment.Target, w.Environment.Target
		w.Base.Measurements[0].BuildID = fmt.Sprintf("%040x", r.Uint64())
		w.Record.Running[0].Measurement = w.Base.Measurements[0]
		w.Link(t)
		s.mustAllow(fmt.Sprintf("seed %d, world %d", seed, i), staged(w, docs(t, w)))
	}
}

// TestUnknownBasesAreCounted: however many measurements are of no base, a
// denial lists so many of them and says how many there are.
func TestUnknownBasesAreCounted(t *testing.T) {
	const listed = 64
	for n, want := range map[int]int{1: 1, listed: listed, listed + 1: listed + 1, 1000: listed + 1} {
		_, w, f := good(t)
		for i := range n {
			m := attest.Measurement{Kind: attest.MeasureELFFile, Digest: attest.Digest(fmt.Sprintf("sha256:%064x", i)), BuildID: "ab"}
			f.Host.Record.Running = append(f.Host.Record.Running, attest.Running{Product: w.Product, Measurement: m})
		}
		d := policy.Decide(f)
		if d.Allow || len(d.Reasons) != want || d.Reasons[0].Reason != verify.UnknownBase {
			t.Errorf("%d measurements of no base: allow %v, %d reasons, want %d", n, d.Allow, len(d.Reasons), want)
			continue
		}
		if last := d.Reasons[want-1].Got; strings.Contains(last, fmt.Sprintf("%d without", n)) != (n > listed) {
			t.Errorf("%d measurements of no base: the last reason has %q", n, last)
		}
	}
}

func randomWords(r *rand.Rand) []string {
	words := make([]string, r.IntN(6))
	for i := range words {
		words[i] = fmt.Sprintf("-f%x", r.Uint32())
	}
	return append(words, "-g")
}

func (s *stage) mustAllow(when string, p *play) {
	s.t.Helper()
	if d := s.decide(p); !d.Allow || d.Basis != attest.FitEnvironment {
		s.t.Fatalf("%s: what fits is denied: %v", when, d.Reasons)
	}
}

// mutations lists every mutation of every document of the stage's world.
func (s *stage) mutations() []mutation {
	other := s.World(s.product, "another")
	other.Product = "3b241101-e2bb-4255-8caf-4136c566a962"
	said := map[string]any{"record": other.Record}
	for _, o := range other.Said() {
		said[o.Name] = o.Predicate
	}
	other.Record.Nonce, other.Record.BootID = "another challenge", "5a1a3b52-8a38-4c7c-9f0e-000000000000"
	all := mutations(s.t, "record", s.w.Record, said["record"])
	for _, o := range s.w.Said() {
		all = append(all, mutations(s.t, o.Name, o.Predicate, said[o.Name])...)
	}
	return all
}

func random(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("PATCHFIT_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("PATCHFIT_SEED: %v", err)
		}
	}
	t.Logf("PATCHFIT_SEED=%d repeats this run", seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}
