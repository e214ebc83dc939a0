package policy

import (
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// A principal is a signer of a trust policy in one product, whatever its keys:
// whoever counts, counts once.
type principal struct {
	attest.Independence
	name  string
	roles map[attest.Role]bool
}

// introduce notes whose keys are whose.
func (p *product) introduce(role attest.Role, s attest.Signer) {
	who := &principal{Independence: s.Independence, name: s.Name, roles: make(map[attest.Role]bool)}
	for _, id := range voices(s) {
		if have := p.who[id]; have != nil { // in another role
			who = have
		}
	}
	who.roles[role] = true
	for _, id := range voices(s) {
		p.who[id] = who
	}
}

// voices are the ids of a signer's keys and identities.
func voices(s attest.Signer) (all []attest.Digest) {
	for _, k := range s.Keys {
		if key, err := attest.ParsePublicKey(k.Key); err == nil {
			all = append(all, key.ID())
		}
	}
	for _, i := range s.Identities {
		if id, err := i.ID(); err == nil {
			all = append(all, id)
		}
	}
	return all
}

// signer returns who a signer is; nil: nobody of the product.
func (p *product) signer(id attest.Digest) *principal {
	if p == nil {
		return nil
	}
	return p.who[id]
}

// clash returns the first class in which two principals do not differ; "": they
// are independent. What is not known differs from nothing.
func (p *principal) clash(other *principal, classes []string) string {
	for _, class := range classes {
		if v := p.Of(class); v == "" || v == other.Of(class) {
			return class
		}
	}
	return ""
}

// counting are the classes that a quorum goes by: the operator, and what it
// names. No quorum goes by the operator.
func counting(q *attest.Quorum) []string {
	classes := []string{attest.ClassOperator}
	if q != nil {
		classes = append(classes, q.Differ...)
	}
	return classes
}

// independent returns as many of all as differ from each other in all classes,
// and no more than want. It tries them all: there are few.
func independent(all []*principal, classes []string, want int) []*principal {
	return extended(nil, all, classes, want)
}

func extended(chosen, rest []*principal, classes []string, want int) []*principal {
	best := chosen
	for i, p := range rest {
		if len(best) >= want || len(chosen)+len(rest)-i <= len(best) {
			break
		}
		if slices.ContainsFunc(chosen, func(c *principal) bool { return p.clash(c, classes) != "" }) {
			continue
		}
		if got := extended(append(slices.Clip(chosen), p), rest[i+1:], classes, want); len(got) > len(best) {
			best = got
		}
	}
	return best
}

// isRebuilt reports whether artifacts of this type are built again.
func isRebuilt(artifactType string) bool {
	return artifactType == attest.ArtifactBase || artifactType == attest.ArtifactPatch
}

// publishing is the role of whoever makes such artifacts.
func publishing(artifactType string) attest.Role {
	if artifactType == attest.ArtifactPatch {
		return attest.RolePatch
	}
	return attest.RoleBase
}

func rebuildProduct(e *verify.Evidence) string {
	if r := verify.As[attest.Rebuild](e); r != nil {
		return r.Product
	}
	if a := verify.As[attest.Adjudication](e); a != nil {
		return a.Product
	}
	return ""
}

func isAboutRebuild(e *verify.Evidence) bool {
	return verify.As[attest.Rebuild](e) != nil || verify.As[attest.Adjudication](e) != nil
}
