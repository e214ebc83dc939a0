package verifying

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// A subject is what statements have to be about.
type subject struct {
	name       string
	repository string          // "" where none was named
	artifact   verify.Artifact // Manifest "": known by its file alone
	typ        string          // artifactType; "" where it is not known
	says       bool            // nothing is known but what the statement says
}

// A named is a bundle and where it is from.
type named struct {
	name string
	raw  []byte
}

// A source is where everything of one run came from.
type source struct {
	sub     *subject
	bundles []named // about the subject, or named by hand
	beneath []named // about what it stands on, as far as it came along
	session *shell.Session
	holding *mirror.Holding // nil: no layout was named
}

func (s *source) close() {
	if s.holding != nil {
		_ = s.holding.Close() // it was only read
	}
}

// gather finds the artifact and its bundles. The session is nil where no
// server was asked.
func (a verbs) gather(ctx context.Context, v *flags, what string) (*source, error) {
	s := &source{}
	var err error
	if s.bundles, err = readBundles(v.bundles); err != nil {
		return nil, err
	}
	if v.layout != "" {
		if s.holding, err = mirror.OpenHolding(v.layout); err != nil {
			return nil, layoutError(err)
		}
	}
	if err := a.find(ctx, v, s, what); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func layoutError(err error) error {
	if p := (*mirror.Problem)(nil); errors.As(err, &p) {
		code := exit.Unproven
		if p.Code == mirror.Unfinished {
			code = exit.NotFound
		}
		return exit.With(code, p.Error(), p.Remedy)
	}
	return err
}

func (a verbs) find(ctx context.Context, v *flags, s *source, what string) (err error) {
	if s.sub, err = fileSubject(what); err != nil {
		return err
	}
	if s.sub != nil {
		return s.aboutFile(v, what)
	}
	ref, err := shell.ParseOne(what)
	switch {
	case err != nil && !strings.Contains(what, "@"): // it may well be meant as a file
		return exit.BadUsage(fmt.Errorf("there is no file %.200q here, and %w", what, err), "name a file, a digest, NAME:TAG or NAME@sha256:HEX")
	case err != nil:
		return err
	case s.holding != nil:
		return s.inLayout(ref)
	case len(s.bundles) > 0 && ref.Digest != "":
		s.sub = &subject{name: what, repository: ref.Repository, artifact: verify.Artifact{Manifest: ref.Digest}}
		return nil
	case v.offline:
		return exit.BadUsage(errors.New("--offline asks no server, and nothing here says what "+what+" is"),
			"name a file or a digest and its --bundle files, or a --layout: an OCI image layout or a mirror")
	}
	return a.fetchSubject(ctx, ref, s)
}

// aboutFile finds bundles about a file or digest that were not named: in the
// layout, or beside it. A file that is a bundle stands for what it says.
func (s *source) aboutFile(v *flags, path string) error {
	switch {
	case len(s.bundles) > 0:
		return nil
	case s.holding != nil:
		return s.spread(func(b *attest.Bundle) bool {
			subjects := b.Statement.Subjects
			return len(subjects) == 2 && subjects[1].Digest == s.sub.artifact.File
		})
	}
	if raw, err := readBundle(path); err == nil && v.root.file == "" {
		if _, err := attest.ParseBundle(raw); err == nil {
			s.sub, s.bundles = &subject{name: path, says: true}, []named{{path, raw}}
			return nil
		}
	}
	var err error
	if s.bundles, err = besides(path); err != nil {
		return err
	}
	if len(s.bundles) == 0 {
		return exit.BadUsage(errors.New("--bundle is missing"), "a file does not say where its statements are: name them, put them beside it as "+filepath.Base(path)+".sigstore.json, or verify a reference")
	}
	return nil
}

// besides returns the bundles beside a file: FILE.sigstore.json, and
// FILE.anything.sigstore.json.
func besides(path string) ([]named, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, nil // a digest has nothing beside it
	}
	base := filepath.Base(path)
	var paths []string
	for _, e := range entries {
		if ok, _ := filepath.Match("*.sigstore.json", e.Name()); ok && len(e.Name()) > len(base) && e.Name()[:len(base)+1] == base+"." {
			paths = append(paths, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	return readBundles(paths)
}

func (s *source) inLayout(ref shell.Reference) error {
	d := ref.Digest
	if d == "" {
		var ok bool
		if d, ok = s.holding.Resolve(ref.Repository, ref.Tag); !ok {
			return exit.With(exit.NotFound, fmt.Sprintf("the layout has no %s:%s", ref.Repository, ref.Tag), "name the digest, or a tag as the layout has it")
		}
	}
	a, typ, ok := s.holding.Artifact(d)
	if !ok {
		return exit.With(exit.NotFound, fmt.Sprintf("the layout has no manifest %s", d), "copy it with its referrers: patchfit mirror pull, oras copy --recursive, cosign save")
	}
	s.sub = &subject{name: ref.Repository + "@" + string(d), repository: ref.Repository, artifact: a, typ: typ}
	if len(s.bundles) > 0 {
		return nil
	}
	return s.spread(func(b *attest.Bundle) bool { return b.Statement.Subjects[0].Digest == d })
}

// spread sorts the layout's bundles: what is about the subject, and the rest.
func (s *source) spread(about func(*attest.Bundle) bool) error {
	all, err := s.holding.Bundles()
	if err != nil {
		return layoutError(err)
	}
	for _, d := range slices.Sorted(maps.Keys(all)) {
		s.sort(named{"sha256:" + d.Short(), all[d]}, about)
	}
	return nil
}

func (s *source) sort(n named, about func(*attest.Bundle) bool) {
	if b, err := attest.ParseBundle(n.raw); err == nil && !about(b) {
		s.beneath = append(s.beneath, n)
		return
	}
	s.bundles = append(s.bundles, n)
}

func (a verbs) fetchSubject(ctx context.Context, ref shell.Reference, s *source) (err error) {
	if s.session, err = a.Connect(ref.Server); err != nil {
		return err
	}
	found, err := publish.Resolve(ctx, s.session.Client, ref.Repository, ref.Name())
	if err != nil {
		return err
	}
	s.sub = &subject{
		name: ref.Repository + "@" + string(found.Manifest), repository: ref.Repository,
		artifact: verify.Artifact{Manifest: found.Manifest, File: found.File}, typ: found.Type,
	}
	if len(s.bundles) > 0 {
		return nil
	}
	e, err := s.session.Client.Evidence(ctx, ref.Repository, found.Manifest)
	if err != nil {
		return err
	}
	for _, raw := range e.Bundles {
		s.sort(named{"sha256:" + attest.DigestOf(raw).Short(), raw}, func(b *attest.Bundle) bool { return b.Statement.Subjects[0].Digest == found.Manifest })
	}
	return nil
}

// fileSubject hashes a file; nil where there is none of that name. What is no
// file and a whole digest, is the digest of one.
func fileSubject(path string) (*subject, error) {
	d, err := fileDigest(path)
	if errors.Is(err, os.ErrNotExist) {
		if d, err = attest.ParseDigest(path); err != nil {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &subject{name: path, artifact: verify.Artifact{File: d}}, nil
}

func fileDigest(path string) (attest.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return attest.DigestFromSum(sum.Sum(nil)), nil
}

func readBundles(paths []string) ([]named, error) {
	var list []named
	for _, path := range paths {
		raw, err := readBundle(path)
		if err != nil {
			return nil, err
		}
		list = append(list, named{path, raw})
	}
	return list, nil
}

func readBundle(path string) ([]byte, error) {
	raw, err := readLimited(path, attest.MaxBundle)
	if err != nil {
		return nil, fmt.Errorf("reading a bundle: %w", err)
	}
	return raw, nil
}

// readLimited reads a file up to one byte beyond a limit, which whoever parses
// it then refuses.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	return raw, errors.Join(err, f.Close())
}

// trust returns the trust policy to go by, and the digest of its envelope.
func (v *flags) trust(ctx context.Context, s *source) (*attest.TrustPolicy, attest.Digest, error) {
	var b []byte
	var err error
	from := "trust policy " + v.policy
	switch {
	case v.policy != "":
		if b, err = os.ReadFile(v.policy); err != nil {
			return nil, "", fmt.Errorf("reading the trust policy: %w", err)
		}
	case v.roots != "" && s.holding != nil:
		if b, err = s.holding.TrustPolicy(); err != nil {
			return nil, "", layoutError(err)
		}
		from = "the layout's trust policy"
	case s.session != nil && v.roots == "":
		return s.session.PinnedEnvelope(ctx)
	}
	if b == nil {
		return nil, "", exit.BadUsage(errors.New("--trust-policy is missing"), "name the signed trust policy and, with --roots, what makes it yours")
	}
	roots, err := shell.Digest(v.roots)
	if err != nil {
		return nil, "", err
	}
	p, err := attest.OpenTrustPolicy(b, roots)
	if err == nil && !time.Now().Before(p.Expires) {
		err = fmt.Errorf("it expired at %s", p.Expires.Format(time.RFC3339))
	}
	if err != nil {
		return nil, "", exit.With(exit.Unproven, fmt.Sprintf("%s: %v", from, err), "get the current one, and its roots' digest, from the product's owners")
	}
	return p, attest.DigestOf(b), nil
}

const maxRevocations = 64 << 20 // bytes of a file with all of a product

// withRevocations tells c the revocations there are: from files, the mirror, the
// server. From none of these nothing is known of them, which c says.
func (v *flags) withRevocations(ctx context.Context, c *Checker, s *source, product string) (*Checker, error) {
	if len(v.revocations) > 0 {
		var all [][]byte
		for _, path := range v.revocations {
			some, err := readRevocations(path, product)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return c.Revoked(all, "files"), nil
	}
	if s.holding != nil {
		bundles, known, err := s.holding.Revocations(product)
		if err != nil {
			return nil, layoutError(err)
		}
		if known {
			return c.Revoked(bundles, "the mirror"), nil
		}
	}
	if s.session == nil {
		return c, nil
	}
	answer, err := s.session.Client.Revocations(ctx, product)
	if e := (*api.Error)(nil); errors.As(err, &e) && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound) {
		return c, nil // whoever may not see them does not know them
	}
	if err != nil {
		return nil, err
	}
	return c.Revoked(answer.Bundles, "the server"), nil
}

// readRevocations reads a bundle, or what GET /v1/revocations answered.
func readRevocations(path, product string) ([][]byte, error) {
	raw, err := readLimited(path, maxRevocations)
	if err != nil {
		return nil, fmt.Errorf("reading revocations: %w", err)
	}
	if bytes.Contains(raw[:min(len(raw), 4096)], []byte(`"mediaType"`)) {
		return [][]byte{raw}, nil
	}
	var answer api.Revocations
	if err := strictjson.Unmarshal(raw, maxRevocations, &answer); err != nil {
		return nil, exit.With(exit.Unproven, fmt.Sprintf("revocations %s: %v", path, err), "name a bundle, or what GET /v1/revocations answered")
	}
	if answer.Product != product {
		return nil, exit.With(exit.Unproven, fmt.Sprintf("revocations %s are of product %s, want %s", path, cmp.Or(answer.Product, "(none)"), product), "get those of this product")
	}
	return answer.Bundles, nil
}
