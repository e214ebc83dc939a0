package attest

import "fmt"

// ClaimedHostRecord reads the host record of an envelope and verifies nothing:
// what it says is good for finding what to verify it against, or was verified
// before it was kept.
func ClaimedHostRecord(envelope []byte) (*HostRecord, error) {
	e, err := ParseEnvelope(envelope, PayloadType)
	if err != nil {
		return nil, err
	}
	s, err := ParseStatement(e.Payload)
	if err != nil {
		return nil, err
	}
	r, ok := s.Predicate.(*HostRecord)
	if !ok {
		return nil, fmt.Errorf("a host record that is a statement of type %s", s.Type)
	}
	return r, nil
}
