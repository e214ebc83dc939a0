package state_test

import (
	"context"
	"github.com/patchfit/patchfit/verify/verifytest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// A refusal is a record that does not follow from those before it.
type refusal struct {
	name string
	kind ledger.Kind
	body any
	want string
}

// A wreck is a House in which something is wrong with everything that is to be
// journaled next.
type wreck struct {
	*statetest.House
	w               *verifytest.World
	host, revoked   string
	gone            string // a principal who was revoked
	goneKey         statetest.Key
	key, fresh      statetest.Key
	token           ledger.TokenMade
	unknown, bundle attest.Digest
}

func newWreck(t *testing.T) *wreck {
	h := &wreck{House: house(t), unknown: attest.DigestOf([]byte("never stored"))}
	h.w = h.Publish("one")
	h.host, h.key = h.Enrol("a")
	h.Record(h.host, h.key, 5, h.w)
	h.revoked, _ = h.Enrol("r")
	h.SetState(h.revoked, state.Revoked)
	h.gone, h.goneKey = h.Principal("gone", state.RoleAuditor)
	h.Must(ledger.KindEnded, ledger.PrincipalEnded{Principal: h.gone, By: h.Admin})
	h.fresh = statetest.NewKey(t)
	h.token = ledger.TokenMade{Token: "t1", MAC: "aa", Products: []string{h.Product.ID}, Expires: verifytest.Epoch, By: h.Admin}
	h.Must(ledger.KindToken, h.token)
	h.bundle = h.Put(h.Say(h.w.Said()[0]))
	return h
}

// TestApplyRefuses: such a record stops the server, and changes nothing.
func TestApplyRefuses(t *testing.T) {
	h := newWreck(t)
	before, err := h.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range slices.Concat(h.admins(), h.hosts(statetest.NewKey(t)), h.registry()) {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.Journal.Append(context.Background(), tt.kind, tt.body)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "record ") {
				t.Errorf("error %v, want one that names the record and says %q", err, tt.want)
			}
			if h.State.Last() != before.Last() {
				t.Error("a refused record counts")
			}
		})
	}
	if diff := cmp.Diff(before, h.State, everything); diff != "" {
		t.Errorf("a refused record changed the state:\n%s", diff)
	}
}

// admins are records that follow from what admins do.
func (h *wreck) admins() []refusal {
	return []refusal{
		{"policy not stored", ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: h.unknown}, "not in the ledger store"},
		{"policy of the same version", ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 1, Envelope: h.Put(h.Policy(1, h.Product))}, "version"},
		{"policy by other roots", ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: h.Put(otherRoots(h))}, "root"},
		{"policy of another version than recorded", ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 3, Envelope: h.Put(h.Policy(2, h.Product))}, "the record says 3"},
		{"product twice", ledger.KindProduct, ledger.ProductAdded{Product: h.Product.ID, Repository: "other"}, "added before"},
		{"repository of another", ledger.KindProduct, ledger.ProductAdded{Product: uuid.NewString(), Repository: repo}, "another product"},
		{"principal twice", ledger.KindPrincipal, ledger.PrincipalAdded{Principal: h.Admin, Key: h.fresh.Public.Base64()}, "taken"},
		{"principal with a host's id", ledger.KindPrincipal, ledger.PrincipalAdded{Principal: h.host, Key: h.fresh.Public.Base64()}, "taken"},
		{"principal with a host's key", ledger.KindPrincipal, ledger.PrincipalAdded{Principal: "p", Key: h.key.Public.Base64()}, h.host},
		{"principal with neither", ledger.KindPrincipal, ledger.PrincipalAdded{Principal: "p"}, "not both"},
		{"principal with both", ledger.KindPrincipal, ledger.PrincipalAdded{Principal: "p", Key: h.fresh.Public.Base64(), TokenMAC: "ab"}, "not both"},
		{"token of another", ledger.KindPrincipal, ledger.PrincipalAdded{Principal: "p", TokenMAC: "00"}, "another principal"},
		{"end of nobody", ledger.KindEnded, ledger.PrincipalEnded{Principal: "nobody"}, "not known"},
		{"end of a host", ledger.KindEnded, ledger.PrincipalEnded{Principal: h.host}, "not known"},
		{"end of the revoked", ledger.KindEnded, ledger.PrincipalEnded{Principal: h.gone}, "revoked before"},
		{"grant to the revoked", ledger.KindGrant, ledger.Granted{Principal: h.gone, Product: h.Product.ID, Role: state.RoleAuditor}, "is revoked"},
		{"the key of the revoked", ledger.KindPrincipal, ledger.PrincipalAdded{Principal: "p", Key: h.goneKey.Public.Base64()}, h.gone},
		{"rebuilder everywhere", ledger.KindGrant, ledger.Granted{Principal: h.Admin, Product: state.AllProducts, Role: state.RoleRebuilder}, "product by product"},
		{"grant to nobody", ledger.KindGrant, ledger.Granted{Principal: "nobody", Product: h.Product.ID, Role: state.RoleAuditor}, "not known"},
		{"grant to a host", ledger.KindGrant, ledger.Granted{Principal: h.host, Product: h.Product.ID, Role: state.RoleAuditor}, "not known"},
		{"grant of role host", ledger.KindGrant, ledger.Granted{Principal: h.Admin, Product: h.Product.ID, Role: state.RoleHost}, "cannot be granted"},
		{"publisher everywhere", ledger.KindGrant, ledger.Granted{Principal: h.Admin, Product: state.AllProducts, Role: state.RolePublisher}, "product by product"},
		{"grant in no product", ledger.KindGrant, ledger.Granted{Principal: h.Admin, Product: "x", Role: state.RoleAuditor}, "not known"},
		{"embargo of no product", ledger.KindEmbargo, ledger.Embargoed{Product: "x", Hosts: []string{}}, "not known"},
		{"embargo that names no host", ledger.KindEmbargo, ledger.Embargoed{Product: h.Product.ID, Hosts: []string{"nobody"}}, "not known"},
		{"embargo that names a host twice", ledger.KindEmbargo, ledger.Embargoed{Product: h.Product.ID, Hosts: []string{h.host, h.host}}, "twice"},
		{"end of no embargo", ledger.KindEmbargo, ledger.Embargoed{Product: h.Product.ID, Hosts: []string{}, Lifted: true}, "no such embargo"},
		{"end of an embargo, with hosts", ledger.KindEmbargo, ledger.Embargoed{Product: h.Product.ID, Hosts: []string{h.host}, Lifted: true}, "neither"},
		{"token twice", ledger.KindToken, h.token, "made before"},
		{"token for no product", ledger.KindToken, ledger.TokenMade{Token: "t2", MAC: "aa", Products: []string{}}, "no products"},
		{"token for a product twice", ledger.KindToken, ledger.TokenMade{Token: "t2", MAC: "aa", Products: []string{h.Product.ID, h.Product.ID}}, "twice"},
	}
}

func (h *wreck) enrolled(change func(*ledger.HostEnrolled)) ledger.HostEnrolled {
	b := ledger.HostEnrolled{Host: uuid.NewString(), Name: "x", Key: h.fresh.Public.Base64(), Products: []string{h.Product.ID}, Token: "t1", State: state.Active}
	change(&b)
	return b
}

// hosts are records that follow from what hosts do.
func (h *wreck) hosts(stranger statetest.Key) []refusal {
	recorded := func(sequence int64, envelope []byte) ledger.HostRecorded {
		return ledger.HostRecorded{Host: h.host, Sequence: sequence, Envelope: h.Put(envelope)}
	}
	next, stale := *h.w.Record, *h.w.Record
	next.Sequence, stale.Sequence = 6, 5
	return []refusal{
		{"host without a token", ledger.KindHost, h.enrolled(func(b *ledger.HostEnrolled) { b.Token = "" }), "not known or was used"},
		{"host in other products", ledger.KindHost, h.enrolled(func(b *ledger.HostEnrolled) { b.Products = []string{} }), "no products"},
		{"host with a known key", ledger.KindHost, h.enrolled(func(b *ledger.HostEnrolled) { b.Key = h.key.Public.Base64() }), h.host},
		{"host of unknown state", ledger.KindHost, h.enrolled(func(b *ledger.HostEnrolled) { b.State = "" }), "not known"},
		{"known host with a token", ledger.KindHost, h.enrolled(func(b *ledger.HostEnrolled) { b.Host = h.host }), "came with a token"},
		{"known host with another key", ledger.KindHost, h.enrolled(func(b *ledger.HostEnrolled) { b.Host, b.Token = h.host, "" }), "key of a host"},
		{"host back from revoked", ledger.KindHost, h.enrolled(func(b *ledger.HostEnrolled) { b.Host, b.Token = h.revoked, "" }), "for good"},
		{"record of nobody", ledger.KindHostRecord, ledger.HostRecorded{Host: "x", Sequence: 6, Envelope: h.unknown}, "not known"},
		{"record not stored", ledger.KindHostRecord, ledger.HostRecorded{Host: h.host, Sequence: 6, Envelope: h.unknown}, "not in the ledger store"},
		{"record by a stranger", ledger.KindHostRecord, recorded(6, h.RecordEnvelope(h.host, stranger, next)), "BAD_SIGNATURE"},
		{"record of another host", ledger.KindHostRecord, recorded(6, h.RecordEnvelope(h.revoked, h.key, next)), "SUBJECT_MISMATCH"},
		{"record of the same sequence", ledger.KindHostRecord, recorded(5, h.RecordEnvelope(h.host, h.key, stale)), "sequence 5"},
		{"record of another sequence", ledger.KindHostRecord, recorded(7, h.RecordEnvelope(h.host, h.key, next)), "the journal says 7"},
	}
}

// registry are records that follow from what publishers do.
func (h *wreck) registry() []refusal {
	w := h.w
	foreign := h.Put(h.Bundle(h.Statement(attest.TypeLivePatch, w.PatchManifest, w.Patch.File.Digest, w.Patch), h.Stranger()))
	admitted := func(change func(*ledger.StatementAdmitted)) ledger.StatementAdmitted {
		b := ledger.StatementAdmitted{Repository: repo, Subject: w.PatchManifest, Bundle: h.bundle, Type: attest.TypeLivePatch, By: h.Admin}
		change(&b)
		return b
	}
	return []refusal{
		{"manifest not stored", ledger.KindManifest, ledger.ManifestPut{Repository: repo, Digest: h.unknown, MediaType: state.MediaManifest}, "not in the ledger store"},
		{"manifest that is none", ledger.KindManifest, ledger.ManifestPut{Repository: repo, Digest: h.Put([]byte("{}")), MediaType: state.MediaManifest}, "schemaVersion"},
		{"manifest of no repository", ledger.KindManifest, ledger.ManifestPut{Repository: "x", Digest: w.BaseManifest, MediaType: state.MediaManifest}, "not known"},
		{"tag by a name nothing was put under", ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: "x", Digest: h.w.PatchManifest, SHA512: "sha512:" + strings.Repeat("a", 128)}, "was not put under"},
		{"tag of nothing", ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: "x", Digest: h.unknown}, "not known"},
		{"delete of nothing", ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: h.unknown}, "not known"},
		{"delete of both", ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: w.BaseManifest, Tag: "x"}, "not both"},
		{"bundle not stored", ledger.KindStatement, admitted(func(b *ledger.StatementAdmitted) { b.Bundle = h.unknown }), "not in the ledger store"},
		{"bundle about another manifest", ledger.KindStatement, admitted(func(b *ledger.StatementAdmitted) { b.Subject = w.BaseManifest }), "SUBJECT_MISMATCH"},
		{"bundle about an unknown manifest", ledger.KindStatement, admitted(func(b *ledger.StatementAdmitted) { b.Subject = h.unknown }), "not known"},
		{"bundle of another type", ledger.KindStatement, admitted(func(b *ledger.StatementAdmitted) { b.Type = attest.TypeBase }), "the record says"},
		{"bundle by a stranger", ledger.KindStatement, admitted(func(b *ledger.StatementAdmitted) { b.Bundle = foreign }), "UNTRUSTED_SIGNER"},
		{"decision about nobody", ledger.KindDecision, ledger.Decided{Host: "x", Artifact: w.PatchManifest, Policy: w.PatchManifest, Site: w.PatchManifest}, "not known"},
	}
}

func otherRoots(h *wreck) []byte {
	own := h.Root
	h.Root = statetest.Key{Signer: own.Signer, Public: own.Public}
	p := h.TrustPolicy(h.Product) // the roots of the Authority, not of the House
	p.Version = 2
	return h.SignPolicy(p, own)
}

func TestApplyOrder(t *testing.T) {
	h := house(t)
	records := h.Journal.Records()
	for name, list := range map[string][]ledger.Record{
		"gap":          {records[0], records[2]},
		"twice":        {records[0], records[0]},
		"not from one": records[1:],
	} {
		s := state.New(h.Blobs, h.Site())
		var err error
		for _, r := range list {
			if err == nil {
				err = s.Apply(r)
			}
		}
		if err == nil || !strings.Contains(err.Error(), "belongs") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	s := state.New(h.Blobs, h.Site())
	r := records[0]
	r.Kind = "something-new"
	if err := s.Apply(r); err == nil || !strings.Contains(err.Error(), "unknown kind") {
		t.Errorf("unknown kind: error %v", err)
	}
	r = records[0]
	r.Body = append(r.Body[:len(r.Body)-1:len(r.Body)-1], `,"more":1}`...)
	if err := s.Apply(r); err == nil {
		t.Error("a body with an unknown member was taken")
	}
}

func TestRoles(t *testing.T) {
	h := house(t)
	publisher, _ := h.Principal("pub", state.RolePublisher)
	host, _ := h.Enrol("a")
	got := map[string][]string{
		"admin": h.State.Roles(h.Admin, h.Product.ID), "admin everywhere": h.State.Roles(h.Admin, state.AllProducts),
		"publisher": h.State.Roles(publisher, h.Product.ID), "publisher elsewhere": h.State.Roles(publisher, "other"),
		"host": h.State.Roles(host, h.Product.ID), "host elsewhere": h.State.Roles(host, "other"), "nobody": h.State.Roles("", h.Product.ID),
	}
	want := map[string][]string{
		"admin": {"admin"}, "admin everywhere": {"admin"}, "publisher": {"publisher"}, "publisher elsewhere": nil,
		"host": {"host"}, "host elsewhere": nil, "nobody": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	h.Must(ledger.KindGrant, ledger.Granted{Principal: publisher, Product: h.Product.ID, Role: state.RolePublisher, Revoked: true, By: h.Admin})
	if roles := h.State.Roles(publisher, h.Product.ID); len(roles) != 0 {
		t.Errorf("roles %v after they were taken", roles)
	}
	if got := h.State.ProductsOf(h.Admin, state.RoleAdmin); !cmp.Equal(got, []string{h.Product.ID}) {
		t.Errorf("products of the admin: %v", got)
	}
}
