package registry

import (
	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	maxPages = 64        // lists of referrers kept in memory
	pageSize = 512 << 10 // bytes of one
)

// pages keeps lists of referrers as they go out to those who may see all of a
// repository, for as long as nothing was put there or hidden.
type pages struct {
	kept *lru.Cache[pageKey, page]
}

type pageKey struct{ repository, subject, artifactType string }

type page struct {
	changed int64 // of the repository
	bytes   []byte
}

func newPages() *pages {
	kept, _ := lru.New[pageKey, page](maxPages) // fails for a size below 1
	return &pages{kept}
}

func (p *pages) get(k pageKey, changed int64) ([]byte, bool) {
	have, ok := p.kept.Get(k)
	return have.bytes, ok && have.changed == changed
}

func (p *pages) add(k pageKey, changed int64, b []byte) {
	if len(b) <= pageSize {
		p.kept.Add(k, page{changed, b})
	}
}
