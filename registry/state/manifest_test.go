package state_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

func TestParseManifest(t *testing.T) {
	file := attest.File{Digest: attest.DigestOf([]byte("f")), Size: 7}
	good := string(statetest.Manifest(attest.ArtifactPatch, file, attest.DigestOf([]byte("base"))))
	m, err := state.ParseManifest([]byte(good), state.MediaManifest)
	if err != nil {
		t.Fatal(err)
	}
	want := policy.Artifact{Manifest: attest.DigestOf([]byte(good)), Type: attest.ArtifactPatch, Subject: attest.DigestOf([]byte("base")), File: file.Digest, FileSize: 7}
	if diff := cmp.Diff(want, m.Artifact); diff != "" {
		t.Errorf("artifact (-want +got):\n%s", diff)
	}
	for name, tt := range map[string]struct{ from, to, media, want string }{
		"duplicate name":      {`"schemaVersion":2`, `"schemaVersion":2,"schemaVersion":2`, "", "duplicate"},
		"null":                {`"schemaVersion":2`, `"schemaVersion":2,"annotations":null`, "", "null"},
		"other schema":        {`"schemaVersion":2`, `"schemaVersion":1`, "", "/schemaVersion"},
		"sent as index":       {"", "", state.MediaIndex, "/mediaType"},
		"unknown type":        {`"mediaType":"` + state.MediaManifest + `",`, ``, "text/plain", "no manifest"},
		"index with layers":   {`"mediaType":"` + state.MediaManifest + `",`, ``, state.MediaIndex, "belong to a manifest"},
		"manifests in it":     {`"schemaVersion":2`, `"schemaVersion":2,"manifests":[]`, "", "/manifests"},
		"no config":           {`"config"`, `"konfig"`, "", "/config"},
		"sha512":              {`"digest":"sha256:`, `"digest":"sha512:`, "", "128"},
		"upper-case digest":   {`"digest":"sha256:`, `"digest":"SHA256:`, "", "sha256"},
		"negative size":       {`"size":7`, `"size":-7`, "", "/layers/0/size"},
		"points elsewhere":    {`"size":7`, `"size":7,"urls":["file:///etc/passwd"]`, "", "/layers/0/urls"},
		"no digest":           {`"size":7`, `"size":7},{"mediaType":"x","size":1`, "", "/layers/1/digest"},
		"trailing data":       {good, good + " {}", "", "trailing"},
		"name in other cases": {`"artifactType"`, `"ArtifactType"`, "", "case"},
	} {
		text := strings.Replace(good, tt.from, tt.to, 1)
		if text == good && tt.media == "" {
			t.Errorf("%s: nothing was changed", name)
		}
		media := tt.media
		if media == "" {
			media = state.MediaManifest
		}
		if _, err := state.ParseManifest([]byte(text), media); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(statetest.Manifest(attest.ArtifactPatch, attest.File{Digest: attest.DigestOf(nil), Size: 7}, attest.DigestOf(nil)), state.MediaManifest)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`), state.MediaIndex)
	f.Fuzz(func(t *testing.T, raw []byte, media string) {
		m, err := state.ParseManifest(raw, media)
		if err != nil {
			return
		}
		if m.Artifact.Manifest != attest.DigestOf(raw) || m.Size != int64(len(raw)) || m.MediaType != media {
			t.Errorf("manifest %+v is not that of its bytes", m)
		}
		for _, d := range m.References {
			if _, _, err := state.ParseName(d); err != nil {
				t.Errorf("reference: %v", err)
			}
		}
	})
}
