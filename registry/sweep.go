package registry

import (
	"context"
	"time"
)

const (
	sweepPause = 10 * time.Second // between two sweeps, at least
	sweepBatch = 32               // uploads that one sweep ends, at most
)

// sweep ends uploads that took too long when their time is over, whether
// anybody begins another one or not, until ctx ends. What is left over by an
// earlier process went when the content was opened.
func (g *Registry) sweep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(g.uploads.pause(time.Now())):
			g.endOldUploads(ctx)
		}
	}
}

// endOldUploads removes some of the uploads that took too long: a bucket is
// asked about each of them, and whoever begins one need not wait for all.
func (g *Registry) endOldUploads(ctx context.Context) {
	for _, old := range g.uploads.over(time.Now(), sweepBatch) {
		g.discard(ctx, old)
	}
}

// pause returns how long nothing has to be ended. An upload that begins in the
// meantime lasts at least as long.
func (u *uploads) pause(now time.Time) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	first := u.limits.UploadTTL
	for _, s := range u.sessions {
		first = min(first, u.limits.UploadTTL-now.Sub(s.started))
	}
	return max(first, min(sweepPause, u.limits.UploadTTL))
}

// over takes sessions out that are too old and that nobody writes to, at most
// so many.
func (u *uploads) over(now time.Time, most int) []*session {
	u.mu.Lock()
	defer u.mu.Unlock()
	var old []*session
	for _, s := range u.sessions {
		if len(old) == most {
			break
		}
		if !s.busy && now.Sub(s.started) >= u.limits.UploadTTL {
			old = append(old, s)
			u.remove(s)
		}
	}
	return old
}
