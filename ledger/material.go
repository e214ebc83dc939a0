package ledger

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// The paths of a server's log and timestamp authority under its address.
const (
	EntriesPath    = "/api/v2/log/entries" // POST: add an entry (Rekor v2)
	ReadPath       = "/api/v2/"            // GET: checkpoint and tiles (C2SP tlog-tiles)
	ShardsPath     = "/shards/"            // ORIGIN and ReadPath after it: the same of a log that is frozen
	TimestampsPath = "/api/v1/timestamp"   // POST: RFC 3161
)

// operator is who signing configurations say runs a server's services.
const operator = "patchfit"

// TrustedRoot returns a Sigstore trusted_root.json (v0.1), in canonical form,
// that names logs and timestamp authorities: what cosign and sigstore-go need
// to verify bundles offline. Each chain of a timestamp authority begins with
// its own certificate and ends with a self-signed one. The file names no
// certificate authority; see [WithAuthority].
func TrustedRoot(logs []LogKey, chains ...[]*x509.Certificate) ([]byte, error) {
	tlogs, ids := make(map[string]*root.TransparencyLog, len(logs)), make(map[string]int, len(logs))
	for i, k := range logs {
		l, err := k.transparencyLog()
		if err != nil {
			return nil, err
		}
		id := hex.EncodeToString(l.ID)
		tlogs[id], ids[id] = l, i
	}
	var tsas []root.TimestampingAuthority
	for _, chain := range chains {
		a, err := timestampAuthority(chain)
		if err != nil {
			return nil, err
		}
		tsas = append(tsas, a)
	}
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, tsas, tlogs)
	if err != nil {
		return nil, fmt.Errorf("making the trusted root: %w", err)
	}
	return canonical(ordered{r, ids})
}

// ordered has the logs of a trusted root in the order of their ids in it, where
// sigstore-go has them in one of chance: the same logs are the same bytes.
type ordered struct {
	*root.TrustedRoot
	ids map[string]int
}

func (o ordered) MarshalJSON() ([]byte, error) {
	b, err := o.TrustedRoot.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var r prototrustroot.TrustedRoot
	if err := protojson.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	slices.SortFunc(r.Tlogs, func(a, b *prototrustroot.TransparencyLogInstance) int {
		return o.ids[hex.EncodeToString(a.GetLogId().GetKeyId())] - o.ids[hex.EncodeToString(b.GetLogId().GetKeyId())]
	})
	return protojson.Marshal(&r)
}

// WithAuthority returns trustedRoot, in canonical form, with a certificate
// authority whose word counts from start until end; a zero end is none. Its
// chain begins with what issues and ends with the root. One that is there stays
// as it is.
func WithAuthority(trustedRoot []byte, chain []*x509.Certificate, start, end time.Time) ([]byte, error) {
	if len(chain) == 0 {
		return nil, errors.New("certificate authority without a certificate")
	}
	r, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return nil, fmt.Errorf("reading the trusted root: %w", err)
	}
	last := len(chain) - 1
	cas := r.FulcioCertificateAuthorities()
	there := slices.ContainsFunc(cas, func(ca root.CertificateAuthority) bool {
		f, ok := ca.(*root.FulcioCertificateAuthority)
		return ok && f.Root.Equal(chain[last]) && slices.EqualFunc(f.Intermediates, chain[:last], (*x509.Certificate).Equal)
	})
	if !there {
		cas = append(cas, &root.FulcioCertificateAuthority{
			Root: chain[last], Intermediates: chain[:last], ValidityPeriodStart: start.UTC(), ValidityPeriodEnd: end,
		})
	}
	r, err = root.NewTrustedRoot(root.TrustedRootMediaType01, cas, r.CTLogs(), r.TimestampingAuthorities(), r.RekorLogs())
	if err != nil {
		return nil, fmt.Errorf("making the trusted root: %w", err)
	}
	return canonical(r)
}

// canonical undoes the spaces protojson varies on purpose.
func canonical(m json.Marshaler) ([]byte, error) {
	b, err := m.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return strictjson.Canonicalize(b)
}

// maxHost is the longest host name, in bytes (RFC 1035).
const maxHost = 253

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// CheckOrigin returns an error unless origin can name a log: a host name in
// lower case, without port and path. Verifiers look for a checkpoint's origin
// as the host of a trusted log's address.
func CheckOrigin(origin string) error {
	if len(origin) > maxHost || !hostName.MatchString(origin) {
		return fmt.Errorf("log origin %.80q is not a host name in lower case, without port and path", origin)
	}
	return nil
}

func (k LogKey) transparencyLog() (*root.TransparencyLog, error) {
	if err := CheckOrigin(k.Origin); err != nil {
		return nil, err
	}
	if k.Start.IsZero() {
		return nil, fmt.Errorf("log %s has no start", k.Origin)
	}
	if _, err := k.Verifier(); err != nil {
		return nil, err
	}
	id, err := k.ID()
	if err != nil {
		return nil, err
	}
	return &root.TransparencyLog{
		BaseURL:             "https://" + k.Origin,
		ID:                  id,
		ValidityPeriodStart: k.Start.UTC(),
		HashFunc:            crypto.SHA256,
		PublicKey:           k.Key,
	}, nil
}

func timestampAuthority(chain []*x509.Certificate) (*root.SigstoreTimestampingAuthority, error) {
	if len(chain) < 2 {
		return nil, errors.New("chain of a timestamp authority has no certificate above its own")
	}
	leaf, last := chain[0], len(chain)-1
	if leaf.IsCA || !chain[last].IsCA {
		return nil, errors.New("chain of a timestamp authority does not begin with its own certificate and end with an authority's")
	}
	return &root.SigstoreTimestampingAuthority{
		Root: chain[last], Intermediates: chain[1:last], Leaf: leaf,
		ValidityPeriodStart: leaf.NotBefore.UTC(), ValidityPeriodEnd: leaf.NotAfter.UTC(),
	}, nil
}

// LogKeys returns the logs a trusted_root.json names, sorted by origin.
func LogKeys(trustedRoot []byte) ([]LogKey, error) {
	r, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return nil, fmt.Errorf("reading the trusted root: %w", err)
	}
	var keys []LogKey
	for _, l := range r.RekorLogs() {
		u, err := url.Parse(l.BaseURL)
		if err != nil {
			return nil, fmt.Errorf("reading the trusted root: address of a log: %w", err)
		}
		keys = append(keys, LogKey{Origin: u.Hostname(), Key: l.PublicKey, Start: l.ValidityPeriodStart})
	}
	if len(keys) == 0 {
		return nil, errors.New("trusted root names no log")
	}
	slices.SortFunc(keys, func(a, b LogKey) int {
		return cmp.Or(strings.Compare(a.Origin, b.Origin), a.Start.Compare(b.Start))
	})
	return keys, nil
}

// SigningConfig returns a Sigstore signing_config.json (v0.2), in canonical
// form, by which stock clients sign into the log at baseURL, as
// "https://patches.example.org", and have their signatures timestamped there.
func SigningConfig(baseURL string, start time.Time) ([]byte, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("address of the server: %w", err)
	}
	if u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || baseURL != u.Scheme+"://"+u.Host {
		return nil, fmt.Errorf("address of the server %q is not https://host or https://host:port alone", baseURL)
	}
	service := func(url string, version uint32) []root.Service {
		return []root.Service{{URL: url, MajorAPIVersion: version, ValidityPeriodStart: start.UTC(), Operator: operator}}
	}
	anyOne := root.ServiceConfiguration{Selector: prototrustroot.ServiceSelector_ANY}
	c, err := root.NewSigningConfig(root.SigningConfigMediaType02, nil, nil,
		service(baseURL, 2), anyOne, service(baseURL+TimestampsPath, 1), anyOne)
	if err != nil {
		return nil, fmt.Errorf("making the signing configuration: %w", err)
	}
	return canonical(c)
}

// CheckSigningConfig returns an error unless b is a Sigstore signing
// configuration by which a client finds a log and a timestamp authority.
func CheckSigningConfig(b []byte) error {
	c, err := root.NewSigningConfigFromJSON(b)
	if err != nil {
		return fmt.Errorf("reading the signing configuration: %w", err)
	}
	if len(c.RekorLogURLs()) == 0 || len(c.TimestampAuthorityURLs()) == 0 {
		return errors.New("signing configuration names no log or no timestamp authority")
	}
	return nil
}
