package index

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// rebuilds takes in what a statement says that matters to rebuilds.
func (p *projection) rebuilds(b *ledger.StatementAdmitted, s *Statement) error {
	switch {
	case s.Environment != "":
		return p.insert("claim", "repository, subject, environment, signer", b.Repository, sum(b.Subject), sum(s.Environment), sum(s.Signer))
	case s.Rebuild != nil:
		return p.rebuild(b, s.Rebuild)
	case s.Adjudication != nil:
		return p.adjudication(b, s.Adjudication)
	}
	return nil
}

func (p *projection) rebuild(b *ledger.StatementAdmitted, r *attest.Rebuild) error {
	var got, code, normaliserDigest any
	if c := r.Compared; c != nil {
		got = sum(c.File.Got)
		if c.Code != nil {
			code = c.Code.Alike()
		}
	}
	normaliser := ""
	if n := r.Normaliser; n != nil {
		normaliser, normaliserDigest = n.Name, sum(n.Digest)
	}
	return p.insert("rebuild",
		"repository, subject, environment, result, category, explanation, got, code, output, log, normaliser, normaliser_digest, run",
		b.Repository, sum(b.Subject), sum(r.Environment), r.Result, r.Category, r.Explanation, got, code,
		sum(r.Output), sum(r.Log), normaliser, normaliserDigest, r.Run.ID)
}

func (p *projection) adjudication(b *ledger.StatementAdmitted, a *attest.Adjudication) error {
	if err := p.insert("adjudication", "repository, subject, verdict, reason", b.Repository, sum(b.Subject), a.Verdict, a.Reason); err != nil {
		return err
	}
	for _, out := range a.Outputs {
		if err := p.insert("adjudication_output", "output", sum(out)); err != nil {
			return err
		}
	}
	return nil
}
