package attest

import (
	"cmp"
	"regexp"
	"strings"
)

// What each predicate type asks of itself and of its statement's subjects.

func (e *Environment) about(at spot, subjects []Subject) error {
	d, err := e.Digest()
	if err != nil {
		return err
	}
	return cmp.Or(count(at, subjects, 2), secondIs(at, subjects, d, "the environment digest"))
}

func (b *Base) check(at spot) error {
	return cmp.Or(
		at.member("product").uuid(b.Product),
		at.member("kind").oneOf(b.Kind, baseKinds()...),
		b.File.check(at.member("file")),
		at.member("environment").digest(b.Environment),
		b.Target.check(at.member("target")),
		checkMeasurements(at.member("measurements"), b.Kind, b.File, b.Measurements),
	)
}

func (b *Base) about(at spot, subjects []Subject) error {
	return cmp.Or(count(at, subjects, 2), secondIs(at, subjects, b.File.Digest, "the base's file"))
}

func (f File) check(at spot) error {
	return cmp.Or(at.member("digest").digest(f.Digest), at.member("size").number(f.Size, 1))
}

func (p *LivePatch) check(at spot) error {
	return cmp.Or(
		at.member("product").uuid(p.Product),
		at.member("kind").oneOf(p.Kind, patchKinds()...),
		at.member("base").digest(p.Base),
		at.member("baseFile").digest(p.BaseFile),
		at.member("environment").digest(p.Environment),
		p.File.check(at.member("file")),
		p.checkContent(at),
	)
}

// checkContent asks of a patch what does not depend on who says it: whoever built
// it, or whoever imported it.
func (p *LivePatch) checkContent(at spot) error {
	return cmp.Or(
		at.member("unsigned").digest(p.Unsigned),
		at.member("code").digest(p.Code),
		at.member("functions").lines(p.Functions),
		at.member("imports").lines(p.Imports),
		each(at.member("fixes"), p.Fixes, checkCVE),
		unique(at.member("fixes"), p.Fixes, self),
		at.member("replaces").digests(p.Replaces),
		at.member("requires").digests(p.Requires),
		at.member("conflicts").digests(p.Conflicts),
	)
}

func (p *LivePatch) about(at spot, subjects []Subject) error {
	return cmp.Or(count(at, subjects, 2), secondIs(at, subjects, p.File.Digest, "the patch's file"))
}

var cve = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)

func checkCVE(at spot, v string) error {
	if !cve.MatchString(v) {
		return at.errorf("%.80q is not a CVE id", v)
	}
	return nil
}

// maxRunning is how many measurements one host record has: each decision for
// the host looks all of them up.
const maxRunning = 64

func (h *HostRecord) check(at spot) error {
	return cmp.Or(
		at.member("host").uuid(h.Host),
		at.member("bootId").uuid(h.BootID),
		at.member("sequence").number(h.Sequence, 1),
		at.member("nonce").line(h.Nonce),
		at.member("time").time(h.Time),
		h.Target.check(at.member("target")),
		fewRunning(at.member("running"), h.Running),
		each(at.member("running"), h.Running, checkRunning),
		sortedRunning(at.member("running"), h.Running),
	)
}

func fewRunning(at spot, list []Running) error {
	if len(list) > maxRunning {
		return at.errorf("%d measurements, want at most %d", len(list), maxRunning)
	}
	return nil
}

func checkRunning(at spot, r Running) error {
	return cmp.Or(at.member("product").uuid(r.Product), checkMeasurement(at.member("measurement"), r.Measurement))
}

func sortedRunning(at spot, list []Running) error {
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Measurement.Digest, b.Measurement.Digest)) >= 0 {
			return at.index(i).errorf("does not sort after the element before it by product and digest")
		}
	}
	return nil
}

func (h *HostRecord) about(at spot, subjects []Subject) error { return count(at, subjects, 1) }

func (r *Revocation) check(at spot) error {
	return cmp.Or(
		at.member("product").uuid(r.Product),
		at.member("kind").oneOf(r.Kind, RevokePayload, RevokeSubject, RevokeKey, RevokeEnvironment, RevokeBuilder),
		at.member("digest").digest(r.Digest),
		at.member("reason").line(r.Reason),
		r.checkSince(at.member("since")),
	)
}

// maxCheckpoint is how many bytes a checkpoint has, cosignatures and all.
const maxCheckpoint = 64 << 10

// checkSince reads the place as far as no key is needed: who signed the
// checkpoint, and how large a log it is of, package verify asks.
func (r *Revocation) checkSince(at spot) error {
	text := at.member("checkpoint")
	switch {
	case r.Since == nil:
		return nil
	case r.Kind != RevokeKey:
		return at.errorf("only what a key said has a place in a log, this revokes a %s", r.Kind)
	case len(r.Since.Checkpoint) > maxCheckpoint:
		return text.errorf("%d bytes, at most %d are read", len(r.Since.Checkpoint), maxCheckpoint)
	case !strings.HasSuffix(r.Since.Checkpoint, "\n"):
		return text.errorf("a signed note ends in a newline")
	}
	return at.member("logIndex").number(r.Since.LogIndex, 0)
}

func (r *Revocation) about(at spot, subjects []Subject) error {
	if err := count(at, subjects, 1); err != nil {
		return err
	}
	if subjects[0].Digest != r.Digest {
		return at.index(0).errorf("%s is not the revoked digest %s", subjects[0].Digest, r.Digest)
	}
	return nil
}

func count(at spot, subjects []Subject, n int) error {
	if len(subjects) != n {
		return at.errorf("%d subjects, want %d", len(subjects), n)
	}
	return nil
}

func secondIs(at spot, subjects []Subject, want Digest, what string) error {
	if len(subjects) < 2 || subjects[1].Digest == want {
		return nil
	}
	return at.index(1).errorf("%s is not %s %s", subjects[1].Digest, what, want)
}
