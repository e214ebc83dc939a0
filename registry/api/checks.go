package api

import "github.com/patchfit/patchfit/policy"

// Checks returns the rules that were looked at, in the form all programs tell
// them in.
func Checks(all []policy.Check) []Check {
	list := []Check{}
	for _, c := range all {
		list = append(list, Check{
			Rule: c.Rule, Criterion: c.Criterion, Passed: c.Passed,
			Findings: append([]Finding{}, findings(c.Findings)...), Warnings: findings(c.Warnings),
		})
	}
	return list
}

func findings(all []policy.Finding) (list []Finding) {
	for _, f := range all {
		list = append(list, Finding{Reason: string(f.Reason), Want: f.Want, Got: f.Got, Evidence: f.Evidence, Remedy: f.Remedy})
	}
	return list
}
