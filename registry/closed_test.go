package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// wrappers are our types around distribution's, each with the closed type it
// begins from and the interface distribution uses it by.
var wrappers = []struct {
	contract        reflect.Type
	closed, wrapper any
}{
	{reflect.TypeFor[distribution.Namespace](), closedNamespace{}, &namespace{}},
	{reflect.TypeFor[distribution.Repository](), closedRepository{}, &repository{}},
	{reflect.TypeFor[distribution.ManifestService](), closedManifests{}, &manifests{}},
	{reflect.TypeFor[distribution.TagService](), closedTags{}, &tags{}},
	{reflect.TypeFor[distribution.BlobStore](), closedBlobs{}, &blobs{}},
}

// TestClosedRefuses calls every method of distribution's interfaces that can
// fail on the closed types: each refuses.
func TestClosedRefuses(t *testing.T) {
	for _, w := range wrappers {
		for i := range w.contract.NumMethod() {
			m := w.contract.Method(i)
			got := call(reflect.ValueOf(w.closed).MethodByName(m.Name))
			last := got[len(got)-1]
			if err, ok := last.Interface().(error); m.Type.Out(m.Type.NumOut()-1) == reflect.TypeFor[error]() && (!ok || !errors.Is(err, errClosed)) {
				t.Errorf("%T.%s returns %v, want a refusal", w.closed, m.Name, last)
			}
			for _, v := range got[:len(got)-1] {
				if !v.IsZero() {
					t.Errorf("%T.%s refuses and returns %v", w.closed, m.Name, v)
				}
			}
		}
	}
	if err := (closedNamespace{}).Blobs().Enumerate(t.Context(), nil); !errors.Is(err, errClosed) {
		t.Errorf("enumerating: %v", err)
	}
	if _, err := (closedNamespace{}).BlobStatter().Stat(t.Context(), ""); !errors.Is(err, errClosed) || (closedNamespace{}).Scope().Contains("x") {
		t.Errorf("describing: %v", err)
	}
}

// TestNobodyIsRefused calls every method on our wrappers without an exchange in
// the context, as code that distribution adds later might: each refuses.
func TestNobodyIsRefused(t *testing.T) {
	harmless := map[string]bool{"Named": true, "Scope": true, "Blobs": true, "BlobStatter": true, "Tags": true, "Lookup": true}
	for _, w := range wrappers {
		for i := range w.contract.NumMethod() {
			m := w.contract.Method(i)
			if harmless[m.Name] {
				continue
			}
			got := call(reflect.ValueOf(w.wrapper).MethodByName(m.Name))
			if err, ok := got[len(got)-1].Interface().(error); !ok || !errors.Is(err, errClosed) {
				t.Errorf("%T.%s returns %v, want a refusal", w.wrapper, m.Name, got)
			}
		}
	}
}

func call(f reflect.Value) []reflect.Value {
	var args []reflect.Value
	for i := range f.Type().NumIn() {
		in := f.Type().In(i)
		switch {
		case f.Type().IsVariadic() && i == f.Type().NumIn()-1:
		case in == reflect.TypeFor[context.Context]():
			args = append(args, reflect.ValueOf(context.Background()))
		default:
			args = append(args, reflect.Zero(in))
		}
	}
	return f.Call(args)
}

// TestNothingIsPromoted: a wrapper has the methods of its interface and no
// other, so that what it wraps cannot answer in its place.
func TestNothingIsPromoted(t *testing.T) {
	for _, w := range wrappers {
		wrapper := reflect.TypeOf(w.wrapper)
		for i := range wrapper.NumMethod() {
			name := wrapper.Method(i).Name
			if _, ok := w.contract.MethodByName(name); !ok && name != "Remove" {
				t.Errorf("%s.%s is no part of %s", wrapper, name, w.contract)
			}
		}
		for i := range wrapper.Elem().NumField() {
			f := wrapper.Elem().Field(i)
			if f.Anonymous && f.Type.Kind() == reflect.Interface {
				t.Errorf("%s embeds the interface %s", wrapper, f.Type)
			}
		}
	}
}

// tomorrow is a blob store of a later distribution.
type tomorrow interface {
	distribution.BlobStore
	Copy(ctx context.Context, dgst digest.Digest, to io.Writer) error
}

// copier is one that has it, around ours.
type copier struct{ distribution.BlobStore }

func (copier) Copy(context.Context, digest.Digest, io.Writer) error { return nil }

// TestTomorrow: a method that distribution adds to what we wrap is not there on
// our wrapper.
func TestTomorrow(t *testing.T) {
	var inner distribution.BlobStore = copier{closedBlobs{}}
	if _, ok := inner.(tomorrow); !ok {
		t.Fatal("the test expects a store of tomorrow")
	}
	var ours distribution.BlobStore = &blobs{}
	if _, ok := ours.(tomorrow); ok {
		t.Error("a method added later is forwarded")
	}
	for name, ok := range map[string]bool{
		"enumerates manifests": implements[distribution.ManifestEnumerator](&manifests{}),
		"enumerates blobs":     implements[distribution.BlobEnumerator](&blobs{}),
		"lists repositories":   implements[distribution.RepositoryEnumerator](&namespace{}),
		"tells old tags":       implements[distribution.TagManifestsProvider](&tags{}),
	} {
		if ok {
			t.Errorf("a wrapper %s, which nobody forwarded", name)
		}
	}
}

func implements[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// TestExchangeBounds: what an exchange was not let in for is refused, although
// distribution asks for it.
func TestExchangeBounds(t *testing.T) {
	x := &exchange{answer: &answer{ResponseWriter: &discard{}}, action: read, target: target{repository: "a"}}
	ctx := context.WithValue(t.Context(), exchangeKey{}, x)
	elsewhere, here := handle{name: "b"}, handle{name: "a"}
	for name, f := range map[string]func() error{
		"push while reading":   func() error { return (&tags{handle: here}).Tag(ctx, "t", v1.Descriptor{}) },
		"delete while reading": func() error { return (&tags{handle: here}).Untag(ctx, "t") },
		"list elsewhere":       func() error { _, err := (&tags{handle: elsewhere}).List(ctx, 1, ""); return err },
		"upload while reading": func() error { _, err := (&blobs{handle: here}).Create(ctx); return err },
		"resume elsewhere":     func() error { _, err := (&blobs{handle: elsewhere}).Resume(ctx, "x"); return err },
		"delete a blob":        func() error { return (&blobs{handle: here}).Delete(ctx, "x") },
		"delete a manifest":    func() error { return (&manifests{handle: here}).Delete(ctx, "x") },
		"catalog":              func() error { _, err := (&namespace{}).Repositories(ctx, nil, ""); return err },
	} {
		x.answer.refusal = nil
		if err := f(); err == nil || x.answer.refusal == nil || x.answer.refusal.Status != http.StatusForbidden {
			t.Errorf("%s: %v, %+v", name, err, x.answer.refusal)
		}
	}
}

type discard struct{ http.ResponseWriter }

// TestAnotherRepository: the one that the exchange is about is opened, and no
// other, although distribution read the request differently.
func TestAnotherRepository(t *testing.T) {
	x := &exchange{answer: &answer{ResponseWriter: &discard{}}, action: read, target: target{repository: "a"}}
	ctx := context.WithValue(t.Context(), exchangeKey{}, x)
	name, err := reference.WithName("b")
	if err != nil {
		t.Fatal(err)
	}
	n := &namespace{}
	if _, err := n.Repository(ctx, name); err == nil || x.answer.refusal == nil || x.answer.refusal.Status != http.StatusForbidden {
		t.Errorf("%v, %+v", err, x.answer.refusal)
	}
}

// TestSessions: an upload is found by its id in its repository by its
// principal, by one request at a time, for an hour.
func TestSessions(t *testing.T) {
	u := newUploads(Limits{}.withDefaults())
	s := &session{id: "1", repository: "a", principal: "p", started: time.Now()}
	if _, e := u.begin(s); e != nil {
		t.Fatal(e)
	}
	if _, e := u.take("1", "a", "p"); e == nil || e.Status != http.StatusConflict {
		t.Errorf("while another request writes: %v", e)
	}
	u.release(s)
	for _, q := range [][3]string{{"2", "a", "p"}, {"1", "b", "p"}, {"1", "a", "q"}} {
		if _, e := u.take(q[0], q[1], q[2]); e == nil || e.Status != http.StatusNotFound {
			t.Errorf("%v: %v", q, e)
		}
	}
	if got, e := u.take("1", "a", "p"); e != nil || got != s {
		t.Errorf("its own: %v", e)
	}
	later := time.Now().Add(u.limits.UploadTTL)
	if old := u.over(later, 1); len(old) != 0 {
		t.Error("one that is being written to is taken away")
	}
	u.release(s)
	s.started = time.Now().Add(-u.limits.UploadTTL)
	if _, e := u.take("1", "a", "p"); e == nil {
		t.Error("one that is too old goes on")
	}
	if old := u.over(time.Now(), 1); len(old) != 1 || len(u.sessions) != 0 {
		t.Errorf("taken away: %v", old)
	}
}

// TestOldestSessionMakesRoom: who breaks off without cancelling is not locked
// out; what is being written to stays.
func TestOldestSessionMakesRoom(t *testing.T) {
	u := newUploads(Limits{OwnUploads: 2}.withDefaults())
	open := func(id string) *session {
		t.Helper()
		s := &session{id: id, repository: "a", principal: "p", started: time.Now()}
		if _, e := u.begin(s); e != nil {
			t.Fatalf("%s: %v", id, e)
		}
		return s
	}
	one, two := open("1"), open("2")
	if _, e := u.begin(&session{id: "3", principal: "p"}); e == nil || e.Status != http.StatusTooManyRequests {
		t.Errorf("while both are written to: %v", e)
	}
	u.release(two)
	u.release(one)
	dropped, e := u.begin(&session{id: "3", principal: "p"})
	if e != nil || dropped != two || u.sessions["2"] != nil || u.sessions["1"] == nil {
		t.Errorf("dropped %+v, %v; open are %v", dropped, e, u.sessions)
	}
	if dropped, e := u.begin(&session{id: "4", principal: "q"}); e != nil || dropped != nil {
		t.Errorf("another's first: %+v, %v", dropped, e)
	}
}
