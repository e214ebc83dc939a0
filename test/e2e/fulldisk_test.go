package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const page = 4096

// TestFrontFullDisk ends the room of a disk of 4 MiB, on which all data of the
// built server is, at every page that a push writes: of the upload, of the
// journal, of the ledger store's copy of the manifest, of what seals the journal
// and of the log. The push is refused, 507 or 503, or is acknowledged and kept;
// reading goes on; with room again the same push works without a restart, and
// after a kill everything that was acknowledged is there.
func TestFrontFullDisk(t *testing.T) {
	k := newKept(newDepot(t, filepath.Join(smallDisk(t), "data"), "registry:\n  free: {percent: 0}\n"+generous, robotA))
	before := newImage(depots[0], "before", []byte("acknowledged before"))
	if r := k.pushAll(before); r.status != http.StatusCreated {
		t.Fatalf("%v", r)
	}
	refused := map[string]int{}
	met := func() bool {
		return refused["blob 507"] > 0 && refused["blob 503"] > 0 && refused["manifest 503"] > 0 && refused["taken"] > 0
	}
	for n := 0; n < 60 || !met() && n < 160; n++ { // the journal needs another page only now and then
		k.squeezed([]int{0, 1, 1, 1, 1, 1, 2, 3, 4, 5}[n%10], n, refused)
		if t.Failed() {
			break
		}
	}
	if !met() {
		t.Errorf("pushes met only this: %v", refused)
	}
	t.Logf("%v", refused)
	k.end(syscall.SIGKILL)
	k.auditDisk("after the kill")
	k.start()
	k.audit("after a start", -1)
	k.auditLedger()
}

// squeezed pushes an image with so many pages of room, and then with more.
func (k *kept) squeezed(pages, n int, refused map[string]int) {
	k.t.Helper()
	when := fmt.Sprintf("push %d, %d pages left", n, pages)
	i := newImage(depots[n%2], when, make([]byte, page))
	copy(i.layer, when)
	i = newImage(i.repository, when, i.layer)
	k.leave(int64(pages * page))
	r, what := k.pushBlob(robotA, i.repository, i.layer, 1+n%2), "blob"
	if r.status == http.StatusCreated {
		r = k.pushBlob(robotA, i.repository, i.config, 1)
	}
	if r.status == http.StatusCreated {
		k.note(i, maybe)
		r, what = k.putManifest(robotA, i.repository, i.digest(), i.raw), "manifest"
		k.answered(i, r, http.StatusCreated, there)
	}
	switch r.status {
	case http.StatusCreated:
		refused["taken"]++
	case http.StatusInsufficientStorage, http.StatusServiceUnavailable:
		refused[fmt.Sprint(what, " ", r.status)]++
	default:
		k.t.Errorf("%s: %s: %v, want 507 or 503", when, what, r)
	}
	k.noUploads(when)
	k.audit(when, 20)
	k.leave(64 << 20)
	if r := k.pushAll(i); r.status != http.StatusCreated {
		k.t.Errorf("%s, and then room again: %v", when, r)
	}
}

// smallDisk mounts a disk of 4 MiB, or leaves the test out.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		leaveOut(t, "a disk of 4 MiB cannot be mounted here: "+err.Error(), "run it as root, or in a container that may mount")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_FORCE|2); err != nil { // 2: MNT_DETACH
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// leave fills the disk until so many bytes are free, or gives back the room.
func (k *kept) leave(free int64) {
	k.t.Helper()
	dir := filepath.Dir(k.data)
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer filler.Close()
	for range 100 { // the server writes, too
		var s syscall.Statfs_t
		if err = syscall.Statfs(dir, &s); err != nil {
			break
		}
		n := int64(s.Bavail)*s.Bsize - free
		if n <= 0 {
			return
		}
		if err = syscall.Fallocate(int(filler.Fd()), 0, 0, n); err == nil {
			return
		}
	}
	k.t.Fatalf("leaving %d bytes: %v", free, err)
}
