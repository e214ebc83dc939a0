package main

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/content"
)

// TestRoom: on a large disk 5 % stay free, on a smaller one 1 GiB, and never
// more than a tenth; what is configured counts alone.
func TestRoom(t *testing.T) {
	for _, tt := range []struct {
		free *serverconfig.Free
		all  int64
		want int64 // bytes that stay free
	}{
		{nil, 1000 << 30, 50 << 30},
		{nil, 15 << 30, 1 << 30},
		{nil, 4 << 20, 4 << 20 / 10},
		{&serverconfig.Free{Bytes: 1 << 20}, 1000 << 30, 1 << 20},
		{&serverconfig.Free{Percent: 10}, 1000 << 30, 100 << 30},
		{&serverconfig.Free{}, 1000 << 30, 0},
	} {
		o := room(&serverconfig.Registry{Free: tt.free}, tt.all)
		got := max(o.MinFree, tt.all/100*o.MinFreePercent)
		if got > tt.want+tt.all/1000 || got < tt.want-tt.all/1000 {
			t.Errorf("free %+v of %d: %d stay, want %d", tt.free, tt.all, got, tt.want)
		}
	}
}

func TestLimits(t *testing.T) {
	all := serverconfig.Quotas{Repository: 1, Publisher: 2, Blob: 3, Uploads: 4, OwnUploads: 5, OwnPending: 6, Pending: 7, UploadTTL: serverconfig.Duration(time.Hour)}
	want := registry.Limits{RepositoryBytes: 1, PublisherBytes: 2, Blob: 3, Uploads: 4, OwnUploads: 5, OwnPending: 6, Pending: 7, UploadTTL: time.Hour}
	if diff := cmp.Diff(want, quotas(&all)); diff != "" {
		t.Error(diff)
	}
}

// TestLowDisk: a server whose disk has less free than has to stay free takes
// nothing in.
func TestLowDisk(t *testing.T) {
	for more, full := range map[string]bool{"registry: {free: {bytes: 1000000TiB}}\n": true, "registry: {free: {bytes: 1B}}\n": false} {
		h, err := openHouse(t.Context(), newData(t, more), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		store, err := h.openContent()
		if err != nil {
			t.Fatal(err)
		}
		u, err := store.Begin(t.Context())
		if err == nil {
			err = u.Cancel(t.Context())
		}
		if errors.Is(err, content.ErrFull) != full || err != nil && !full {
			t.Errorf("%s: %v", more, err)
		}
	}
}
