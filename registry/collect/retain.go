package collect

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
)

// A Rule says what a repository keeps of what nobody tags. The first rule whose
// Repository matches is the only one for a repository; without one all stays.
type Rule struct {
	Repository string        // a pattern of path.Match; "": every repository
	Untagged   time.Duration // an unreachable manifest is hidden after; 0: never
	Tags       string        // a pattern: of the tags that match, with KeepLast
	KeepLast   int           // the newest so many stay; 0: all
	// Artifacts says that environments, bases, patches and what carries admitted
	// evidence may be hidden too. Without it they stay, with what they are
	// attached to.
	Artifacts bool
}

// Retention is how rules are applied.
type Retention struct {
	Rules     []Rule
	Immutable func(tag string) bool // tags that are never taken away; nil: none
	DryRun    bool
}

// Retained says what was hidden, or would be.
type Retained struct {
	Tags      int
	Manifests int
}

// keeper is who hid something, in its record.
const keeper = "retention"

// batch is how many records are made before those who wait get their turn.
const batch = 16

// Check reports what is wrong with a rule.
func (r Rule) Check() error {
	for _, pattern := range []string{r.Repository, r.Tags} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %.80q: %w", pattern, err)
		}
	}
	switch {
	case r.Untagged < 0 || r.KeepLast < 0:
		return fmt.Errorf("an age of %v or %d tags to keep is below zero", r.Untagged, r.KeepLast)
	case (r.Tags == "") != (r.KeepLast == 0):
		return fmt.Errorf("tags and keepLast go together")
	case r.Untagged == 0 && r.KeepLast == 0:
		return fmt.Errorf("the rule hides nothing: give it untagged, or tags and keepLast")
	}
	return nil
}

// matches reports whether pattern, which was checked, matches all of name.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// Retain applies the rules once: tags first, then manifests. It stops at the
// first fact the journal does not take.
func (k *Collector) Retain(ctx context.Context, how Retention) (Retained, error) {
	var done Retained
	for _, rule := range how.Rules {
		if err := rule.Check(); err != nil {
			return done, fmt.Errorf("retention: %w", err)
		}
	}
	if !k.State.Ready() {
		return done, fmt.Errorf("retention: %w", errNotReady)
	}
	for _, repository := range k.State.Repositories() {
		i := slices.IndexFunc(how.Rules, func(r Rule) bool { return r.Repository == "" || matches(r.Repository, repository) })
		if i < 0 {
			continue
		}
		h := &hiding{k, how, how.Rules[i], repository}
		tags, err := h.each(ctx, h.oldTags)
		done.Tags += tags
		if err == nil {
			tags, err = h.each(ctx, h.stale)
			done.Manifests += tags
		}
		if err != nil {
			return done, fmt.Errorf("retention: %w", err)
		}
	}
	return done, nil
}

// hiding applies a rule to a repository.
type hiding struct {
	*Collector
	Retention
	rule       Rule
	repository string
}

// each hides all that plan finds, some at a time: each time it is found again,
// and hidden while nothing comes in.
func (h *hiding) each(ctx context.Context, plan func() []ledger.Deleted) (n int, err error) {
	for more := true; more && err == nil; {
		err = h.Alone(func() error {
			found := plan()
			if more = len(found) > batch && !h.DryRun; more {
				found = found[:batch]
			}
			for _, d := range found {
				if err := h.hide(ctx, d); err != nil {
					return err
				}
				n++
			}
			return nil
		})
	}
	return n, err
}

func (h *hiding) hide(ctx context.Context, d ledger.Deleted) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !h.DryRun {
		if _, err := h.Journal.Append(context.WithoutCancel(ctx), ledger.KindDelete, d); err != nil {
			return fmt.Errorf("recording that %s%s is hidden in %s: %w", d.Tag, d.Digest, d.Repository, err)
		}
	}
	h.logger.Info("a retention rule hid something", "repository", d.Repository, "tag", d.Tag, "digest", d.Digest, "dryRun", h.DryRun)
	return nil
}

// oldTags are the tags that match the rule, but for the newest.
func (h *hiding) oldTags() []ledger.Deleted {
	if h.rule.KeepLast == 0 {
		return nil
	}
	tags := slices.DeleteFunc(h.State.Tags(h.repository), func(tag string) bool {
		return !matches(h.rule.Tags, tag) || h.Immutable != nil && h.Immutable(tag)
	})
	slices.SortStableFunc(tags, func(a, b string) int {
		return h.State.Tagged(h.repository, b).Compare(h.State.Tagged(h.repository, a))
	})
	var old []ledger.Deleted
	for _, tag := range tags[min(h.rule.KeepLast, len(tags)):] {
		old = append(old, ledger.Deleted{Repository: h.repository, Tag: tag, By: keeper})
	}
	return old
}

// stale are the manifests that nothing alive leads to. What leads to others
// comes first, so that nothing visible is left without its parts.
func (h *hiding) stale() []ledger.Deleted {
	if h.rule.Untagged == 0 {
		return nil
	}
	all := h.State.Visible(h.repository)
	alive := h.alive(all)
	dead := slices.DeleteFunc(all, func(m *state.Manifest) bool { return alive[m.Artifact.Manifest] })
	slices.SortStableFunc(dead, func(a, b *state.Manifest) int { return cmp.Compare(leads(b), leads(a)) })
	var found []ledger.Deleted
	for _, m := range dead {
		found = append(found, ledger.Deleted{Repository: h.repository, Digest: m.Artifact.Manifest, By: keeper})
	}
	return found
}

// leads says how far up in its group a manifest is.
func leads(m *state.Manifest) int {
	switch {
	case len(m.Manifests) > 0:
		return 2
	case m.SubjectName != "":
		return 1
	}
	return 0
}

// alive returns what is kept, and all that it leads to: the manifests of an
// index, and along a subject both ways. Who refers to something alive is alive,
// and so is what it refers to.
func (h *hiding) alive(all []*state.Manifest) map[attest.Digest]bool {
	edges := make(map[attest.Digest][]attest.Digest)
	for _, m := range all {
		d := m.Artifact.Manifest
		for _, child := range m.Manifests {
			edges[d] = append(edges[d], h.resolve(child.Name))
		}
		if m.SubjectName != "" {
			subject := h.resolve(m.SubjectName)
			edges[d] = append(edges[d], subject)
			edges[subject] = append(edges[subject], d)
		}
	}
	alive := make(map[attest.Digest]bool)
	next := h.roots(all)
	for len(next) > 0 {
		d := next[len(next)-1]
		next = next[:len(next)-1]
		if !alive[d] {
			alive[d] = true
			next = append(next, edges[d]...)
		}
	}
	return alive
}

// roots are the manifests that stay of themselves: tagged, young, or evidence.
func (h *hiding) roots(all []*state.Manifest) []attest.Digest {
	before := time.Now().Add(-h.rule.Untagged)
	var roots []attest.Digest
	for _, tag := range h.State.Tags(h.repository) {
		if d, ok := h.State.Tag(h.repository, tag); ok {
			roots = append(roots, d)
		}
	}
	for _, m := range all {
		young := !h.State.Idle(h.repository, m.Artifact.Manifest).Before(before)
		if young || !h.rule.Artifacts && isEvidence(m) {
			roots = append(roots, m.Artifact.Manifest)
		}
	}
	return roots
}

// isEvidence reports whether a manifest is of what decisions are about.
func isEvidence(m *state.Manifest) bool {
	switch m.Type {
	case attest.ArtifactEnv, attest.ArtifactBase, attest.ArtifactPatch, attest.ArtifactRebuild, attest.ArtifactSource, attest.ArtifactInputs, attest.ArtifactBundle:
		return true
	}
	return m.Bundle != ""
}

// resolve returns the digest of what is named by its sha256 or its sha512.
func (h *hiding) resolve(name string) attest.Digest {
	if d, ok := h.State.Resolve(h.repository, name); ok {
		return d
	}
	return attest.Digest(name)
}
