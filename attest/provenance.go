package attest

import (
	"cmp"
	"net/url"
	"strings"
	"time"
)

// Dependency returns the sha256 of the resolved dependency called name; false
// where there is none of that name, more than one, or one without a sha256.
func (p *Provenance) Dependency(name string) (Digest, bool) {
	var found []ResourceDescriptor
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		if d.Name == name {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		return "", false
	}
	d, err := ParseDigest(digestPrefix + found[0].Digest["sha256"])
	return d, err == nil
}

func (p *Provenance) check(at spot) error {
	return cmp.Or(
		p.BuildDefinition.check(at.member("buildDefinition")),
		p.RunDetails.check(at.member("runDetails")),
	)
}

func (d *BuildDefinition) check(at spot) error {
	params, deps := at.member("externalParameters"), at.member("resolvedDependencies")
	return cmp.Or(
		at.member("buildType").oneOf(d.BuildType, BuildType),
		params.member("product").uuid(d.ExternalParameters.Product),
		checkCommand(params.member("command"), d.ExternalParameters.Command),
		d.ExternalParameters.Recipe.check(params.member("recipe")),
		each(deps, d.ResolvedDependencies, checkDependency),
		unique(deps, d.ResolvedDependencies, func(d ResourceDescriptor) string { return d.Name }),
	)
}

func checkCommand(at spot, argv []string) error {
	if len(argv) == 0 || argv[0] == "" {
		return at.errorf("no command")
	}
	return each(at, argv, spot.argument)
}

// check asks for paths that lead nowhere else, in their one form.
func (r *Recipe) check(at spot) error {
	if r == nil {
		return nil
	}
	return cmp.Or(
		at.member("artifact").below(r.Artifact),
		unlessEmpty(r.Directory, at.member("directory").below),
		unlessEmpty(strings.TrimPrefix(r.Configuration, "/"), at.member("configuration").below),
		at.member("sourceDateEpoch").number(r.SourceDateEpoch, 0),
	)
}

func unlessEmpty(v string, check func(string) error) error {
	if v == "" {
		return nil
	}
	return check(v)
}

func checkDependency(at spot, d ResourceDescriptor) error {
	sum, named := d.Digest["sha256"]
	if _, err := ParseDigest(digestPrefix + sum); named && err != nil {
		return at.member("digest").member("sha256").errorf("%.80q is not 64 lower-case hex digits", sum)
	}
	if !named && (d.Name == DependencyEnvironment || d.Name == DependencyBuilder || d.Name == DependencySource) {
		return at.member("digest").member("sha256").errorf("missing")
	}
	return at.member("name").line(d.Name)
}

func (r *RunDetails) check(at spot) error {
	meta := at.member("metadata")
	if id, err := url.Parse(r.Builder.ID); err != nil || id.Scheme == "" {
		return at.member("builder").member("id").errorf("%.80q is not a URI", r.Builder.ID)
	}
	started, finished := r.Metadata.StartedOn, r.Metadata.FinishedOn
	if !finished.IsZero() && finished.Before(started) {
		return meta.member("finishedOn").errorf("%s is before startedOn", finished.Format(time.RFC3339))
	}
	return cmp.Or(
		at.member("builder").member("id").line(r.Builder.ID),
		optional(started, meta.member("startedOn").time),
		optional(finished, meta.member("finishedOn").time),
	)
}

func optional(t time.Time, check func(time.Time) error) error {
	if t.IsZero() {
		return nil
	}
	return check(t)
}

// about takes one subject, the manifest, or two: the manifest and its one file.
func (p *Provenance) about(at spot, subjects []Subject) error {
	if len(subjects) > 2 {
		return at.errorf("%d subjects, want a manifest and at most its one file", len(subjects))
	}
	return nil
}
