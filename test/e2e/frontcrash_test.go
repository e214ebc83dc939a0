package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	robotA = "a"
	robotB = "b"

	frontRounds = 12
)

// TestFrontCrash kills the server with SIGKILL while robots push, mount from one
// product to the other, tag and delete, and it collects what nothing needs;
// now and then patchfitd gc is killed instead. After each start everything that
// was acknowledged is there with its bytes, what was not is whole or not there,
// and no file has bytes that are not its name's. PATCHFIT_CRASH_ROUNDS is for
// longer campaigns.
func TestFrontCrash(t *testing.T) {
	rounds := frontRounds
	if n, err := strconv.Atoi(os.Getenv("PATCHFIT_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d rounds, seed %d", rounds, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	k := newKept(newDepot(t, t.TempDir()+"/data", collecting+generous, robotA, robotB))
	k.end(syscall.SIGKILL)
	for n := range rounds {
		when := fmt.Sprintf("round %d", n)
		k.start()
		k.noUploads(when)
		k.audit(when, 50)
		if t.Failed() {
			return
		}
		k.work(random, time.Duration(50+random.IntN(900))*time.Millisecond)
		k.auditDisk(when)
		if n%3 == 2 {
			k.collect(time.Duration(10+random.IntN(500)) * time.Millisecond)
		}
	}
	k.configure(scrubbing + generous)
	k.start()
	k.audit("in the end", -1)
	k.scrubbed()
	k.auditLedger()
	k.end(syscall.SIGTERM)
	k.auditDisk("in the end")
	removed := strings.Count(k.log(), "a blob that nothing references was collected")
	if k.acked < rounds || removed == 0 {
		t.Errorf("%d changes were acknowledged and %d blobs collected: nothing was tried", k.acked, removed)
	}
	t.Logf("acknowledged: %d changes; %d images and %d tags in the end, %d blobs collected", k.acked, len(k.images), len(k.tags), removed)
}

const (
	collecting = "registry:\n  gc: {every: 100ms, grace: 1s}\n"
	scrubbing  = "registry:\n  scrub: {every: 100ms, rate: 1GiB}\n"
)

// work lets robots work, each on things of its own, until the server is killed.
func (k *kept) work(random *rand.Rand, kill time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	var robots sync.WaitGroup
	for i, as := range []string{robotA, robotB, robotA} {
		w := &worker{kept: k, as: as, mark: fmt.Sprintf("worker-%d-", i), random: rand.New(rand.NewPCG(random.Uint64(), 1))}
		robots.Go(func() {
			for ctx.Err() == nil {
				w.step()
			}
		})
	}
	time.Sleep(kill)
	k.end(syscall.SIGKILL)
	stop()
	robots.Wait()
}

// collect runs a collection beside no server, and kills it.
func (k *kept) collect(kill time.Duration) {
	cmd := k.command("patchfitd", "gc", "--config", "patchfitd.yaml", "--grace", "1ms")
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	timer := time.AfterFunc(kill, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() >= 0 {
		k.t.Errorf("patchfitd gc: %v", err)
	}
}

// scrubbed waits for the server to have read everything again.
func (k *kept) scrubbed() {
	k.t.Helper()
	for range 300 {
		for line := range strings.Lines(k.log()) {
			if strings.Contains(line, "scrubbing is done") && strings.Contains(line, `"complete":true`) {
				if !strings.Contains(line, `"damaged":0,"unread":0`) {
					k.t.Errorf("the server finds: %s", line)
				}
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	k.t.Error("the server did not scrub")
}

// A worker does one thing after another.
type worker struct {
	*kept
	as, mark string
	random   *rand.Rand
	n        int
}

func (w *worker) step() {
	switch n := w.random.IntN(10); {
	case n < 5:
		w.push()
	case n < 7:
		w.mount()
	case n < 9:
		w.remove()
	default:
		w.read()
	}
}

// name is one nobody else has.
func (w *worker) name() string { w.n++; return fmt.Sprintf("%s%d-%d", w.mark, w.random.Uint64(), w.n) }

// push pushes an image, by digest or by one of the worker's tags.
func (w *worker) push() {
	size := 1 + w.random.IntN(60<<10)
	if w.random.IntN(8) == 0 {
		size = 1<<20 + w.random.IntN(1<<20)
	}
	layer := make([]byte, size)
	for i := 0; i < len(layer); i += 512 {
		layer[i] = byte(w.random.Uint32())
	}
	copy(layer, w.name())
	i := newImage(depots[w.random.IntN(2)], w.name(), layer)
	if w.pushBlob(w.as, i.repository, i.layer, 1+w.random.IntN(3)).status == http.StatusCreated {
		w.finish(i)
	}
}

// finish pushes the config and then the manifest.
func (w *worker) finish(i *image) {
	if w.pushBlob(w.as, i.repository, i.config, 1).status != http.StatusCreated {
		return
	}
	if w.random.IntN(2) == 0 {
		w.note(i, maybe)
		w.answered(i, w.put(i, i.digest()), http.StatusCreated, there)
		return
	}
	tag := fmt.Sprintf("%s%d", w.mark, w.random.IntN(4))
	w.note(i, maybe)
	w.mayName(i.repository, tag, append(w.named(i.repository, tag), i.digest())...)
	if w.answered(i, w.put(i, tag), http.StatusCreated, there) {
		w.mayName(i.repository, tag, i.digest())
	}
}

// put puts the manifest. Where the collection was faster, it did not: a second
// passed since the blobs were pushed.
func (w *worker) put(i *image, ref string) reply {
	r := w.putManifest(w.as, i.repository, ref, i.raw)
	if r.status == http.StatusBadRequest && strings.Contains(string(r.body), "MANIFEST_BLOB_UNKNOWN") {
		return reply{err: fmt.Errorf("collected: %s", r.body)}
	}
	return r
}

// mount makes an image of a layer that is in the other product already.
func (w *worker) mount() {
	from := w.some(w.random, depots[0], "")
	if from == nil {
		return
	}
	w.brought(depots[1], from.layer)
	r := w.ask(w.as, http.MethodPost, "/v2/"+depots[1]+"/blobs/uploads/?mount="+digestOf(from.layer)+"&from="+depots[0], "", nil)
	if r.status == http.StatusCreated {
		w.finish(newImage(depots[1], w.name(), from.layer))
	}
}

// remove deletes one of the worker's images, which takes its tags with it.
func (w *worker) remove() {
	i := w.some(w.random, depots[w.random.IntN(2)], w.mark)
	if i == nil {
		return
	}
	var tags []string
	for n := range 4 {
		tag := fmt.Sprintf("%s%d", w.mark, n)
		if may := w.named(i.repository, tag); slices.Contains(may, i.digest()) {
			tags = append(tags, tag)
			w.mayName(i.repository, tag, append(may, "")...)
		}
	}
	w.note(i, maybe)
	if !w.answered(i, w.ask(w.as, http.MethodDelete, "/v2/"+i.repository+"/manifests/"+i.digest(), "", nil), http.StatusAccepted, gone) {
		return
	}
	for _, tag := range tags {
		w.mayName(i.repository, tag, slices.DeleteFunc(w.named(i.repository, tag), func(d string) bool { return d == i.digest() })...)
	}
}

// read pulls one of the worker's images while everything else goes on.
func (w *worker) read() {
	i := w.some(w.random, depots[w.random.IntN(2)], w.mark)
	if i == nil {
		return
	}
	if r := w.get(w.as, i.repository, "blobs", digestOf(i.layer)); r.status != 0 && (r.status != http.StatusOK || string(r.body) != string(i.layer)) {
		w.t.Errorf("%s@%s, while it runs: its layer is %v", i.repository, i.digest(), r)
	}
}
