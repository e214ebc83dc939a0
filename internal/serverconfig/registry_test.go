package serverconfig

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRegistry(t *testing.T) {
	c, err := Load([]byte(good + `
registry:
  limits: {repository: 50GiB, publisher: 10GiB, blob: 1GiB, uploads: 64, ownUploads: 8, ownPending: 2GiB, pending: 8GiB, uploadTTL: 2h}
  free: {bytes: 512MiB, percent: 3}
  immutableTags: [release-*, v1]
  retention:
    - {repository: lib/*, untagged: 720h, tags: nightly-*, keepLast: 7}
    - {untagged: 2160h, artifacts: true}
  gc: {every: 24h, grace: 48h}
  scrub: {every: 168h, rate: 20MiB}
`))
	if err != nil {
		t.Fatal(err)
	}
	hour := Duration(time.Hour)
	want := Registry{
		Limits: Quotas{Repository: 50 << 30, Publisher: 10 << 30, Blob: 1 << 30, Uploads: 64, OwnUploads: 8, OwnPending: 2 << 30, Pending: 8 << 30, UploadTTL: 2 * hour},
		Free:   &Free{512 << 20, 3}, ImmutableTags: []string{"release-*", "v1"},
		Retention: []Retention{{"lib/*", 720 * hour, "nightly-*", 7, false}, {Untagged: 2160 * hour, Artifacts: true}},
		GC:        &GC{24 * hour, 48 * hour}, Scrub: &Scrub{168 * hour, 20 << 20},
	}
	if diff := cmp.Diff(want, c.Registry); diff != "" {
		t.Error(diff)
	}
	for tag, immutable := range map[string]bool{"release-1": true, "v1": true, "v11": false, "latest": false} {
		if c.Registry.Immutable(tag) != immutable {
			t.Errorf("tag %s is immutable: %v", tag, !immutable)
		}
	}
}

func TestRegistryRefused(t *testing.T) {
	for what, fault := range map[string]string{
		"gc: {}":                                      "every",
		"gc: {every: 0s}":                             "above zero",
		"gc: {every: 24h, every2: 1h}":                "every2",
		"scrub: {rate: 20MiB}":                        "every",
		"scrub: {every: 24h, rate: 20}":               "registry",
		"scrub: {every: 24h, rate: '20'}":             "no unit",
		"scrub: {every: 24h, rate: -1B}":              "above zero",
		"scrub: {every: 24h, rate: 0B}":               "above zero",
		"scrub: {every: 24h, rate: +1B}":              "whole number",
		"scrub: {every: 24h, rate: 1.5GiB}":           "whole number",
		"scrub: {every: 24h, rate: 9999999999TiB}":    "more than can be counted",
		"free: {percent: 91}":                         "91 percent",
		"free: {percent: -1}":                         "-1 percent",
		"limits: {uploads: -1}":                       "below zero",
		"limits: {quota: 1GiB}":                       "quota",
		"limits: {ownPending: 0B}":                    "above zero",
		"limits: {ownPending: 9GiB}":                  "less than a blob",
		"limits: {pending: 9GiB}":                     "less than one principal",
		"limits: {ownPending: 20GiB, pending: 10GiB}": "less than one principal",
		"limits: {ownPending: 1GiB, blob: 2GiB}":      "less than a blob",
		"immutableTags: ['[']":                        "no pattern",
		"immutableTags: ['']":                         "no pattern",
		"retention: [{untagged: 720h}]":               "say gc",
	} {
		_, err := Load([]byte(good + "registry: {" + what + "}\n"))
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: error %v, want one with %q", what, err, fault)
		}
	}
}

func TestSizesReadBack(t *testing.T) {
	for _, s := range []Size{1, 1023, 1 << 10, 3 << 20, 1<<30 + 1, 5 << 40, 1<<63 - 1} {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again Size
		if err := again.UnmarshalText(text); err != nil || again != s {
			t.Errorf("%d is %s is %d, %v", s, text, again, err)
		}
	}
}
