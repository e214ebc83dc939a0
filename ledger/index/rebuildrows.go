package index

import (
	"cmp"
	"database/sql"
	"errors"
	"slices"

	"github.com/patchfit/patchfit/attest"
)

const (
	maxRebuilds = 1000 // statements about one artifact, which has no more referrers
	maxPulled   = 1000 // hosts of one artifact
	maxBefore   = 64   // artifacts that are looked through for a regression
)

// claim returns the environment that the first statement about an artifact says
// it was made in, and what the signer of that is called.
func (v *view) claim(repository string, d attest.Digest, asOf AsOf) (environment attest.Digest, publisher string, err error) {
	var env, signer []byte
	err = v.tx.QueryRowContext(v.ctx, "SELECT environment, signer FROM claim WHERE subject = ? AND repository = ? AND sequence <= ? ORDER BY sequence LIMIT 1",
		sum(d), repository, asOf.Sequence).Scan(&env, &signer)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	publisher, err = v.signerName(digest(signer), asOf)
	return digest(env), publisher, err
}

// results returns one row a rebuilder.
func (v *view) results(r *Rebuilt, asOf AsOf) ([]RebuildRow, error) {
	query := `SELECT s.sequence, t.time, s.by, s.signer, b.result, b.category, b.explanation, b.environment, b.got, b.code, b.output, b.log,
			b.normaliser, b.normaliser_digest, b.run, s.signed, s.log_index, s.payload, s.bundle
		FROM rebuild b JOIN statement s ON s.sequence = b.sequence JOIN record t ON t.sequence = b.sequence
		WHERE b.subject = ? AND b.repository = ? AND b.sequence <= ? ORDER BY b.sequence LIMIT ?`
	var all []RebuildRow
	err := v.each(query, []any{sum(r.Manifest), r.Repository, asOf.Sequence, maxRebuilds}, func(row func(...any) error) error {
		b, err := scanResult(row)
		b.SameEnvironment = b.Environment == r.Environment
		all = append(all, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Rebuilder, err = v.signerName(all[i].Signer, asOf); err != nil {
			return nil, err
		}
		if all[i].Revoked, err = v.revokedRow(r.Repository, asOf, all[i].Payload, all[i].Signer); err != nil {
			return nil, err
		}
	}
	return newestOfEach(all), nil
}

func scanResult(row func(...any) error) (RebuildRow, error) {
	b := RebuildRow{SchemaVersion: SchemaVersion}
	var at, signed int64
	var code sql.NullBool
	var signer, environment, got, output, log, normaliser, payload, bundle []byte
	err := row(&b.Admitted.Sequence, &at, &b.Admitted.By, &signer, &b.Result, &b.Category, &b.Explanation, &environment, &got, &code, &output, &log,
		&b.Normaliser, &normaliser, &b.Run, &signed, &b.LogIndex, &payload, &bundle)
	b.Admitted.Time, b.Signed = when(at), when(signed)
	b.Signer, b.Environment, b.Got = digest(signer), digest(environment), digest(got)
	b.Output, b.Log, b.NormaliserDigest = digest(output), digest(log), digest(normaliser)
	b.Payload, b.Bundle = digest(payload), digest(bundle)
	if code.Valid {
		b.CodeAlike = &code.Bool
	}
	return b, err
}

// newestOfEach keeps of each rebuilder the row that says most, by the order in
// which the gate goes by them, and counts the others.
func newestOfEach(all []RebuildRow) []RebuildRow {
	out := []RebuildRow{}
	of := make(map[string][]RebuildRow)
	for _, b := range all {
		who := cmp.Or(b.Rebuilder, string(b.Signer))
		of[who] = append(of[who], b)
	}
	for _, rows := range of {
		best := rows[0]
		for _, b := range rows[1:] {
			if rank(&b, &best) > 0 {
				best = b
			}
		}
		best.Runs = len(rows)
		for _, b := range rows {
			if b.Result == best.Result && b.Got == best.Got && b.Environment == best.Environment {
				best.Agreeing++
			}
		}
		out = append(out, best)
	}
	slices.SortFunc(out, func(a, b RebuildRow) int {
		return cmp.Or(cmp.Compare(a.Rebuilder, b.Rebuilder), cmp.Compare(a.Signer, b.Signer))
	})
	return out
}

// rank is above 0 where a says more than b: of the artifact, then by time.
func rank(a, b *RebuildRow) int {
	says := func(r *RebuildRow) int {
		if r.Got != "" && r.SameEnvironment && !r.Revoked {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(says(a), says(b)), a.Signed.Compare(b.Signed), cmp.Compare(a.LogIndex, b.LogIndex), cmp.Compare(a.Payload, b.Payload))
}

// revokedRow reports whether a revocation names a statement or its signer.
func (v *view) revokedRow(repository string, asOf AsOf, payload, signer attest.Digest) (bool, error) {
	var n int
	err := v.tx.QueryRowContext(v.ctx, "SELECT count(*) FROM statement WHERE type = ? AND repository = ? AND sequence <= ? AND subject IN (?, ?)",
		attest.TypeRevocation, repository, asOf.Sequence, sum(payload), sum(signer)).Scan(&n)
	return n > 0, err
}

func (v *view) adjudications(r *Rebuilt, asOf AsOf) ([]AdjudicationRow, error) {
	query := `SELECT s.sequence, t.time, s.by, s.signer, a.verdict, a.reason, s.signed, s.payload, s.bundle
		FROM adjudication a JOIN statement s ON s.sequence = a.sequence JOIN record t ON t.sequence = a.sequence
		WHERE a.subject = ? AND a.repository = ? AND a.sequence <= ? ORDER BY a.sequence LIMIT ?`
	out := []AdjudicationRow{}
	err := v.each(query, []any{sum(r.Manifest), r.Repository, asOf.Sequence, maxRebuilds}, func(row func(...any) error) error {
		a := AdjudicationRow{SchemaVersion: SchemaVersion, Outputs: []attest.Digest{}}
		var at, signed int64
		var signer, payload, bundle []byte
		err := row(&a.Admitted.Sequence, &at, &a.Admitted.By, &signer, &a.Verdict, &a.Reason, &signed, &payload, &bundle)
		a.Admitted.Time, a.Signed = when(at), when(signed)
		a.Signer, a.Payload, a.Bundle = digest(signer), digest(payload), digest(bundle)
		out = append(out, a)
		return err
	})
	for i := range out {
		if err == nil {
			err = v.fillAdjudication(&out[i], r.Repository, asOf)
		}
	}
	return out, err
}

func (v *view) fillAdjudication(a *AdjudicationRow, repository string, asOf AsOf) error {
	var err error
	if a.Adjudicator, err = v.signerName(a.Signer, asOf); err != nil {
		return err
	}
	if a.Revoked, err = v.revokedRow(repository, asOf, a.Payload, a.Signer); err != nil {
		return err
	}
	return v.each("SELECT output FROM adjudication_output WHERE sequence = ? ORDER BY output", []any{a.Admitted.Sequence}, func(row func(...any) error) error {
		var out []byte
		err := row(&out)
		a.Outputs = append(a.Outputs, digest(out))
		return err
	})
}

// regression looks for the publisher's artifact before r of which rebuilds say
// something, and returns it where it was reproduced.
func (v *view) regression(r *Rebuilt, asOf AsOf) (*Regression, error) {
	query := `SELECT m.sequence, t.time, m.digest FROM manifest m JOIN record t ON t.sequence = m.sequence
		WHERE m.repository = ? AND m.artifact_type = ? AND m.sequence < ? ORDER BY m.sequence DESC LIMIT ?`
	typ := attest.ArtifactPatch
	if r.Role == role(attest.ArtifactBase) {
		typ = attest.ArtifactBase
	}
	var before []Rebuilt
	err := v.each(query, []any{r.Repository, typ, r.Published.Sequence, maxBefore}, func(row func(...any) error) error {
		b := Rebuilt{Repository: r.Repository}
		var at int64
		var d []byte
		err := row(&b.Published.Sequence, &at, &d)
		b.Published.Time, b.Manifest = when(at), digest(d)
		before = append(before, b)
		return err
	})
	for _, b := range before {
		if err != nil {
			return nil, err
		}
		if b.Environment, b.Publisher, err = v.claim(b.Repository, b.Manifest, asOf); err != nil || b.Publisher != r.Publisher || b.Publisher == "" {
			continue
		}
		if b.Results, err = v.results(&b, asOf); err != nil {
			return nil, err
		}
		switch {
		case b.came(attest.Reproduced):
			return &Regression{Before: b.Manifest, Published: b.Published.Event}, nil
		case b.came(attest.Differs):
			return nil, nil
		}
	}
	return nil, err
}

// pulled returns the hosts that were allowed to have r, or a patch for it.
func (v *view) pulled(r *Rebuilt, asOf AsOf) ([]PulledBy, error) {
	query := `SELECT max(d.sequence), t.time, d.host, d.decision, d.artifact FROM decision d JOIN record t ON t.sequence = d.sequence
		WHERE d.allow = 1 AND d.repository = ? AND d.sequence <= ?
		AND (d.artifact = ? OR d.artifact IN (SELECT m.digest FROM manifest m WHERE m.repository = ? AND m.artifact_type = ? AND m.subject = ? AND m.sequence <= ?))
		GROUP BY d.host ORDER BY d.host LIMIT ?`
	var out []PulledBy
	err := v.each(query, []any{r.Repository, asOf.Sequence, sum(r.Manifest), r.Repository, attest.ArtifactPatch, sum(r.Manifest), asOf.Sequence, maxPulled},
		func(row func(...any) error) error {
			p := PulledBy{}
			var at int64
			var artifact []byte
			err := row(&p.Sequence, &at, &p.Host, &p.Decision, &artifact)
			p.Time, p.Artifact = when(at), digest(artifact)
			out = append(out, p)
			return err
		})
	for i := range out {
		if err == nil {
			out[i].HostName, err = v.hostName(out[i].Host, asOf)
		}
	}
	return out, err
}

// hostName returns the label of a host; "" where there is none.
func (v *view) hostName(host string, asOf AsOf) (string, error) {
	var name string
	err := v.tx.QueryRowContext(v.ctx, "SELECT name FROM host WHERE host = ? AND sequence <= ? ORDER BY sequence DESC LIMIT 1", host, asOf.Sequence).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return name, err
}
