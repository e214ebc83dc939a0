package mirror

// Reindex returns the artifact of a record, whose bytes are raw, and the
// index.json that goes with it, for tests that are in between.
func Reindex(r *Record, raw []byte) (manifest, index []byte, err error) {
	if manifest, _, err = r.manifest(raw); err != nil {
		return nil, nil, err
	}
	index, err = r.index(raw)
	return manifest, index, err
}
