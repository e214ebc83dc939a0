package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/patchfit/patchfit/ledger/tuf"
)

// A fetcher gets files for the updater, no more of each than there may be,
// and looks at the shape of metadata before the updater does.
type fetcher struct {
	ctx context.Context // of one update: the updater's interface has no room for it
	c   *Client
}

// DownloadFile implements go-tuf's Fetcher.
func (f *fetcher) DownloadFile(url string, limit int64, _ time.Duration) ([]byte, error) {
	role := roleAt(url)
	limit = min(limit, most(role))
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: resp.StatusCode, URL: url}
	}
	b, err := f.read(resp.Body, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.Base(url), err)
	}
	if err := check(role, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return b, nil
}

// check refuses metadata the updater must not see. Of a root it asks all that a
// server asks: a role of no threshold, or of one key under two names, would be
// met by nobody, or by too few.
func check(role string, b []byte) error {
	switch role {
	case "":
		return nil
	case tuf.RoleRoot:
		_, err := tuf.RolesOf(b)
		return err
	}
	return tuf.Check(role, b)
}

// read reads all of r, at most limit bytes, while there is time.
func (f *fetcher) read(r io.Reader, limit int64) ([]byte, error) {
	var all []byte
	buf := make([]byte, 32<<10)
	for {
		if err := context.Cause(f.ctx); err != nil {
			return nil, err
		}
		n, err := r.Read(buf)
		if all = append(all, buf[:n]...); int64(len(all)) > limit {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, limit)
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// roleAt returns the role whose metadata is at url; "": it is a target.
func roleAt(url string) string {
	if strings.Contains(url, Path+"/targets/") {
		return ""
	}
	name := strings.TrimSuffix(path.Base(url), ".json")
	if _, role, ok := strings.Cut(name, "."); ok {
		return role
	}
	return name
}

func most(role string) int64 {
	switch role {
	case "":
		return tuf.MaxFile
	case tuf.RoleRoot:
		return tuf.MaxRoot
	case tuf.RoleTargets:
		return tuf.MaxTargets
	}
	return max(tuf.MaxSnapshot, tuf.MaxTimestamp)
}

// classed says in our words why the updater stopped.
func classed(ctx context.Context, err error) error {
	for _, ours := range []error{ErrNone, ErrRoot, ErrUnsigned, ErrRollback, ErrExpired, ErrCorrupt, ErrSlow} {
		if errors.Is(err, ours) {
			return err
		}
	}
	if errors.Is(context.Cause(ctx), ErrSlow) {
		return fmt.Errorf("%w: more than %v", ErrSlow, Timeout)
	}
	var (
		version  *metadata.ErrBadVersionNumber
		unsigned *metadata.ErrUnsignedMetadata
		expired  *metadata.ErrExpiredMetadata
		hash     *metadata.ErrLengthOrHashMismatch
		status   *metadata.ErrDownloadHTTP
		other    *metadata.ErrRepository
	)
	switch {
	case errors.As(err, &version):
		return fmt.Errorf("%w: %w", ErrRollback, err)
	case errors.As(err, &unsigned):
		return fmt.Errorf("%w: %w", ErrUnsigned, err)
	case errors.As(err, &expired):
		return fmt.Errorf("%w: %w", ErrExpired, err)
	case errors.As(err, &hash), errors.As(err, &other):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	return err
}
