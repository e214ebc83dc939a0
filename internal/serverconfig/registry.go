package serverconfig

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Registry says what the registry takes, what it keeps, and for how long
// (docs/spec/registry.md). What is left out is the default, or not done.
type Registry struct {
	Limits Quotas `json:"limits,omitzero"`
	// Free is what has to stay free on the disk; the default where it is left
	// out.
	Free *Free `json:"free,omitzero"`
	// ImmutableTags are patterns of tags that are never moved.
	ImmutableTags []string `json:"immutableTags,omitzero"`
	// Retention is applied before each collection.
	Retention []Retention `json:"retention,omitzero"`
	// GC is when what nothing needs is collected; nil: when patchfitd gc is run.
	GC *GC `json:"gc,omitzero"`
	// Scrub is when what is stored is read again; nil: never.
	Scrub *Scrub `json:"scrub,omitzero"`
}

// Quotas are limits of what may come in.
type Quotas struct {
	Repository Size     `json:"repository,omitzero"` // of all blobs of a repository
	Publisher  Size     `json:"publisher,omitzero"`  // of the blobs one principal put into a repository
	Blob       Size     `json:"blob,omitzero"`       // of one
	Uploads    int      `json:"uploads,omitzero"`    // open at once
	OwnUploads int      `json:"ownUploads,omitzero"` // of one principal
	OwnPending Size     `json:"ownPending,omitzero"` // bytes of one principal's uploads that are open
	Pending    Size     `json:"pending,omitzero"`    // bytes of all uploads that are open
	UploadTTL  Duration `json:"uploadTTL,omitzero"`
}

// largestBlob is the most bytes of a blob where nothing else is said.
const largestBlob Size = 10 << 30

// Free is what has to stay free: whichever is more.
type Free struct {
	Bytes   Size `json:"bytes,omitzero"`
	Percent int  `json:"percent,omitzero"` // of the whole disk
}

// Retention is a rule.
type Retention struct {
	Repository string   `json:"repository,omitzero"`
	Untagged   Duration `json:"untagged,omitzero"`
	Tags       string   `json:"tags,omitzero"`
	KeepLast   int      `json:"keepLast,omitzero"`
	Artifacts  bool     `json:"artifacts,omitzero"`
}

// GC is when and what is collected.
type GC struct {
	Every Duration `json:"every"`
	Grace Duration `json:"grace,omitzero"`
}

// Scrub is when and how fast what is stored is read.
type Scrub struct {
	Every Duration `json:"every"`
	Rate  Size     `json:"rate,omitzero"` // in a second
}

// Immutable reports whether a tag is never moved.
func (r *Registry) Immutable(tag string) bool {
	return slices.ContainsFunc(r.ImmutableTags, func(pattern string) bool {
		ok, err := path.Match(pattern, tag)
		return err == nil && ok
	})
}

func (c *Config) checkRegistry() error {
	r := &c.Registry
	for _, check := range []func() error{r.checkQuotas, r.checkFree, r.checkTags, r.checkRetention} {
		if err := check(); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
	}
	return nil
}

func (r *Registry) checkQuotas() error {
	if r.Limits.Uploads < 0 || r.Limits.OwnUploads < 0 {
		return errors.New("limits: a number of uploads is below zero")
	}
	blob := r.Limits.Blob
	if blob == 0 {
		blob = largestBlob
	}
	if r.Limits.OwnPending != 0 && r.Limits.OwnPending < blob {
		return fmt.Errorf("limits: ownPending is less than a blob may have, which is %d bytes; say a smaller blob, too", int64(blob))
	}
	if own := max(r.Limits.OwnPending, blob); r.Limits.Pending != 0 && r.Limits.Pending < own {
		return fmt.Errorf("limits: pending is less than one principal's open uploads may have, which is %d bytes; say a smaller ownPending, too", int64(own))
	}
	return nil
}

func (r *Registry) checkFree() error {
	if r.Free != nil && (r.Free.Percent < 0 || r.Free.Percent > 90) {
		return fmt.Errorf("free: %d percent, want 0 to 90", r.Free.Percent)
	}
	return nil
}

func (r *Registry) checkTags() error {
	for _, pattern := range r.ImmutableTags {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("immutableTags: %.80q is no pattern", pattern)
		}
	}
	return nil
}

// checkRetention refuses rules nobody applies; what is wrong inside of one the
// room that applies it says.
func (r *Registry) checkRetention() error {
	if len(r.Retention) > 0 && r.GC == nil {
		return errors.New("retention: rules are applied before a collection: say gc: {every: 24h} too")
	}
	return nil
}

// A Size is a number of bytes and a unit: 512B, 64KiB, 20MiB, 10GiB, 1TiB. It is
// never zero: who wants the default leaves the key out.
type Size int64

var units = []struct {
	name  string
	shift int
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}

// UnmarshalText reads a size above zero.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		switch {
		case err != nil || strings.HasPrefix(number, "+"):
			return fmt.Errorf("%.40q is not a whole number and a unit, as 64KiB or 10GiB", text)
		case n <= 0:
			return fmt.Errorf("%.40s is not above zero; leave the key out for the default", text)
		case n > math.MaxInt64>>u.shift:
			return fmt.Errorf("%.40s is more than can be counted", text)
		}
		*s = Size(n << u.shift)
		return nil
	}
	return fmt.Errorf("%.40q has no unit of B, KiB, MiB, GiB or TiB", text)
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) {
	for _, u := range units {
		if n := int64(s) >> u.shift; n<<u.shift == int64(s) && n > 0 {
			return fmt.Appendf(nil, "%d%s", n, u.name), nil
		}
	}
	return nil, fmt.Errorf("a size of %d bytes", int64(s))
}
