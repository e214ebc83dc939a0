package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
)

const goodSite = "maxRecordAge: 12h\nminimumAssurance:\n  host: signed\n  base: built\n"

func TestLoadSite(t *testing.T) {
	s, err := policy.LoadSite([]byte(goodSite))
	if err != nil {
		t.Fatal(err)
	}
	if s.MaxRecordAge != 12*time.Hour || s.MinimumAssurance != (policy.Assurance{Host: "signed", Base: "built"}) || s.Digest() != attest.DigestOf([]byte(goodSite)) {
		t.Errorf("%+v, digest %s", s, s.Digest())
	}
}

func TestLoadSiteRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ doc, says string }{
		"nothing":                {"", "site policy"},
		"comments only":          {"# nothing\n", "site policy"},
		"not a mapping":          {"- 1\n", "site policy"},
		"not YAML":               {"a: b: c\n", "site policy"},
		"no record age":          {"minimumAssurance: {host: signed, base: built}\n", "/maxRecordAge: missing"},
		"no assurance":           {"maxRecordAge: 1h\n", "/minimumAssurance: missing"},
		"no host assurance":      {"maxRecordAge: 1h\nminimumAssurance: {base: built}\n", "/minimumAssurance/host: missing"},
		"zero record age":        {strings.Replace(goodSite, "12h", "0s", 1), "/maxRecordAge"},
		"negative record age":    {strings.Replace(goodSite, "12h", "-1h", 1), "/maxRecordAge"},
		"no unit":                {strings.Replace(goodSite, "12h", "12", 1), "/maxRecordAge"},
		"more than a month":      {strings.Replace(goodSite, "12h", "721h", 1), "720h"},
		"empty record age":       {strings.Replace(goodSite, "12h", "", 1), "/maxRecordAge"},
		"unknown level":          {strings.Replace(goodSite, "signed", "sealed", 1), "sealed"},
		"host merely reported":   {strings.Replace(goodSite, "signed", "reported", 1), "reported"},
		"empty level":            {strings.Replace(goodSite, "built", `""`, 1), "/minimumAssurance/base"},
		"unknown field":          {goodSite + "warn: true\n", "/warn"},
		"unknown field in depth": {goodSite + "  kernel: built\n", "/minimumAssurance/kernel"},
		"field in another case":  {strings.Replace(goodSite, "maxRecordAge", "MaxRecordAge", 1), "MaxRecordAge"},
		"field twice":            {goodSite + "maxRecordAge: 1h\n", "maxRecordAge"},
		"second document":        {goodSite + "---\nmaxRecordAge: 720h\n", "line 5"},
		"end of document":        {goodSite + "...\n", "line 5"},
		"null":                   {strings.Replace(goodSite, "12h", "null", 1), "/maxRecordAge"},
		"too long":               {goodSite + "#" + strings.Repeat("x", 64<<10), "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := policy.LoadSite([]byte(tt.doc))
			if err == nil || s != nil {
				t.Fatalf("taken: %+v", s)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), "site policy: ") {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
		})
	}
}

// The sample that is installed is the default, commented.
func TestSampleSite(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "deploy", "policy", "site.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := policy.LoadSite(doc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(policy.DefaultSite(), s, cmpopts.IgnoreUnexported(policy.Site{})); diff != "" {
		t.Errorf("the sample is not the default (-default +sample):\n%s", diff)
	}
	if policy.DefaultSite().Digest() == "" || policy.DefaultSite().Digest() == s.Digest() {
		t.Error("the default has no digest of its own")
	}
}

func FuzzLoadSite(f *testing.F) {
	f.Add([]byte(goodSite))
	f.Add([]byte("maxRecordAge: !!float 1\nminimumAssurance: &a {host: signed, base: *a}\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := policy.LoadSite(doc)
		if err != nil {
			return
		}
		if s.MaxRecordAge <= 0 || s.MaxRecordAge > 720*time.Hour || s.MinimumAssurance.Host == "" || s.MinimumAssurance.Base == "" {
			t.Fatalf("taken: %+v", s)
		}
	})
}
